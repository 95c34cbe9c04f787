"""The official OpenAI library through the gateway to simulated providers, each in its own wire format."""

import asyncio
import base64
import json
import typing
import unittest

import openai
import pydantic

import support

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"type": "string"}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Step(pydantic.BaseModel):
    explanation: str
    result: int


class Solution(pydantic.BaseModel):
    steps: typing.List[Step]
    final: str
    sure: bool


def user(text):
    return {"role": "user", "content": text}


class Simulated:
    """What every provider must be able to do."""

    spec = ""
    model = "main/simulated"

    @classmethod
    def setUpClass(cls):
        cls.simulator = support.simulator(cls.spec)
        cls.addClassCleanup(cls.simulator.stop)
        cls.gateway = support.gateway({"main": (cls.spec, cls.simulator.url)})
        cls.addClassCleanup(cls.gateway.stop)
        # Strict: an answer that does not fit the library's types is an error.
        cls.client = support.client(cls.gateway.url, _strict_response_validation=True)
        cls.addClassCleanup(cls.client.close)
        # For what the library's types say wrongly: text completions have no finish reason until they end,
        # and embeddings come in base64 before the library unpacks them.
        cls.lenient = support.client(cls.gateway.url)
        cls.addClassCleanup(cls.lenient.close)

    def create(self, text, **more):
        return self.client.chat.completions.create(model=self.model, messages=[user(text)], **more)

    def test_chat(self):
        answer = self.create("Hello")
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.choices[0].message.content, "You said: Hello")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertTrue(answer._request_id)

    def test_conversation(self):
        answer = self.client.chat.completions.create(
            model=self.model,
            messages=[
                {"role": "developer", "content": "Be brief"},
                user("One"),
                {"role": "assistant", "content": "Two"},
                {"role": "user", "content": [{"type": "text", "text": "Three"}], "name": "ada"},
            ],
            max_completion_tokens=100,
            stop=["END"],
        )
        self.assertEqual(answer.choices[0].message.content, "You said: Three")

    def test_raw_headers(self):
        raw = self.client.chat.completions.with_raw_response.create(model=self.model, messages=[user("Hello")])
        self.assertTrue(raw.headers["x-interlingua-request-id"])
        self.assertEqual(raw.parse().choices[0].message.content, "You said: Hello")

    def test_length(self):
        answer = self.create("simulate: length", max_completion_tokens=5)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_stream(self):
        chunks = list(self.create("Hello again", stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertEqual(text, "You said: Hello again")
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
        self.assertEqual(reasons, ["stop"])
        self.assertTrue(all(chunk.usage is None for chunk in chunks), "nobody asked for usage")

    def test_stream_usage(self):
        chunks = list(self.create("Hello", stream=True, stream_options={"include_usage": True}))
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))
        self.assertEqual(chunks[-1].choices, [])
        usage = chunks[-1].usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_stream_helper(self):
        with self.client.chat.completions.stream(model=self.model, messages=[user("Hello you")]) as stream:
            events = list(stream)
            final = stream.get_final_completion()
        deltas = [event for event in events if event.type == "content.delta"]
        self.assertEqual("".join(event.delta for event in deltas), "You said: Hello you")
        self.assertEqual(deltas[-1].snapshot, "You said: Hello you")
        [done] = [event for event in events if event.type == "content.done"]
        self.assertEqual(done.content, "You said: Hello you")
        self.assertEqual(final.choices[0].message.content, "You said: Hello you")
        self.assertEqual(final.choices[0].finish_reason, "stop")

    def check_call(self, call, name):
        self.assertEqual((call.type, call.function.name), ("function", name))
        self.assertTrue(call.id)
        return json.loads(call.function.arguments)

    def round_trip(self, messages, first, tools):
        """Gives the calls' results back and yields the last answer."""
        messages = [*messages, first.choices[0].message]
        for number, call in enumerate(first.choices[0].message.tool_calls):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sun {number}"})
        return self.client.chat.completions.create(model=self.model, messages=messages, tools=tools)

    def test_tools(self):
        messages = [user("How is the weather?")]
        first = self.client.chat.completions.create(model=self.model, messages=messages, tools=[WEATHER])
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        [call] = first.choices[0].message.tool_calls
        arguments = self.check_call(call, "get_weather")
        self.assertEqual(sorted(arguments), ["city", "days"])
        last = self.round_trip(messages, first, [WEATHER])
        self.assertIn("sun 0", last.choices[0].message.content)
        self.assertEqual(last.choices[0].finish_reason, "stop")

    def test_parallel_tools(self):
        messages = [user("simulate: parallel")]
        tools = [WEATHER, TIME]
        first = self.client.chat.completions.create(model=self.model, messages=messages, tools=tools)
        calls = first.choices[0].message.tool_calls
        self.assertEqual([call.function.name for call in calls], ["get_weather", "get_time"])
        self.assertEqual(len({call.id for call in calls}), 2)
        last = self.round_trip(messages, first, tools)
        self.assertIn("sun", last.choices[0].message.content)

    def test_tools_streamed(self):
        messages = [user("simulate: parallel")]
        tools = [WEATHER, TIME]
        with self.client.chat.completions.stream(model=self.model, messages=messages, tools=tools) as stream:
            events = list(stream)
            first = stream.get_final_completion()
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        self.assertEqual([(event.index, event.name) for event in done], [(0, "get_weather"), (1, "get_time")])
        calls = first.choices[0].message.tool_calls
        self.assertEqual(sorted(self.check_call(calls[0], "get_weather")), ["city", "days"])
        self.assertEqual(sorted(self.check_call(calls[1], "get_time")), ["zone"])
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        last = self.round_trip(messages, first, tools)
        self.assertIn("sun", last.choices[0].message.content)

    def test_structured_output(self):
        answer = self.client.chat.completions.parse(
            model=self.model, messages=[user("Solve it")], response_format=Solution
        )
        self.assertIsInstance(answer.choices[0].message.parsed, Solution)

    def test_structured_output_streamed(self):
        with self.client.chat.completions.stream(
            model=self.model, messages=[user("Solve it")], response_format=Solution
        ) as stream:
            [done] = [event for event in stream if event.type == "content.done"]
            final = stream.get_final_completion()
        self.assertIsInstance(done.parsed, Solution)
        self.assertEqual(final.choices[0].message.parsed, done.parsed)

    def test_vision(self):
        url = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
        answer = self.client.chat.completions.create(
            model=self.model,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": url}},
                    ],
                }
            ],
        )
        self.assertIn("I see 1 image", answer.choices[0].message.content)

    def test_error_classes(self):
        for word, kind, status in (
            ("auth", openai.AuthenticationError, 401),
            ("not_found", openai.NotFoundError, 404),
            ("rate_limit", openai.RateLimitError, 429),
            ("context_length", openai.BadRequestError, 400),
            ("overloaded", openai.InternalServerError, 503),
            ("server", openai.InternalServerError, 500),
        ):
            for stream in (False, True):
                with self.subTest(word=word, stream=stream), self.assertRaises(kind) as raised:
                    self.create(f"simulate: {word}", stream=stream)
                self.assertEqual(raised.exception.status_code, status)
                self.assertTrue(raised.exception.body["message"])
                self.assertTrue(raised.exception.request_id)
                if word == "rate_limit":
                    self.assertEqual(raised.exception.response.headers["retry-after"], "2")
                if word == "context_length":
                    self.assertEqual(raised.exception.code, "context_length_exceeded")

    def test_broken_streams(self):
        for word in ("cut", "late_error"):
            with self.subTest(word=word):
                text = ""
                with self.assertRaises(openai.APIError) as raised:
                    for chunk in self.create(f"simulate: {word} please", stream=True):
                        text += chunk.choices[0].delta.content or ""
                self.assertTrue(text.startswith("You said:"), text)
                self.assertTrue(raised.exception.message)

    def test_many_at_once(self):
        async def all_of_them():
            async with openai.AsyncOpenAI(
                base_url=self.gateway.url + "/v1", api_key="k", max_retries=0, timeout=support.SECONDS
            ) as client:

                async def one(number):
                    stream = await client.chat.completions.create(
                        model=self.model, messages=[user(f"number {number}")], stream=True
                    )
                    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

                return await asyncio.gather(*(one(number) for number in range(20)))

        texts = asyncio.run(all_of_them())
        self.assertEqual(texts, [f"You said: number {number}" for number in range(20)])

    def test_stream_left_early(self):
        with self.create("simulate: slow " + "word " * 200, stream=True) as stream:
            for _ in zip(range(3), stream):
                pass
        self.test_chat()


