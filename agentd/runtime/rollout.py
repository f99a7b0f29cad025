"""From files to what serves: load -> prepare on every worker -> commit. Make before break.

The atomic unit is one agent: one that a worker cannot make keeps its last good version, the others go on. Nothing
that runs is touched, so there is nothing to restore. At most one rollout runs and one waits: whoever asks while one
runs shares the next, which reads the files anew.

What is not of the files goes ahead of that: an agent that goes back to an earlier revision waits for no tests and no
new code, which may take minutes. Both come together under `changing`: what serves changes in one place at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Protocol

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.config.generation import Diff, Generation, next_generation, with_rejected
from agentd.config.load import Loaded
from agentd.errors import Problem, WorkerDied
from agentd.runtime.gate import Gate
from agentd.runtime.holds import Hold, put_in_place
from agentd.runtime.leftover import Leftover
from agentd.runtime.pool import Pool
from agentd.runtime.status import CodeOutcome, Measure, MeasureSink, ReloadOutcome
from agentd.runtime.systemd import Phase
from agentd.runtime.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

WORKER_WAIT_S = 120.0
DEATHS_AT_MOST = 2
"""One death while preparing may have been an accident; two are the new definition's doing."""

NO_GENERATION = 0


class WorkersCode(Protocol):
    """`agentd.runtime.replacement.Replacement`. `problems`: of the code, as it was found last."""

    problems: tuple[Problem, ...]

    async def renew(self) -> CodeOutcome | None: ...


