"""Edits of the agent's file that a call under way takes: made ready beside the conversation, taken at a turn's end.

Make before break: the call goes on by the revision that it has until the other is ready and its providers have
answered, and keeps it when that cannot be had, which is on record. Of several edits the newest counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.config.live_edit import Edit, edit_of
from agentd.errors import AgentdError
from agentd.session.conversation import Conversation
from agentd.session.inbox import EditReady
from agentd.session.setup import Equipment
from agentd.tools.acts import WithholdEdit
from agentd.tools.spec import ToolRunner

log = logging.getLogger(__name__)

READY_S = 90.0
"""For what an edit brings to be made: a model from a slow disk takes its time, and nobody waits for it."""

Kept = Sequence[tuple[str, str]]
"""Settings that stay as they were, and why."""

LET_GO_S = 65.0
"""So long what a call ran by is kept after an edit: summaries and streams of it may still be at work, and hooks, which
have a minute at the most."""


class AtWork(Protocol):
    @property
    def under_way(self) -> bool:
        """Whether something has begun that is not to be cut in two."""
        ...


@dataclass(slots=True)
class _Pending:
    """`written`: what the file says. `equipment`: for the call by that, once it is ready; `failed`: why it will not
    be."""

    written: AgentDefinition
    edit: Edit
    equipment: Equipment | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class _Former:
    """What the call ran by until `at`."""

    at: float
    tools: ToolRunner
    definition: AgentDefinition


class LiveEdits:
    """One session's, for its own task. `post` puts an event before it; `become` has all its parts follow an edit;
    `parts`: that an edit waits for while they are at work; `needed`: whether something of these tools is to be called
    at the end."""

    def __init__(
        self,
        conversation: Conversation,
        post: Callable[[EditReady], None],
        become: Callable[[Equipment], None],
        parts: Sequence[AtWork],
        needed: Callable[[ToolRunner], bool],
    ) -> None:
        self._conversation = conversation
        self._post = post
        self._become = become
        self._parts = parts
        self._needed = needed
        self.tasks: asyncio.TaskGroup | None = None  # in which edits are made ready, once the session has it
        self._seen = ""  # the revision that was looked at last
        self._pending: _Pending | None = None
        self._former: list[_Former] = []

    def look(self) -> None:
        """What serves may be another revision than a moment ago."""
        running = self._conversation.definition
        newest = self._conversation.setup.agents.newest(running.name)
        if newest is None or newest.digest == (self._seen or running.revision):
            return
        self._seen = newest.digest
        self._drop()
        if newest.reload != "live" or newest.revision == running.revision:
            return
        edit = edit_of(running, newest)
        if edit.definition is not None:
            self._pending = _Pending(newest, edit)
            assert self.tasks is not None
            self.tasks.create_task(self._make_ready(self._pending, edit.definition, running))
        elif edit.kept:
            self._keep(newest.revision, edit.kept, "edit_holds_later")

    def withhold(self, act: WithholdEdit) -> None:
        """What serves is another revision, which this process is not given."""
        running = self._conversation.definition
        if act.agent == running.name and act.revision not in (self._seen, running.revision):
            self._seen = act.revision
            self._drop()
            self._keep(act.revision, tuple(act.kept.items()), "edit_not_here", act.why)

    def follow_agent(self) -> None:
        """Another agent has the call, whose file may have been edited as well."""
        self._seen = ""
        self._drop()
        self.look()

    def step(self, *, boundary: bool) -> None:
        """Does what is due. `boundary`: nobody has the turn, and the agent says nothing."""
        self._let_go()
        pending = self._pending
        if pending is None:
            return
        if pending.failed:
            self._pending = None
            kept = (*pending.edit.kept, *((path, pending.failed) for path in pending.edit.applied))
            self._keep(pending.written.revision, kept, "edit_not_ready", pending.failed)
        elif boundary and pending.equipment is not None and not self._half_done:
            self._pending = None
            self._take(pending, pending.equipment)

    @property
    def _half_done(self) -> bool:
        """Whether a tool runs (one whose result somebody brings later does not), or something else does."""
        calls = self._conversation.calls.open
        return any(not each.background or each.callback is None for each in calls) or any(
            part.under_way for part in self._parts
        )

    async def _make_ready(self, pending: _Pending, definition: AgentDefinition, running: AgentDefinition) -> None:
        setup, ready = self._conversation.setup, False
        try:
            async with asyncio.timeout(READY_S):
                equipment = await setup.agents.equip_edited(definition)
                ready = True
                await setup.trials.make(running, equipment, self._conversation.language)
            pending.equipment = equipment
        except (AgentdError, TimeoutError) as error:
            pending.failed = str(error) or f"it was not ready within {READY_S:g} s"
        if ready and (pending.failed or self._pending is not pending):
            await setup.agents.let_go(definition)
        self._post(EditReady())

    def _take(self, pending: _Pending, equipment: Equipment) -> None:
        conversation, edit = self._conversation, pending.edit
        before, definition = conversation.definition, equipment.definition
        self._former.append(_Former(now(), conversation.tools, before))
        self._become(equipment)
        conversation.record(
            "agent.edited",
            agent=definition.name,
            revision=definition.revision,
            previous=before.revision,
            source=definition.source,
            places=dict(definition.places),
            applied=list(edit.applied),
            kept=_named(edit.kept),
            language=conversation.language,
            variables=dict(conversation.variables),
            first_hook=conversation.first_hook,
        )
        conversation.setup.agents.runs(definition)
        extra = {"revision": definition.revision, "applied": ", ".join(edit.applied), "kept": _shown(edit.kept)}
        log.info("call took an edit", extra=extra)

    def _drop(self) -> None:
        """Another edit, or another agent, has come before this one was taken."""
        dropped, self._pending = self._pending, None
        if dropped is not None and dropped.equipment is not None:
            self._release(dropped.equipment.definition)

    def _release(self, definition: AgentDefinition) -> None:
        assert self.tasks is not None
        self.tasks.create_task(self._conversation.setup.agents.let_go(definition))

    def _keep(self, revision: str, kept: Kept, rule: str, why: str = "") -> None:
        """The call keeps what it has, and not this revision."""
        running = self._conversation.definition
        self._conversation.record(
            "decision",
            rule=rule,
            action="KeepRevision",
            value=why,
            agent=running.name,
            revision=revision,
            previous=running.revision,
            kept=_named(kept),
        )
        extra = {"revision": revision, "rule": rule, "reason": why or _shown(kept)}
        log.warning("call keeps its revision", extra=extra)

    def _let_go(self) -> None:
        """Of what nothing is at work any more."""
        at_work = [call.tools for call in self._conversation.calls.open]
        for former in list(self._former):
            in_use = self._needed(former.tools) or any(tools is former.tools for tools in at_work)
            if now() - former.at >= LET_GO_S and not in_use:
                self._former.remove(former)
                self._release(former.definition)


def _named(kept: Kept) -> list[dict[str, str]]:
    return [{"setting": path, "why": why} for path, why in kept]


def _shown(kept: Kept) -> str:
    return "; ".join(f"{path}: {why}" for path, why in kept)
