"""The simulator's wire formats, read by the vendors' own libraries: what we take for a format is what its owner reads.

No gateway in between. `vendor-wire.yaml` lists the libraries with OpenAI's calls; the others have a class here.
"""

import concurrent.futures
import importlib
import json
import sys
import typing
import unittest

import pydantic

import support

EXPECTED = support.data("vendor-wire.yaml")
TOOLS = [
    {
        "name": name,
        "description": name,
        "parameters": {"type": "object", "properties": properties, "required": list(properties)},
    }
    for name, properties in (
        ("get_weather", {"city": {"type": "string"}, "days": {"type": "integer"}}),
        ("get_time", {"zone": {"type": "string"}}),
    )
]
FUNCTIONS = [{"type": "function", "function": tool} for tool in TOOLS]
KEYS = {"get_weather": ["city", "days"], "get_time": ["zone"]}


def user(text):
    return {"role": "user", "content": text}


def surplus(value, path=""):
    """Paths of members that the library's types do not have."""
    if isinstance(value, (list, tuple)):
        return set().union(*(surplus(item, path) for item in value))
    if not isinstance(value, pydantic.BaseModel):
        return set()
    extra = set(value.model_extra or {})
    found = {f"{path}{name}" for name in extra}
    for name in type(value).model_fields:
        found |= surplus(getattr(value, name, None), f"{path}{name}.")
    return found


def status_of(exception):
    """Where the libraries keep the status of an error."""
    for holder in (exception, getattr(exception, "response", None), getattr(exception, "raw_response", None)):
        for name in ("status_code", "http_status", "code"):
            if isinstance(getattr(holder, name, None), int):
                return getattr(holder, name)
    return None


class Vendor:
    """What every library must be able to read. A class says how it is asked."""

    spec = ""
    model = "simulated"
    facts: typing.Dict[str, typing.Any] = {}

    @classmethod
    def setUpClass(cls):
        cls.facts = cls.facts or EXPECTED["others"].get(cls.spec) or {}
        cls.parallel = cls.facts.get("parallel", True)
        cls.url = simulated(cls.spec).result().url
        cls.client = cls.connect()
        if hasattr(cls.client, "close"):
            cls.addClassCleanup(cls.client.close)
        cls.seen = set()

    def tearDown(self):
        self.assertEqual(self.seen - set(self.facts.get("surplus", {})), set(), "members that the library does not know")

    def check(self, answer):
        # What others add to OpenAI's types is theirs.
        if not type(answer).__module__.startswith("openai."):
            self.seen |= surplus(answer)
        return answer

    # What a class says.
    def say(self, text):
        """The text of an answer."""
        raise NotImplementedError

    def stream(self, text):
        """The pieces of a text."""
        raise NotImplementedError

    def call(self, text):
        """An answer with calls: their names and arguments, and what goes back as the history."""
        raise NotImplementedError

    def call_streamed(self, text):
        """The same of a stream, without the history."""
        raise NotImplementedError

    def reply(self, text, history):
        """The text of the answer after the results `sun`."""
        raise NotImplementedError

    def reads(self, calls, names):
        self.assertEqual([name for name, _ in calls], names)
        for name, arguments in calls:
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
            self.assertEqual(sorted(arguments), KEYS[name])

    def test_plain(self):
        self.assertEqual(self.say("Hello"), "You said: Hello")

    def test_stream(self):
        pieces = list(self.stream("Hello again"))
        self.assertEqual("".join(pieces), "You said: Hello again")
        self.assertGreater(len(pieces), 1)

    def test_tools(self):
        text = "How is the weather?"
        calls, history = self.call(text)
        self.reads(calls, ["get_weather"])
        self.assertIn("sun", self.reply(text, history))

    def test_parallel_tools(self):
        if not self.parallel:
            self.skipTest("one call at a time")
        text = "simulate: parallel"
        calls, history = self.call(text)
        self.reads(calls, ["get_weather", "get_time"])
        self.assertIn("sun", self.reply(text, history))

    def test_tools_streamed(self):
        if "silent" in self.facts:
            self.skipTest(self.facts["silent"])
        self.reads(self.call_streamed("How is the weather?"), ["get_weather"])
        if self.parallel:
            self.reads(self.call_streamed("simulate: parallel"), ["get_weather", "get_time"])

    def test_errors(self):
        for word, status in {**EXPECTED["errors"], **self.facts.get("errors", {})}.items():
            if status is None:
                continue
            for ask in (self.say, lambda text: list(self.stream(text))) if self.stream else (self.say,):
                with self.subTest(word):
                    with self.assertRaises(Exception) as raised:
                        ask(f"simulate: {word}")
                    self.assertEqual(status_of(raised.exception), status, repr(raised.exception))

    def test_late_error(self):
        if "deaf" in self.facts:
            self.skipTest(self.facts["deaf"])
        with self.assertRaises(Exception) as raised:
            list(self.stream("simulate: late_error please"))
        self.assertNotIsInstance(raised.exception, AssertionError)

    def test_cut(self):
        with self.assertRaises(Exception) as raised:
            list(self.stream("simulate: cut please"))
        self.assertNotIsInstance(raised.exception, AssertionError)


