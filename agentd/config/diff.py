"""What differs between two versions of an agent (or of agentd.yaml), setting by setting: where it is written, from what
to what, and when it applies. Pure; nothing in a Change is a secret."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import PurePath
from typing import Any, Literal

from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.reload_class import class_of
from agentd.config.render import shown
from agentd.config.shapes import Field, fields_of
from agentd.config.values import canonical
from agentd.providers.fields import IncludedFile, ReloadClass

Origin = Literal["file", "part", "defaults", "prompt", "code", "daemon", "plugin", "agentd"]
"""Where the new value comes from: the agent's own file, a part that it extends, agentd.yaml's defaults, the file of its
instructions, the code of its tools; agentd.yaml itself; a plugin's or agentd's own code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`old` and `new` as `agentd render` shows them, None where there is nothing; of long texts the first line that
    differs. `place`: file:line of the new value, or of the nearest block around it that is written."""

    path: str
    old: Any
    new: Any
    reload: ReloadClass
    place: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A setting that differs: `path` for people ("tools[book].url"), `written` as it stands in the new file."""

    path: str
    written: str
    field: Field | None
    old: Any
    new: Any
    reload: ReloadClass


def definition_changes(
    old: AgentDefinition, new: AgentDefinition, places: Mapping[str, str], *, folder: str = ""
) -> tuple[Change, ...]:
    """`places`: file:line by setting of all that is written for `new`. `folder`: the agents' directory, as shown."""
    own = new.source.partition("#")[0]
    found = [_change(step, places, own, folder) for step in steps(old, new)]
    return (*found, *_code_changes(old, new, folder))


def settings_changes(old: Any, new: Any, places: Mapping[str, str], file: str) -> tuple[Change, ...]:
    """The same of any other configuration dataclass, such as agentd.yaml's."""
    changes = (_change(step, places, file, "") for step in steps(old, new))
    return tuple(dataclasses.replace(change, origin="daemon") for change in changes)


def steps(old: Any, new: Any) -> Iterator[Step]:
    """Every setting that differs between two values of one configuration dataclass."""
    yield from _record(old, new, "", "", None)


def _record(old: Any, new: Any, path: str, written: str, around: ReloadClass | None) -> Iterator[Step]:
    for field in fields_of(type(new)):
        if field.key == "extends":
            continue  # what it brings along differs, or nothing does
        was, becomes = getattr(old, field.name), getattr(new, field.name)
        applies = class_of(field, around)
        yield from _value(was, becomes, _key(path, field.key), _key(written, field.key), field, applies)


def _value(old: Any, new: Any, path: str, written: str, field: Field | None, applies: ReloadClass) -> Iterator[Step]:
    if canonical(old) == canonical(new):
        return
    if isinstance(old, ProviderChoice) and isinstance(new, ProviderChoice) and old.provider == new.provider:
        yield from _record(old.settings, new.settings, path, written, applies)
        yield from _list(old.fallback, new.fallback, _key(path, "fallback"), _key(written, "fallback"), applies)
    elif is_record(old) and type(old) is type(new):
        yield from _record(old, new, path, written, applies)
    elif _are_lists(old, new) and any(map(is_record, (*old, *new))):
        yield from _list(old, new, path, written, applies)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            was, becomes = old.get(key), new.get(key)
            yield from _value(was, becomes, _key(path, str(key)), _key(written, str(key)), None, applies)
    else:
        yield Step(path=path, written=written, field=field, old=old, new=new, reload=applies)


def _list(old: Sequence[Any], new: Sequence[Any], path: str, written: str, applies: ReloadClass) -> Iterator[Step]:
    """Items are told apart by their names where all have one, else by their places."""
    before, after = _by_name(old), _by_name(new)
    places = {name: number for number, name in enumerate(after)}
    for name in dict.fromkeys((*before, *after)):
        here = f"{path}[{name}]"
        there = f"{written}[{places[name]}]" if name in places else written
        was, becomes = before.get(name), after.get(name)
        yield from _value(was, becomes, here, there, None, applies)


def _by_name(items: Sequence[Any]) -> Mapping[str, Any]:
    names = [str(getattr(item, "name", None) or getattr(item, "ref", None) or "") for item in items]
    if "" in names or len(set(names)) < len(names):
        names = [str(number) for number in range(len(items))]
    return dict(zip(names, items, strict=True))


def is_record(value: Any) -> bool:
    return (
        dataclasses.is_dataclass(value)
        and not isinstance(value, ProviderChoice | IncludedFile)
        and bool(_declared(type(value)))
    )


def _declared(cls: type[Any]) -> Sequence[Field]:
    try:
        return fields_of(cls)
    except TypeError:  # a value type, such as a secret
        return ()


def _are_lists(old: Any, new: Any) -> bool:
    return isinstance(old, tuple) and isinstance(new, tuple)


