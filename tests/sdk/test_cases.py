"""Answers and streams of all case folders, read by the official library: what a provider's case has on its wire goes through
the gateway, and the library must be able to read what comes.
"""

import array
import base64
import fnmatch
import http.server
import json
import threading
import unittest

import openai

import support

OPERATIONS = ("chat", "completions", "embeddings", "images")
FILES = {"response": ("response.in.json",), "error": ("error.in.json",), "stream": tuple(support.STREAMS)}


class Recorded:
    """Every provider at once: a case's answer is found by the name that its request brings along."""

    def __init__(self):
        self.answers = {}
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, body = upstream.answers.pop(self.headers["x-case"])
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def section(case):
    """A provider with the case's settings; no secrets but the ones that it needs."""
    listed = next(listed for listed in support.described() if listed["name"] == case.spec)
    secrets = {variable["name"] for variable in listed["variables"] if variable["secret"]}
    settings = {name: value for name, value in case.about.get("settings", {}).items() if name not in secrets}
    return {
        "spec": case.spec,
        "base_url": upstream.url,
        "forward": ["x-case"],
        # Stronger than what the spec would do, such as to ask for a token.
        "headers": {"authorization": "Bearer test-key"},
        **support.needed(case.spec),
        **settings,
    }


def config(cases):
    """A section for each spec and its settings, an alias for each case."""
    sections, aliases = {}, {}
    for case in cases:
        wanted = section(case)
        name = next((name for name, made in sections.items() if made == wanted), f"{case.spec}-{len(sections)}")
        sections[name] = wanted
        target = {"model": f"{name}/{case.about['model']}"}
        target.update({key: case.about[key] for key in ("base_model", "options", "strict") if key in case.about})
        aliases[case.name] = {"targets": [target]}
    return f"providers: {json.dumps(sections)}\nmodels: {json.dumps(aliases)}\n"


