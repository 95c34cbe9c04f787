"""The simulator's wire formats, read by the vendors' own libraries: what we take for a format is what its owner reads.

No gateway in between. `vendor-wire.yaml` lists the libraries with OpenAI's calls; the others have a class here.
"""

import concurrent.futures
import gc
import importlib
import json
import logging
import sys
import types
import typing
import unittest
import warnings

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
        if isinstance(holder, dict):
            return holder["ResponseMetadata"]["HTTPStatusCode"]
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
        # Its own: a class that extends another one is another spec.
        cls.facts = vars(cls).get("facts") or EXPECTED["others"].get(cls.spec) or {}
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

    def embed(self, texts):
        # OpenAI's own asks for base64 and unpacks it after its types were checked.
        asked = {"encoding_format": "float"} if self.facts["client"].startswith("openai.") else {}
        answer = self.client.embeddings.create(model=self.facts["embeds"], input=texts, **asked)
        return [item.embedding for item in self.check(answer).data]

    def rank(self, query, documents):
        answer = self.client.rerank.create(model=self.facts["ranks"], query=query, documents=documents)
        return [(item.index, item.relevance_score) for item in self.check(answer).results]

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


class Ranks:
    """Beside `Vendor`, where the library ranks."""

    def rank(self, query, documents):
        """Places and scores, the best first."""
        raise NotImplementedError

    def test_rerank(self):
        ranked = self.rank("Where do llamas live?", ["Pandas eat bamboo.", "Llamas live in the Andes."])
        self.assertEqual([place for place, _ in ranked], [1, 0])
        self.assertGreater(ranked[0][1], ranked[1][1])


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


class AzureFoundry(Alike, Embeds, unittest.TestCase):
    spec = "azure-foundry"
    base = "/models"

    @classmethod
    def connect(cls):
        from azure.ai.inference import ChatCompletionsClient
        from azure.core.credentials import AzureKeyCredential

        return ChatCompletionsClient(
            endpoint=cls.url + cls.base, credential=AzureKeyCredential("k"), retry_total=0, read_timeout=support.SECONDS
        )

    def create(self, messages, **more):
        return self.client.complete({"model": self.model, "messages": messages, **more})

    def embed(self, texts):
        from azure.ai.inference import EmbeddingsClient
        from azure.core.credentials import AzureKeyCredential

        with EmbeddingsClient(endpoint=self.url + self.base, credential=AzureKeyCredential("k"), retry_total=0) as client:
            return [item.embedding for item in client.embed(input=texts, model="embedder").data]


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


class BedrockAnthropic(Anthropic, unittest.TestCase):
    spec = "bedrock-anthropic"
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"

    @classmethod
    def connect(cls):
        import anthropic

        return anthropic.AnthropicBedrock(
            base_url=cls.url,
            aws_access_key="k",
            aws_secret_key="s",
            aws_region="eu-central-1",
            max_retries=0,
            timeout=support.SECONDS,
            _strict_response_validation=True,
        )


