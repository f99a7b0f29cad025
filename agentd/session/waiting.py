"""Turns that were said while the floor was not free, and are not in the history yet. Pure.

Each answer is one person's: it is asked for with what had been said until their turn, and stands right behind it.
So a turn enters the history when its answer begins, or that of a later turn, in the order in which they were said.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentd.providers.speakers import Speaker
from agentd.session.history import History, user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTurn:
    number: int
    text: str
    speaker: Speaker | None


class WaitingTurns:
    """Owned by the conversation."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: list[WaitingTurn] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, turn: WaitingTurn) -> None:
        self._waiting.append(turn)

    def admit(self, number: int) -> None:
        """Puts the turns up to this one into the history; those that are there already stay."""
        while self._waiting and self._waiting[0].number <= number:
            turn = self._waiting.pop(0)
            self._history.add_user(turn.text, user_id(turn.number), turn.speaker)

    def all(self) -> tuple[WaitingTurn, ...]:
        return tuple(self._waiting)


def to_answer(turns: tuple[WaitingTurn, ...]) -> list[WaitingTurn]:
    """Those that get an answer of their own: the last of each speaker."""
    last = {(turn.speaker.identity, turn.speaker.other_voice) if turn.speaker else None: turn for turn in turns}
    return sorted(last.values(), key=lambda turn: turn.number)
