"""The candidates of a request, one after the other: with `agentd.session.resilience` the only place that tries again.

A candidate that fails retryably is tried again after the others, and not before the time that it has said; one that
refuses is left out for this request. All attempts of a request share one time budget, because the caller is waiting:
who cannot be asked within it is not waited for. What failed lately is asked last (`agentd.session.standing`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agentd.aio import now
from agentd.errors import ProviderError, ProviderUnavailable, innermost
from agentd.session.setup import Candidate

logger = logging.getLogger(__name__)

ROUNDS = 4  # a first attempt and three retries, as livekit-agents 1.8.9
RETRY_AFTER_S = 2.0
ATTEMPT_S = 10.0
"""For one attempt's answer; of a stream for each of its words, for the sound of what it was given."""
BUDGET_S = 20.0


class Recorder(Protocol):
    def __call__(self, kind: str, /, **data: Any) -> None: ...


@dataclass(slots=True)
class _Chance:
    """Of a candidate in one request. `due_s`: it is not to be tried before."""

    candidate: Candidate[Any]
    due_s: float = 0.0
    tries: int = 0


def _in_order(candidates: Sequence[Candidate[Any]]) -> list[Candidate[Any]]:
    """Those that are aside come last, and they are tried all the same; one request finds out about one whose time is
    over."""
    at = now()
    first = next((candidate for candidate in candidates if candidate.standing.permits(at)), None)
    others = [candidate for candidate in candidates if candidate is not first]
    others.sort(key=lambda candidate: max(at, candidate.standing.back_at_s(at)))
    return others if first is None else [first, *others]


class Attempts:
    """The candidates of one request in the order in which they are to be tried: first those that did well lately, then
    those that are due."""

    def __init__(self, kind: str, candidates: Sequence[Candidate[Any]], record: Recorder) -> None:
        self._kind = kind
        self._record = record
        self._deadline = now() + BUDGET_S
        self._failing = False
        self._last: ProviderError = ProviderUnavailable(kind, "no provider was left to try")
        self._left = [_Chance(candidate) for candidate in _in_order(candidates)]
        self._tell_of_those_aside(candidates)

    def _tell_of_those_aside(self, candidates: Sequence[Candidate[Any]]) -> None:
        for candidate in candidates:
            if not self._left or candidate is self._left[0].candidate:
                return
            self._note(candidate, now(), "aside", message=candidate.standing.why)

    async def __aiter__(self) -> AsyncIterator[Candidate[Any]]:
        """Candidates, as long as somebody may succeed; the caller reports with `failed`. Raises the last failure."""
        while (chance := self._next()) is not None:
            if chance.due_s > now():
                await asyncio.sleep(chance.due_s - now())
            chance.tries += 1
            yield chance.candidate
        raise self._last

    def _next(self) -> _Chance | None:
        """Who can be asked soonest, of several the one that was asked the least. None: nobody before the deadline."""
        at = now()
        left = [chance for chance in self._left if chance.tries < ROUNDS and max(chance.due_s, at) < self._deadline]
        return min(left, key=lambda chance: (max(chance.due_s, at), chance.tries), default=None)

    def failed(self, candidate: Candidate[Any], error: ProviderError, began: float) -> None:
        self._last = error
        for chance in [chance for chance in self._left if chance.candidate is candidate]:
            if not error.retryable:
                self._left.remove(chance)
            chance.due_s = now() + (RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s)
        set_aside(self._kind, candidate, error, at_once=error.retryable)
        self._note(candidate, began, _outcome(error), message=error.message)

    def done(self, candidate: Candidate[Any], began: float, *, proven: bool = True) -> None:
        """`proven`: it has done what it is for, and not only begun to."""
        if proven:
            stands(self._kind, candidate)
        self._note(candidate, began, "ok")

    def _note(self, candidate: Candidate[Any], began: float, outcome: str, **more: Any) -> None:
        note(self._record, self._kind, candidate, began, outcome, **more)

    def renew_budget(self, *, still_silent: bool) -> None:
        """For a stream that lasts as long as the reply: the budget counts from the first failure in a row, and not
        through the minutes in which there was nothing to fail at."""
        if not (still_silent and self._failing):
            self._deadline = now() + BUDGET_S
        self._failing = True

    def timeout_s(self) -> float:
        return max(0.1, min(ATTEMPT_S, self._deadline - now()))


def note(record: Recorder, kind: str, candidate: Candidate[Any], began: float, outcome: str, **more: Any) -> None:
    duration_s = round(now() - began, 4)
    record("provider", kind=kind, provider=candidate.name, outcome=outcome, duration_s=duration_s, **more)


def set_aside(kind: str, candidate: Candidate[Any], error: ProviderError, *, at_once: bool) -> None:
    """It has failed: see `Standing.failed`."""
    if for_s := candidate.standing.failed(error, now(), at_once=at_once):
        extra = {"kind": kind, "provider": candidate.name, "for_s": round(for_s, 3), "reason": error.message}
        logger.warning("provider_aside", extra=extra)


def stands(kind: str, candidate: Candidate[Any]) -> None:
    """It does what it is for."""
    if candidate.standing.succeeded():
        logger.info("provider_back", extra={"kind": kind, "provider": candidate.name})


def lost(kind: str, candidate: Candidate[Any], error: ProviderError, began: float, record: Recorder) -> None:
    """What it had opened has failed: that counts as its opening does, so that the next request begins elsewhere."""
    set_aside(kind, candidate, error, at_once=True)
    note(record, kind, candidate, began, _outcome(error), message=error.message)


def spared(candidates: Sequence[Candidate[Any]]) -> bool:
    """Whether one of them may be asked at once."""
    return any(candidate.standing.is_well(now()) for candidate in candidates)


def first(group: BaseExceptionGroup[ProviderError]) -> ProviderError:
    """Of several tasks' errors the first."""
    error = innermost(group)
    assert isinstance(error, ProviderError)
    return error


def _outcome(error: ProviderError) -> str:
    return type(error).__name__.removeprefix("Provider").lower()