class Bedrock(Vendor, Embeds, unittest.TestCase):
    spec = "bedrock"
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"

    @classmethod
    def connect(cls):
        import boto3
        from botocore.config import Config

        client = boto3.client(
            "bedrock-runtime",
            endpoint_url=cls.url,
            region_name="eu-central-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=support.SECONDS),
        )
        client.meta.events.register("before-parse.bedrock-runtime.Converse", cls.keep)
        return client

    @classmethod
    def keep(cls, response_dict, **_):
        cls.raw = response_dict["body"]

    def check(self, answer):
        """The library leaves out what it does not know, without a word."""
        self.seen |= left_out(json.loads(self.raw), {name: answer[name] for name in answer if name != "ResponseMetadata"})
        return answer

    @staticmethod
    def tools():
        return {
            "tools": [
                {"toolSpec": {"name": tool["name"], "description": tool["description"], "inputSchema": {"json": tool["parameters"]}}}
                for tool in TOOLS
            ]
        }

    @staticmethod
    def user(text):
        return {"role": "user", "content": [{"text": text}]}

    def create(self, messages, **more):
        return self.check(self.client.converse(modelId=self.model, messages=messages, **more))

    def events(self, messages, **more):
        kinds = []
        for event in self.client.converse_stream(modelId=self.model, messages=messages, **more)["stream"]:
            [(kind, said)] = event.items()
            kinds.append(kind)
            yield kind, said
        self.assertEqual((kinds[0], kinds[-1]), ("messageStart", "metadata"))

    def say(self, text):
        answer = self.create([self.user(text)])
        self.assertEqual(answer["stopReason"], "end_turn")
        self.assertGreater(answer["usage"]["totalTokens"], 0)
        [block] = answer["output"]["message"]["content"]
        return block["text"]

    def stream(self, text):
        for kind, said in self.events([self.user(text)]):
            if kind == "contentBlockDelta":
                yield said["delta"]["text"]

    def call(self, text):
        answer = self.create([self.user(text)], toolConfig=self.tools())
        self.assertEqual(answer["stopReason"], "tool_use")
        message = answer["output"]["message"]
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        return [(call["name"], call["input"]) for call in calls], message

    def call_streamed(self, text):
        found = {}
        for kind, said in self.events([self.user(text)], toolConfig=self.tools()):
            if kind == "contentBlockStart":
                found[said["contentBlockIndex"]] = [said["start"]["toolUse"]["name"], ""]
            if kind == "contentBlockDelta":
                found[said["contentBlockIndex"]][1] += said["delta"]["toolUse"]["input"]
        return list(found.values())

    def reply(self, text, history):
        results = [
            {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": "sun"}]}}
            for block in history["content"]
            if "toolUse" in block
        ]
        messages = [self.user(text), history, {"role": "user", "content": results}]
        return self.create(messages, toolConfig=self.tools())["output"]["message"]["content"][0]["text"]

    def embed(self, texts):
        body = json.dumps({"texts": texts, "input_type": "search_document", "embedding_types": ["float"]})
        answer = self.client.invoke_model(modelId="cohere.embed-v4:0", body=body)
        return json.loads(answer["body"].read())["embeddings"]["float"]

    def test_kinds_of_errors(self):
        """By the header, the library finds the exception that the service's model names."""
        kinds = {
            "rate_limit": "ThrottlingException",
            "overloaded": "ServiceUnavailableException",
            "server": "InternalServerException",
            "not_found": "ResourceNotFoundException",
            "timeout": "ModelTimeoutException",
            "context_length": "ValidationException",
        }
        for word, kind in kinds.items():
            with self.subTest(word), self.assertRaises(getattr(self.client.exceptions, kind)):
                self.say(f"simulate: {word}")


def left_out(raw, read, path=""):
    """Paths of members that were in the answer, and are not in what the library read."""
    if isinstance(raw, list) and isinstance(read, list):
        return set().union(*(left_out(one, other, path) for one, other in zip(raw, read)))
    if not (isinstance(raw, dict) and isinstance(read, dict)):
        return set()
    gone = {f"{path}{name}" for name in raw if name not in read and raw[name] is not None}
    return gone.union(*(left_out(raw[name], read[name], f"{path}{name}.") for name in raw if name in read))


class Cohere(Vendor, Embeds, Ranks, unittest.TestCase):
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

    def rank(self, query, documents):
        answer = self.check(self.client.rerank(model="rerank-v4.0-pro", query=query, documents=documents))
        return [(item.index, item.relevance_score) for item in answer.results]


class CohereV1(Vendor, unittest.TestCase):
    spec = "cohere-v1"

    @classmethod
    def connect(cls):
        import cohere

        return cohere.Client(api_key="k", base_url=cls.url, timeout=support.SECONDS)

    def say(self, text):
        answer = self.check(self.client.chat(message=text, model=self.model, request_options={"max_retries": 0}))
        self.assertEqual(answer.finish_reason, "COMPLETE")
        return answer.text

    def stream(self, text):
        event = None
        for event in self.client.chat_stream(message=text, model=self.model, request_options={"max_retries": 0}):
            if self.check(event).event_type == "text-generation":
                yield event.text
        if event.event_type != "stream-end" or event.finish_reason != "COMPLETE":
            raise RuntimeError(event)
        self.assertTrue(event.response.text)

    def test_generate(self):
        answer = self.check(self.client.generate(prompt="Once upon", model=self.model))
        self.assertIn("Once upon", answer.generations[0].text)
        pieces = list(self.client.generate_stream(prompt="Once upon", model=self.model))
        self.assertIn("Once upon", "".join(self.check(piece).text for piece in pieces if piece.event_type == "text-generation"))
        self.assertEqual(pieces[-1].event_type, "stream-end")

    test_tools = test_parallel_tools = test_tools_streamed = None      # they are not asked for in this version


class Dashscope(Vendor, Embeds, unittest.TestCase):
    spec = "dashscope-native"

    @classmethod
    def connect(cls):
        import dashscope
        from dashscope.api_entities.http_request import close_shared_sync_session

        cls.addClassCleanup(close_shared_sync_session)
        dashscope.base_http_api_url = cls.url + "/api/v1"
        return dashscope

    def read(self, answer):
        """It raises nothing, but tells."""
        self.assertEqual(type(answer).__module__, "dashscope.api_entities.dashscope_response")
        if answer.status_code != 200 or answer.output is None:
            raise DashscopeError(answer.status_code, answer.code, answer.message)
        self.assertTrue(answer.request_id)
        return answer

    def create(self, messages, **more):
        asked = {"model": self.model, "messages": messages, "api_key": "k", "result_format": "message", **more}
        return self.read(self.client.Generation.call(**asked))

    def events(self, messages, **more):
        asked = {"model": self.model, "messages": messages, "api_key": "k", "result_format": "message", **more}
        last = None
        for event in self.client.Generation.call(**asked, stream=True, incremental_output=True):
            [last] = self.read(event).output.choices
            yield last
        if last.finish_reason == "null":
            raise DashscopeError(200, None, "it was cut")

    def say(self, text):
        answer = self.create([user(text)])
        [choice] = answer.output.choices
        self.assertEqual((choice.finish_reason, choice.message.role), ("stop", "assistant"))
        self.assertGreater(answer.usage.total_tokens, 0)
        return choice.message.content

    def stream(self, text):
        for choice in self.events([user(text)]):
            if choice.message.content:
                yield choice.message.content

    def call(self, text):
        [choice] = self.create([user(text)], tools=FUNCTIONS).output.choices
        self.assertEqual(choice.finish_reason, "tool_calls")
        calls = choice.message.tool_calls
        return [(call["function"]["name"], call["function"]["arguments"]) for call in calls], choice.message

    def call_streamed(self, text):
        found = {}
        for choice in self.events([user(text)], tools=FUNCTIONS):
            for call in choice.message.get("tool_calls") or []:
                name, arguments = found.get(call["index"], ("", ""))
                found[call["index"]] = (name + call["function"]["name"], arguments + call["function"]["arguments"])
        return list(found.values())

    def reply(self, text, history):
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "sun"} for call in history.tool_calls]
        return self.create([user(text), history, *results], tools=FUNCTIONS).output.choices[0].message.content

    def embed(self, texts):
        answer = self.read(self.client.TextEmbedding.call(model="text-embedding-v4", input=texts, api_key="k"))
        return [item["embedding"] for item in answer.output["embeddings"]]

    def test_pictures(self):
        content = [{"image": "https://pictures.example/one.png"}, {"text": "What is this?"}]
        messages = [{"role": "user", "content": content}]
        answer = self.read(self.client.MultiModalConversation.call(model="qwen3-vl-plus", messages=messages, api_key="k"))
        self.assertIn("I see 1 image", answer.output.choices[0].message.content[0]["text"])


