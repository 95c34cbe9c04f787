"""What the cases send to providers, checked by the types of the vendors' own libraries: a member that they do not have fails."""

import collections.abc
import importlib
import re
import types
import typing
import unittest

import pydantic
import typing_extensions

import support

EXPECTED = support.data("vendor-requests.yaml")
LISTS = {collections.abc.Iterable, collections.abc.Sequence}


def strict(value, seen):
    """The same type, where lists are checked at once (pydantic looks into an Iterable later) and no member is unknown."""
    origin, arguments = typing.get_origin(value), typing.get_args(value)
    if origin in LISTS or getattr(origin, "__name__", "") == "SequenceNotStr":
        return typing.List[strict(arguments[0], seen)]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(strict(argument, seen) for argument in arguments)]
    if origin in (typing_extensions.Required, typing_extensions.NotRequired):
        return origin[strict(arguments[0], seen)]
    if origin is typing.Annotated:
        # Without how the library writes it: here it is written already.
        return strict(arguments[0], seen)
    if origin in (list, dict):
        return origin[tuple(strict(argument, seen) for argument in arguments)]
    if typing_extensions.is_typeddict(value) and value not in seen:
        seen.add(value)
        value.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        hints = typing_extensions.get_type_hints(value, include_extras=True)
        value.__annotations__ = {name: strict(hint, seen) for name, hint in hints.items()}
    return value


def found(name):
    """`a.module.Type.member`: as many leading names as are modules."""
    parts = name.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            value = getattr(value, part)
        return value
    raise LookupError(name)


def type_of(name):
    listed = name.startswith("typing.List[")
    kind = strict(found(name[len("typing.List[") : -1] if listed else name), SEEN)
    return pydantic.TypeAdapter(typing.List[kind] if listed else kind)


def unknown(value, data, path=""):
    """Members of the data that the models made of it do not have: models pass over them."""
    if isinstance(value, (list, tuple)) and isinstance(data, list):
        return {found for item, member in zip(value, data) for found in unknown(item, member, path)}
    if not isinstance(value, pydantic.BaseModel) or not isinstance(data, dict):
        return set()
    fields = {field.alias or name: name for name, field in type(value).model_fields.items()}
    result = {f"{path}{name}: no member of {type(value).__name__}" for name in data if name not in fields}
    for alias, name in fields.items():
        if alias in data:
            result |= unknown(getattr(value, name, None), data[alias], f"{path}{alias}.")
    return result


def problems_of(adapter, data):
    try:
        return unknown(adapter.validate_python(data), data)
    except pydantic.ValidationError as error:
        return {f"{'.'.join(map(str, at['loc']))}: {at['msg']}" for at in error.errors()}


def parameters(name):
    """The parameters of a method as the members of a body."""
    hints = typing.get_type_hints(found(name), include_extras=True)
    return {name: pydantic.TypeAdapter(hint) for name, hint in hints.items() if name not in ("return", "request_options")}


SEEN: typing.Set[type] = set()


class Requests(unittest.TestCase):
    maxDiff = None


def modelled(service, operation):
    """The input of an operation in a service's model; what stands in the address and in headers is not in the body."""
    import botocore.session
    import botocore.validate

    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape
    elsewhere = {name: "x" * 20 for name, member in shape.members.items() if "location" in member.serialization}

    def check(body):
        report = botocore.validate.ParamValidator().validate({**elsewhere, **body}, shape)
        return {*filter(None, report.generate_report().splitlines()), *narrowed(shape, body)}

    return check


def narrowed(shape, value, path=""):
    """What the library leaves to the service: words and patterns of texts, the length of lists."""
    facts = shape.metadata
    if shape.type_name == "structure":
        for name in set(value) & set(shape.members):
            yield from narrowed(shape.members[name], value[name], f"{path}{name}.")
    elif shape.type_name == "map":
        for item in value.values():
            yield from narrowed(shape.value, item, path)
    elif shape.type_name == "list":
        if len(value) > facts.get("max", len(value)):
            yield f"{path}: more than {facts['max']}"
        for item in value:
            yield from narrowed(shape.member, item, path)
    elif shape.type_name == "string":
        if value not in facts.get("enum", [value]):
            yield f"{path}: {value} is no word of it"
        if len(value) > facts.get("max", len(value)) or not re.fullmatch(facts.get("pattern", "(?s:.*)"), value):
            yield f"{path}: {value} does not fit {facts}"


def checker(expected):
    """What says what is wrong with a body. Of several types the best one counts."""
    if "operation" in expected:
        return modelled(*expected["operation"])
    if "method" in expected:
        adapters = parameters(expected["method"])

        def check(body):
            problems = {f"{name}: no parameter" for name in body if name not in adapters and name != "stream"}
            for name in set(body) & set(adapters):
                problems |= {f"{name}: {problem}" for problem in problems_of(adapters[name], body[name])}
            return problems

        return check
    if "members" in expected:
        adapters = {member: type_of(name) for member, name in expected["members"].items()}
        return lambda body: set().union(
            *({f"{m}: {problem}" for problem in problems_of(a, body[m])} for m, a in adapters.items() if m in body)
        )
    adapters = [type_of(name) for name in expected["any"]]
    return lambda body: min((problems_of(adapter, body) for adapter in adapters), key=len)


def test_of(spec, operation, expected):
    def test(self):
        check = checker(expected)
        cases = [case for case in support.cases(operation, "request.out.json") if case.spec == spec]
        self.assertTrue(cases)
        for case in cases:
            body = case.json("request.out.json").get("body")
            if not isinstance(body, dict):
                continue
            with self.subTest(case.name):
                problems = sorted(check(body))
                if case.name in EXPECTED["known"]:
                    self.assertTrue(problems, "is listed, but fits")
                else:
                    self.assertEqual(problems, [])

    return test


for _spec, _operations in EXPECTED["types"].items():
    for _operation, _expected in _operations.items():
        setattr(Requests, f"test_{_spec}_{_operation}", test_of(_spec, _operation, _expected))


if __name__ == "__main__":
    unittest.main(verbosity=2)
