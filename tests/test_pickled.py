"""Objects from a process of another version of agentd."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentd import pickled
from agentd.providers.fields import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    name: str
    inner: tuple[Told, ...] = ()
    extra: dict[str, int] = field(default_factory=dict)


def test_what_is_written_is_read() -> None:
    told = Told(name="a", inner=(Told(name="b", extra={"n": 1}),))
    assert pickled.loads(pickled.dumps(told)) == told
    secret = Secret(source="literal", value="s3cret")
    assert pickled.loads(pickled.dumps(secret)) == secret


def moved(monkeypatch: pytest.MonkeyPatch, *fields: Any) -> None:
    """From now on the class has these fields, as in another version of it."""
    namespace = {"__module__": __name__}
    newer = dataclasses.make_dataclass("Told", fields, namespace=namespace, frozen=True, slots=True, kw_only=True)
    monkeypatch.setattr(sys.modules[__name__], "Told", newer)


def test_a_field_that_the_reader_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickled.dumps(Told(name="a", extra={"n": 1}))
    moved(monkeypatch, ("name", str))
    assert pickled.loads(data) == Told(name="a")
    assert [each.name for each in dataclasses.fields(Told)] == ["name"]


def test_a_field_that_the_writer_did_not_know_has_its_default_wherever_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = pickled.dumps(Told(name="a"))
    moved(monkeypatch, ("newer", list, field(default_factory=list)), ("name", str), ("least", int, field(default=3)))
    read = pickled.loads(data)
    assert (read.newer, read.name, read.least) == ([], "a", 3)


def test_a_field_without_a_default_that_the_writer_did_not_know_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickled.dumps(Told(name="a"))
    moved(monkeypatch, ("name", str), ("needed", int))
    with pytest.raises(pickled.Unreadable, match="Told has no needed"):
        pickled.loads(data)


def test_a_class_that_is_gone_is_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = pickled.dumps(Told(name="a"))
    monkeypatch.delattr(sys.modules[__name__], "Told")
    with pytest.raises(pickled.Unreadable):
        pickled.loads(data)


def test_what_is_no_dataclass_is_pickled_as_always() -> None:
    for value in (None, {"a": [1, 2.5]}, ValueError("x").args, Told, b"bytes"):
        assert pickled.loads(pickled.dumps(value)) == pickle.loads(pickle.dumps(value))