class DashscopeError(Exception):
    def __init__(self, status, code, message):
        super().__init__(f"{status} {code}: {message}")
        self.status_code = status


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


class Vertex(Gemini):
    spec = "vertex"

    @classmethod
    def connect(cls):
        from google import genai
        from google.oauth2.credentials import Credentials

        return genai.Client(
            vertexai=True,
            project="p",
            location="global",
            credentials=Credentials(token="k"),
            http_options=genai.types.HttpOptions(base_url=cls.url, timeout=20000),
        )


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


class Watsonx(Alike, Embeds, unittest.TestCase):
    spec = "watsonx"

    @classmethod
    def connect(cls):
        import httpx
        import ibm_watsonx_ai
        from ibm_watsonx_ai.foundation_models import ModelInference

        class Simulated(httpx.HTTPTransport):
            """It wants an https address of IBM's; this leads every request here."""

            def handle_request(self, request):
                request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=httpx.URL(cls.url).port)
                answer = super().handle_request(request)
                cls.status = answer.status_code
                return answer

        # It writes every error to the log, too.
        logging.getLogger("ibm_watsonx_ai").setLevel(logging.CRITICAL + 1)
        http = httpx.Client(transport=Simulated(), timeout=support.SECONDS)
        cls.addClassCleanup(http.close)
        with warnings.catch_warnings(action="ignore"):
            cls.account = ibm_watsonx_ai.APIClient(
                ibm_watsonx_ai.Credentials(url="https://us-south.ml.cloud.ibm.com", token="a.b.c"),
                project_id="p",
                scope_validation=False,
                httpx_client=http,
            )
        return ModelInference(model_id=cls.model, api_client=cls.account, validate=False, max_retries=0)

    def create(self, messages, stream=False, tools=None):
        if stream:
            return self.chunks(messages, tools)
        return loose(self.client.chat(messages=messages, tools=tools))

    def chunks(self, messages, tools):
        from ibm_watsonx_ai.wml_client_error import WMLClientError

        try:
            for chunk in self.client.chat_stream(messages=messages, tools=tools):
                yield loose(chunk)
        except WMLClientError as error:
            error.status_code = self.status
            raise

    def embed(self, texts):
        from ibm_watsonx_ai.foundation_models import Embeddings

        return Embeddings(model_id=self.model, api_client=self.account).embed_documents(texts)