class Completions:
    """The old operation, where a provider has it."""

    def test_completions(self):
        answer = self.client.completions.create(model=self.model, prompt="Once")
        self.assertEqual(answer.object, "text_completion")
        self.assertIn("Once", answer.choices[0].text)
        self.assertEqual(answer.choices[0].finish_reason, "stop")

    def test_completions_streamed(self):
        chunks = list(
            self.lenient.completions.create(
                model=self.model, prompt="Once", stream=True, stream_options={"include_usage": True}
            )
        )
        text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
        self.assertIn("Once", text)
        self.assertGreater(chunks[-1].usage.total_tokens, 0)


class Embeddings:
    def test_embeddings(self):
        answer = self.lenient.embeddings.create(model=self.model, input=["one", "two", "one"])
        vectors = [item.embedding for item in answer.data]
        self.assertEqual([item.index for item in answer.data], [0, 1, 2])
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])
        self.assertTrue(all(isinstance(number, float) for number in vectors[0]))

    def test_embeddings_of_one_text(self):
        answer = self.client.embeddings.create(model=self.model, input="one", dimensions=8, encoding_format="float")
        self.assertEqual(len(answer.data[0].embedding), 8)


class OpenAi(Simulated, Completions, Embeddings, unittest.TestCase):
    spec = "openai"

    def test_several_choices(self):
        answer = self.create("Hello", n=3)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        with self.client.chat.completions.stream(model=self.model, messages=[user("Hello")], n=2) as stream:
            stream.until_done()
            final = stream.get_final_completion()
        self.assertEqual([choice.message.content for choice in final.choices], ["You said: Hello"] * 2)

    def test_refusal(self):
        answer = self.create("simulate: refusal")
        self.assertTrue(answer.choices[0].message.refusal)
        with self.client.chat.completions.stream(model=self.model, messages=[user("simulate: refusal")]) as stream:
            events = list(stream)
        self.assertTrue([event for event in events if event.type == "refusal.done"])

    def test_logprobs(self):
        answer = self.create("Hello", logprobs=True)
        self.assertTrue(answer.choices[0].logprobs.content)

    def test_json_mode(self):
        answer = self.create("Answer in json", response_format={"type": "json_object"})
        self.assertEqual(json.loads(answer.choices[0].message.content), {"said": "Answer in json"})

    def test_old_functions(self):
        answer = self.create("Weather?", functions=[WEATHER["function"]])
        self.assertEqual(answer.choices[0].message.function_call.name, "get_weather")