class Rollout:
    """Owns the current generation. `run` serves the requests of `reload`."""

    def __init__(
        self,
        *,
        pool: Pool,
        changing: asyncio.Lock,
        leftover: Leftover,
        load: Callable[[Mapping[str, str]], Loaded],
        revise: Callable[[Loaded], Awaitable[Loaded]],
        committed: Callable[[], None],
        keep: Callable[[tuple[AgentDefinition, ...], Mapping[str, str]], Awaitable[None]],
        measures: MeasureSink,
        notify: Callable[[Phase], None],
        reloaded: Callable[[ReloadOutcome], None] = lambda outcome: None,
        code: WorkersCode | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`changing` is held by whoever changes what serves, or which workers do. `load` reads the files, told what
        serves from where, and may block; `revise` says what of it may serve now. `committed` is called right after a
        new generation serves, `reloaded` after every reading, and `keep` with what it has brought, and the texts that
        were read, once those who waited know. `leftover`: calls in workers that take no more. `code`: what the workers
        run. `gate`: the agents' own tests."""
        self._notify = notify
        self._pool = pool
        self._changing = changing
        self._leftover = leftover
        self._unreached: Mapping[tuple[str, str, str], str] = {}  # of what is being changed: see `Leftover`
        self._load = load
        self._revise = revise
        self._keep = keep
        self._committed = committed
        self._reloaded = reloaded
        self._code = code
        self._code_asked = False
        self._gate = gate
        self._measures = measures
        self._waiters: list[asyncio.Future[ReloadOutcome]] = []
        self._asked = asyncio.Event()
        self._worker_ready = asyncio.Event()
        self.current: Generation | None = None
        self._refused: Mapping[str, tuple[Problem, ...]] = {}  # by agent, why what its file says does not serve
        self._texts: Mapping[str, str] = {}
        self.coalesced = 0

    @property
    def number(self) -> int:
        return self.current.number if self.current else NO_GENERATION

    @property
    def agents(self) -> Mapping[str, AgentDefinition]:
        """What serves."""
        return self.current.agents if self.current else {}

    @property
    def sources(self) -> Mapping[str, str]:
        """By name, the files that serve."""
        return {name: agent.source for name, agent in self.agents.items()}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything wrong with the files as they were read last."""
        of_code = self._code.problems if self._code else ()
        refused = (problem for problems in self._refused.values() for problem in problems)
        return (*(self.current.problems if self.current else ()), *refused, *of_code)

    async def reload(self, *, code: bool = False) -> ReloadOutcome:
        """Reads the files again and applies what changed; with `code`, looks at the workers' code too."""
        waiter: asyncio.Future[ReloadOutcome] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.request(code=code)
        return await waiter

    def request(self, *, code: bool = False) -> None:
        """A reload that nobody waits for."""
        self._code_asked |= code
        self.coalesced += self._asked.is_set()
        self._asked.set()

    def worker_ready(self) -> None:
        self._worker_ready.set()

    async def run(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            waiters, self._waiters = self._waiters, []
            self._notify("reloading")
            outcome = await self._apply()
            self._tell(outcome)
            self._notify("ready")
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(outcome)
            brought = [self.agents[name] for name in (*outcome.added, *outcome.updated) if name in self.agents]
            await self._keep(tuple(brought), self._texts)
            self._texts = {}

    async def welcome(self, worker: WorkerHandle) -> None:
        """Prepares a new worker with what serves; returns in the moment in which it is up to date."""
        while True:
            number, agents = self.number, self.agents
            rejected = await worker.prepare(number, tuple(agents.values()))
            for rejection in rejected:
                extra = {"worker": worker.name, "agent": rejection.agent, "reason": "; ".join(rejection.problems)}
                logger.error("worker could not serve an agent", extra=extra)
            worker.lacking = {rejection.agent: rejection.problems for rejection in rejected}
            if self.number == number:
                worker.commit(number, revisions_of(agents))
                return

    async def put_in_place(self, definition: AgentDefinition, hold: Hold | None) -> tuple[str, ...]:
        """Has an agent that serves go by this revision, which has served before. Reads no file, and waits for none that
        is being tried: at the most until what workers are preparing is prepared. `hold`: why it is not what the file
        says; None: it is. Answers why it cannot serve; (): it does."""
        began = now()
        async with self._changing:
            current = self.current
            if current is None or definition.name not in current.agents:
                return ("its file is gone",)
            changed = definition.digest != current.agents[definition.name].digest
            candidate = put_in_place(current, definition, hold)
            refusals = await self._prepare(candidate.number, (definition,)) if changed else {}
            if refusals:
                self._commit_to_workers()  # they close what they have prepared in vain
                return refusals[definition.name]
            self._refused = {name: why for name, why in self._refused.items() if name != definition.name}
            if changed:
                self._commit(candidate)
            else:
                self.current = candidate
            outcome = self._outcome(Diff(updated=(definition.name,) if changed else ()), began)
        self._tell(outcome)
        await self._keep((definition,), {})
        return ()

    async def _apply(self) -> ReloadOutcome:
        began = now()
        asked, self._code_asked = self._code_asked, False
        code = await self._code.renew() if asked and self._code is not None else None  # files may say what it can do
        loaded = await asyncio.to_thread(self._load, self.sources)
        self._texts = loaded.texts
        diff = await self._bring(loaded, again=asked)
        while diff is None:
            diff = await self._bring(loaded, again=False)
        outcome = self._outcome(diff, began)
        return replace(outcome, code=code, tests=self._gate.outcomes if self._gate else ())

    async def _bring(self, loaded: Loaded, *, again: bool) -> Diff | None:
        """Has what the files say serve, as far as it can. `again`: tests that have failed are tried once more. None:
        something was put in place meanwhile, so that it is to be compared with other agents."""
        before = self.current
        revised = await self._revise(loaded)
        candidate, diff = next_generation(before, revised)
        new = tuple(candidate.agents[name] for name in (*diff.added, *diff.updated))
        refused = await self._gate.refused(new, candidate.agents, revised.places, again=again) if self._gate else {}
        changed = tuple(each for each in new if each.name not in refused)
        async with self._changing:
            if self.current is not before:
                return None
            refusals = await self._prepare(candidate.number, changed) if changed else {}
            refused |= {name: (_unprepared(candidate.agents[name], why),) for name, why in refusals.items()}
            if refused:
                candidate, diff = with_rejected(candidate, before, refused)
            self._refused = refused
            if diff or before is None:
                self._commit(candidate)
            else:
                self.current = replace(candidate, number=self.number)  # what is said of the files may have changed
                if refused:
                    self._commit_to_workers()  # they close what they have prepared in vain
        return diff

    def _outcome(self, diff: Diff, began: float) -> ReloadOutcome:
        return ReloadOutcome(
            applied=not any(problem.severity == "error" for problem in self.problems),
            changed=bool(diff),
            generation=self.number,
            added=diff.added,
            updated=diff.updated,
            removed=diff.removed,
            problems=self.problems,
            duration_s=now() - began,
        )

    def _tell(self, outcome: ReloadOutcome) -> None:
        self._report(outcome)
        self._reloaded(outcome)

    def _commit(self, generation: Generation) -> None:
        """One step without waiting: no call is placed between one worker's commit and another's."""
        self.current = generation
        self._commit_to_workers()
        self._committed()

    def _commit_to_workers(self) -> None:
        for worker in self._pool.taking:
            worker.commit(self.number, revisions_of(self.agents))
        self._leftover.commit(self.number, self.agents, self._unreached)
        self._unreached = {}

    async def _prepare(self, number: int, definitions: tuple[AgentDefinition, ...]) -> dict[str, tuple[str, ...]]:
        """The agents that cannot be made, and why."""
        async with asyncio.TaskGroup() as group:
            of_leftover = group.create_task(self._leftover.prepare(number, definitions))
            everywhere = group.create_task(self._prepare_everywhere(number, definitions))
        self._unreached = of_leftover.result()
        return everywhere.result()

    async def _prepare_everywhere(
        self, number: int, definitions: tuple[AgentDefinition, ...]
    ) -> dict[str, tuple[str, ...]]:
        """Returns when every ready worker has answered for these, and every one that stands by; the agents that cannot
        be made, and why. What only those that stand by cannot make serves all the same: they then take no calls."""
        refusals: dict[str, tuple[str, ...]] = {}
        answered: set[WorkerHandle] = set()
        deaths = 0

        async def ask(worker: WorkerHandle) -> None:
            nonlocal deaths
            stands_by, found = worker.state == "standby", {}
            try:
                rejected = await worker.prepare(number, definitions)
                found = {rejection.agent: rejection.problems for rejection in rejected}
            except WorkerDied:
                deaths += not stands_by
                return
            except TimeoutError:
                found = {each.name: (f"{worker.name} did not prepare it in time",) for each in definitions}
            answered.add(worker)
            if stands_by:
                worker.lacking = {**worker.lacking, **found}
            else:
                refusals.update(found)

        while deaths < DEATHS_AT_MOST:
            unasked = [worker for worker in self._pool.taking if worker not in answered]
            if unasked:
                async with asyncio.TaskGroup() as group:
                    for worker in unasked:
                        group.create_task(ask(worker))
            elif answered.intersection(self._pool.ready):
                return refusals
            elif not await self._another_worker():
                return {each.name: ("no worker became ready to prepare it",) for each in definitions}
        return {each.name: ("workers died while they prepared it",) for each in definitions}

    async def _another_worker(self) -> bool:
        """Waits until a worker gets ready."""
        self._worker_ready.clear()
        try:
            async with asyncio.timeout(WORKER_WAIT_S):
                await self._worker_ready.wait()
        except TimeoutError:
            return False
        return True

    def _report(self, outcome: ReloadOutcome) -> None:
        self._measures.apply(Measure(name="config_last_reload_successful", value=float(outcome.applied)))
        if outcome.applied:
            self._measures.apply(Measure(name="config_last_reload_success_timestamp_seconds", value=time.time()))
        if self.coalesced:
            self._measures.apply(Measure(name="reloads_coalesced_total", value=self.coalesced))
            self.coalesced = 0
        for problem in outcome.problems:
            log = logger.error if problem.severity == "error" else logger.warning
            log(str(problem))
        if outcome.changed or not outcome.applied:
            extra = {
                "generation": outcome.generation,
                "added": ",".join(outcome.added),
                "updated": ",".join(outcome.updated),
                "removed": ",".join(outcome.removed),
                "applied": outcome.applied,
                "duration_s": round(outcome.duration_s, 3),
            }
            logger.info("configuration applied" if outcome.changed else "configuration refused", extra=extra)


def revisions_of(agents: Mapping[str, AgentDefinition]) -> dict[str, str]:
    return {name: definition.digest for name, definition in agents.items()}


def _unprepared(definition: AgentDefinition, reasons: tuple[str, ...]) -> Problem:
    return Problem(
        file=definition.source,
        line=1,
        column=1,
        pointer="",
        code="not-prepared",
        message=f'agent "{definition.name}" cannot be made: {"; ".join(reasons)}',
    )
