"""What a call under way takes of an edit, and what of it waits for the next call."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.diff import definition_changes
from agentd.config.live_edit import Edit, edit_of
from tests.config.files import PROVIDERS, loaded, write
from tests.config.test_diff import without
from tests.config.test_load import EVERYTHING

AT_FIRST = "it holds from the beginning of a call"


def read(folder: Path, text: str) -> AgentDefinition:
    write(folder, {"a.yaml": text})
    found = loaded(folder)
    assert not found.errors, found.errors
    return replace(found.agents["a"], places=found.places["a"])


def edited(folder: Path, before: str, after: str) -> tuple[AgentDefinition, AgentDefinition, Edit]:
    old, new = (read(folder, f"{PROVIDERS}reload: live\n{text}") for text in (before, after))
    return old, new, edit_of(old, new)


def test_an_edit_of_what_may_change_is_taken_as_it_is_written(tmp_path: Path) -> None:
    _, new, edit = edited(tmp_path, "instructions: old\n", "instructions: new\nvariables: {hours: 8 to 6}\n")
    assert edit.definition is new
    assert (edit.applied, edit.kept) == (("instructions", "variables.hours"), ())


def test_what_holds_from_the_beginning_is_kept_and_the_digest_names_both_revisions(tmp_path: Path) -> None:
    old, new, edit = edited(
        tmp_path,
        "instructions: old\nturn: {detection: vad, endpointing: {min_delay: 1s}}\n",
        "greeting: {say: hi}\ninstructions: new\nturn: {detection: stt, endpointing: {min_delay: 2s}}\n",
    )
    mixed = edit.definition
    assert mixed is not None
    assert (mixed.instructions, mixed.turn.endpointing.min_delay) == ("new", 2.0)
    assert (mixed.greeting, mixed.turn.detection) == (None, "vad")
    assert edit.applied == ("instructions", "turn.endpointing.min_delay")
    assert edit.kept == (("greeting", AT_FIRST), ("turn.detection", AT_FIRST))
    assert (mixed.digest, mixed.revision) == (f"{new.digest}+{old.digest}", new.digest)
    assert mixed.places["turn.detection"] == old.places["turn.detection"]
    assert mixed.places["instructions"] == new.places["instructions"]


def test_what_is_kept_is_kept_through_every_later_edit(tmp_path: Path) -> None:
    old, _, first = edited(tmp_path, "instructions: a\n", "instructions: b\ngreeting: {say: hi}\n")
    assert first.definition is not None
    third = read(tmp_path, f"{PROVIDERS}reload: live\ninstructions: c\ngreeting: {{say: hello}}\n")
    second = edit_of(first.definition, third)
    assert second.definition is not None
    assert (second.definition.greeting, second.definition.instructions) == (None, "c")
    assert second.definition.digest == f"{third.digest}+{old.digest}"
    assert edit_of(second.definition, old).definition is old, "going back is an edit as any other"


def test_nothing_is_taken_where_nothing_may_change(tmp_path: Path) -> None:
    for after in ("greeting: {say: hi}\n", "description: x\n", "limits: {concurrency: 3}\n"):
        assert edited(tmp_path, "", after)[2].definition is None


def test_an_agent_that_does_not_say_so_has_its_calls_keep_what_they_have(tmp_path: Path) -> None:
    old, new = (read(tmp_path, f"{PROVIDERS}instructions: {text}\n") for text in ("old", "new"))
    edit = edit_of(old, new)
    assert (edit.definition, edit.kept) == (None, (("instructions", "the agent does not say reload: live"),))


def test_parts_that_do_not_go_together_are_not_taken(tmp_path: Path) -> None:
    hook = "hooks: [{on: session_started, do: {task: name}}]\n"
    task = "tasks: [{name: name, fields: [{type: name, name: who}]}]\n"
    edit = edited(tmp_path, "", task + hook)[2]
    assert edit.definition is None
    assert dict(edit.kept)["hooks[0]"] == (
        'its hooks begin the task "name", and tasks hold from the beginning of a call'
    )
    webhook = "tools: [{type: webhook, name: book, description: d, url: 'https://a.example/x'}]\n"
    task = "tasks: [{name: name, fields: [{type: name, name: who}], done: {tool: {name: book}}}]\n"
    edit = edited(tmp_path, webhook + task, "")[2]
    assert dict(edit.kept)["tools[book]"].startswith('it has no tool "book" any more')


def test_a_setting_that_needs_one_which_is_kept_is_not_taken(tmp_path: Path) -> None:
    model = "turn: {detection: model}\nturn_detector: {provider: bat}\n"
    edit = edited(tmp_path, model, "")[2]
    assert edit.definition is None
    assert 'needs a "turn_detector"' in dict(edit.kept)["turn_detector"]


@pytest.mark.parametrize("number", range(1, 1 + len(re.findall("^[a-z]", EVERYTHING, re.MULTILINE))))
def test_a_call_has_exactly_what_it_was_told_to_take(tmp_path: Path, number: int) -> None:
    """The definition differs from the old one by what is applied, and from the new one by what is kept."""
    write(tmp_path, {"tools/booking.py": "async def book(): ...\n"})
    versions = []
    for text in (EVERYTHING, without(EVERYTHING, number)):
        write(tmp_path, {"a.yaml": text})
        versions += [replace(each, reload="live", rollout=None) for each in loaded(tmp_path).agents.values()]
    for old in versions:
        for new in versions:
            edit = edit_of(old, new, {})
            if edit.definition is None:
                assert not edit.what.now
                continue
            taken = {change.path for change in (*edit.what.now, *edit.what.daemon)}
            assert {change.path for change in definition_changes(old, edit.definition, {})} == taken
            assert {change.path for change in definition_changes(edit.definition, new, {})} == {
                path for path, _ in edit.kept
            }
