"""The simulator's own wire formats, read by the libraries of those whom it plays. No gateway in between."""

import json
import unittest

import anthropic
import openai

import support

TOOL = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def user(text):
    return [{"role": "user", "content": text}]


class Anthropic(unittest.TestCase):
    model = "claude-sonnet-4-5"

    @classmethod
    def setUpClass(cls):
        cls.simulator = support.simulator("anthropic")
        cls.addClassCleanup(cls.simulator.stop)
        cls.client = anthropic.Anthropic(
            base_url=cls.simulator.url,
            api_key="k",
            max_retries=0,
            timeout=support.SECONDS,
            _strict_response_validation=True,
        )
        cls.addClassCleanup(cls.client.close)

    def create(self, text, **more):
        return self.client.messages.create(model=self.model, max_tokens=4000, messages=user(text), **more)

    def test_message(self):
        message = self.create("Hello")
        self.assertEqual([block.type for block in message.content], ["text"])
        self.assertEqual(message.content[0].text, "You said: Hello")
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertGreater(message.usage.input_tokens, 0)

    def test_stream(self):
        with self.client.messages.stream(model=self.model, max_tokens=100, messages=user("Hello")) as stream:
            self.assertEqual("".join(stream.text_stream), "You said: Hello")
            self.assertEqual(stream.get_final_message().stop_reason, "end_turn")

    def test_tools(self):
        message = self.create("Weather?", tools=[TOOL])
        [call] = [block for block in message.content if block.type == "tool_use"]
        self.assertEqual((message.stop_reason, call.name), ("tool_use", "get_weather"))
        last = self.client.messages.create(
            model=self.model,
            max_tokens=100,
            tools=[TOOL],
            messages=[
                *user("Weather?"),
                {"role": "assistant", "content": message.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sun"}]},
            ],
        )
        self.assertIn("sun", last.content[0].text)

    def test_tools_streamed(self):
        with self.client.messages.stream(
            model=self.model, max_tokens=100, messages=user("Weather?"), tools=[TOOL]
        ) as stream:
            final = stream.get_final_message()
        [call] = [block for block in final.content if block.type == "tool_use"]
        self.assertEqual(list(call.input), ["city"])

    def test_thinking(self):
        message = self.create("Hello", thinking={"type": "enabled", "budget_tokens": 1024})
        self.assertEqual([block.type for block in message.content], ["thinking", "text"])
        self.assertTrue(message.content[0].signature)

    def test_errors(self):
        for word, kind in (
            ("auth", anthropic.AuthenticationError),
            ("rate_limit", anthropic.RateLimitError),
            ("not_found", anthropic.NotFoundError),
            ("context_length", anthropic.BadRequestError),
            ("overloaded", anthropic.APIStatusError),
            ("server", anthropic.InternalServerError),
        ):
            with self.subTest(word=word), self.assertRaises(kind):
                self.create(f"simulate: {word}")
        with self.assertRaises(anthropic.APIError):
            with self.client.messages.stream(
                model=self.model, max_tokens=100, messages=user("simulate: late_error please")
            ) as stream:
                stream.get_final_message()


class OpenAi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.simulator = support.simulator("openai")
        cls.addClassCleanup(cls.simulator.stop)
        cls.client = support.client(cls.simulator.url, _strict_response_validation=True)
        cls.addClassCleanup(cls.client.close)

    def test_chat(self):
        answer = self.client.chat.completions.create(model="m", messages=user("Hello"))
        self.assertEqual(answer.choices[0].message.content, "You said: Hello")

    def test_stream(self):
        with self.client.chat.completions.stream(
            model="m",
            messages=user("Weather?"),
            tools=[{"type": "function", "function": {"name": "f", "parameters": TOOL["input_schema"]}}],
        ) as stream:
            stream.until_done()
            final = stream.get_final_completion()
        self.assertEqual(list(json.loads(final.choices[0].message.tool_calls[0].function.arguments)), ["city"])

    def test_models(self):
        self.assertTrue(list(self.client.models.list()))

    def test_errors(self):
        with self.assertRaises(openai.RateLimitError):
            self.client.chat.completions.create(model="m", messages=user("simulate: rate_limit"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
