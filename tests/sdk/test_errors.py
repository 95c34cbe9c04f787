"""Exception classes of the official library, for what a scripted provider says and for what the gateway refuses."""

import unittest

import openai

import support

HELLO = [{"role": "user", "content": "Hello"}]


def chunk(text):
    return (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
        b'"delta":{"role":"assistant","content":"' + text.encode() + b'"},"finish_reason":null}]}\n\n'
    )


class Statuses(support.Scripted):
    def test_classes(self):
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (409, openai.ConflictError),
            (422, openai.UnprocessableEntityError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
        ):
            error = {"message": "no", "type": "t", "param": "p", "code": "c"}
            self.upstream.will({"error": error}, status, {"retry-after": "7", "x-request-id": "req_7"})
            with self.subTest(status=status), self.assertRaises(kind) as raised:
                self.client.chat.completions.create(model="main/m", messages=HELLO)
            exception = raised.exception
            self.assertEqual((exception.status_code, exception.code, exception.param, exception.type), (status, "c", "p", "t"))
            self.assertEqual(exception.body["message"], "no")
            self.assertEqual(exception.request_id, "req_7")
            self.assertEqual(exception.response.headers["retry-after"], "7")

    def test_retries_are_the_clients(self):
        """The library repeats what it may, as the headers say; the gateway repeats nothing."""
        patient = support.client(self.gateway.url).with_options(max_retries=2)
        self.upstream.will({"error": {"message": "later"}}, 429, {"retry-after-ms": "1"})
        self.upstream.will({"error": {"message": "broken"}}, 500, {"retry-after-ms": "1"})
        self.upstream.will(
            {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
            }
        )
        answer = patient.chat.completions.create(model="main/m", messages=HELLO)
        self.assertEqual(answer.choices[0].message.content, "Hi")

    def test_middle_of_a_stream(self):
        error = b'data: {"error":{"message":"broken","type":"server_error","param":null,"code":"oops"}}\n\n'
        for name, body, cut in (
            ("error event", chunk("a") + error, False),
            ("cut", chunk("a"), True),
            ("no end", chunk("a"), False),
            ("half an event", chunk("a") + b'data: {"id"', False),
        ):
            self.upstream.will_stream(body, cut=cut)
            seen = ""
            with self.subTest(name=name), self.assertRaises(openai.APIError) as raised:
                for piece in self.client.chat.completions.create(model="main/m", messages=HELLO, stream=True):
                    seen += piece.choices[0].delta.content
            self.assertEqual(seen, "a")
            if name == "error event":
                self.assertEqual((raised.exception.message, raised.exception.code), ("broken", "oops"))


class Refusals(support.Scripted):
    """What never gets to the provider."""

    def test_unknown_model(self):
        for model in ("nobody/m", "bare"):
            with self.assertRaises(openai.NotFoundError) as raised:
                self.client.chat.completions.create(model=model, messages=HELLO)
            self.assertEqual((raised.exception.code, raised.exception.param), ("model_not_found", "model"))
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nobody/m")

    def test_unknown_path(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.get("/nothing/here", cast_to=object)

    def test_bad_request(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(model="main/../m", messages=HELLO)
        with self.assertRaises(openai.BadRequestError):
            self.client.embeddings.create(model="main/m", input="a", extra_body={"stream": True})

    def test_nobody_there(self):
        gone = support.Upstream()
        gone.stop()
        gateway = support.gateway({"main": ("openai", gone.url)})
        try:
            with self.assertRaises(openai.InternalServerError) as raised:
                support.client(gateway.url).chat.completions.create(model="main/m", messages=HELLO)
            self.assertEqual(raised.exception.status_code, 502)
        finally:
            gateway.stop()

    def test_models(self):
        self.assertEqual(list(self.client.models.list()), [])
        self.assertEqual(self.client.models.retrieve("main/m").id, "main/m")


if __name__ == "__main__":
    unittest.main(verbosity=2)
