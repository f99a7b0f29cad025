"""The rollouts under way: which calls of an agent its canaries take, how those went, and what is done about it.

Owns the state of every rollout; it outlives the daemon in the state directory.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from agentd.config.definition import AgentDefinition
from agentd.config.rollout import Objectives, Rollout
from agentd.errors import AgentdError
from agentd.runtime.canary import Progress, counted, decided, is_due, judged, seen, share_of
from agentd.runtime.jobs import Session
from agentd.runtime.objectives import Figures, assess, measured, with_call
from agentd.runtime.outcome import SessionOutcome, Verdict
from agentd.runtime.state_file import StateFile
from agentd.runtime.status import Measure, MeasureSink, RolloutStatus
from agentd.transport.protocol import Job

logger = logging.getLogger(__name__)

FILE = "rollouts.json"
_UNASKED = Objectives()
_PAST: Mapping[str, str] = {"promoted": "rollout promoted", "rolled_back": "rollout rolled back"}


class NoRollout(AgentdError):
    """The agent is no canary, or its rollout is over."""


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a call that is promised a place has changed in a rollout, that of this canary which `began` then."""

    canary: str
    began: float
    credit: float


class Canaries:
    """`serving`: the agents that serve; `written`: the revisions that their files say; `failing`: why an agent's
    revision fails outright, if it does."""

    def __init__(
        self,
        *,
        state_dir: Path,
        serving: Callable[[], Mapping[str, AgentDefinition]],
        written: Callable[[], Mapping[str, str]],
        failing: Callable[[str, str], str | None],
        measures: MeasureSink,
        told: Callable[[RolloutStatus], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`told` is called with every change of a rollout's state."""
        self._serving = serving
        self._written = written
        self._failing = failing
        self._measures = measures
        self._told = told
        self._clock = clock
        self._progress: dict[str, Progress] = {}
        self._promised: dict[str, tuple[_Counted, ...]] = {}  # by job, until it comes
        self.file = StateFile(state_dir / FILE, self._saying)

    def load(self) -> None:
        """What an earlier daemon knew. Blocks."""
        self.file.read(self._take)

    def _take(self, kept: Mapping[str, Any]) -> None:
        self._progress = {name: _progress(said) for name, said in kept["rollouts"].items()}

    def _saying(self) -> Mapping[str, Any]:
        return {"rollouts": {name: asdict(progress) for name, progress in self._progress.items()}}

    def sync(self) -> None:
        """The files have been read, and this is what serves."""
        written = self._written()
        before, self._progress = self._progress, {}
        for name, rollout in self._rollouts().items():
            known = before.get(name)
            own, base = written.get(name), written.get(rollout.of)
            if own is None or base is None:  # a file is broken for a moment: nothing is known of an edit
                if known is not None:
                    self._progress[name] = known
                continue
            self._change(known, seen(known, self._serving()[name], rollout, own, base, self._clock()))
        self.file.changed()

    def due(self, agent: str, job: Job) -> tuple[str, ...]:
        """Whose definition takes this call of `agent`, the first that has room: canaries of it, then itself."""
        canaries = [name for name, progress, rollout in self._of(agent) if is_due(progress, rollout, job)]
        return (*canaries, agent)

    def counted(self, agent: str, job: Job, taker: str) -> None:
        """This call of `agent` has a place with `taker`. It counts for the shares, unless it does not come."""
        self._give_back(job.id)
        changed = []
        for name, progress, rollout in self._of(agent):
            after = self._progress[name] = counted(progress, rollout, job, taken=name == taker)
            changed.append(_Counted(name, progress.began, after.credit - progress.credit))
            if name == taker:
                break
        self._promised[job.id] = tuple(changed)

    def came(self, job: str) -> None:
        """A call that was promised a place."""
        self._promised.pop(job, None)

    def lapsed(self, promised: Collection[str]) -> None:
        """Whatever is not among these jobs, which are still promised a place, and has not come, took no call."""
        for job in self._promised.keys() - set(promised):
            self._give_back(job)

    def _give_back(self, job: str) -> None:
        for each in self._promised.pop(job, ()):
            progress = self._progress.get(each.canary)
            if progress is not None and progress.began == each.began:
                self._progress[each.canary] = replace(progress, credit=progress.credit - each.credit)

    def _of(self, agent: str) -> list[tuple[str, Progress, Rollout]]:
        """Its canaries."""
        of = [(name, rollout) for name, rollout in self._rollouts().items() if rollout.of == agent]
        return [(name, self._progress[name], rollout) for name, rollout in of if name in self._progress]

    def ended(self, session: Session, outcome: SessionOutcome, verdict: Verdict) -> None:
        """A call is over."""
        for progress in list(self._progress.values()):
            if progress.of != session.shown_as or progress.state != "running":
                continue
            if session.agent == progress.agent and session.definition.digest == self._revision(progress.agent):
                figures = with_call(progress.figures, outcome, verdict)
                self._judge(replace(progress, figures=figures), session.definition.digest)
            elif session.agent == progress.of:
                self._progress[progress.agent] = replace(
                    progress, baseline=with_call(progress.baseline, outcome, verdict)
                )
                self.file.changed()

    def tick(self) -> None:
        """Time passes, which some rollouts wait for."""
        for progress in list(self._progress.values()):
            if progress.state == "running" and progress.figures.calls:
                self._judge(progress, self._revision(progress.agent))

    def decide(self, agent: str, state: Literal["promoted", "rolled_back"]) -> None:
        """An operator decides. Raises NoRollout."""
        progress = self._progress.get(agent)
        if progress is None or progress.state in ("superseded", state):
            raise NoRollout(f"{agent} has no rollout that could be {state.replace('_', ' ')}")
        self._change(progress, decided(progress, state, "an operator asked for it", self._clock()))

    def takes_calls(self, agent: str) -> bool:
        """Whether it is a canary with a share of another's calls."""
        progress = self._progress.get(agent)
        return progress is not None and progress.state in ("running", "promoted")

    def statuses(self) -> tuple[RolloutStatus, ...]:
        return tuple(
            self._status(self._progress[name], rollout)
            for name, rollout in self._rollouts().items()
            if name in self._progress
        )

    def _judge(self, progress: Progress, revision: str) -> None:
        rollout = self._rollouts().get(progress.agent)
        after = judged(progress, rollout.objectives if rollout else None, self._clock())
        if after.state == "running" and (why := self._failing(progress.agent, revision)):
            after = decided(progress, "rolled_back", why, self._clock())
        self._change(progress, after)

    def _change(self, before: Progress | None, after: Progress) -> None:
        self._progress[after.agent] = after
        self.file.changed()
        if before is not None and before.state == after.state and before.began == after.began:
            return
        extra = {"agent": after.agent, "of": after.of, "revision": after.written, "reason": after.why}
        log = logger.warning if after.state == "rolled_back" else logger.info
        log(_PAST.get(after.state, f"rollout {after.state}"), extra=extra)
        labels = {"agent": after.agent, "of": after.of, "state": after.state}
        self._measures.apply(Measure(name="rollout_changes_total", labels=labels))
        rollout = self._rollouts().get(after.agent)
        if rollout is not None:
            self._told(self._status(after, rollout))

    def _revision(self, agent: str) -> str:
        definition = self._serving().get(agent)
        return definition.digest if definition else ""

    def _rollouts(self) -> Mapping[str, Rollout]:
        return {name: each.rollout for name, each in self._serving().items() if each.rollout is not None}

    def _status(self, progress: Progress, rollout: Rollout) -> RolloutStatus:
        objectives = rollout.objectives or _UNASKED
        running = progress.state == "running"
        outlook = assess(progress.figures, objectives).why if running and rollout.objectives else ""
        return RolloutStatus(
            agent=progress.agent,
            of=progress.of,
            state=progress.state,
            share=share_of(rollout) if running else float(progress.state == "promoted"),
            match=rollout.match,
            revision=progress.written,
            since=progress.since,
            began=progress.began,
            why=progress.why or outlook,
            calls=progress.figures.calls,
            objectives=measured(progress.figures, objectives),
            baseline_calls=progress.baseline.calls,
            baseline=measured(progress.baseline, replace(_UNASKED, confidence=objectives.confidence)),
        )


def _progress(said: Mapping[str, Any]) -> Progress:
    figures = {key: Figures(**{**said[key], "gaps": tuple(said[key]["gaps"])}) for key in ("figures", "baseline")}
    return Progress(**{**said, **figures})
