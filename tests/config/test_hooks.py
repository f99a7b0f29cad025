"""Hooks in an agent file: which events they name, when they hold, and that they are part of what an agent is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentd.config.conditions import holds
from agentd.config.daemon import load_daemon
from agentd.config.event_names import BEFORE_REPLY, EVENT_FIELDS, names_for
from agentd.config.hooks import BEFORE_REPLY_TIMEOUT_S, HOOK_TIMEOUT_S, Hook, HookActions
from agentd.config.load import Loaded, load
from agentd.session.event_types import EVENT_TYPES
from tests.fakes.plugins import fake_registry

HEAD = "stt: {provider: owl}\nllm: {provider: parrot, model: m}\ntts: {provider: wren}\n"


def loaded(folder: Path, hooks: str, code: str = "def act(event): ...\n") -> Loaded:
    (folder / "tools").mkdir(exist_ok=True)
    (folder / "tools" / "code.py").write_text(code)
    (folder / "front.yaml").write_text(HEAD + hooks)
    return load(folder, load_daemon(None, {}).config, fake_registry(), {"OWL_API_KEY": "x"})


def test_configuration_knows_the_events_that_sessions_tell() -> None:
    """Where this fails, agentd/config/event_names.py is to follow agentd/session/happenings.py."""
    assert {name: event.fields for name, event in EVENT_TYPES.items()} == EVENT_FIELDS


def test_a_pattern_stands_for_events_and_never_for_what_a_reply_waits_for() -> None:
    assert names_for("participant_linked") == ("participant_linked",)
    known = (
        "participant_linked",
        "participant_left",
        "participant_updated",
        "participant_muted",
        "participant_unheard",
    )
    assert names_for("participant_*") == known
    assert names_for("*") == tuple(EVENT_FIELDS)
    assert names_for(BEFORE_REPLY) == (BEFORE_REPLY,)
    assert names_for("before_*") == names_for("close?") == ()


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        ({}, True),
        ({"state": "away"}, True),
        ({"state": "here"}, False),
        ({"state": {"in": ["here", "away"]}}, True),
        ({"state": {"in": []}}, False),
        ({"count": {"min": 2}}, True),
        ({"count": {"min": 2, "max": 3}}, True),
        ({"count": {"min": 2.5, "max": 3}}, True),
        ({"count": {"max": 2}}, False),
        ({"count": 3, "state": "here"}, False),
        ({"figures.e2e": {"max": 1}}, True),
        ({"figures.other": {"max": 1}}, False),
        ({"figures.other": None}, True),
        ({"count.e2e": None}, True),
        ({"final": True}, True),
        ({"one": True}, False),
        ({"final": {"min": 0}}, False),
        ({"state": {"min": 0}}, False),
        ({"one": 1.0}, True),
    ],
)
def test_a_condition_holds_when_every_field_is_as_wanted(conditions: dict[str, Any], answer: bool) -> None:
    data = {"state": "away", "count": 3, "figures": {"e2e": 0.8}, "final": True, "one": 1}
    assert holds(conditions, data) is answer


def test_an_agent_file_says_hooks_as_they_are_read_aloud(tmp_path: Path) -> None:
    text = """
hooks:
  - on: user_state_changed
    if: {new_state: away}
    do: {set: {asked: true}, say: "Are you still there?"}
  - on: before_reply
    do: {python: "tools.code:act"}
  - on: close
    timeout: 10s
    do: {python: "tools.code:act"}
"""
    found = loaded(tmp_path, text)
    assert found.problems == ()
    away, before, close = found.agents["front"].hooks
    assert away == Hook(
        on="user_state_changed",
        if_={"new_state": "away"},
        do=HookActions(set={"asked": True}, say="Are you still there?"),
    )
    assert away.do.named == ("set", "say")
    assert [hook.timeout_s for hook in (away, before, close)] == [HOOK_TIMEOUT_S, BEFORE_REPLY_TIMEOUT_S, 10]
    assert [hook.is_before_reply for hook in (away, before, close)] == [False, True, False]
    places = found.agents["front"].places
    line = HEAD.count("\n") + 3
    assert re.search(rf"front\.yaml:{line}$", places["hooks[0]"])


def test_a_hook_and_its_code_are_part_of_the_revision(tmp_path: Path) -> None:
    first = loaded(tmp_path, 'hooks: [{on: close, do: {python: "tools.code:act"}}]').agents["front"].digest
    moved = loaded(tmp_path, '# a comment\nhooks: [{on: close, do: {python: "tools.code:act"}}]').agents["front"].digest
    other = loaded(tmp_path, 'hooks: [{on: error, do: {python: "tools.code:act"}}]').agents["front"].digest
    code = loaded(tmp_path, 'hooks: [{on: close, do: {python: "tools.code:act"}}]', "def act(): ...\n")
    assert first == moved
    assert len({first, other, code.agents["front"].digest}) == 3
