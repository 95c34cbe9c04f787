"""The official OpenAI library through the gateway to every provider that it knows, each simulated in its own wire format.

Everything is expected of everyone, and that nothing is left out on the way; `providers.yaml` lists what is different.
"""

import json
import typing
import unittest

import openai
import pydantic

import support

EXPECTED = support.data("providers.yaml")
WEATHER, TIME = (
    {
        "type": "function",
        "function": {
            "name": name,
            "description": name.replace("_", " "),
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
        },
    }
    for name, properties in (
        ("get_weather", {"city": {"type": "string"}, "days": {"type": "integer"}}),
        ("get_time", {"zone": {"type": "string"}}),
    )
)
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Step(pydantic.BaseModel):
    explanation: str
    result: int


class Solution(pydantic.BaseModel):
    steps: typing.List[Step]
    final: str
    sure: bool


def user(content):
    return [{"role": "user", "content": content}]


class Provider(unittest.TestCase):
    """One provider; a test is a capability."""

    name = ""
    operations: typing.Sequence[str] = ()
    expected: typing.Dict[str, typing.Any] = {}
    capability = ""

    @classmethod
    def setUpClass(cls):
        server = apart if "apart" in cls.expected else demonstration
        cls.prefix, cls.strict, cls.lenient, cls.dropped = server.prefix, server.strict, server.lenient, server.dropped

    def run_it(self, capability):
        """Whether it works, and nothing is left out but what is listed."""
        self.capability = capability
        self.dropped.clear()
        getattr(self, capability)()
        listed = self.expected.get("dropped", {}).get(capability, [])
        self.assertEqual(self.dropped, set(listed), "left out")

    def model(self, operation):
        models = self.expected.get("models", {})
        return f"{self.prefix}{self.name}/{models.get(self.capability) or models.get(operation, 'simulated')}"

    def asked(self, messages, more):
        return {"model": self.model("chat"), "messages": messages, **more}

    def create(self, messages, **more):
        return self.strict.chat.completions.create(**self.asked(messages, more))

    def streamed(self, messages, **more):
        """The library's own accumulator: the events and the whole answer."""
        with self.strict.chat.completions.stream(**self.asked(messages, more)) as stream:
            events = list(stream)
            return events, stream.get_final_completion()

    def check_usage(self, usage):
        if self.expected.get("usage") is False:
            self.assertIsNone(usage)
            return
        self.assertGreater(usage.prompt_tokens, 0)
        self.assertGreater(usage.completion_tokens, 0)
        self.assertGreaterEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def chat(self):
        answer = self.create(user("Hello"))
        [choice] = answer.choices
        self.assertEqual((answer.object, choice.index, choice.message.role), ("chat.completion", 0, "assistant"))
        self.assertEqual(choice.message.content, "You said: Hello")
        self.assertEqual(choice.finish_reason, "stop")
        self.check_usage(answer.usage)
        self.assertTrue(answer.id and answer.created)

    def conversation(self):
        answer = self.create(
            [
                {"role": "system", "content": "Be brief"},
                *user("One"),
                {"role": "assistant", "content": "Two"},
                *user([{"type": "text", "text": "Three"}]),
            ],
            max_completion_tokens=100,
            temperature=0.5,
            stop=["END"],
        )
        self.assertEqual(answer.choices[0].message.content, "You said: Three")

    def length(self):
        answer = self.create(user("simulate: length"), max_completion_tokens=5)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        with self.assertRaises(openai.LengthFinishReasonError):
            self.streamed(user("simulate: length"))

    def stream(self):
        chunks = list(self.create(user("Hello again"), stream=True))
        self.assertTrue(all(chunk.choices and chunk.usage is None for chunk in chunks), "nobody asked for usage")
        self.assertEqual("".join(chunk.choices[0].delta.content or "" for chunk in chunks), "You said: Hello again")
        self.assertEqual(len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason], ["stop"])

    def stream_helper(self):
        events, final = self.streamed(user("Hello you"))
        deltas = [event for event in events if event.type == "content.delta"]
        self.assertEqual(deltas[-1].snapshot, "You said: Hello you")
        self.assertEqual([event.content for event in events if event.type == "content.done"], ["You said: Hello you"])
        self.assertEqual(final.choices[0].message.content, "You said: Hello you")
        self.assertEqual(final.choices[0].finish_reason, "stop")

    def stream_usage(self):
        chunks = list(self.create(user("Hello"), stream=True, stream_options={"include_usage": True}))
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))
        self.assertEqual(chunks[-1].choices, [])
        self.check_usage(chunks[-1].usage)

    def reads(self, calls, names):
        """Whether the calls are whole: each its own id, arguments that fit."""
        self.assertEqual([call.function.name for call in calls], names)
        self.assertEqual(len({call.id for call in calls if call.id}), len(names))
        keys = {"get_weather": ["city", "days"], "get_time": ["zone"]}
        for call in calls:
            self.assertEqual(call.type, "function")
            self.assertEqual(sorted(json.loads(call.function.arguments)), keys[call.function.name])

    def replies(self, messages, first, tools):
        """The calls' results go back, in the message as it came."""
        messages = [*messages, first.choices[0].message]
        for number, call in enumerate(first.choices[0].message.tool_calls):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"sun {number}"})
        last = self.create(messages, tools=tools)
        self.assertIn("sun", last.choices[0].message.content)
        self.assertEqual(last.choices[0].finish_reason, "stop")

    def tools(self):
        messages = user("How is the weather?")
        first = self.create(messages, tools=[WEATHER])
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        self.reads(first.choices[0].message.tool_calls, ["get_weather"])
        self.replies(messages, first, [WEATHER])

    def tool_choice(self):
        chosen = {"type": "function", "function": {"name": "get_time"}}
        answer = self.create(user("Hello"), tools=[WEATHER, TIME], tool_choice=chosen)
        if "tool_choice" not in self.expected.get("dropped", {}):
            self.reads(answer.choices[0].message.tool_calls, ["get_time"])

    def tools_streamed(self):
        messages = user("How is the weather?")
        events, first = self.streamed(messages, tools=[WEATHER])
        self.assertEqual(first.choices[0].finish_reason, "tool_calls")
        self.reads(first.choices[0].message.tool_calls, ["get_weather"])
        [done] = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        self.assertEqual(sorted(done.parsed_arguments), ["city", "days"])
        self.replies(messages, first, [WEATHER])

    def parallel_tools(self):
        messages = user("simulate: parallel")
        first = self.create(messages, tools=[WEATHER, TIME])
        self.reads(first.choices[0].message.tool_calls, ["get_weather", "get_time"])
        self.replies(messages, first, [WEATHER, TIME])

    def parallel_tools_streamed(self):
        messages = user("simulate: parallel")
        events, first = self.streamed(messages, tools=[WEATHER, TIME])
        self.reads(first.choices[0].message.tool_calls, ["get_weather", "get_time"])
        done = [event for event in events if event.type == "tool_calls.function.arguments.done"]
        self.assertEqual([(event.index, event.name) for event in done], [(0, "get_weather"), (1, "get_time")])
        self.replies(messages, first, [WEATHER, TIME])

    def structured(self):
        answer = self.strict.chat.completions.parse(
            **self.asked(user("Solve it"), {"response_format": Solution})
        )
        self.assertIsInstance(answer.choices[0].message.parsed, Solution)

    def structured_streamed(self):
        events, final = self.streamed(user("Solve it"), response_format=Solution)
        [done] = [event for event in events if event.type == "content.done"]
        self.assertIsInstance(done.parsed, Solution)
        self.assertEqual(final.choices[0].message.parsed, done.parsed)

    def json_mode(self):
        answer = self.create(user("Answer in json"), response_format={"type": "json_object"})
        self.assertIsInstance(json.loads(answer.choices[0].message.content), dict)

    def vision(self):
        picture = {"type": "image_url", "image_url": {"url": PIXEL}}
        answer = self.create(user([{"type": "text", "text": "What is this?"}, picture]))
        self.assertRegex(answer.choices[0].message.content, "I see 1 (image|file)")

    def errors(self):
        for word, (kind, status) in self.kinds().items():
            for stream in (False, True) if "chat" in self.operations else (False,):
                with self.subTest(word=word, stream=stream):
                    with self.assertRaises(openai.APIStatusError) as raised:
                        self.fail_with(f"simulate: {word}", stream)
                    seen = (type(raised.exception).__name__, raised.exception.status_code)
                    self.assertEqual(seen, (kind, status), raised.exception.message)
                    self.assertTrue(raised.exception.body["message"])
                    self.assertTrue(raised.exception.type)

    def fail_with(self, text, stream):
        if "chat" in self.operations:
            self.create(user(text), stream=stream)
        elif "rerank" in self.operations and "embeddings" not in self.operations:
            self.rank(text, ["One", "Two"])
        else:
            self.strict.embeddings.create(model=self.model("embeddings"), input=text, encoding_format="float")

    def kinds(self):
        kinds = {**EXPECTED["errors"], **self.expected.get("errors", {})}
        return {word: kind for word, kind in kinds.items() if kind}

    def late_error(self):
        self.breaks("late_error")

    def cut(self):
        self.breaks("cut")

    def breaks(self, word):
        """A stream that is no good must end in an exception, after what came before it."""
        text = ""
        with self.assertRaises(openai.APIError) as raised:
            for chunk in self.create(user(f"simulate: {word} please"), stream=True):
                text += chunk.choices[0].delta.content or ""
        self.assertTrue(text.startswith("You said:"), text)
        self.assertTrue(raised.exception.message)

    def completions(self):
        answer = self.strict.completions.create(model=self.model("completions"), prompt="Once upon")
        self.assertEqual(answer.object, "text_completion")
        self.assertIn("Once upon", answer.choices[0].text)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.check_usage(answer.usage)

    def completions_streamed(self):
        chunks = list(
            self.lenient.completions.create(
                model=self.model("completions"), prompt="Once upon", stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertIn("Once upon", "".join(chunk.choices[0].text for chunk in chunks if chunk.choices))
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason], ["stop"])
        self.assertTrue(all(chunk.object == "text_completion" for chunk in chunks))
        self.check_usage(chunks[-1].usage)

    def embeddings(self):
        model = self.model("embeddings")
        answer = self.lenient.embeddings.create(model=model, input=["one", "two", "one"])
        vectors = [item.embedding for item in answer.data]
        self.assertEqual((answer.object, answer.data[0].object), ("list", "embedding"))
        self.assertEqual([item.index for item in answer.data], [0, 1, 2])
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])
        self.assertTrue(all(isinstance(number, float) for number in vectors[0]))
        single = self.strict.embeddings.create(model=model, input="one", encoding_format="float")
        self.assertTrue(single.data[0].embedding)
        self.assertTrue(single.model)
        self.assertGreaterEqual(single.usage.total_tokens, 0)

    def rank(self, query, documents, **more):
        """The library has no name for it, but knows errors and keys."""
        body = {"model": self.model("rerank"), "query": query, "documents": documents, **more}
        return self.strict.post("/rerank", body=body, cast_to=object)

    def rerank(self):
        query, documents = "What do llamas eat?", ["A boat on a lake", "What do llamas eat?", "Llamas like grass"]
        results = self.rank(query, documents)["results"]
        self.assertEqual(sorted(result["index"] for result in results), [0, 1, 2])
        self.assertEqual(results[0]["index"], 1)
        scores = [result["relevance_score"] for result in results]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertTrue(all(not result.get("document") for result in results), "nobody asked for documents")
        [best] = self.rank(query, documents, top_n=1, return_documents=True)["results"]
        self.assertEqual((best["index"], best["document"]), (1, {"text": documents[1]}))

    def images(self):
        answer = self.strict.images.generate(model=self.model("images"), prompt="A llama")
        [image] = answer.data
        self.assertTrue(image.b64_json or image.url)
        self.assertTrue(answer.created)


