"""Nobody hears the caller, as all recognisers fail: they are told so, once, until somebody hears them again."""

from __future__ import annotations

from agentd.aio import now
from agentd.session.conversation import Conversation
from agentd.session.phrases import phrase
from agentd.tools.acts import SayText

PATIENCE_S = 3.0
"""After speech that a lost stream may yet recognise, once it is open again: its sound is kept."""


class Deafness:
    """Of one ear; that the caller was told is the conversation's, as they all hear it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._deaf = False  # a stream was lost, and none has heard anything since
        self._spoken_at: float | None = None  # the end of speech that is still to be recognised

    def heard(self) -> None:
        """A recogniser has answered."""
        self._deaf = self._conversation.told_of_deafness = False
        self._spoken_at = None

    def unheard(self) -> None:
        """An utterance got no words, as no recogniser answered."""
        self._spoken_at = None
        if not self._conversation.told_of_deafness:
            self._conversation.told_of_deafness = True
            self._conversation.act(SayText(text=phrase("trouble", self._conversation.language)))

    def lost(self) -> None:
        """A stream is lost."""
        self._deaf = True

    def speech_ended(self) -> None:
        self._spoken_at = now()

    def look(self) -> None:
        """To be called now and then."""
        if self._deaf and self._spoken_at is not None and now() - self._spoken_at >= PATIENCE_S:
            self.unheard()
