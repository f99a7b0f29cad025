from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from agentd.config.source import Scalar, parse, plain


def value_of(text: str) -> Any:
    parsed = parse(f"v: {text}\n", "f.yaml")
    assert not parsed.problems
    return plain(parsed.documents[0].root)["v"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("y", "y"), ("off", "off"),
        ("012", "012"), ("12:30", "12:30"), ("1.10", "1.10"), ("2026-11-24", "2026-11-24"), ("+4930123", "+4930123"),
        ("1_000", "1_000"), (".5", ".5"), ("5.", "5."), ("0b11", "0b11"), (".inf", ".inf"), ("=", "="),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("12", 12), ("0x1F", 31), ("0o17", 15), ("1.5", 1.5), ("1.0", 1.0), ("1e3", 1000.0),
        ("1e999", "1e999"), ("1" * 50, "1" * 50),
        ("'12'", "12"), ('"true"', "true"), ("''", ""),
    ],
)  # fmt: skip
def test_scalars_mean_what_yaml_1_2_says_and_lose_nothing(text: str, value: Any) -> None:
    read = value_of(text)
    assert read == value
    assert type(read) is type(value)


def test_every_node_and_key_knows_its_place() -> None:
    document = parse("a: 1\nb:\n  - x\n  -  c:   deep\n", "dir/f.yaml").documents[0].root
    entry = document.by_key["b"]  # type: ignore[union-attr]
    assert (entry.mark.line, entry.mark.column) == (2, 1)
    inner = entry.value.items[1].by_key["c"]  # type: ignore[union-attr]
    assert (inner.mark.line, inner.mark.column) == (4, 6)
    assert (inner.value.mark.file, inner.value.mark.line, inner.value.mark.column) == ("dir/f.yaml", 4, 11)


def test_columns_count_characters() -> None:
    entry = parse('{"größe": "ü", b: c}', "f.yaml").documents[0].root.by_key["b"]  # type: ignore[union-attr]
    assert entry.mark.column == 16


def test_documents_are_numbered() -> None:
    parsed = parse("a: 1\n---\nb: 2\n---\nc: 3\n", "f.yaml")
    assert [document.source for document in parsed.documents] == ["f.yaml", "f.yaml#2", "f.yaml#3"]


def test_an_alias_is_its_anchors_node() -> None:
    root = parse("x: &a {k: v}\ny: *a\n", "f.yaml").documents[0].root
    assert plain(root) == {"x": {"k": "v"}, "y": {"k": "v"}}


def test_documents_before_a_syntax_error_are_there() -> None:
    parsed = parse("a: 1\n---\nb: {\n", "f.yaml")
    assert len(parsed.documents) == 1
    assert parsed.problem is not None
    assert parsed.problem.code == "yaml-syntax"


def test_block_scalars_are_told_apart() -> None:
    root = parse("a: |\n  text\nb: text\nc: 'text'\n", "f.yaml").documents[0].root
    a, b, c = (root.get(key) for key in "abc")  # type: ignore[union-attr]
    assert isinstance(a, Scalar)
    assert isinstance(b, Scalar)
    assert isinstance(c, Scalar)
    assert (a.block, b.block, c.plain) == (True, False, False)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    [BOMB, "[" * 500_000, "{" * 500_000, "- " * 400_000, "a: &a [*a]", '"' + "x" * 1_000_000, "? " * 300_000,
     "[" * 30 + "]" * 30 + "}" * 100_000, "&a " * 100_000, "!!x " * 100_000, "a: " * 100_000],
    ids=["aliases", "lists", "mappings", "dashes", "cycle", "quote", "keys", "brackets", "anchors", "tags", "colons"],
)  # fmt: skip
def test_a_bomb_costs_little_time_and_memory(text: str) -> None:
    tracemalloc.start()
    try:
        started = time.perf_counter()
        parsed = parse(text, "bomb.yaml")
        took = time.perf_counter() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert parsed.problem is not None
    assert took < 1.0
    assert peak < 64 << 20


def test_many_nodes_are_counted_with_aliases_written_out() -> None:
    half = "a: &a [" + "x," * 49_000 + "]\n"
    assert parse(half + "b: *a\n", "f.yaml").problem is None
    twice = parse(half + "b: *a\nc: *a\n", "f.yaml")
    assert twice.problem is not None
    assert twice.problem.code == "too-large"
