"""Performs steps by name: one line of input is one step, one line of output its result."""

import json
import sys


def perform(steps):
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            steps[line.strip()]()
            result = None
        except Exception as error:
            result = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps(result), flush=True)
