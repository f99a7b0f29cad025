"""What a call under way takes of an edit of its agent's file: the definition that it goes on with. Pure.

A call takes what may change while it goes on (class "next turn") and keeps what holds from its beginning. What comes of
both is a definition of its own: of the file's new revision, and known by a digest that names as well the revision that
the rest is from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import MIXED, AgentDefinition
from agentd.config.diff import Applied, Change, applied, definition_changes, is_record, unable_with
from agentd.config.provider_choice import ProviderChoice
from agentd.config.reload_class import class_of
from agentd.config.rules import findings_of
from agentd.config.shapes import fields_of
from agentd.config.tasks import DIGITS_TASK
from agentd.config.values import canonical, digest
from agentd.providers.fields import ReloadClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """`definition`: what a call that ran the old one goes on with; None: with the old one. `what`: becomes of each
    change."""

    what: Applied
    definition: AgentDefinition | None = None

    @property
    def applied(self) -> tuple[str, ...]:
        """The settings that the call takes."""
        return tuple(change.path for change in self.what.now)

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """The settings that stay as they were, and why."""
        return tuple((change.path, why) for change, why in self.what.later)


def edit_of(
    running: AgentDefinition, written: AgentDefinition, places: Mapping[str, str] | None = None, folder: str = ""
) -> Edit:
    """`running`: by which a call goes now; `written`: what the file says. `places`: of the file's settings; `folder`:
    the agents' directory, as it is shown."""
    changes = definition_changes(running, written, written.places if places is None else places, folder=folder)
    unable = unable_with(running, written)
    what = applied(changes, reload=written.reload, unable=unable)
    if not what.now:
        return Edit(what=what)
    blocks = {_block(change) for change in changes if unable(change) is not None}
    mixed = _mixed(running, written, blocks, [change.path for change, _ in what.later])
    if why := _misfit(running, mixed):
        return Edit(what=replace(what, now=(), later=(*what.later, *((change, why) for change in what.now))))
    return Edit(what=what, definition=mixed)


def _block(change: Change) -> str:
    return change.path.partition(".")[0].partition("[")[0]


def _mixed(
    running: AgentDefinition, written: AgentDefinition, blocks: Collection[str], kept: Collection[str]
) -> AgentDefinition:
    """`blocks`: top-level settings that stay whole; `kept`: all that stay."""
    taken: AgentDefinition = _record(running, written, None)
    mixed = replace(taken, **{name: getattr(running, name) for name in blocks})
    if not kept or canonical(mixed) == canonical(written):
        return written
    before = {setting: place for setting, place in running.places.items() if _is_under(setting, kept)}
    began = running.digest.partition(MIXED)[2] or running.digest
    return replace(mixed, digest=f"{written.digest}{MIXED}{began}", places={**written.places, **before})


def _is_under(setting: str, kept: Collection[str]) -> bool:
    return any(setting == path or setting.startswith((f"{path}.", f"{path}[")) for path in kept)


def _record(old: Any, new: Any, around: ReloadClass | None) -> Any:
    """The new value, with what of the old one holds to the end of a call."""
    changed = {}
    for field in fields_of(type(new)):
        if field.key == "extends":
            continue
        was, becomes = getattr(old, field.name), getattr(new, field.name)
        value = _value(was, becomes, class_of(field, around))
        if value is not becomes:
            changed[field.name] = value
    return replace(new, **changed) if changed else new


def _value(old: Any, new: Any, applies: ReloadClass) -> Any:
    if canonical(old) == canonical(new):
        return new
    if isinstance(old, ProviderChoice) and isinstance(new, ProviderChoice) and old.provider == new.provider:
        settings = _record(old.settings, new.settings, applies)
        fallback = old.fallback if applies == "next_session" else new.fallback
        if settings is new.settings and fallback is new.fallback:
            return new
        return replace(new, settings=settings, digest=digest([new.kind, new.provider, settings]), fallback=fallback)
    if is_record(old) and type(old) is type(new):
        return _record(old, new, applies)
    if applies != "next_session" and isinstance(old, Mapping) and isinstance(new, Mapping):
        return {key: _value(old[key], value, applies) if key in old else value for key, value in new.items()}
    return old if applies == "next_session" else new


def _misfit(running: AgentDefinition, mixed: AgentDefinition) -> str:
    """Why the parts do not go together; "": they do."""
    wrong = next((found for found in findings_of(mixed) if not found.warning), None)
    if wrong is not None:
        return f"it would not go with what holds from the beginning of a call: {wrong.message}"
    digits = {DIGITS_TASK for tool in mixed.tools if isinstance(tool, CollectDigitsTool)}
    tasks = digits | {task.name for task in mixed.tasks}
    for hook in mixed.hooks:
        if hook.do.task is not None and hook.do.task not in tasks:
            return f'its hooks begin the task "{hook.do.task}", and tasks hold from the beginning of a call'
    gone = {_name(tool) for tool in running.tools} - {_name(tool) for tool in mixed.tools}
    if called := sorted(gone & set(_called_by_tasks(mixed))):
        return f'it has no tool "{called[0]}" any more, which tasks call that hold from the beginning of a call'
    return ""


def _name(tool: Any) -> str:
    return str(getattr(tool, "name", None) or "")


def _called_by_tasks(definition: AgentDefinition) -> Iterator[str]:
    for task in definition.tasks:
        yield from (each.tool.name for each in (task.done, *task.fields) if each.tool is not None)
