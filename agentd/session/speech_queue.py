"""What is to be said, in the order in which it will be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentd.session.plan import Plan


class SpeechQueue:
    """The higher priority first; among equals the one that was asked for first. What is being said is not in it."""

    def __init__(self) -> None:
        self._waiting: list[Plan] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._waiting)

    def add(self, plan: Plan) -> None:
        lower = (at for at, other in enumerate(self._waiting) if other.priority < plan.priority)
        self._waiting.insert(next(lower, len(self._waiting)), plan)

    def next(self, *, caller_has_turn: bool = False, answers_wait: bool = False) -> Plan | None:
        """Takes the one whose turn it is. While the caller has the turn, what can wait waits: answers too, if they are
        to."""
        plan = next((each for each in self._waiting if not (caller_has_turn and _can_wait(each, answers_wait))), None)
        if plan is not None:
            self._waiting.remove(plan)
        return plan

    def take_out(self, which: Callable[[Plan], bool]) -> list[Plan]:
        """Removes and answers all of these."""
        out = [plan for plan in self._waiting if which(plan)]
        self._waiting = [plan for plan in self._waiting if not which(plan)]
        return out


def _can_wait(plan: Plan, answers_wait: bool) -> bool:
    """What answers nobody and may be interrupted is not begun over the caller."""
    return plan.interruptible and plan.purpose in (
        "say",
        "reply",
        "idle",
        "warning",
        "consent",
        "result",
        *(["answer"] * answers_wait),
    )
