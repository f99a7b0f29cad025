"""The agents' own tests before a reload: a revision whose file asks for it serves only when they have passed.

How a revision did is remembered over restarts: what has passed once is not tried again, and what has failed only when
somebody asks for a reload.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.places import mark_at
from agentd.config.reachable import reachable
from agentd.config.source import Mark
from agentd.errors import Problem
from agentd.ipc import LinkClosed, receive_object, send_object
from agentd.runtime.launch import Launch
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.rehearsal_results import ScenarioResult
from agentd.runtime.rehearsing import Rehearse, Rehearsed
from agentd.runtime.state_file import StateFile
from agentd.runtime.status import Measure, MeasureSink, TestsOutcome

logger = logging.getLogger(__name__)

LONGEST_S = 600.0
"""Of real time, for the tests of one agent: models and tools that are asked take theirs."""

KEPT = 200
FILE = "tests.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How the tests of a revision went. `problems`: what is told of failures, each with its file:line."""

    agent: str
    revision: str
    passed: int
    failed: int
    at: float  # unix time
    problems: tuple[tuple[str, str], ...] = ()  # place, message


class Gate:
    """Owned by the supervisor. `launch` starts the process in which tests run."""

    def __init__(self, *, state_dir: Path, settings: WorkerSettings, launch: Launch, measures: MeasureSink) -> None:
        self._settings = settings
        self._launch = launch
        self._measures = measures
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self.file = StateFile(state_dir / FILE, self._saying)
        self.outcomes: tuple[TestsOutcome, ...] = ()  # of the last reload

    def load(self) -> None:
        """What an earlier daemon knew. Blocks."""
        self.file.read(self._take)

    def verdict(self, agent: str, revision: str) -> Verdict | None:
        return self._verdicts.get((agent, revision))

    def outcome(self, agent: str, revision: str) -> TestsOutcome | None:
        verdict = self.verdict(agent, revision)
        return _outcome(verdict) if verdict is not None else None

    def in_words(self, definition: AgentDefinition) -> str:
        """What its tests mean for a reload; "": nothing."""
        tests, verdict = definition.tests, self.verdict(definition.name, definition.digest)
        if tests is None or not tests.gate:
            return ""
        number = len(tests.scenarios)
        which = f"{number} scenario{'' if number == 1 else 's'}"
        if verdict is None:
            return f"its tests run first ({which})"
        if verdict.failed:
            return f"its tests have failed ({verdict.failed} of {which})"
        return f"its tests have passed ({which})"

    async def refused(
        self,
        definitions: Iterable[AgentDefinition],
        agents: Mapping[str, AgentDefinition],
        places: Mapping[str, Mapping[str, str]],
        *,
        again: bool,
    ) -> dict[str, tuple[Problem, ...]]:
        """Those that do not pass, and why. `agents`: all that are to serve; `again`: what failed is tried once more."""
        found: dict[str, tuple[Problem, ...]] = {}
        outcomes = []
        for definition in definitions:
            if definition.tests is None or not definition.tests.gate:
                continue
            verdict = self.verdict(definition.name, definition.digest)
            if verdict is None or (verdict.failed and again):
                others = tuple(reachable(definition, agents).values())
                verdict = await self._tried(definition, others, places.get(definition.name, {}))
            outcomes.append(_outcome(verdict))
            if verdict.failed:
                found[definition.name] = tuple(_problem(*each, definition.source) for each in verdict.problems)
        self.outcomes = tuple(outcomes)
        return found

    async def _tried(
        self, definition: AgentDefinition, others: tuple[AgentDefinition, ...], places: Mapping[str, str]
    ) -> Verdict:
        asked = Rehearse(settings=self._settings, definition=definition, others=others, places=places)
        at = f"{definition.source.partition('#')[0]}:1"
        try:
            verdict = _verdict(definition, await self._rehearsed(asked))
        except TimeoutError:
            verdict = _failed(definition, at, f"its tests did not end within {LONGEST_S:.0f} s")
        except (LinkClosed, OSError) as error:
            verdict = _failed(definition, at, f"its tests could not be run: {error}")
        self._verdicts[definition.name, definition.digest] = verdict
        while len(self._verdicts) > KEPT:
            del self._verdicts[next(iter(self._verdicts))]
        self.file.changed()
        self._tell(verdict)
        return verdict

    async def _rehearsed(self, asked: Rehearse) -> Sequence[ScenarioResult]:
        async with self._launch("tests") as launched, asyncio.timeout(LONGEST_S):
            try:
                await send_object(launched.link, asked)
                answer: Rehearsed = await receive_object(launched.link)
            except LinkClosed as error:
                raise LinkClosed(launched.last_words() or str(error)) from error
        return answer.results

    def _tell(self, verdict: Verdict) -> None:
        outcome = "failed" if verdict.failed else "passed"
        labels = {"agent": verdict.agent, "outcome": outcome}
        self._measures.apply(Measure(name="test_runs_total", labels=labels))
        extra = {
            "agent": verdict.agent,
            "revision": verdict.revision,
            "passed": verdict.passed,
            "failed": verdict.failed,
        }
        log = logger.error if verdict.failed else logger.info
        log(f"tests {outcome}", extra=extra)

    def _saying(self) -> Mapping[str, Any]:
        return {"verdicts": [asdict(each) for each in self._verdicts.values()]}

    def _take(self, kept: Mapping[str, Any]) -> None:
        for each in kept["verdicts"]:
            problems = tuple((str(place), str(message)) for place, message in each["problems"])
            verdict = Verdict(**{**each, "problems": problems})
            self._verdicts[verdict.agent, verdict.revision] = verdict


def _verdict(definition: AgentDefinition, results: Sequence[ScenarioResult]) -> Verdict:
    failed = [result for result in results if result.failures]
    return Verdict(
        agent=definition.name,
        revision=definition.digest,
        passed=len(results) - len(failed),
        failed=len(failed),
        at=time.time(),
        problems=tuple(
            (failure.place, f'test "{result.scenario}": {failure.message}')
            for result in failed
            for failure in result.failures
        ),
    )


def _failed(definition: AgentDefinition, place: str, message: str) -> Verdict:
    number = len(definition.tests.scenarios) if definition.tests else 0
    problems = ((place, message),)
    return Verdict(
        agent=definition.name, revision=definition.digest, passed=0, failed=number, at=time.time(), problems=problems
    )


def _outcome(verdict: Verdict) -> TestsOutcome:
    return TestsOutcome(
        agent=verdict.agent, revision=verdict.revision, passed=verdict.passed, failed=verdict.failed, at=verdict.at
    )


def _problem(place: str, message: str, source: str) -> Problem:
    mark = mark_at(place) or Mark(source.partition("#")[0], 1, 1)
    return mark.problem("/tests", "test-failed", message)
