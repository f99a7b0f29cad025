"""Our schemas of 80 signatures: as committed, valid, and within the rules of strict mode where they say that they are.

python -m bench.tool_schemas compares them with livekit-agents' and the OpenAI SDK's; `--write` commits anew.
"""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agentd.tools.context import RunContext
from agentd.tools.signature import describe
from agentd.tools.strict import MAX_DEPTH, strict_form
from bench.tool_schemas import SNAPSHOTS, own, same_form
from tests.tools.signatures import SIGNATURES
from tests.tools.strict_rules import broken

COMMITTED = json.loads(SNAPSHOTS.read_text())


def test_there_are_at_least_sixty_and_all_are_committed() -> None:
    assert len(SIGNATURES) >= 60
    assert list(COMMITTED) == list(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_schema_is_as_committed(name: str) -> None:
    found = own(name)
    assert found == COMMITTED[name]
    Draft202012Validator.check_schema(found["parameters"])
    Draft202012Validator.check_schema(found["checked"])
    if found["strict"]:
        assert list(broken(found["parameters"])) == []


def test_only_free_keys_and_values_of_any_type_are_not_strict() -> None:
    loose = {name for name, each in COMMITTED.items() if not each["strict"]}
    assert loose == {"list_bare", "mapping", "mapping_abstract", "mapping_bare", "anything", "model_nested"}


def test_what_is_too_deep_or_has_too_many_choices_is_not_strict() -> None:
    def nested(levels: int) -> dict[str, Any]:
        inner = nested(levels - 1) if levels else {"type": "string"}
        return {"type": "object", "properties": {"a": inner}, "required": ["a"], "additionalProperties": False}

    assert strict_form(nested(MAX_DEPTH - 1)) is not None
    assert strict_form(nested(MAX_DEPTH)) is None
    assert strict_form({"type": "integer", "enum": list(range(1001))}) is None


def converted(name: str, **arguments: Any) -> Any:
    return describe(SIGNATURES[name]).bind(arguments, RunContext())


def test_models_are_made_and_their_own_rules_are_told() -> None:
    guest = converted("model", a={"name": "Ann", "age": None})["a"]
    assert (type(guest).__name__, guest.name, guest.age) == ("Guest", "Ann", None)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        converted("model", a={"name": "Ann", "age": -1})
    assert converted("model_alias", a={"from": "2030-01-31"})["a"].from_day.year == 2030
    dog = converted("model_union", a={"kind": "dog", "tricks": ["roll"]})["a"]
    assert (type(dog).__name__, dog.tricks) == ("Dog", ["roll"])
    assert converted("model_recursive", a={"value": 1, "children": [{"value": 2}]})["a"].children[0].value == 2


def test_what_is_left_out_is_the_default_that_a_field_declares() -> None:
    assert converted("field_as_default") == {"a": 4}
    assert converted("field_as_default", a=None) == {"a": 4}
    assert converted("annotated_default") == {"a": 4}


def test_named_and_fixed_tuples_and_durations_are_made() -> None:
    point = converted("named_tuple", a={"x": 1.5})["a"]
    assert (point.x, point.y) == (1.5, 0.0)
    assert converted("tuple_fixed", a=[1, "x"]) == {"a": (1, "x")}
    assert converted("duration", a="PT1H30M")["a"].total_seconds() == 5400
    assert converted("duration", a="-P1DT0.5S")["a"].total_seconds() == -86400.5
    for wrong in ("P", "1h", "P1Y"):
        with pytest.raises(ValueError, match="no duration"):
            converted("duration", a=wrong)


def test_the_comparison_sees_through_ways_of_writing() -> None:
    written = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}], "$defs": {"A": {"const": "x", "type": "string"}}}
    assert same_form(written, {}) == same_form({"type": ["string", "null"], "enum": ["x", None]}, {})
    assert same_form({"type": "string"}, {}) != same_form({"type": ["string", "null"]}, {})