OPERATIONS = {
    "chat": (
        "chat conversation length stream stream_helper stream_usage tools tool_choice tools_streamed parallel_tools"
        " parallel_tools_streamed structured structured_streamed json_mode vision late_error cut"
    ).split(),
    "completions": ["completions", "completions_streamed"],
    "embeddings": ["embeddings"],
    "rerank": ["rerank"],
    "images": ["images"],
}
CAPABILITIES = {"errors", *sum(OPERATIONS.values(), [])}


def absent(operation):
    """What the provider does not have, is not there."""

    def test(self):
        model = self.model(operation)
        with self.assertRaises((openai.BadRequestError, openai.NotFoundError)) as raised:
            if operation == "chat":
                self.strict.chat.completions.create(model=model, messages=user("Hello"))
            elif operation == "completions":
                self.strict.completions.create(model=model, prompt="Hello")
            elif operation == "embeddings":
                self.strict.embeddings.create(model=model, input="Hello")
            elif operation == "rerank":
                self.rank("Hello", ["Hello"])
            else:
                self.strict.images.generate(model=model, prompt="Hello")
        self.assertIn(operation, raised.exception.message)

    return test


def present(capability, expected):
    if capability in expected.get("refused", []):

        def refused(self):
            self.capability = capability
            with self.assertRaises(openai.BadRequestError) as raised:
                getattr(self, capability)()
            self.assertTrue(raised.exception.message)

        return refused
    reason = expected.get("without", {}).get(capability)
    if reason:
        return unittest.skip(reason)(lambda self: None)
    return lambda self: self.run_it(capability)