class Alike(Vendor):
    """OpenAI's calls."""

    @classmethod
    def connect(cls, strict=True):
        module, name = cls.facts["client"].rsplit(".", 1)
        kind = getattr(importlib.import_module(module), name)
        options = {"api_key": "k", cls.facts.get("address", "base_url"): cls.url + cls.facts.get("base", "")}
        wanted = {"timeout": support.SECONDS, "max_retries": 0, "_strict_response_validation": True}
        if not (strict and cls.facts.get("strict", True)):
            del wanted["_strict_response_validation"]
        known = kind.__init__.__code__.co_varnames
        options.update({name: value for name, value in wanted.items() if name in known})
        return kind(**options, **cls.facts.get("options", {}))

    def create(self, messages, **more):
        return self.client.chat.completions.create(model=self.model, messages=messages, **more)

    def say(self, text):
        return self.check(self.create([user(text)])).choices[0].message.content

    def stream(self, text):
        for chunk in self.create([user(text)], stream=True):
            for choice in self.check(chunk).choices or []:
                if choice.delta and choice.delta.content:
                    yield choice.delta.content

    def call(self, text):
        answer = self.check(self.create([user(text)], tools=FUNCTIONS))
        [choice] = answer.choices
        self.assertEqual(choice.finish_reason, self.facts.get("ends", "tool_calls"))
        calls = choice.message.tool_calls
        return [(call.function.name, call.function.arguments) for call in calls], choice.message

    def call_streamed(self, text):
        found = {}
        if "loose" in self.facts:
            strict, self.client = self.client, self.connect(strict=False)
            self.addCleanup(self.client.close)
            self.addCleanup(setattr, self, "client", strict)
        for chunk in self.create([user(text)], tools=FUNCTIONS, stream=True):
            for choice in self.check(chunk).choices or []:
                for call in getattr(choice.delta, "tool_calls", None) or []:
                    # Without an index a piece with an id begins a call.
                    index = getattr(call, "index", None)
                    index = index if index is not None else len(found) - (0 if call.id else 1)
                    name, arguments = found.get(index, ("", ""))
                    function = call.function
                    found[index] = (name + (function.name or ""), arguments + (function.arguments or ""))
        return list(found.values())

    def reply(self, text, history):
        results = [{"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in history.tool_calls]
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in history.tool_calls
        ]
        said = {"role": "assistant", "content": history.content or "", "tool_calls": calls}
        answer = self.create([user(text), said, *results], tools=FUNCTIONS)
        return self.check(answer).choices[0].message.content


class Embeds:
    """Beside `Vendor`, where the library embeds."""

    def embed(self, texts):
        raise NotImplementedError

    def test_embeddings(self):
        first, second, third = self.embed(["one", "two", "one"])
        self.assertEqual(list(first), list(third))
        self.assertNotEqual(list(first), list(second))
        self.assertTrue(all(isinstance(number, float) for number in first))


class Mistral(Alike, Embeds, unittest.TestCase):
    spec = "mistral"

    @classmethod
    def connect(cls):
        from mistralai.client import Mistral

        return Mistral(api_key="k", server_url=cls.url, timeout_ms=20000)

    def create(self, messages, stream=False, **more):
        asked = {"model": self.model, "messages": messages, **more}
        if stream:
            return (event.data for event in self.client.chat.stream(**asked))
        return self.client.chat.complete(**asked)

    def embed(self, texts):
        return [item.embedding for item in self.client.embeddings.create(model="mistral-embed", inputs=texts).data]


class OpenRouter(Alike, Embeds, unittest.TestCase):
    spec = "openrouter"

    @classmethod
    def connect(cls):
        from openrouter import OpenRouter

        return OpenRouter(api_key="k", server_url=cls.url + "/api/v1", timeout_ms=20000, retry_config=None)

    def create(self, messages, **more):
        return self.client.chat.send(model=self.model, messages=messages, **more)

    def embed(self, texts):
        return [item.embedding for item in self.client.embeddings.generate(model=self.model, input=texts).data]


class Ai21(Alike, unittest.TestCase):
    spec = "ai21"

    @classmethod
    def connect(cls):
        from ai21 import AI21Client

        return AI21Client(api_key="k", api_host=cls.url + "/studio/v1", timeout_sec=support.SECONDS, num_retries=1)

    def create(self, messages, tools=(), **more):
        from ai21.models.chat import AssistantMessage, ToolMessage, UserMessage

        kinds = {"user": UserMessage, "assistant": AssistantMessage, "tool": ToolMessage}
        if tools:
            more["tools"] = tools
        messages = [kinds[message["role"]].model_validate(message) for message in messages]
        return self.client.chat.completions.create(model=self.model, messages=messages, **more)


class AzureFoundry(Alike, unittest.TestCase):
    spec = "azure-foundry"

    @classmethod
    def connect(cls):
        from azure.ai.inference import ChatCompletionsClient
        from azure.core.credentials import AzureKeyCredential

        return ChatCompletionsClient(
            endpoint=cls.url + "/models", credential=AzureKeyCredential("k"), retry_total=0, read_timeout=support.SECONDS
        )

    def create(self, messages, **more):
        return self.client.complete({"model": self.model, "messages": messages, **more})


class Anthropic(Vendor):
    """Anthropic's calls, at those who serve its models; for itself see test_wire.py."""

    @staticmethod
    def tools():
        return [{"name": tool["name"], "input_schema": tool["parameters"]} for tool in TOOLS]

    def create(self, messages, **more):
        return self.client.messages.create(model=self.model, max_tokens=100, messages=messages, **more)

    def say(self, text):
        [block] = self.check(self.create([user(text)])).content
        return block.text

    def stream(self, text):
        with self.client.messages.stream(model=self.model, max_tokens=100, messages=[user(text)]) as stream:
            yield from stream.text_stream

    def calls(self, answer):
        self.assertEqual(answer.stop_reason, "tool_use")
        return [(block.name, block.input) for block in answer.content if block.type == "tool_use"]

    def call(self, text):
        answer = self.check(self.create([user(text)], tools=self.tools()))
        return self.calls(answer), answer.content

    def call_streamed(self, text):
        with self.client.messages.stream(
            model=self.model, max_tokens=100, messages=[user(text)], tools=self.tools()
        ) as stream:
            return self.calls(self.check(stream.get_final_message()))

    def reply(self, text, history):
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "sun"}
            for block in history
            if block.type == "tool_use"
        ]
        messages = [user(text), {"role": "assistant", "content": history}, {"role": "user", "content": results}]
        return self.create(messages, tools=self.tools()).content[0].text


