"""An S3 server that checks signatures: `s3_server.py PORT`. Prints its only access key."""

import json
import sys

from moto import settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}

users = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
users.create_user("us-east-1", "user")
users.put_user_policy("user", "all", json.dumps(POLICY))
key = users.create_access_key("user")
# From the first request on, each is checked.
settings.INITIAL_NO_AUTH_ACTION_COUNT = 0

server = make_server("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True)
print("listening", key.access_key_id, key.secret_access_key, flush=True)
server.serve_forever()
