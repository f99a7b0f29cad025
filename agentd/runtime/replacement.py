"""New code for the workers: others are started with it beside those that serve, and take their place in one step.

Make before break: every one of them must have prepared every agent before any takes a call. If one cannot, or dies,
they end, and the workers that serve go on. Calls under way stay in the workers that hold them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from agentd.aio import now
from agentd.config.diff import Change
from agentd.errors import AgentdError, Problem, Severity, WorkerDied
from agentd.runtime.code import Reading, code_changes, differing, loaded_here
from agentd.runtime.pool import Pool
from agentd.runtime.status import CodeOutcome, Measure, MeasureSink
from agentd.runtime.worker_handle import WorkerHandle

logger = logging.getLogger(__name__)

POOLS_AT_MOST = 3
"""That take or hold calls. Each has its models, providers and tools' processes in memory."""

REFUSED = "code-refused"
NEEDS_UPGRADE = "the daemon itself runs what it was started with: `agentd upgrade` brings the new, under its calls"
NEEDS_RESTART = "calls are held in the daemon's own process (workers: 0), which needs a restart"


class Code(Protocol):
    def read(self) -> Reading:
        """May block."""
        ...


class CodeRefused(AgentdError):
    """Workers do not get ready with the new code; the message says why."""


class Replacement:
    """Remembers the code as it was when it was made: make it when the daemon starts. `problems`: of the code, as it was
    found last."""

    def __init__(
        self,
        pool: Pool,
        code: Code,
        *,
        changing: asyncio.Lock,
        replaces: bool,
        drain_s: float,
        measures: MeasureSink,
        again: Callable[[], None],
    ) -> None:
        """`changing` is held while workers take the place of others (`agentd.runtime.rollout`). `replaces` False: the
        workers are inside this process. `drain_s`: how long calls may stay in workers that were replaced. `again`: asks
        for another look."""
        self._pool = pool
        self._code = code
        self._changing = changing
        self._replaces = replaces
        self._drain_s = drain_s
        self._measures = measures
        self._again = again
        self._own = self._workers = code.read()
        self._waits = False
        self.problems: tuple[Problem, ...] = ()

    async def renew(self) -> CodeOutcome | None:
        """Looks at the code, and replaces the workers if it is new to them. None: nothing differs."""
        found = await asyncio.to_thread(self._code.read)
        self._waits = False
        if self._out_of_reach(found):
            return self._needs_upgrade(self._kept_by_supervisor(found), found)
        changed = differing(self._workers, found)
        if not changed:
            self._measures.apply(Measure(name="code_last_reload_successful"))
            return self._needs_upgrade(self._kept_by_supervisor(found), found)
        if self._pool.alive >= POOLS_AT_MOST:
            self._waits = True
            why = f"calls run by {POOLS_AT_MOST} versions of the code: new ones get it when those of one are over"
            self.problems = (_problem(changed, "code-waits", why, "warning"),)
            return CodeOutcome(state="waits", files=changed)
        return await self._replace(changed, found)

    def tick(self) -> None:
        if self._waits and self._pool.alive < POOLS_AT_MOST:
            self._waits = False
            self._again()

    async def changes(self) -> tuple[Change, ...]:
        """What differs on disk: from what the workers run, where a reload replaces them; else from what runs here."""
        found = await asyncio.to_thread(self._code.read)
        if self._out_of_reach(found):
            return tuple(code_changes(differing(self._workers, found), self._workers, found, "restart"))
        next_ones = differing(self._workers, found)
        kept = [path for path in self._kept_by_supervisor(found) if path not in next_ones]
        return (
            *code_changes(next_ones, self._workers, found, "next_session"),
            *code_changes(kept, self._own, found, "restart"),
        )

    async def _replace(self, changed: tuple[str, ...], found: Reading) -> CodeOutcome:
        began = now()
        try:
            successors = await self._started(found)
            async with self._changing:
                self._put_in_place(successors)
        except CodeRefused as error:
            logger.error("new code refused", extra={"files": ",".join(changed), "reason": str(error)})  # noqa: TRY400 -- one line says it
            self._tell("refused", 0.0)
            why = f"workers go on with the code that they have: {error}"
            self.problems = (_problem(changed, REFUSED, why),)
            return CodeOutcome(state="refused", files=changed)
        self._workers = found
        names = tuple(worker.name for worker in successors)
        extra = {"files": ",".join(changed), "workers": ",".join(names), "duration_s": round(now() - began, 3)}
        logger.info("workers replaced", extra=extra)
        self._tell("replaced", 1.0)
        self._needs_upgrade(self._kept_by_supervisor(found), found)
        return CodeOutcome(state="replaced", files=changed, workers=names)

    async def _started(self, found: Reading) -> list[WorkerHandle]:
        """One after the other: to start one takes a processor for a second, which calls under way want too.

        Raises CodeRefused.
        """
        begun: list[WorkerHandle] = []
        try:
            for _ in range(self._pool.staying):
                begun.append(await self._pool.stand_by())
                if begun[-1].lacking:
                    raise CodeRefused(_lacking(begun[-1]))
            if differing(found, await asyncio.to_thread(self._code.read)):
                raise CodeRefused("it has changed again while they were started")
        except (WorkerDied, CodeRefused) as error:
            self._pool.discard(begun)
            raise CodeRefused(str(error)) from error
        return begun

    def _put_in_place(self, successors: Sequence[WorkerHandle]) -> None:
        """Raises CodeRefused."""
        fallen = [worker.name for worker in successors if worker.state != "standby"]
        lacking = [_lacking(worker) for worker in successors if worker.lacking]  # of what serves since they began
        if fallen or lacking:
            self._pool.discard(successors)
            raise CodeRefused(f"{fallen[0]} ended while others were started" if fallen else lacking[0])
        self._pool.replace(successors, self._drain_s)

    def _kept_by_supervisor(self, found: Reading) -> tuple[str, ...]:
        """What this process runs itself and cannot exchange."""
        loaded = loaded_here()
        return tuple(path for path in differing(self._own, found) if os.path.realpath(path) in loaded)

    def _out_of_reach(self, found: Reading) -> bool:
        """Workers speak with their supervisor in agentd's terms: they are not given newer ones than it has."""
        if not self._replaces:
            return bool(differing(self._own, found))
        kept = self._kept_by_supervisor(found)
        return any((found.get(path) or self._own[path]).origin == "agentd" for path in kept)

    def _needs_upgrade(self, kept: Sequence[str], found: Reading) -> CodeOutcome | None:
        files = tuple(kept) if self._replaces else differing(self._own, found)
        why = NEEDS_UPGRADE if self._replaces else NEEDS_RESTART
        self.problems = (_problem(files, "needs-upgrade", why, "warning"),) if files else ()
        return CodeOutcome(state="needs_upgrade", files=files) if files else None

    def _tell(self, outcome: str, successful: float) -> None:
        self._measures.apply(Measure(name="worker_replacements_total", labels={"outcome": outcome}))
        self._measures.apply(Measure(name="code_last_reload_successful", value=successful))


def _lacking(worker: WorkerHandle) -> str:
    agent, reasons = next(iter(worker.lacking.items()))
    more = f" (and {len(worker.lacking) - 1} agents more)" if len(worker.lacking) > 1 else ""
    return f'agent "{agent}" cannot be made: {"; ".join(reasons)}{more}'


def _problem(files: Sequence[str], code: str, message: str, severity: Severity = "error") -> Problem:
    more = f" (and of {len(files) - 1} files more)" if len(files) > 1 else ""
    return Problem(
        file=files[0], line=1, column=1, pointer="", code=code, message=f"new code{more}: {message}", severity=severity
    )
