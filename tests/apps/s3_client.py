"""The steps of a backup program: `s3_client.py URL KEY SECRET`."""

import sys

import boto3
from botocore.config import Config

from steps import perform

url, key, secret = sys.argv[1:]
# Without retries of the library, to see those of the balancer.
settings = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}, read_timeout=125)
s3 = boto3.client(
    "s3",
    endpoint_url=url,
    region_name="us-east-1",
    aws_access_key_id=key,
    aws_secret_access_key=secret,
    config=settings,
)
BODY = b"x" * 20_000


def put_object():
    s3.put_object(Bucket="bucket", Key="object", Body=BODY)


def get_object():
    assert s3.get_object(Bucket="bucket", Key="object")["Body"].read() == BODY


def list_objects():
    assert s3.list_objects_v2(Bucket="bucket")["KeyCount"] == 1


s3.create_bucket(Bucket="bucket")
put_object()
perform({"get an object": get_object, "put an object": put_object, "list the objects": list_objects})
