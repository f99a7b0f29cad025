"""Whatever is done to an agent file: problems, never a traceback, and never a definition that breaks its own rules."""

from __future__ import annotations

import json
import pickle
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentd.config.check import Checker
from agentd.config.definition import NAME_PATTERN, AgentDefinition
from agentd.config.render import rendered
from agentd.config.shapes import Leaf, Record, fields_of
from agentd.config.source import parse
from tests.config.files import loaded
from tests.config.test_load import EVERYTHING

SEED = 20_261_124
ROUNDS = 1200
SNIPPETS = [
    "{", "}", "[", "]", ":", "- ", "&a ", "*a", "!!int ", "!x", "|", ">", "'", '"', "\n", "  ", "\t", "#",
    "---\n", "...\n",
    "null", "~", "true", "no", "-1", "1e999", "0x", ".nan", "99999999999999999999", "${", "${X}", "${X:-1}", "$$", "}",
    "{{", "}}", "{% if %}", "{{ x.y }}", "\x00", "\x85", "\ufeff", "\u2028", "ü", "💥", "?", "<<: *a\n", "x-",
    "0s", "5", "1h",
    "../", "/etc/passwd", "os:system", "whsec_", "extends: a.yaml\n", "instructions_file: .\n", "name: front-desk\n",
]  # fmt: skip


def mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        text = chance.choice((_gentle, _gentle, _rough))(chance, text)
    return text


def _gentle(chance: random.Random, text: str) -> str:
    """Leaves the file YAML, most of the time."""
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    match chance.randint(0, 4):
        case 0:
            return re.sub(r"[0-9]", lambda m: chance.choice("0123456789") if chance.random() < 0.1 else m[0], text)
        case 1:
            return "\n".join(lines[:at] + lines[at + 1 :])
        case 2:
            return "\n".join([*lines[:at], "# a comment", f"x-{chance.randint(0, 99)}: [1]", *lines[at:]])
        case 3:
            return re.sub(
                r"\b(true|false|vad|sip|leave|end_call)\b", lambda _: chance.choice(("true", "vad", "sip")), text
            )
        case _:
            letters = [n for n, character in enumerate(text) if character.isalpha()]
            place = chance.choice(letters or [0])
            return text[:place] + chance.choice("aeinst") + text[place + 1 :]


def _rough(chance: random.Random, text: str) -> str:
    at, end = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
    lines = text.split("\n")
    match chance.randint(0, 6):
        case 0:
            return text[:at] + chance.choice(SNIPPETS) + text[at:]
        case 1:
            return text[:at] + text[min(end, at + 12) :]
        case 2:
            chance.shuffle(lines)
            return "\n".join(lines)
        case 3:
            lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
            return "\n".join(lines)
        case 4:
            return text[:at]
        case 5:
            return re.sub(
                r": [^\n{}\[\],]+", lambda m: f": {chance.choice(SNIPPETS)}" if chance.random() < 0.1 else m[0], text
            )
        case _:
            return text[:at] + text[at : at + 20][::-1] + text[at + 20 :]


def assert_sound(definition: AgentDefinition) -> None:
    """Every field within what it declares, and the whole good for the wire, for people and for its own digest."""
    assert re.fullmatch(NAME_PATTERN, definition.name)
    assert re.fullmatch(r"[0-9a-f]{64}", definition.digest)
    assert pickle.loads(pickle.dumps(definition)) == definition
    json.dumps(rendered(definition), allow_nan=False)
    _within_bounds(definition)


def _within_bounds(value: object) -> None:
    for field in fields_of(type(value)):
        content = getattr(value, field.name)
        if content is None:
            assert field.nullable
        elif isinstance(field.shape, Record):
            _within_bounds(content)
        elif field.shape in (Leaf("integer"), Leaf("number"), Leaf("duration")):
            assert field.setting.minimum is None or content >= field.setting.minimum
            assert field.setting.maximum is None or content <= field.setting.maximum


@pytest.mark.timeout(120)  # thousands of files: how long that takes is the machine's matter
def test_mutated_agent_files_give_problems_or_sound_definitions(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "booking.py").write_text("def book(): ...\n")
    good = bad = 0
    for number in range(ROUNDS):
        text = mutated(chance, EVERYTHING)
        (tmp_path / "a.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        result = loaded(tmp_path)
        assert result.agents or result.errors, f"round {number}: neither an agent nor an error"
        assert result.broken or not result.errors
        for definition in result.agents.values():
            assert_sound(definition)
        for problem in result.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert "\n" not in str(problem)
            assert not re.search(r"Traceback|object at 0x|<class", str(problem))
        good, bad = good + bool(result.agents), bad + bool(result.errors)
    assert good > ROUNDS / 20
    assert bad > ROUNDS / 2


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b"\x80abc", b"\xef\xbb\xbfname: x", b"", b"\x00" * 100, "a: ü".encode("latin-1")]
)
def test_bytes_that_are_no_text_are_answered(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    result = loaded(tmp_path)
    assert result.errors
    assert not result.agents


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from([field.key for field in fields_of(AgentDefinition)])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(keys, trees, max_size=6))
def test_any_tree_under_the_known_keys_is_answered(tree: dict[str, object]) -> None:
    parsed = parse(json.dumps(tree), "f.yaml")
    for document in parsed.documents:
        checker = Checker(environment={})
        checker.record(document.root, AgentDefinition)
        assert checker.problems
