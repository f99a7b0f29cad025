"""What `agentd plan` says of an edit: setting by setting, with its place, its class and where it comes from."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.diff import Change, applied, definition_changes, settings_changes, unable_with
from agentd.config.provider_choice import ProviderChoice
from agentd.config.reload_class import class_of, class_of_kind, records_of
from agentd.config.shapes import Field, ProviderBlock, fields_of
from agentd.providers.fields import METADATA_KEY, ReloadClass, Setting
from agentd.registry import installed
from tests.config.files import PROVIDERS, loaded, write
from tests.config.test_load import EVERYTHING


def changes(folder: Path, before: dict[str, str], after: dict[str, str]) -> tuple[Change, ...]:
    """Of the agent `a`."""
    write(folder, before)
    old = loaded(folder)
    assert not old.errors, old.errors
    write(folder, after)
    new = loaded(folder)
    assert not new.errors, new.errors
    return definition_changes(old.agents["a"], new.agents["a"], new.places["a"], folder=str(folder))


def edit(folder: Path, before: str, after: str) -> tuple[Change, ...]:
    return changes(folder, {"a.yaml": PROVIDERS + before}, {"a.yaml": PROVIDERS + after})


def told(folder: Path, change: Change) -> tuple[str, Any, Any, str, str, str]:
    place = change.place.replace(f"{folder}/", "")
    return (change.path, change.old, change.new, change.reload, place, change.origin)


def test_a_setting_is_told_with_its_place_its_values_and_its_class(tmp_path: Path) -> None:
    [change] = edit(tmp_path, "", "turn:\n  endpointing:\n    min_delay: 700ms\n")
    assert told(tmp_path, change) == ("turn.endpointing.min_delay", "500ms", "700ms", "next_turn", "a.yaml:6", "file")


def test_a_setting_that_is_taken_away_is_told_at_the_nearest_block(tmp_path: Path) -> None:
    [change] = edit(tmp_path, "limits: {concurrency: 3, max_tool_steps: 4}\n", "limits:\n  max_tool_steps: 4\n")
    assert told(tmp_path, change) == ("limits.concurrency", 3, None, "live", "a.yaml:5", "file")
    [change] = edit(tmp_path, "description: x\n", "")
    assert told(tmp_path, change) == ("description", "x", "", "live", "a.yaml:1", "file")


def test_a_comment_an_order_and_a_spelling_are_no_change(tmp_path: Path) -> None:
    assert edit(tmp_path, "turn: {endpointing: {min_delay: 0.5s}}\nlanguage: en\n", "# x\nlanguage: en\n") == ()


def test_a_part_a_default_and_a_prompt_are_told_where_they_are_written(tmp_path: Path) -> None:
    agent = f"extends: _base.yaml\ninstructions_file: p.md\n{PROVIDERS}"
    before = {"a.yaml": agent, "_base.yaml": "language: en\n", "p.md": "Be kind.\nBe brief.\n"}
    found = changes(tmp_path, before, {"_base.yaml": "\nlanguage: de\n", "p.md": "Be kind.\nBe slow.\nBe quiet."})
    assert [told(tmp_path, change) for change in found] == [
        ("language", "en", "de", "next_session", "_base.yaml:2", "part"),
        ("instructions_file", "Be brief.", "Be slow.", "next_turn", "p.md:2", "prompt"),
    ]


def test_a_provider_is_told_setting_by_setting_and_another_one_as_a_whole(tmp_path: Path) -> None:
    other = PROVIDERS.replace("model: m", "model: n")
    [change] = changes(tmp_path, {"a.yaml": PROVIDERS}, {"a.yaml": other})
    assert told(tmp_path, change) == ("llm.model", "m", "n", "next_turn", "a.yaml:2", "file")
    fallback = other.replace("model: n", "model: n, fallback: [{provider: parrot, model: o}]")
    [change] = changes(tmp_path, {"a.yaml": other}, {"a.yaml": fallback})
    assert (change.path, change.old, change.reload) == ("llm.fallback[0]", None, "next_turn")
    assert change.new["model"] == "o"


def test_tools_are_told_apart_by_their_names(tmp_path: Path) -> None:
    first = "{type: webhook, name: find, description: d, url: 'https://a.example/x', timeout: 3s}"
    second = "{type: builtin, name: end_call}"
    found = edit(
        tmp_path,
        f"tools:\n- {first}\n",
        f"tools:\n- {second}\n- {first.replace('3s', '4s')}\n",
    )
    timeout, added = found
    assert told(tmp_path, timeout) == ("tools[find].timeout", "3s", "4s", "next_turn", "a.yaml:6", "file")
    assert (added.path, added.old, added.new["name"]) == ("tools[end_call]", None, "end_call")
    assert added.place == f"{tmp_path}/a.yaml:5"


def test_an_empty_prompt_is_a_change_too(tmp_path: Path) -> None:
    agent = {"a.yaml": f"{PROVIDERS}instructions_file: p.md\n", "p.md": ""}
    [change] = changes(tmp_path, {"a.yaml": PROVIDERS}, agent)
    assert (change.path, change.old, change.new) == ("instructions_file", None, "")


def test_an_end_of_a_line_is_a_change_too(tmp_path: Path) -> None:
    [change] = edit(tmp_path, "instructions: |-\n  Be\n  kind.\n", "instructions: |\n  Be\n  kind.\n")
    assert (change.old, change.new) == ("kind.", "kind. (and a line's end)")


def test_a_secret_is_never_told(tmp_path: Path) -> None:
    hook = "{{type: webhook, name: f, description: d, url: 'https://a.example/x', headers: {{X-Api-Key: {key}}}}}"
    [change] = edit(
        tmp_path, f"tools: [{hook.format(key='first-key')}]\n", f"tools: [{hook.format(key='second-key')}]\n"
    )
    assert (change.path, change.old, change.new) == ("tools[f].headers.X-Api-Key", "***", "*** (another)")


def test_a_key_in_a_prompt_is_not_told_either(tmp_path: Path) -> None:
    key = "sk-" + "a1" * 12
    [change] = edit(tmp_path, "instructions: |\n  Be kind.\n", f"instructions: |\n  Be kind.\n  Use {key}.\n")
    assert (change.old, change.new) == (None, "***")


def test_tool_code_is_told_file_by_file(tmp_path: Path) -> None:
    before = {"a.yaml": f"{PROVIDERS}tools: [{{type: python, ref: 'tools.t:go'}}]\n", "tools/t.py": "def go(): 1\n"}
    found = changes(tmp_path, before, {"tools/t.py": "def go(): 2\n", "tools/other.py": ""})
    assert [(change.path, change.origin, change.reload) for change in found] == [
        ("tools/other.py", "code", "next_turn"),
        ("tools/t.py", "code", "next_turn"),
    ]
    assert found[0].old is None
    assert found[1].place == f"{tmp_path}/tools/t.py:1"


def test_agentd_yaml_wants_a_restart(tmp_path: Path) -> None:
    old, new = DaemonConfig(), DaemonConfig(workers=3)
    [change] = settings_changes(old, new, {"workers": "agentd.yaml:2"}, "agentd.yaml")
    assert (change.path, change.new, change.reload, change.place) == ("workers", 3, "restart", "agentd.yaml:2")


def without(text: str, number: int) -> str:
    """The file less one of its top-level keys."""
    keys = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)
    return "".join(keys[:number] + keys[number + 1 :])


@pytest.mark.parametrize("number", range(1, 1 + len(re.findall("^[a-z]", EVERYTHING, re.MULTILINE))))
def test_every_difference_is_told_and_nothing_else_whichever_way(tmp_path: Path, number: int) -> None:
    write(tmp_path, {"tools/booking.py": "async def book(): ...\n"})
    versions = []
    for text in (EVERYTHING, without(EVERYTHING, number)):
        write(tmp_path, {"a.yaml": text})
        result = loaded(tmp_path)
        versions += [(each, result.places[name]) for name, each in result.agents.items()]
    for old, _ in versions:
        for new, places in versions:
            found = definition_changes(old, new, places, folder=str(tmp_path))
            assert bool(found) == (old.digest != new.digest)
            assert all(re.fullmatch(r".+:\d+", change.place) for change in found)
            assert "owl-key" not in str(found)


# Every field has a class


def settings_of(cls: type[Any], around: ReloadClass | None, path: str, seen: set[Any]) -> list[tuple[str, ReloadClass]]:
    found: list[tuple[str, ReloadClass]] = []
    for field in fields_of(cls):
        applies = class_of(field, around)
        found.append((f"{path}.{field.key}", applies))
        for inner in records_of(field.shape):
            if (inner, applies) not in seen:
                seen.add((inner, applies))
                found += settings_of(inner, applies, f"{path}.{field.key}", seen)
    return found


@pytest.mark.parametrize("cls", [AgentDefinition, DaemonConfig])
def test_every_field_of_a_file_has_a_class(cls: type[Any]) -> None:
    for field in fields(cls):
        declared = field.metadata.get(METADATA_KEY)
        assert declared is None or declared.reload is not None, f"{field.name} says itself when an edit of it applies"
    classes = {applies for _, applies in settings_of(cls, None, "", set())}
    assert classes <= {"live", "next_turn", "next_session", "restart"}
    assert (cls is DaemonConfig) == (classes == {"restart"})


def test_every_setting_of_a_provider_has_a_class() -> None:
    registry = installed()
    kinds = [field.shape.kind for field in fields_of(AgentDefinition) if isinstance(field.shape, ProviderBlock)]
    told = [
        pair
        for kind in kinds
        for component in registry.components(kind)
        for pair in settings_of(registry.settings_class(component), class_of_kind(kind), component.provider, set())
    ]
    assert told
    assert {applies for _, applies in told} <= {"next_turn", "next_session"}


def test_a_field_without_a_class_is_a_fault() -> None:
    field = Field("x", "x", fields_of(AgentDefinition)[0].shape, False, None, Setting(doc="d"))
    with pytest.raises(TypeError, match="no reload class"):
        class_of(field, None)


# What reaches calls under way


def change(path: str, reload: ReloadClass) -> Change:
    return Change(path=path, old=1, new=2, reload=reload, place="a.yaml:1", origin="file")


def test_without_reload_live_only_what_is_of_no_call_applies_at_once() -> None:
    label, words, room = change("description", "live"), change("instructions", "next_turn"), change("room", "restart")
    result = applied([label, words, room], reload="next_session")
    assert (result.daemon, result.now, result.restart) == ((label,), (), (room,))
    assert result.later == ((words, "the agent does not say reload: live"),)


def test_with_reload_live_the_rest_is_told_to_wait_and_why(tmp_path: Path) -> None:
    words, vad = change("instructions", "next_turn"), change("vad.activation", "next_session")
    result = applied([words, vad], reload="live")
    assert result.now == (words,)
    assert result.later == ((vad, "it holds from the beginning of a call"),)


def test_what_a_realtime_model_cannot_take_waits_for_the_next_call() -> None:
    definition = installed_realtime()
    words, tongue = change("instructions", "next_turn"), change("languages.de", "next_turn")
    result = applied([words, tongue], reload="live", unable=unable_with(definition, definition))
    assert result.now == (words,)
    [(waits, why)] = result.later
    assert waits == tongue
    assert "while it is connected" in why


def installed_realtime() -> AgentDefinition:
    def choice(kind: Any) -> ProviderChoice:
        return ProviderChoice(kind=kind, provider="whale", settings=None, digest="1")

    return AgentDefinition(name="a", realtime=choice("realtime"), vad=choice("vad"))
