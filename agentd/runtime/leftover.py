"""Calls in workers that take no more of them: recycled, let go, replaced by new code, or left by an earlier daemon.

An edit under `reload: live` reaches them where their worker runs the code of those that take calls: it prepares what
its calls may go by, and nothing else. Another version of the code is given no definitions that it may not understand.
Calls that an edit does not reach are told so, for their record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from agentd.config.definition import AgentDefinition
from agentd.config.live_edit import edit_of
from agentd.errors import WorkerDied
from agentd.runtime.jobs import JobTable, Session
from agentd.runtime.pool import Pool
from agentd.runtime.status import BetweenWorkers
from agentd.runtime.worker_handle import WorkerHandle
from agentd.tools.acts import Act, WithholdEdit

PREPARED_WITHIN_S = 30.0
"""New calls, which wait for it, go to other workers."""

OTHER_CODE = "the worker that holds the call takes no more calls, and runs other code than those that do"
TOO_LATE = f"the worker that holds the call takes no more calls, and has not made it within {PREPARED_WITHIN_S:.0f} s"


class Leftover:
    """`control`: has a call do something."""

    def __init__(self, pool: Pool, table: Callable[[], JobTable], control: Callable[[str, Act], object]) -> None:
        self._pool = pool
        self._table = table
        self._control = control

    def reached(self, agent: str) -> int:
        """Calls of it that an edit reaches: those that wait for a worker get one that takes calls."""
        aside = {worker.name for worker in self._pool.draining if not self._pool.is_newest(worker)}
        return sum(each.definition.name == agent and each.worker not in aside for each in self._table())

    async def prepare(self, number: int, definitions: Sequence[AgentDefinition]) -> Mapping[tuple[str, str, str], str]:
        """Why edits do not reach their calls: by worker, agent and revision."""
        unreached: dict[tuple[str, str, str], str] = {}

        async def ask(worker: WorkerHandle, wanted: tuple[AgentDefinition, ...]) -> None:
            found = {each.name: TOO_LATE for each in wanted}
            with suppress(TimeoutError, WorkerDied):
                async with asyncio.timeout(PREPARED_WITHIN_S):
                    rejected = await worker.prepare(number, wanted)
                    found = {each.agent: "; ".join(each.problems) for each in rejected}
            missing = [each for each in wanted if each.name in found]
            unreached.update({(worker.name, each.name, each.digest): found[each.name] for each in missing})

        async with asyncio.TaskGroup() as group:
            for worker in self._pool.draining:
                wanted = self._wanted(worker, definitions)
                if self._pool.is_newest(worker):
                    if wanted:
                        group.create_task(ask(worker, wanted))
                else:
                    unreached.update({(worker.name, each.name, each.digest): OTHER_CODE for each in wanted})
        return unreached

    def commit(
        self, number: int, agents: Mapping[str, AgentDefinition], unreached: Mapping[tuple[str, str, str], str]
    ) -> None:
        """These serve from now on."""
        for worker in self._pool.draining:
            if self._pool.is_newest(worker):
                made = worker.revisions.intersection((each.name, each.digest) for each in agents.values())
                worker.commit(number, {**worker.serving, **dict(made)})
        for (worker_name, name, revision), why in unreached.items():
            newest = agents.get(name)
            if newest is not None and newest.digest == revision:
                self._withhold(self._table().of_worker(worker_name), newest, why)

    def _wanted(self, worker: WorkerHandle, definitions: Iterable[AgentDefinition]) -> tuple[AgentDefinition, ...]:
        names = {name for session in self._table().of_worker(worker.name) for name in _agents_of(session)}
        return tuple(each for each in definitions if each.reload == "live" and each.name in names)

    def _withhold(self, sessions: Iterable[Session], newest: AgentDefinition, why: str) -> None:
        for session in sessions:
            if (session.acting or session.agent) != newest.name:
                continue
            running = next((each for each in (session.definition, *session.others) if each.name == newest.name), None)
            edit = edit_of(running, newest) if running is not None else None
            if edit is not None and not edit.applied and not edit.kept:
                continue  # there is nothing in it for a call
            kept = {**dict(edit.kept), **dict.fromkeys(edit.applied, why)} if edit is not None else {}
            act = WithholdEdit(agent=newest.name, revision=newest.revision, why=why, kept=kept)
            with suppress(BetweenWorkers):  # it begins anew in one that takes calls
                self._control(session.id, act)


def _agents_of(session: Session) -> tuple[str, ...]:
    """By which it goes, or may go."""
    return (session.agent, session.acting, *(each.name for each in session.others))
