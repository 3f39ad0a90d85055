"""Radicale in cheroot, which keeps connections open as cloudflared does: `caldav_server.py PORT`.

Radicale's own server closes them after each response. RADICALE_CONFIG names its settings.
"""

import sys

from cheroot.wsgi import Server
from radicale import application

server = Server(("127.0.0.1", int(sys.argv[1])), application)
server.prepare()
print("listening", flush=True)
server.serve()
