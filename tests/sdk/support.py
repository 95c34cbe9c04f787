"""What the client library tests share: the real command, a scripted provider, case folders.

Every wait is bounded: the clients by their timeout, the processes by the tests' runner.
"""

import base64
import http.server
import functools
import json
import os
import pathlib
import queue
import re
import struct
import subprocess
import tempfile
import threading
import unittest
import zlib

import openai
import ruamel.yaml

ROOT = pathlib.Path(os.environ["INTERLINGUA_ROOT"])
COMMAND = os.environ["INTERLINGUA_COMMAND"]
SECONDS = 20.0
KEY = "sk-gateway-secret"


def data(name):
    """A data file that lies beside the tests."""
    text = (ROOT / "tests" / "sdk" / name).read_text(encoding="utf-8")
    return ruamel.yaml.YAML(typ="safe", pure=True).load(text)


def providers():
    """What the command says of each provider that it knows."""
    said = subprocess.run([COMMAND, "providers", "--json"], stdout=subprocess.PIPE, timeout=SECONDS, check=True)
    return json.loads(said.stdout)


class Command:
    """`interlingua ...` as a server; ends with `stop`."""

    def __init__(self, *arguments, config=None):
        self.folder = tempfile.TemporaryDirectory(prefix="interlingua-sdk-")
        if config is not None:
            path = pathlib.Path(self.folder.name, "interlingua.yaml")
            path.write_text("listen: 127.0.0.1:0\n" + config, encoding="utf-8")
        # No key of this machine's environment gets in.
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder.name,
            env={**environment, "RUST_LOG": "warn"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"no address in {line!r}")
        self.url = found.group(0)
        # What it goes on to write must not block it.
        self.reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self.reader.start()

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.reader.join(SECONDS)
            self.process.stdout.close()
            self.folder.cleanup()
        if code != 0:
            raise RuntimeError(f"the command ended with {code}")

    def records(self):
        path = pathlib.Path(self.folder.name, "usage.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gateway(providers):
    """A gateway for `{name: (spec, url)}`."""
    sections = {name: {"spec": spec, "base_url": url, **needed(spec)} for name, (spec, url) in providers.items()}
    return Command(config=f"providers: {json.dumps(sections)}\nlog: {{ usage: usage.jsonl }}\n")


def needed(spec):
    """Settings with which a provider can be served: a key, and whatever else it cannot do without."""
    variables = next(listed for listed in described() if listed["name"] == spec)["variables"]
    secrets = [variable for variable in variables if variable["secret"]]
    settings = {}
    for variable in variables:
        if variable["required"] and variable.get("default") is None:
            settings[variable["name"]] = (variable.get("allowed") or variable.get("enum") or ["test"])[0]
    if secrets and not any(secret["name"] in settings for secret in secrets):
        settings[secrets[0]["name"]] = KEY
    return {name: KEY if any(secret["name"] == name for secret in secrets) else value for name, value in settings.items()}


@functools.cache
def described():
    return providers()


def simulator(spec):
    return Command("simulate", spec, "--port", "0")


class Upstream:
    """A provider that follows a script: answers are put, requests are taken."""

    def __init__(self):
        self.replies = queue.Queue()
        self.requests = queue.Queue()
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                upstream.requests.put((self.path, dict(self.headers), json.loads(body)))
                status, headers, body, cut = upstream.replies.get(timeout=SECONDS)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                # A length that is not kept is how an answer breaks off.
                self.send_header("content-length", str(len(body) + (1 if cut else 0)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                if cut:
                    self.close_connection = True

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def will(self, body, status=200, headers=None, cut=False):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.replies.put((status, {"content-type": "application/json", **(headers or {})}, body, cut))

    def will_stream(self, body, media="text/event-stream", cut=False):
        self.replies.put((200, {"content-type": media}, body, cut))

    def seen(self):
        return self.requests.get(timeout=SECONDS)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def client(url, **more):
    return openai.OpenAI(
        base_url=url + "/v1", api_key="client-key", max_retries=0, timeout=SECONDS, **more
    )


class Scripted(unittest.TestCase):
    """A gateway with the provider `main`, which follows a script."""

    spec = "openai"

    @classmethod
    def setUpClass(cls):
        cls.upstream = Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        cls.gateway = gateway({"main": (cls.spec, cls.upstream.url)})
        cls.addClassCleanup(cls.gateway.stop)
        cls.client = client(cls.gateway.url)
        cls.addClassCleanup(cls.client.close)

    def tearDown(self):
        self.assertTrue(self.upstream.replies.empty(), "an answer that nobody asked for")


BINARY = "application/vnd.amazon.eventstream"
STREAMS = {
    "stream.in.sse": "text/event-stream",
    "stream.in.ndjson": "application/x-ndjson",
    "stream.in.json": BINARY,
    "stream.in.bin": BINARY,
}


def event_stream(messages):
    """The bytes of an `aws-eventstream` whose messages a case lists."""

    def headers(texts):
        pairs = ((name.encode(), text.encode()) for name, text in texts.items() if text)
        return b"".join(bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(text)) + text for name, text in pairs)

    def sealed(start):
        return start + struct.pack(">I", zlib.crc32(start))

    stream = b""
    for message in messages:
        data = message.get("data")
        if "base64" in message:
            coded = {name: base64.b64encode(json.dumps(value).encode()) for name, value in message["base64"].items()}
            data = {name: value.decode() for name, value in coded.items()}
        payload = b"" if data is None else (data if isinstance(data, str) else json.dumps(data)).encode()
        if "error" in message:
            head = {":message-type": "error", ":error-code": message["error"], ":error-message": payload.decode()}
            payload = b""
        else:
            kind = "exception" if "exception" in message else "event"
            head = {f":{kind}-type": message.get(kind), ":content-type": "application/json", ":message-type": kind}
        packed = headers(head)
        start = sealed(struct.pack(">II", 16 + len(packed) + len(payload), len(packed)))
        stream += sealed(start + packed + payload)
    return stream


class Case:
    """A case folder."""

    def __init__(self, folder):
        self.folder = folder
        self.spec, self.operation, _ = folder.parts[-3:]
        self.name = "/".join(folder.parts[-3:])

    def json(self, name):
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @functools.cached_property
    def about(self):
        """What `case.yaml` says."""
        return ruamel.yaml.YAML(typ="safe", pure=True).load((self.folder / "case.yaml").read_text(encoding="utf-8"))

    def stream(self):
        for name, media in STREAMS.items():
            path = self.folder / name
            if path.is_file():
                body = path.read_bytes()
                return (event_stream(json.loads(body)) if name.endswith(".json") else body), media
        return None

    def expected_stream(self):
        return (self.folder / "stream.out.sse").read_text(encoding="utf-8")


def cases(operation, file):
    found = sorted((ROOT / "tests" / "cases").glob(f"*/{operation}/*/{file}"))
    return [Case(path.parent) for path in found]