def _key(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _change(step: Step, places: Mapping[str, str], own: str, folder: str) -> Change:
    place = _place(step.written, places) or f"{own}:1"
    origin = _origin(place.rpartition(":")[0], own, folder)
    old, new = shown(step.old, step.field), shown(step.new, step.field)
    if isinstance(step.new, IncludedFile):
        was, becomes = step.old.text if isinstance(step.old, IncludedFile) else "", step.new.text
        line, old, new = _first_difference(was, becomes) if was != becomes else (1, None, "")  # an empty file
        place, origin = f"{PurePath(folder) / step.new.path}:{line}", "prompt"
    elif isinstance(step.old, str) and isinstance(step.new, str) and "\n" in step.old + step.new:
        _, old, new = _first_difference(step.old, step.new)
    if old == new:
        new = f"{new} (another)"  # masked, both of them
    return Change(path=step.path, old=old, new=new, reload=step.reload, place=place, origin=origin)


def _place(written: str, places: Mapping[str, str]) -> str:
    """Of the setting, or of the nearest block around it."""
    while written and written not in places:
        written = written[: max(written.rfind("."), written.rfind("["), 0)]
    return places.get(written, "")


def _origin(file: str, own: str, folder: str) -> Origin:
    if file == own:
        return "file"
    return "part" if PurePath(file).is_relative_to(folder) else "defaults"


def _first_difference(old: str, new: str) -> tuple[int, str | None, str | None]:
    """The number of the first line that differs, from 1, and both of it."""
    pairs = zip_longest(old.splitlines(keepends=True), new.splitlines(keepends=True))
    number, (was, becomes) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    was, becomes = (line and line.removesuffix("\n") for line in (was, becomes))
    if was == becomes:
        becomes = f"{becomes} (and a line's end)" if new.endswith("\n") else f"{becomes} (without a line's end)"
    return number, shown(was), shown(becomes)


def _code_changes(old: AgentDefinition, new: AgentDefinition, folder: str) -> Iterator[Change]:
    applies = next(class_of(field, None) for field in fields_of(AgentDefinition) if field.name == "tools")
    before, after = _files_of(old), _files_of(new)
    for file in sorted(before.keys() | after.keys()):
        was, becomes = before.get(file), after.get(file)
        if was != becomes:
            yield Change(
                path=file,
                old=was and was[:8],
                new=becomes and becomes[:8],
                reload=applies,
                place=f"{PurePath(folder) / file}:1",
                origin="code",
            )


def _files_of(definition: AgentDefinition) -> Mapping[str, str]:
    return {file: digest for files in definition.code.values() for file, digest in files.items()}


# What of it reaches calls under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Which changes reach calls under way: `now` at the next turn's boundary; `daemon` at once, and no call in
    particular; `later` only the next calls, each with why; `restart`: nothing before the daemon is started again."""

    now: tuple[Change, ...] = ()
    daemon: tuple[Change, ...] = ()
    later: tuple[tuple[Change, str], ...] = ()
    restart: tuple[Change, ...] = ()


Unable = Callable[[Change], str | None]
"""Why a call's model cannot take this change while the call goes on; None: it can."""


def applied(changes: Sequence[Change], *, reload: str, unable: Unable = lambda change: None) -> Applied:
    """What becomes of these changes in a call under way. `reload`: the agent's setting, as the new version has it."""
    now, daemon, later, restart = [], [], [], []
    for change in changes:
        if change.reload == "restart":
            restart.append(change)
        elif change.reload == "live":
            daemon.append(change)
        elif change.reload == "next_session":
            later.append((change, "it holds from the beginning of a call"))
        elif reload != "live":
            later.append((change, "the agent does not say reload: live"))
        elif why := unable(change):
            later.append((change, why))
        else:
            now.append(change)
    return Applied(now=tuple(now), daemon=tuple(daemon), later=tuple(later), restart=tuple(restart))


def unable_with(old: AgentDefinition, new: AgentDefinition) -> Unable:
    """For calls that run `old` while the file says `new`. A canary's calls are counted for one revision. A realtime
    model's connection is told its instructions and tools anew, but what else is made with it stays."""

    def unable(change: Change) -> str | None:
        if old.rollout is not None or new.rollout is not None:
            return "a canary's calls keep the revision that they are counted for"
        model = old.realtime or new.realtime
        block = change.path.partition(".")[0].partition("[")[0]
        if model is None or block not in ("stt", "llm", "tts", "languages"):
            return None
        if (old.realtime is None) != (new.realtime is None):
            return f"{model.provider} holds a whole call or none of it"
        if block == "tts" and (old.tts is None) == (new.tts is None):
            return None
        return f'{model.provider} takes no other "{block}" while it is connected'

    return unable
