"""Realtime sessions of the official library over the gateway's relay, to a provider that follows a script."""

import asyncio
import base64
import http
import json
import threading
import unittest

import openai
import websockets.sync.client
import websockets.sync.server

import support

SOUND = base64.b64encode(bytes(range(256)) * 200).decode()
USAGE = {"total_tokens": 12, "input_tokens": 5, "output_tokens": 7, "input_token_details": {"cached_tokens": 2}}


class Voice:
    """A provider of sessions: says what it heard, and notes how it was asked."""

    def __init__(self):
        self.asked = []
        self.server = websockets.sync.server.serve(
            self.session,
            "127.0.0.1",
            0,
            process_request=self.door,
            select_subprotocol=lambda _, offered: "realtime" if "realtime" in offered else None,
            max_size=None,
        )
        self.url = f"http://127.0.0.1:{self.server.socket.getsockname()[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join(support.SECONDS)

    def door(self, connection, request):
        self.asked.append((request.path, dict(request.headers.raw_items())))
        if "model=closed" in request.path:
            error = {"message": f"no such model for {support.KEY}", "type": "invalid_request_error", "code": "model_not_found"}
            response = connection.respond(http.HTTPStatus.NOT_FOUND, json.dumps({"error": error}))
            del response.headers["content-type"]
            response.headers["content-type"] = "application/json"
            return response

    def session(self, connection):
        def say(kind, **more):
            connection.send(json.dumps({"type": kind, "event_id": "event_1", **more}))

        say("session.created", session={"type": "realtime", "model": "rt-2026"})
        for message in connection:
            event = json.loads(message)
            if event["type"] == "session.update":
                say("session.updated", session=event["session"])
            elif event["type"] == "input_audio_buffer.append":
                say("response.output_audio.delta", response_id="r1", item_id="i1", output_index=0, content_index=0, delta=event["audio"])
            elif event["type"] == "response.create":
                say("response.output_text.delta", response_id="r1", item_id="i1", output_index=0, content_index=0, delta=support.KEY)
                say("response.done", response={"id": "r1", "object": "realtime.response", "status": "completed", "usage": USAGE})
            else:
                return connection.close(4000, "goodbye")


class Realtime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.voice = Voice()
        cls.addClassCleanup(cls.voice.stop)
        cls.gateway = support.gateway({"main": ("openai", cls.voice.url), "other": ("azure", cls.voice.url)})
        cls.addClassCleanup(cls.gateway.stop)
        cls.client = support.client(cls.gateway.url)
        cls.addClassCleanup(cls.client.close)

    def asked(self):
        path, headers = self.voice.asked.pop()
        return path, {name.lower(): value for name, value in headers.items()}

    def test_session(self):
        with self.client.realtime.connect(model="main/rt") as connection:
            self.assertEqual(connection.recv().session.model, "rt-2026")
            connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
            self.assertEqual(connection.recv().session.output_modalities, ["text"])
            for _ in range(3):
                connection.input_audio_buffer.append(audio=SOUND)
                self.assertEqual(connection.recv().delta, SOUND)
            for _ in range(2):
                connection.response.create()
                # The gateway's key does not come out, wherever it is quoted.
                self.assertEqual(connection.recv().delta, "*" * len(support.KEY))
                self.assertEqual(connection.recv().response.usage.total_tokens, 12)
        path, headers = self.asked()
        self.assertEqual(path, "/v1/realtime?model=rt")
        self.assertEqual(headers["authorization"], f"Bearer {support.KEY}")
        self.assertNotIn("client-key", str(headers))
        record = self.gateway.records()[-1]
        self.assertEqual((record["status"], record["operation"], record.get("error_class")), (101, "realtime", None))
        self.assertEqual(record["ai"]["proxy"]["usage"]["total_tokens"], 24)
        self.assertEqual(record["ai"]["proxy"]["usage"]["prompt_tokens_details"], {"cached_tokens": 4})
        self.assertEqual(record["ai"]["proxy"]["meta"]["response_model"], "rt-2026")

    def test_the_providers_close(self):
        with self.client.realtime.connect(model="main/rt") as connection:
            connection.recv()
            connection.response.cancel()
            with self.assertRaises(Exception) as caught:
                connection.recv()
        self.assertIn("4000", str(caught.exception))

    def test_async(self):
        async def main():
            async with openai.AsyncOpenAI(base_url=self.gateway.url + "/v1", api_key="client-key") as client:
                async with client.realtime.connect(model="other/rt") as connection:
                    await connection.response.create()
                    kinds = [(await connection.recv()).type for _ in range(3)]
            return kinds

        kinds = asyncio.run(asyncio.wait_for(main(), support.SECONDS))
        self.assertEqual(kinds, ["session.created", "response.output_text.delta", "response.done"])
        path, headers = self.asked()
        self.assertEqual(path, "/v1/openai/v1/realtime?model=rt")
        self.assertEqual(headers["api-key"], support.KEY)

    def test_refused(self):
        with self.assertRaises(Exception) as caught:
            self.client.realtime.connect(model="main/closed").enter()
        response = caught.exception.response
        self.assertEqual(response.status_code, 404)
        error = json.loads(response.body)["error"]
        self.assertEqual((error["code"], error["message"]), ("model_not_found", "no such model for ***"))

    def test_as_a_browser(self):
        """Browsers have no headers: their key is a subprotocol."""
        url = self.gateway.url.replace("http:", "ws:") + "/v1/realtime?model=main/rt"
        subprotocols = ["realtime", "openai-insecure-api-key.client-key"]
        with websockets.sync.client.connect(url, subprotocols=subprotocols) as connection:
            self.assertEqual(connection.subprotocol, "realtime")
            self.assertEqual(json.loads(connection.recv(support.SECONDS))["type"], "session.created")
            self.assertEqual(connection.protocol.extensions, [])
        _, headers = self.asked()
        self.assertEqual(headers["sec-websocket-protocol"], "realtime")
        self.assertNotIn("client-key", str(headers))


if __name__ == "__main__":
    unittest.main()
