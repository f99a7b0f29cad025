"""Type hints and docstrings -> the schema that the model sees, and JSON -> what the function wants."""

import datetime
import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest
from jsonschema import Draft202012Validator

from agentd.tools import RunContext, signature
from agentd.tools.signature import SignatureRefused, ToolFunction
from agentd.tools.strict import strict_form


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Grade(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Address:
    """Where to deliver.

    Args:
        street: Street and number.
    """

    street: str
    city: str = "Leeds"
    notes: list[str] = field(default_factory=list)


@dataclass
class Order:
    address: Address
    size: Size


class Item(TypedDict):
    name: str
    count: NotRequired[int]


@dataclass
class Node:
    next: Optional["Node"] = None


def book(
    ctx: RunContext,
    name: str,
    party: int,
    when: datetime.datetime,
    size: Size = Size.SMALL,
    table: Literal["inside", "outside"] = "inside",
    note: Annotated[str, "Anything else."] = "",
    phone: str | None = None,
) -> str:
    """Book a table.

    Only when the caller has said yes.

    Args:
        ctx: not for the model
        name (str): The caller's
            full name.
        party: How many: children too.

    Returns:
        The number of the booking.
    """
    return ""


def described(function: Any) -> ToolFunction:
    found = signature.describe(function)
    Draft202012Validator.check_schema(found.arguments.schema)
    return found


def shape_of(annotation: Any) -> dict[str, Any]:
    return signature.shape(annotation).schema


def test_a_function_is_described_by_its_hints_and_docstring() -> None:
    found = described(book)
    assert (found.name, found.context) == ("book", "ctx")
    assert found.description == "Book a table.\n\nOnly when the caller has said yes."
    assert found.arguments.schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "The caller's full name."},
            "party": {"type": "integer", "description": "How many: children too."},
            "when": {"type": "string", "format": "date-time"},
            "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
            "table": {"type": "string", "enum": ["inside", "outside"], "default": "inside"},
            "note": {"type": "string", "description": "Anything else.", "default": ""},
            "phone": {"type": ["string", "null"]},
        },
        "required": ["name", "party", "when"],
        "additionalProperties": False,
    }
    assert json.dumps(found.arguments.schema)


def test_json_becomes_what_the_hints_say() -> None:
    context = RunContext()
    bound = described(book).bind({"name": "Zoë", "party": 2, "when": "2030-01-31T19:30:00Z", "size": "large"}, context)
    assert bound == {
        "ctx": context,
        "name": "Zoë",
        "party": 2,
        "when": datetime.datetime(2030, 1, 31, 19, 30, tzinfo=datetime.UTC),
        "size": Size.LARGE,
    }


PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list, {"type": "array", "items": {}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": True}),
        (dict, {"type": "object", "additionalProperties": True}),
        (int | str, {"type": ["integer", "string"]}),
        (Optional[float], {"type": ["number", "null"]}),  # noqa: UP045
        (tuple[int, str], PAIR),
        (tuple[float, float], {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
        (datetime.timedelta, {"type": "string", "format": "duration"}),
        (Size | None, {"anyOf": [{"type": "string", "enum": ["small", "large"]}, {"type": "null"}]}),
        (Grade, {"type": "integer", "enum": [1, 2]}),
        (Literal[1, "a"], {"type": ["string", "integer"], "enum": [1, "a"]}),
        (Annotated[int, "Years."], {"type": "integer", "description": "Years."}),
        (Decimal, {"type": "number"}),
        (datetime.date, {"type": "string", "format": "date"}),
    ],
)
def test_each_type_has_its_schema(annotation: Any, schema: dict[str, Any]) -> None:
    assert shape_of(annotation) == schema


def test_dataclasses_and_typed_dicts_nest() -> None:
    order = signature.shape(Order)
    assert order.schema["properties"]["address"] == {
        "type": "object",
        "properties": {
            "street": {"type": "string", "description": "Street and number."},
            "city": {"type": "string", "default": "Leeds"},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["street"],
        "additionalProperties": False,
    }
    assert order.convert({"address": {"street": "1 Mill Lane"}, "size": "small"}) == Order(
        Address("1 Mill Lane"), Size.SMALL
    )
    items = signature.shape(list[Item])
    assert items.schema["items"]["required"] == ["name"]
    assert items.convert([{"name": "tea"}, {"name": "bun", "count": 2}]) == [
        {"name": "tea"},
        {"name": "bun", "count": 2},
    ]


def test_a_union_takes_the_member_that_fits() -> None:
    either = signature.shape(datetime.date | int | Address | None)
    assert either.convert("2030-01-31") == datetime.date(2030, 1, 31)
    assert either.convert(7) == 7
    assert either.convert({"street": "x"}) == Address("x")
    assert either.convert(None) is None
    with pytest.raises(ValueError, match="fits none"):
        either.convert("soon")


def test_only_what_can_be_said_in_strict_mode_is_strict() -> None:
    def with_default(a: str = "") -> None: ...

    def with_free_keys(a: dict[str, str]) -> None: ...

    assert strict_form(described(with_default).arguments.schema) == {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "description": 'If null: "".'}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert strict_form(described(with_free_keys).arguments.schema) is None


def test_null_stands_for_a_default_where_it_is_no_value() -> None:
    def tool(a: int = 3, b: int | None = 4) -> None: ...

    assert described(tool).bind({"a": None, "b": None}, RunContext()) == {"b": None}


def test_a_class_that_contains_itself_is_a_definition() -> None:
    found = signature.shape(Node)
    assert found.schema == {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
                "required": [],
                "additionalProperties": False,
            }
        },
    }
    assert found.convert({"next": {"next": None}}) == Node(Node(None))


def test_a_context_is_known_by_its_name_too() -> None:
    def tool(a: str, ctx, other: int) -> None: ...  # type: ignore[no-untyped-def]

    found = described(tool)
    assert (found.context, list(found.arguments.schema["properties"])) == ("ctx", ["a", "other"])


def test_a_context_may_be_optional_or_stand_anywhere() -> None:
    def tool(a: str, context: RunContext | None = None) -> None: ...

    found = described(tool)
    assert found.context == "context"
    assert list(found.arguments.schema["properties"]) == ["a"]


def untyped(day) -> None: ...  # type: ignore[no-untyped-def]


def unknown_name(day: "Dya") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def many(*days: str) -> None: ...


def generator(day: str) -> Any:
    yield day


def odd(day: complex) -> None: ...


def numbered(table: dict[int, str]) -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "day has no type hint; write for example day: str"),
        (unknown_name, "hints cannot be resolved"),
        (many, r"\*days"),
        (generator, "generator"),
        (odd, "day: complex has no JSON form"),
        (numbered, r"dict\[str, ...\]"),
    ],
)
def test_what_no_model_could_call_is_refused_with_the_reason(function: Any, words: str) -> None:
    with pytest.raises(SignatureRefused, match=words):
        signature.describe(function)