class AnthropicFoundry(Anthropic, unittest.TestCase):
    spec = "anthropic-foundry"

    @classmethod
    def connect(cls):
        import anthropic

        return anthropic.AnthropicFoundry(
            base_url=cls.url + "/anthropic", api_key="k", max_retries=0, timeout=support.SECONDS, _strict_response_validation=True
        )


class AnthropicMantle(Anthropic, unittest.TestCase):
    spec = "anthropic-bedrock-mantle"

    @classmethod
    def connect(cls):
        import anthropic

        return anthropic.AnthropicBedrockMantle(
            base_url=cls.url + "/anthropic",
            api_key="k",
            aws_region="eu-central-1",
            max_retries=0,
            timeout=support.SECONDS,
            _strict_response_validation=True,
        )


class AnthropicVertex(Anthropic, unittest.TestCase):
    spec = "anthropic-vertex"

    @classmethod
    def connect(cls):
        import anthropic

        return anthropic.AnthropicVertex(
            base_url=cls.url + "/v1",
            access_token="k",
            region="global",
            project_id="p",
            max_retries=0,
            timeout=support.SECONDS,
            _strict_response_validation=True,
        )


class Cohere(Vendor, Embeds, unittest.TestCase):
    spec = "cohere"

    @classmethod
    def connect(cls):
        import cohere

        return cohere.ClientV2(api_key="k", base_url=cls.url, timeout=support.SECONDS)

    def create(self, messages, **more):
        return self.check(
            self.client.chat(model=self.model, messages=messages, request_options={"max_retries": 0}, **more)
        )

    def events(self, messages, **more):
        stream = self.client.chat_stream(model=self.model, messages=messages, request_options={"max_retries": 0}, **more)
        for event in stream:
            yield self.check(event)

    def say(self, text):
        answer = self.create([user(text)])
        self.assertEqual(answer.finish_reason, "COMPLETE")
        return answer.message.content[-1].text      # before it may be a thought

    def stream(self, text):
        kinds = []
        for event in self.events([user(text)]):
            kinds.append(event.type)
            if event.type == "content-delta" and event.delta.message.content.text:
                yield event.delta.message.content.text
        self.assertEqual(kinds[-1], "message-end")

    def call(self, text):
        answer = self.create([user(text)], tools=FUNCTIONS)
        self.assertEqual(answer.finish_reason, "TOOL_CALL")
        calls = answer.message.tool_calls
        return [(call.function.name, call.function.arguments) for call in calls], answer.message

    def call_streamed(self, text):
        found = []
        for event in self.events([user(text)], tools=FUNCTIONS):
            if event.type == "tool-call-start":
                function = event.delta.message.tool_calls.function
                found.append((function.name, function.arguments or ""))
            if event.type == "tool-call-delta":
                name, arguments = found[-1]
                found[-1] = (name, arguments + event.delta.message.tool_calls.function.arguments)
        return found

    def reply(self, text, history):
        results = [{"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in history.tool_calls]
        answer = self.create([user(text), history, *results], tools=FUNCTIONS)
        return answer.message.content[-1].text

    def embed(self, texts):
        answer = self.client.embed(
            model="embed-v4.0", texts=texts, input_type="search_document", embedding_types=["float"]
        )
        return self.check(answer).embeddings.float_


class Gemini(Vendor, Embeds, unittest.TestCase):
    spec = "gemini"
    model = "gemini-2.5-flash"

    @classmethod
    def connect(cls):
        from google import genai

        return genai.Client(api_key="k", http_options=genai.types.HttpOptions(base_url=cls.url, timeout=20000))

    @staticmethod
    def config():
        declarations = [{**tool, "parameters_json_schema": tool["parameters"]} for tool in TOOLS]
        for declaration in declarations:
            del declaration["parameters"]
        return {"tools": [{"function_declarations": declarations}], "automatic_function_calling": {"disable": True}}

    def create(self, contents, **more):
        return self.check(self.client.models.generate_content(model=self.model, contents=contents, **more))

    def streamed(self, contents, **more):
        for chunk in self.client.models.generate_content_stream(model=self.model, contents=contents, **more):
            yield self.check(chunk)

    def say(self, text):
        answer = self.create(text)
        self.assertEqual(answer.candidates[0].finish_reason.name, "STOP")
        return answer.text

    def stream(self, text):
        last = None
        for last in self.streamed(text):
            if last.text:
                yield last.text
        self.assertEqual(last.candidates[0].finish_reason.name, "STOP")

    def call(self, text):
        answer = self.create(text, config=self.config())
        return [(call.name, call.args) for call in answer.function_calls], answer.candidates[0].content

    def call_streamed(self, text):
        chunks = self.streamed(text, config=self.config())
        return [(call.name, call.args) for chunk in chunks for call in chunk.function_calls or []]

    def reply(self, text, history):
        results = [
            {"function_response": {"id": part.function_call.id, "name": part.function_call.name, "response": {"result": "sun"}}}
            for part in history.parts
            if part.function_call
        ]
        contents = [{"role": "user", "parts": [{"text": text}]}, history, {"role": "user", "parts": results}]
        return self.create(contents, config=self.config()).text

    def embed(self, texts):
        answer = self.client.models.embed_content(model="gemini-embedding-001", contents=texts)
        return [item.values for item in answer.embeddings]


class Ollama(Vendor, Embeds, unittest.TestCase):
    spec = "ollama"

    @classmethod
    def connect(cls):
        import ollama

        return ollama.Client(host=cls.url, timeout=support.SECONDS)

    def create(self, messages, **more):
        return self.client.chat(model=self.model, messages=messages, **more)

    def say(self, text):
        answer = self.check(self.create([user(text)]))
        self.assertEqual((answer.done, answer.done_reason), (True, "stop"))
        return answer.message.content

    def stream(self, text):
        last = None
        for last in self.create([user(text)], stream=True):
            if self.check(last).message.content:
                yield last.message.content
        self.assertEqual((last.done, last.done_reason), (True, "stop"))

    def call(self, text):
        message = self.check(self.create([user(text)], tools=FUNCTIONS)).message
        return [(call.function.name, call.function.arguments) for call in message.tool_calls], message

    def call_streamed(self, text):
        return [
            (call.function.name, call.function.arguments)
            for chunk in self.create([user(text)], tools=FUNCTIONS, stream=True)
            for call in self.check(chunk).message.tool_calls or []
        ]

    def reply(self, text, history):
        results = [
            {"role": "tool", "tool_name": call.function.name, "content": "sun"} for call in history.tool_calls
        ]
        return self.create([user(text), history, *results], tools=FUNCTIONS).message.content

    def embed(self, texts):
        return self.client.embed(model="embedder", input=texts).embeddings


class Perplexity(Vendor, unittest.TestCase):
    spec = "perplexity"
    model = "perplexity/sonar"

    @classmethod
    def connect(cls):
        import perplexity

        return perplexity.Perplexity(
            base_url=cls.url, api_key="k", max_retries=0, timeout=support.SECONDS, _strict_response_validation=True
        )

    @staticmethod
    def tools():
        return [{"type": "function", **tool} for tool in TOOLS]

    def create(self, input, **more):
        return self.client.responses.create(model=self.model, input=input, **more)

    def say(self, text):
        answer = self.check(self.create(text))
        self.assertEqual(answer.status, "completed")
        return answer.output[-1].content[0].text

    def stream(self, text):
        for event in self.create(text, stream=True):
            if self.check(event).type == "response.output_text.delta":
                yield event.delta
            if event.type == "response.failed":
                raise RuntimeError(event.error.message)
        self.assertEqual(event.type, "response.completed")

    def call(self, text):
        output = self.check(self.create([{"type": "message", **user(text)}], tools=self.tools())).output
        return [(item.name, item.arguments) for item in output if item.type == "function_call"], output

    def call_streamed(self, text):
        events = self.create([{"type": "message", **user(text)}], tools=self.tools(), stream=True)
        items = [event.item for event in events if self.check(event).type == "response.output_item.done"]
        return [(item.name, item.arguments) for item in items if item.type == "function_call"]

    def reply(self, text, history):
        items = [{"type": "message", **user(text)}]
        for call in history:
            items.append({"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments})
        for call in history:
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": "sun"})
        return self.create(items, tools=self.tools()).output[-1].content[0].text


class Voyage(Embeds, Vendor, unittest.TestCase):
    spec = "voyage"
    stream = None

    @classmethod
    def connect(cls):
        import voyageai

        return voyageai.Client(api_key="k", base_url=cls.url + "/v1", max_retries=1, timeout=support.SECONDS)

    def embed(self, texts):
        return self.client.embed(texts, model="voyage-3.5", input_type="document").embeddings

    def say(self, text):
        return self.embed([text])

    test_plain = test_stream = test_tools = test_parallel_tools = test_tools_streamed = test_late_error = test_cut = None


simulators: typing.Dict[str, "concurrent.futures.Future[support.Command]"] = {}
pool = concurrent.futures.ThreadPoolExecutor(2)


def simulated(spec):
    if spec not in simulators:
        simulators[spec] = pool.submit(support.simulator, spec)
    return simulators[spec]


def setUpModule():
    """They are slow to start, and do it side by side and ahead of their tests."""
    unittest.addModuleCleanup(pool.shutdown)
    unittest.addModuleCleanup(lambda: [started.result().stop() for started in simulators.values()])
    if len(sys.argv) == 1:
        classes = [case for case in globals().values() if isinstance(case, type) and issubclass(case, unittest.TestCase)]
        for spec in [*(case.spec for case in classes), *EXPECTED["alike"]]:
            simulated(spec)


def load_tests(loader, tests, _pattern):
    suite = unittest.TestSuite([tests])
    for spec, facts in EXPECTED["alike"].items():
        members = {
            "spec": spec,
            "facts": facts,
        }
        case = type(spec, (Alike, unittest.TestCase), members)
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


if __name__ == "__main__":
    unittest.main(verbosity=2)