class Loose(types.SimpleNamespace):
    """A dictionary's members as attributes."""

    def __getattr__(self, name):
        return None


def loose(answer):
    return json.loads(json.dumps(answer), object_hook=lambda members: Loose(**members))


class Tgi(Vendor, unittest.TestCase):
    """Text Generation Inference's own API, which completes prompts; for the one like OpenAI's see `alike`."""

    spec = "tgi"

    @classmethod
    def connect(cls):
        import huggingface_hub

        return huggingface_hub.InferenceClient(timeout=support.SECONDS)

    def say(self, text):
        answer = self.client.text_generation(text, model=self.url + "/generate", details=True, max_new_tokens=20)
        self.assertEqual(answer.details.finish_reason, "eos_token")
        return answer.generated_text

    def stream(self, text):
        last = None
        address = self.url + "/generate_stream"
        for last in self.client.text_generation(text, model=address, details=True, stream=True, max_new_tokens=20):
            if not last.token.special:
                yield last.token.text
        self.assertEqual(last.details.finish_reason, "eos_token")

    def test_plain(self):
        self.assertEqual(self.say("Hello"), "You wrote: Hello")

    def test_stream(self):
        self.assertEqual("".join(self.stream("Hello again")), "You wrote: Hello again")

    def test_errors(self):
        from huggingface_hub import errors

        kinds = {
            "overloaded": errors.OverloadedError,
            "server": errors.GenerationError,
            "context_length": errors.ValidationError,
            "auth": errors.HfHubHTTPError,
        }
        for word, kind in kinds.items():
            for ask in (self.say, lambda text: list(self.stream(text))):
                with self.subTest(word), self.assertRaises(kind):
                    ask(f"simulate: {word}")

    test_tools = test_parallel_tools = test_tools_streamed = None


class Tei(Embeds, Vendor, unittest.TestCase):
    """Text Embeddings Inference's own API."""

    spec = "tei"
    stream = None

    @classmethod
    def connect(cls):
        import huggingface_hub

        return huggingface_hub.InferenceClient(timeout=support.SECONDS)

    def embed(self, texts):
        return self.client.feature_extraction(texts, model=self.url + "/embed").tolist()

    def say(self, text):
        return self.embed([text])

    test_plain = test_stream = test_tools = test_parallel_tools = test_tools_streamed = test_late_error = test_cut = None


class GithubModels(AzureFoundry):
    spec = "github-models"
    base = "/inference"


class Voyage(Embeds, Ranks, Vendor, unittest.TestCase):
    spec = "voyage"
    stream = None

    @classmethod
    def connect(cls):
        import voyageai

        return voyageai.Client(api_key="k", base_url=cls.url + "/v1", max_retries=1, timeout=support.SECONDS)

    def embed(self, texts):
        return self.client.embed(texts, model="voyage-3.5", input_type="document").embeddings

    def rank(self, query, documents):
        return [(item.index, item.relevance_score) for item in self.client.rerank(query, documents, model="rerank-3").results]

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
        beside = [mixed for fact, mixed in (("embeds", Embeds), ("ranks", Ranks)) if fact in facts]
        case = type(spec, (Alike, *beside, unittest.TestCase), members)
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


class Result(unittest.TextTestResult):
    """Collects garbage between tests only: some libraries close a stream that was left in the middle when it is collected,
    and wait for ever if that happens while they hold the lock of their connections."""

    def stopTest(self, test):
        super().stopTest(test)
        gc.collect()


if __name__ == "__main__":
    gc.disable()
    unittest.main(verbosity=2, testRunner=unittest.TextTestRunner(verbosity=2, resultclass=Result))
