"""What a Python tool or hook sees of the call that it runs in."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.providers.chat import ChatContext
from agentd.tools.secrets import Secrets


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

    @property
    def sip(self) -> Mapping[str, str]:
        """What LiveKit tells of a telephone: phoneNumber, trunkPhoneNumber, callID and others; of nobody else."""
        named = (key.partition("sip.") for key in self.attributes)
        return {name: self.attributes[f"sip.{name}"] for before, sip, name in named if sip and not before}


class Said:
    """What `say` answers with, so that an async tool may await it; there is nothing to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Any]:
        return
        yield


class ToolChanges:
    """The tools that the model has in this call. What is changed holds once the function has returned, from the
    model's next step to the end of the call; other calls have what the agent file says."""

    __slots__ = ("_describe", "made")

    def __init__(self, describe: Callable[[Any], list[dict[str, Any]]] | None = None) -> None:
        self._describe = describe
        self.made: dict[str, Any] = {}
        """By name: None for a tool that goes, True for one of the agent file that comes back, or its description."""

    def add(self, *tools: Any, timeout: float = 8.0) -> None:
        """Each is a function, a method or an object at the top of a module under `tools_allow`; its reference
        ("tools.shop:refund"); or the bare name of a tool of the agent file that was removed. `timeout`: seconds until
        a call of it is ended. Raises an error that says what is wrong with one of them."""
        if not 0.1 <= timeout <= 120:
            raise ValueError(f"a tool's timeout is 0.1 to 120 seconds, not {timeout}")
        for tool in tools:
            if isinstance(tool, str) and ":" not in tool:
                self.made[tool] = True
            elif self._describe is not None:
                self.made |= {each["name"]: {**each, "timeout_s": timeout} for each in self._describe(tool)}

    def remove(self, *names: str) -> None:
        """Takes these from the model, by the names that it knows them by; nothing where it has none of that name."""
        self.made |= dict.fromkeys(names)


class RunContext:
    """A parameter annotated `RunContext`, or named `ctx` or `context` without a hint, is filled in by agentd and is not
    shown to the model.

    `participants` are all in the room whom the agent talks with, `participant` among them while they are here.
    `history` is the conversation as it was when the function was called, its newest part where it is long.
    `variables` are the session's: what the tool changes in them is kept for later turns and tools, once it has
    returned; a variable that it deletes becomes None. `tools`: those that the model has. `secrets`: those that the
    agent file gives this tool, by name. `key`: names this call of the tool and no other, and is the same when the call
    is made again after a fault; a hook has none.
    """

    __slots__ = (
        "_changes",
        "_end",
        "_tell",
        "history",
        "key",
        "participant",
        "participants",
        "secrets",
        "session",
        "tools",
        "variables",
    )

    def __init__(
        self,
        *,
        session: Session | None = None,
        participant: Participant | None = None,
        participants: tuple[Participant, ...] = (),
        variables: dict[str, Any] | None = None,
        tell: Callable[[str, dict[str, Any]], None] | None = None,
        tools: ToolChanges | None = None,
        secrets: Secrets | None = None,
        history: ChatContext | None = None,
        key: str = "",
    ) -> None:
        """`tell`: takes what is asked of the session while the function runs, by its kind."""
        self.session = session or Session()
        self.participant = participant or Participant()
        self.participants = participants
        self.variables = {} if variables is None else variables
        self.tools = tools or ToolChanges()
        self.secrets = secrets or Secrets()
        self.history = history or ChatContext()
        self.key = key
        self._tell = tell
        self._end: tuple[bool, str | None] = (False, None)
        self._changes: list[dict[str, Any]] = []

    @property
    def caller(self) -> Participant:
        """The participant, by its other name."""
        return self.participant

    def say(self, text: str) -> Said:
        """Has the agent say this now, while the tool goes on. Works with and without `await`."""
        return self._send("say", {"text": text}) if text.strip() else Said()

    def update(self, text: str) -> Said:
        """Tells how far the tool has come: an event for who follows the call, and said where nothing else is being
        said. Works with and without `await`."""
        return self._send("update", {"text": text}) if text.strip() else Said()

    def disallow_interruptions(self) -> Said:
        """Until the tool has returned the caller cannot cut what the agent says, nor end the tool by it. In a hook it
        has no effect. Works with and without `await`."""
        return self._send("hold", {})

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
        return self._act("generate_reply", {"instructions": instructions or None, **options})

    def interrupt(self, *, force: bool = False) -> Said:
        """Cuts what the agent is saying and drops what was asked for; `force`: also what may not be interrupted."""
        return self._act("interrupt", {"force": force})

    def _act(self, act: str, values: dict[str, Any]) -> Said:
        return self._send("act", {"act": act, "values": values})

    def _send(self, kind: str, told: dict[str, Any]) -> Said:
        if self._tell is not None:
            self._tell(kind, told)
        return Said()

    def end_call(self, say: str | None = None) -> None:
        """Ends the call once the tool has returned and everything, `say` last, has been spoken."""
        self._end = (True, say)

    def handoff(
        self,
        agent: str,
        *,
        history: str = "full",
        say: str = "",
        variables: Mapping[str, Any] | None = None,
        enter: Literal["auto", "greet", "reply", "wait"] = "auto",
    ) -> None:
        """Has another agent go on with the call once the function has returned and this turn is over. `history`: what
        it knows (full, "last: N", summary, none); `say`: the last words of the one that has the call; `variables`: to
        set with it; `enter`: how the other begins."""
        told = {"agent": agent, "history": history, "say": say, "variables": dict(variables or {}), "enter": enter}
        self._changes.append({"type": "handoff", **told})

    def update_instructions(self, text: str, *, replace: bool = False) -> None:
        """Tells the model this from now on, behind its instructions or instead of them, until the call is handed
        over."""
        self._changes.append({"type": "update_instructions", "replace" if replace else "append": text})

    def begin_task(self, task: str, *, known: Mapping[str, str] | None = None, ask: str = "") -> None:
        """Has the caller asked for what this task of the agent file wants, once the function has returned. `known`:
        what they have said of it already, by field; `ask`: instead of the first question."""
        self._changes.append({"type": "collect", "task": task, "known": dict(known or {}), "ask": ask})

    def send_dtmf(self, keys: str) -> None:
        """Presses these keys on the line once the function has returned: 0 to 9, *, #, A to D; a comma waits half a
        second. Raises ValueError for others, and for more than 64."""
        if not re.fullmatch(r"[0-9*#A-D,]{1,64}", keys):
            raise ValueError(f"keys are 1 to 64 of 0 to 9, *, #, A to D and the comma, not {keys!r}")
        self._changes.append({"type": "send_dtmf", "keys": keys})

    @property
    def changes(self) -> list[dict[str, Any]]:
        """What the function asked for of the agent, in order."""
        return self._changes

    @property
    def call_ends(self) -> tuple[bool, str | None]:
        """Whether the tool asked for the end of the call, and the last words."""
        return self._end