class Replay(unittest.TestCase):
    """One answer of one case."""

    def __init__(self, case, kind):
        super().__init__(kind)
        self.case = case

    def id(self):
        return f"{self.case.name} {self._testMethodName}"

    __str__ = id

    def send(self, stream):
        """As the library sends it; fields that it does not know go into `extra_body`."""
        needed = {"chat": {"messages": [{"role": "user", "content": "Hi"}]}, "embeddings": {"input": "Hi"}}
        body = {**needed.get(self.case.operation, {"prompt": "Hi"}), **(self.case.json("request.in.json") or {})}
        for name in ("model", "stream", *([] if stream else ["stream_options"])):
            body.pop(name, None)
        # Its types want a finish reason in each piece of a text completion, and know vectors only when it has unpacked them.
        encoding = body.pop("encoding_format", "float") if self.case.operation == "embeddings" else "float"
        client = lenient if encoding != "float" or (stream and self.case.operation == "completions") else strict
        service = {
            "chat": client.chat.completions.create,
            "completions": client.completions.create,
            "embeddings": client.embeddings.create,
            "images": client.images.generate,
        }[self.case.operation]
        named = {name: body.pop(name) for name in ("messages", "prompt", "input") if name in body}
        if stream:
            named["stream"] = True
        if self.case.operation == "embeddings" and encoding != "base64":       # which the library asks for by itself
            named["encoding_format"] = encoding
        return service(model=self.case.name, **named, extra_body=body, extra_headers={"x-case": self.case.name})

    def will(self, file):
        said = self.case.json(file)
        body = json.dumps(said["body"]) if "body" in said else said.get("body_text", "")
        upstream.answers[self.case.name] = (said["status"], said.get("headers", {}), body.encode())

    def response(self):
        expected = self.case.json("response.out.json")
        self.will("response.in.json")
        if "error" in expected["body"]:
            self.fails(expected)
            return
        seen = self.send(False)
        # The request's own id and time differ.
        again = json.loads(seen.model_dump_json(exclude_unset=True, by_alias=True))
        for body in (again, expected["body"]):
            body.pop("id", None)
            body.pop("created", None)
            for choice in body.get("choices", []):
                for call in (choice.get("message") or {}).get("tool_calls") or []:
                    call.pop("id", None)
            asked = (self.case.json("request.in.json") or {}).get("encoding_format")
            for item in body.get("data", []):
                if asked == "base64" and isinstance(item["embedding"], str):
                    item["embedding"] = array.array("f", base64.b64decode(item["embedding"])).tolist()
        self.assertEqual(again, expected["body"])

    def error(self):
        self.will("error.in.json")
        self.fails(self.case.json("error.out.json"))

    def fails(self, expected):
        with self.assertRaises(openai.APIStatusError) as raised:
            self.send(False)
        self.assertEqual(raised.exception.status_code, expected["status"], raised.exception.message)
        self.assertEqual(raised.exception.body, expected["body"]["error"])

    def stream(self):
        body, media = self.case.stream()
        upstream.answers[self.case.name] = (200, {"content-type": media}, body)
        events = [line[6:] for line in self.case.expected_stream().splitlines() if line.startswith("data: ")]
        fails = any(event.startswith('{"error"') for event in events)
        chunks = [json.loads(event) for event in events if event != "[DONE]" and not event.startswith('{"error"')]
        if fails and not chunks:
            # Nothing was sent before: the error has a status of its own.
            with self.assertRaises(openai.APIStatusError) as raised:
                self.send(True)
            self.assertEqual(raised.exception.body, json.loads(events[-1])["error"])
            return
        seen = []
        state = openai.lib.streaming.chat.ChatCompletionStreamState()
        with self.send(True) as stream:
            if fails:
                with self.assertRaises(openai.APIError) as raised:
                    seen.extend(stream)
                self.assertTrue(raised.exception.message)
            else:
                for chunk in stream:
                    seen.append(chunk)
                    if self.case.operation == "chat":
                        # What the strict helpers do with every chunk: lists without an index crash here.
                        state.handle_chunk(chunk)
                if self.case.operation == "chat" and any(chunk["choices"] for chunk in chunks):
                    self.check_whole(state, chunks)
        texts = lambda items: [
            [(c.get("delta") or {}).get("content") or c.get("text") for c in item.get("choices", [])] for item in items
        ]
        dumped = [json.loads(chunk.model_dump_json(exclude_unset=True, by_alias=True)) for chunk in seen]
        self.assertEqual(texts(dumped), texts(chunks))

    def check_whole(self, state, chunks):
        reasons = {c.get("finish_reason") for chunk in chunks for c in chunk["choices"]}
        if "length" in reasons or "content_filter" in reasons:
            # The strict helper gives such an answer in an exception.
            with self.assertRaises((openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError)):
                state.get_final_completion()
            return
        final = state.get_final_completion()
        text = "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"] if c["index"] == 0)
        self.assertEqual(final.choices[0].message.content or "", text)
        self.assertTrue(final.choices[0].finish_reason)
        for call in final.choices[0].message.tool_calls or []:
            self.assertTrue(call.id and call.function.name)
            json.loads(call.function.arguments)


def answers():
    """All answers of all cases, by what they are."""
    for kind, files in FILES.items():
        for file in files:
            for case in support.cases("*", file):
                if case.operation in OPERATIONS:
                    yield case, kind


def load_tests(loader, _tests, _pattern):
    tests = (Replay(case, kind) for case, kind in answers())
    patterns = loader.testNamePatterns
    return unittest.TestSuite(
        test for test in tests if not patterns or any(fnmatch.fnmatchcase(test.id(), pattern) for pattern in patterns)
    )


upstream: Recorded
strict: openai.OpenAI
lenient: openai.OpenAI


def setUpModule():
    global upstream, strict, lenient
    upstream = Recorded()
    unittest.addModuleCleanup(upstream.stop)
    gateway = support.Command(config=config({case.name: case for case, _ in answers()}.values()))
    unittest.addModuleCleanup(gateway.stop)
    # Strict: an answer that does not fit the library's types is an error.
    strict = support.client(gateway.url, _strict_response_validation=True)
    unittest.addModuleCleanup(strict.close)
    lenient = support.client(gateway.url)
    unittest.addModuleCleanup(lenient.close)


if __name__ == "__main__":
    unittest.main(verbosity=2)
