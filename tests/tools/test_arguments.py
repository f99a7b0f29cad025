"""What the model wrote -> arguments that fit, or words from which it can mend them."""

import json
from typing import Any

import pytest

from agentd.errors import ToolArgumentsInvalid, ToolError
from agentd.tools.arguments import ArgumentsSchema

SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "format": "date"},
        "party": {"type": "integer", "minimum": 1},
        "price": {"type": "number"},
        "outside": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]},
        "meal": {"enum": ["lunch", "dinner"]},
        "table": {"type": ["integer", "null"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["day"],
    "additionalProperties": False,
}


def parse(arguments: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps({"day": "2030-01-31", **arguments})
    return ArgumentsSchema("book", SCHEMA).parse(text)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"party": "2"}, {"party": 2}),
        ({"party": 2.0}, {"party": 2}),
        ({"price": "2.50"}, {"price": 2.5}),
        ({"price": 3}, {"price": 3}),
        ({"outside": "True"}, {"outside": True}),
        ({"names": [1, "b"]}, {"names": ["1", "b"]}),
        ({"names": '["a"]'}, {"names": ["a"]}),
        ({"address": '{"number": "7"}'}, {"address": {"number": 7}}),
        ({"party": None}, {}),
        ({"table": None}, {"table": None}),
        ({"table": "4"}, {"table": 4}),
        ({"either": "4"}, {"either": 4}),
        ({"either": None}, {"either": None}),
    ],
)
def test_what_loses_nothing_is_made_to_fit(given: dict[str, Any], made: dict[str, Any]) -> None:
    assert parse(given) == {"day": "2030-01-31", **made}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{}", "Wrong arguments for book: day is missing. Mend them and call it again."),
        ({"party": "two"}, 'party must be integer, not "two"'),
        ({"party": 2.5}, "party must be integer, not 2.5"),
        ({"party": True}, "party must be integer, not true"),
        ({"party": "007"}, "party must be integer"),
        ({"party": 0}, "party: 0 is less than the minimum of 1"),
        ({"outside": "yes"}, 'outside must be boolean, not "yes"'),
        ({"day": "tomorrow"}, 'day: "tomorrow" is no date (write 2030-01-31)'),
        ({"meal": "tea"}, 'meal must be one of "lunch", "dinner", not "tea"'),
        ({"address": {}}, "address.number is missing"),
        ({"names": {"a": 1}}, "names must be array"),
        ({"people": 2}, "the arguments: people is not known (known: day, party,"),
        ("[1]", "must be one JSON object, not [1]"),
        ('{"day": ', "are no valid JSON (Expecting value"),
        ('{"day": NaN}', "NaN is not allowed"),
        ("[" * 100_000, "are no valid JSON"),
        ('{"day": "' + "x" * 300_000 + '"}', "too long"),
    ],
)
def test_what_does_not_fit_is_explained_to_the_model(given: Any, words: str) -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        parse(given)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 800


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        parse('{"party": "two", "outside": 3}')
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize("text", ["", "  ", "null", "{}"])
def test_no_arguments_at_all_are_an_empty_object(text: str) -> None:
    assert ArgumentsSchema("now", {"type": "object", "properties": {}}).parse(text) == {}


def test_references_inside_the_schema_work() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    assert ArgumentsSchema("t", schema).parse('{"a": 1}') == {"a": 1}
    with pytest.raises(ToolArgumentsInvalid, match="a must be integer"):
        ArgumentsSchema("t", schema).parse('{"a": "x"}')


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, 'with "type": "object"'),
        (
            {"type": "object", "properties": {"a": {"type": "text"}}},
            "t: parameters.properties.a.type is no JSON Schema",
        ),
        ({"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/x"}}}, "refer to http://127.0.0.1/x"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "refer to file:"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_at_once(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolError) as caught:
        ArgumentsSchema("t", schema)
    assert words in str(caught.value)


def test_a_reference_to_nothing_is_an_error_and_no_crash() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}
    with pytest.raises(ToolArgumentsInvalid):
        ArgumentsSchema("t", schema).parse('{"a": 1}')