def tests_of(operations, passing, expected):
    yield "test_errors", present("errors", expected)
    for operation, capabilities in OPERATIONS.items():
        if operation in passing:
            continue
        if operation not in operations:
            yield f"test_no_{operation}", absent(operation)
            continue
        for capability in capabilities:
            yield f"test_{capability}", present(capability, expected)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for listed in support.providers():
        name, operations = listed["name"], listed["operations"]
        expected = EXPECTED["providers"].get(name) or {}
        facts = {"name": name, "operations": operations, "expected": expected}
        case = type(name, (Provider,), {**facts, **dict(tests_of(operations, listed["passing"], expected))})
        suite.addTests(loader.loadTestsFromTestCase(case))
    suite.addTests(loader.loadTestsFromTestCase(Table))
    return suite


class Server:
    """A gateway, and the library that asks it."""

    def __init__(self, prefix, *arguments, config=None):
        self.prefix = prefix
        self.dropped = set()
        self.gateway = support.Command(*arguments, config=config)
        unittest.addModuleCleanup(self.gateway.stop)
        # Strict: an answer that does not fit the library's types is an error.
        self.strict = self.client(_strict_response_validation=True)
        # For what the library's types say wrongly: text completions have no finish reason until they end, and embeddings
        # come in base64 before the library unpacks them.
        self.lenient = self.client()

    def client(self, **more):
        http = openai.DefaultHttpxClient(event_hooks={"response": [self.note]})
        client = support.client(self.gateway.url, http_client=http, **more)
        unittest.addModuleCleanup(client.close)
        return client

    def note(self, response):
        self.dropped.update(filter(None, response.headers.get("x-interlingua-dropped", "").split(", ")))


