"""Answers and streams of the case folders, read by the official library."""

import json
import unittest

import openai

import support


# The formats that the answers of most providers are like; the others meet the library in test_providers.py.
SPECS = ("anthropic", "deepseek", "groq", "ollama", "openai")


def cases_of(*arguments):
    return [case for case in support.cases(*arguments) if case.spec in SPECS]


class Replayed(unittest.TestCase):
    """What a provider's case has on its wire goes through the gateway; the library must be able to read what comes."""

    @classmethod
    def setUpClass(cls):
        cls.upstream = support.Upstream()
        cls.addClassCleanup(cls.upstream.stop)
        specs = sorted({case.spec for case in cases_of("*", "case.yaml")})
        cls.gateway = support.gateway({spec: (spec, cls.upstream.url) for spec in specs})
        cls.addClassCleanup(cls.gateway.stop)
        cls.client = support.client(cls.gateway.url)
        cls.addClassCleanup(cls.client.close)

    def request(self, case, stream):
        body = case.json("request.in.json") or {}
        needed = {"chat": {"messages": [{"role": "user", "content": "Hi"}]}, "completions": {"prompt": "Hi"}}
        body = {**needed.get(case.operation, {"input": "Hi"}), **body}
        body["model"] = f"{case.spec}/{case.about('model')}"
        if stream:
            body["stream"] = True
        else:
            body.pop("stream", None)
            body.pop("stream_options", None)
        return body

    def send(self, case, stream):
        """As the library sends it; fields that it does not know go into `extra_body`."""
        body = self.request(case, stream)
        service = {
            "chat": self.client.chat.completions,
            "completions": self.client.completions,
            "embeddings": self.client.embeddings,
        }[case.operation]
        named = {name: body.pop(name) for name in ("model", "messages", "prompt", "input", "stream") if name in body}
        if case.operation == "embeddings":
            # The library would ask for base64 and unpack it.
            named["encoding_format"] = body.pop("encoding_format", "float")
        return service.create(**named, extra_body=body)

    def test_answers(self):
        for operation in ("chat", "completions", "embeddings"):
            for case in cases_of(operation, "response.in.json"):
                expected = case.json("response.out.json")
                answer = case.json("response.in.json")
                if expected is None or (case.folder / "refused.out.json").is_file():
                    continue
                with self.subTest(case=case.name):
                    body = answer.get("body", answer.get("body_text", "").encode())
                    self.upstream.will(body, answer["status"], answer.get("headers"))
                    if "error" in expected["body"]:
                        with self.assertRaises(openai.APIStatusError) as raised:
                            self.send(case, False)
                        self.assertEqual(raised.exception.status_code, expected["status"])
                        continue
                    seen = self.send(case, False)
                    self.assert_reads(seen, expected["body"], operation)

    def assert_reads(self, seen, expected, operation):
        # The request's own id and time differ.
        again = json.loads(seen.model_dump_json(exclude_unset=True))
        for body in (again, expected):
            body.pop("id", None)
            body.pop("created", None)
            for choice in body.get("choices", []):
                for call in (choice.get("message") or {}).get("tool_calls") or []:
                    call.pop("id", None)
        self.assertEqual(again, json.loads(json.dumps(expected)))

    def test_errors(self):
        for operation in ("chat", "completions", "embeddings"):
            for case in cases_of(operation, "error.in.json"):
                expected = case.json("error.out.json")
                answer = case.json("error.in.json")
                with self.subTest(case=case.name):
                    body = answer.get("body", answer.get("body_text", "").encode())
                    self.upstream.will(body, answer["status"], answer.get("headers"))
                    with self.assertRaises(openai.APIStatusError) as raised:
                        self.send(case, False)
                    self.assertEqual(raised.exception.status_code, expected["status"])
                    self.assertEqual(raised.exception.body, expected["body"]["error"])

    def test_streams(self):
        for operation in ("chat", "completions"):
            for case in cases_of(operation, "stream.in.*"):
                with self.subTest(case=case.name):
                    body, media = case.stream()
                    expected = case.expected_stream()
                    self.upstream.will_stream(body, media)
                    self.read(case, expected)

    def read(self, case, expected):
        events = [line[6:] for line in expected.splitlines() if line.startswith("data: ")]
        fails = any(event.startswith('{"error"') for event in events)
        chunks = [json.loads(event) for event in events if event != "[DONE]" and not event.startswith('{"error"')]
        seen = []
        state = openai.lib.streaming.chat.ChatCompletionStreamState()
        stream = self.send(case, True)
        if fails:
            with self.assertRaises(openai.APIError):
                seen.extend(stream)
        else:
            for chunk in stream:
                seen.append(chunk)
                if case.operation == "chat":
                    # What the strict helpers do with every chunk: lists without an index crash here.
                    state.handle_chunk(chunk)
            if case.operation == "chat" and any(chunk["choices"] for chunk in chunks):
                self.check_whole(state, chunks)
        texts = lambda items: [
            [(c.get("delta") or {}).get("content") or c.get("text") for c in item.get("choices", [])] for item in items
        ]
        dumped = [json.loads(chunk.model_dump_json(exclude_unset=True)) for chunk in seen]
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
