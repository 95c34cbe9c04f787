"""Writes vectors.json: requests, and the `authorization` header that botocore gives them.

    pip install botocore && python server/src/auth/sigv4/record.py
"""

import datetime
import json
import pathlib
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = 1_795_000_000
HOST = "service.eu-central-1.example.com"
JSON = {"host": HOST, "content-type": "application/json"}
BODY = '{"messages":[{"role":"user","content":[{"text":"Grüße 😀"}]}]}'

# method, target as it is sent, headers, body, session token
CASES = [
    ("POST", "/model/plain/converse", JSON, BODY, None),
    ("POST", "/model/plain/converse", JSON, BODY, "FwoGZXIvYXdzEXAMPLE//////////token=="),
    ("POST", "/model/vendor.name-v1%3A0/converse-stream", JSON, BODY, None),
    ("POST", "/model/arn%3Aaws%3Ax%3A%3A1%3Amodel%2Fabc%20d/invoke", JSON, "{}", "token"),
    ("POST", "/model/vendor.name:0/invoke", JSON, "{}", None),
    ("POST", "/", JSON, "", None),
    ("GET", "/models?b=2&a=1&a=0&c", {"host": HOST}, "", None),
    ("GET", "/models?name=a%20b%2Fc&name=%C3%A4", {"host": HOST}, "", None),
    ("GET", "/a/./b/../c//d/", {"host": HOST}, "", None),
    ("POST", "/x", {**JSON, "x-amz-target": "A.B", "x-amz-meta":  "  two   words "}, "{}", None),
    ("POST", "/x", {**JSON, "host": HOST + ":8443"}, "{}", None),
    ("PUT", "/~user/%7Euser/*", JSON, "x", None),
]


def authorization(method, target, headers, body, token):
    request = AWSRequest(method=method, url="https://" + headers["host"] + target, headers=headers, data=body.encode())
    signer = botocore.auth.SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token), "execute-api", "eu-central-1")
    now = datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *a, **k: now.replace(tzinfo=None)):
        signer.add_auth(request)
    return request.headers["Authorization"]


vectors = [
    {
        "method": method, "target": target, "headers": headers, "body": body, "session_token": token,
        "id": "AKIDEXAMPLE", "secret": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "service": "execute-api", "region": "eu-central-1", "now": NOW,
        "authorization": authorization(method, target, headers, body, token),
    }
    for method, target, headers, body, token in CASES
]
path = pathlib.Path(__file__).with_name("vectors.json")
path.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")