class Anthropic(Simulated, Completions, unittest.TestCase):
    spec = "anthropic"
    model = "main/claude-sonnet-4-5"

    def test_reasoning(self):
        """Thinking is shown, and goes back signed, with the calls that it led to."""
        messages = [user("How is the weather?")]
        first = self.client.chat.completions.create(
            model=self.model, messages=messages, tools=[WEATHER], reasoning_effort="low"
        )
        message = first.choices[0].message
        self.assertIn("think", message.reasoning_content)
        self.assertTrue(message.thinking_blocks[0]["signature"])
        replay = message.model_dump(exclude_none=True)
        [call] = message.tool_calls
        last = self.client.chat.completions.create(
            model=self.model,
            messages=[*messages, replay, {"role": "tool", "tool_call_id": call.id, "content": "sun"}],
            tools=[WEATHER],
            reasoning_effort="low",
        )
        self.assertIn("sun", last.choices[0].message.content)

    def test_reasoning_streamed(self):
        with self.client.chat.completions.stream(
            model=self.model, messages=[user("Hello")], reasoning_effort="low"
        ) as stream:
            chunks = [event.chunk for event in stream if event.type == "chunk"]
            final = stream.get_final_completion()
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        self.assertIn("think", "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas))
        self.assertTrue(final.choices[0].message.thinking_blocks[0]["signature"])
        self.assertEqual(final.choices[0].message.content, "You said: Hello")

    def test_loss_is_told(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model=self.model, messages=[user("Hello")], seed=7
        )
        self.assertEqual(raw.headers["x-interlingua-dropped"], "seed")
        with self.assertRaises(openai.BadRequestError):
            self.create("Hello", seed=7, extra_headers={"x-interlingua-strict": "true"})

    def test_what_cannot_be_said_is_refused(self):
        with self.assertRaises(openai.BadRequestError) as raised:
            self.create("Hello", n=2)
        self.assertEqual(raised.exception.param, "n")


class Ollama(Simulated, Completions, Embeddings, unittest.TestCase):
    spec = "ollama"

    def test_json_mode(self):
        answer = self.create("Hello", response_format={"type": "json_object"})
        self.assertEqual(json.loads(answer.choices[0].message.content), {"said": "Hello"})

    def test_reasoning(self):
        answer = self.client.chat.completions.create(
            model="main/qwen3", messages=[user("Hello")], reasoning_effort="low"
        )
        self.assertIn("think", answer.choices[0].message.reasoning_content)


if __name__ == "__main__":
    unittest.main(verbosity=2)
