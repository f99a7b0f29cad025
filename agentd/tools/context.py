"""What a Python tool or hook sees of the call that it runs in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.providers.chat import ChatContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The call. `started_at` is RFC 3339, UTC."""

    id: str = ""
    agent: str = ""
    revision: str = ""
    room: str = ""
    job_id: str = ""
    started_at: str = ""
    language: str = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Whom the agent talks with; of several, the one whose turn led to this call. `other_voice`: somebody else said it,
    at their microphone, as the recogniser hears; do not take it for their word."""

    identity: str = ""
    name: str = ""
    kind: str = "standard"  # standard, sip or connector
    attributes: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""
    other_voice: bool = False


class Said:
    """What `say` answers with, so that an async tool may await it; there is nothing to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class RunContext:
    """A parameter annotated `RunContext` is filled in by agentd and is not shown to the model.

    `history` is the conversation as it was when the function was called, its newest part where it is long.
    `variables` are the session's: what the tool changes in them is kept for later turns and tools, once it has
    returned; a variable that it deletes becomes None.
    """

    __slots__ = ("_act", "_end", "_say", "history", "participant", "session", "variables")

    def __init__(
        self,
        *,
        session: Session | None = None,
        participant: Participant | None = None,
        variables: dict[str, Any] | None = None,
        say: Callable[[str], None] | None = None,
        act: Callable[[str, dict[str, Any]], None] | None = None,
        history: ChatContext | None = None,
    ) -> None:
        self.session = session or Session()
        self.participant = participant or Participant()
        self.variables = {} if variables is None else variables
        self.history = history or ChatContext()
        self._say = say
        self._act = act
        self._end: tuple[bool, str | None] = (False, None)

    @property
    def caller(self) -> Participant:
        """The participant, by its other name."""
        return self.participant

    def say(self, text: str) -> Said:
        """Has the agent say this now, while the tool goes on. Works with and without `await`."""
        if self._say is not None and text.strip():
            self._say(text)
        return Said()

    def generate_reply(
        self,
        instructions: str = "",
        *,
        user_input: str = "",
        priority: Literal["low", "normal", "high"] = "normal",
        interruptible: bool = True,
    ) -> Said:
        """Has the agent speak in the model's words, when what it says now is over. `instructions`: for this answer
        only; `user_input`: words that stand before it as the caller's. Works with and without `await`."""
        options = {"user_input": user_input, "priority": priority, "interruptible": interruptible}
        return self._ask("generate_reply", {"instructions": instructions or None, **options})

    def interrupt(self, *, force: bool = False) -> Said:
        """Cuts what the agent is saying and drops what was asked for; `force`: also what may not be interrupted."""
        return self._ask("interrupt", {"force": force})

    def _ask(self, act: str, values: dict[str, Any]) -> Said:
        if self._act is not None:
            self._act(act, values)
        return Said()

    def end_call(self, say: str | None = None) -> None:
        """Ends the call once the tool has returned and everything, `say` last, has been spoken."""
        self._end = (True, say)

    @property
    def call_ends(self) -> tuple[bool, str | None]:
        """Whether the tool asked for the end of the call, and the last words."""
        return self._end