class Table(unittest.TestCase):
    def test_names(self):
        """What is listed must exist, or it says nothing."""
        known = {listed["name"] for listed in support.providers()}
        self.assertLessEqual(set(EXPECTED["providers"]), known)
        for name, expected in EXPECTED["providers"].items():
            with self.subTest(name):
                self.assertLessEqual(set(expected), {"refused", "without", "dropped", "errors", "models", "usage", "apart"})
                for part in ("refused", "without", "dropped"):
                    self.assertLessEqual(set(expected.get(part, [])), CAPABILITIES)
                self.assertLessEqual(set(expected.get("models", [])), {*OPERATIONS, *CAPABILITIES})

    def test_everybody_is_played(self):
        names = {listed["name"] for listed in support.providers()}
        played = {model.id.split("/")[1] for model in demonstration.lenient.models.list()}
        self.assertEqual(played, names)


demonstration: Server
apart: Server


def setUpModule():
    global demonstration, apart
    demonstration = Server("demo/", "--listen", "127.0.0.1:0")
    sections = {}
    for name, expected in EXPECTED["providers"].items():
        if "apart" in expected:
            simulator = support.simulator(name)
            unittest.addModuleCleanup(simulator.stop)
            address = simulator.url + expected["apart"].get("base", "")
            sections[name] = {"spec": name, "base_url": address, **expected["apart"]["config"]}
    apart = Server("", config=f"providers: {json.dumps(sections)}\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
