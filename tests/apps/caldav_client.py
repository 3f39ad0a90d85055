"""The steps of a calendar application: `caldav_client.py URL CALENDAR`."""

import sys
from datetime import datetime

import caldav

from steps import perform

url, address = sys.argv[1:]
client = caldav.DAVClient(url=f"{url}/user/", username="user", password="password")
calendar = client.calendar(url=address)
added = 0


def list_calendars():
    assert address in [str(found.url) for found in client.principal().calendars()]


def add_event():
    global added
    added += 1
    start, end = datetime(2026, 1, added, 10), datetime(2026, 1, added, 11)
    calendar.save_event(uid=f"event-{added}", dtstart=start, dtend=end, summary=f"event {added}")


def search_events():
    found = calendar.search(start=datetime(2026, 1, 1), end=datetime(2026, 2, 1), event=True)
    assert len(found) >= 1


perform({"list the calendars": list_calendars, "add an event": add_event, "search for events": search_events})
