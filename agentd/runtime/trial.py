"""Whether a revision of an agent is any good, from how its calls went, and which one to fall back to. Pure.

A new revision is on probation for its first calls. Ten of them that fail through its doing are enough: then the last
known good one serves. What fails after the probation is not the edit's doing, but that of a provider or a network, and
an older revision would fail as well: it is never taken back for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentd.runtime.outcome import Verdict

FAILURES = 10
PROBATION_CALLS = 30
FAULTS_KEPT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a revision's calls went; those that tell nothing are not counted. `faults`: how often each, the commonest."""

    good: int = 0
    failed: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        return self.good + self.failed

    @property
    def fails(self) -> bool:
        return self.failed >= FAILURES and self.calls <= PROBATION_CALLS

    @property
    def is_known_good(self) -> bool:
        return self.good > self.failed

    @property
    def why(self) -> str:
        """In words, the commonest fault first."""
        listed = ", ".join(f"{fault} ({count})" for fault, count in self.faults.items())
        return f"{self.failed} of its first {self.calls} calls failed: {listed}"


UNTRIED = Trial()


def after(trial: Trial, verdict: Verdict) -> Trial:
    """The trial with one call more."""
    match verdict.result:
        case "good":
            return replace(trial, good=trial.good + 1)
        case "failed":
            counted = {**trial.faults, verdict.fault: trial.faults.get(verdict.fault, 0) + 1}
            commonest = sorted(counted.items(), key=lambda pair: -pair[1])[:FAULTS_KEPT]
            return replace(trial, failed=trial.failed + 1, faults=dict(commonest))
        case _:
            return trial


def last_known_good(history: Sequence[str], trials: Mapping[str, Trial], refused: str) -> str | None:
    """Of the revisions that served, newest first, the first that is known to be good; None: there is none."""
    for revision in history:
        if revision != refused and trials.get(revision, Trial()).is_known_good:
            return revision
    return None
