"""The caller's utterances as a realtime model keeps them: items whose words come later, or never.

Each becomes part of a turn of the history, or is taken out of the model's conversation: what was no turn for the
session (an acknowledgement, the agent's own echo, noise) is none for the model either.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentd.session.conversation import Conversation
from agentd.session.events import NOT_TRANSCRIBED, CommitTurn
from agentd.session.history import user_id
from agentd.session.realtime import RealtimeLink

TRANSCRIPT_S = 3.0
"""The model has heard the caller, so a late transcript is not waited for longer."""


class Utterances:
    """One session's. Items that belong to no turn yet, and turns of which words are still to come."""

    def __init__(self, conversation: Conversation, link: RealtimeLink) -> None:
        self._conversation = conversation
        self._link = link
        self._loose: dict[str, str] = {}  # texts, by item
        self._wordless: dict[str, int] = {}  # turns, by item
        self._ended: list[tuple[CommitTurn, dict[str, str]]] = []  # turns that hooks look at, and their utterances

    def kept(self, item: str) -> None:
        self._loose[item] = ""

    def written(self, item: str, text: str) -> None:
        """All its words; `NOT_TRANSCRIBED`: as if there were none to come."""
        if item in self._loose and not text:  # nobody spoke
            del self._loose[item]
            self._link.forget(item)
        elif item in self._loose:
            self._loose[item] = text
        elif item in self._wordless and text and text != NOT_TRANSCRIBED:
            self._correct(self._wordless.pop(item), text)

    def ignored(self, text: str) -> None:
        """These words were none of the caller's, or none to be heard: the agent's own echo, say."""
        gone = [item for item, words in self._loose.items() if words and words in text]
        for item in gone:
            del self._loose[item]
        self._forget(gone)

    def ended(self, turn: CommitTurn, heard: str) -> None:
        """This turn is made of the utterances whose words are in what was `heard`; the others were none. Where not all
        of it may be kept, or something secret is asked for, the model keeps none of the sound: it reads the turn."""
        mine = {item: text for item, text in self._loose.items() if text and text in heard}
        self._forget(item for item, text in self._loose.items() if text and item not in mine)
        self._loose = {item: text for item, text in self._loose.items() if not text}  # their words are still to come
        if turn.text != heard or self._conversation.collecting.hides:
            self._forget(mine)
            mine = {}
        self._ended.append((turn, mine))

    def added(self, turn: CommitTurn, number: int, text: str | None) -> None:
        """It is the conversation's turn of this number; with other words than were said, or None, the model has heard
        nothing of it."""
        mine = next((mine for ended, mine in self._ended if ended is turn), {})
        self._ended = [each for each in self._ended if each[0] is not turn]
        if text != turn.text:
            self._forget(mine)
            return
        for item, words in mine.items():
            self._link.adopt(user_id(number), item)
            if words == NOT_TRANSCRIBED:
                self._wordless[item] = number

    def _forget(self, items: Iterable[str]) -> None:
        for item in items:
            self._link.forget(item)

    def lost(self) -> None:
        """The connection that held them is gone."""
        self._loose.clear()
        self._wordless.clear()
        self._ended = [(turn, {}) for turn, _ in self._ended]

    def _correct(self, number: int, words: str) -> None:
        before = self._conversation.history.user_text(user_id(number))
        words, said = self._conversation.collecting.masked(words), words
        if words != said:
            self._link.reword(user_id(number))
        if before is not None:
            text = before.replace(NOT_TRANSCRIBED, words, 1)
            self._conversation.history.correct_user(user_id(number), text)
            self._conversation.record("turn.corrected", turn=number, text=text)
