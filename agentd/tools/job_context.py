"""What a Python hook sees of the job that its call is, and what it may do with it: livekit-agents' JobContext, its room
and its session's handles, for code that runs in a process of its own."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

from agentd.tools.context import Participant, RunContext, Said

Priority = Literal["low", "normal", "high"]
Ask = Callable[[str, dict[str, Any]], "tuple[int, Future[Any]]"]
"""Asks the session for something, with its values: the number of the question, and what comes of it."""


class JobError(Exception):
    """The session or the room refused what was asked of it, and says why."""


class StopResponse(Exception):
    """Raised by a before_reply hook: there is no reply to this turn, and the model never learns of it."""


class Answer(Said):
    """What comes of something that was asked for, which is done whether somebody waits or not. `await` it in an async
    function, or call `result` in one that is not. Both raise JobError where it could not be done."""

    __slots__ = ("_future", "_read")

    def __init__(self, future: Future[Any], read: Callable[[Any], Any] = lambda value: value) -> None:
        self._future = future
        self._read = read

    def __await__(self) -> Generator[Any, None, Any]:
        value = yield from asyncio.shield(asyncio.wrap_future(self._future)).__await__()
        return self._read(value)

    def result(self, timeout: float | None = None) -> Any:
        """Waits so many seconds, or until the hook's deadline. Raises TimeoutError, too."""
        return self._read(self._future.result(timeout))

    @property
    def done(self) -> bool:
        return self._future.done()


class Speech(Answer):
    """Something that the agent says: awaiting it waits until it was heard to its end, or will not be, and answers this
    handle. `interrupted`: it was cut, cancelled or dropped before its last word; it says nothing until then."""

    __slots__ = ("_cancel", "interrupted")

    def __init__(self, future: Future[Any], cancel: Callable[[bool], None]) -> None:
        super().__init__(future, self._heard)
        self._cancel = cancel
        self.interrupted = False

    def cancel(self, *, force: bool = False) -> None:
        """Takes it back: out of the queue, or cut if it may be; `force`: even if it may not."""
        if not self.done:
            self._cancel(force)

    def _heard(self, value: Any) -> Speech:
        self.interrupted = value["interrupted"]
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """LiveKit's job. `metadata`: what whoever dispatched the agent wrote there."""

    id: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomParticipant(Participant):
    """Somebody in the room. `kind`: standard, sip, connector, agent, egress or ingress; `linked`: the agent talks with
    them."""

    linked: bool = False


class Room:
    """The call's room, as it was when the hook was called; `look` brings it up to date.

    `remote_participants`: everybody but the agent, by identity, in the order in which they joined;
    `local_participant`: the agent's own.
    """

    __slots__ = ("_ask", "local_participant", "metadata", "name", "remote_participants", "sid")

    def __init__(self, view: Mapping[str, Any], ask: Ask) -> None:
        self._ask = ask
        self.name = self.sid = self.metadata = ""
        self.local_participant = RoomParticipant()
        self.remote_participants: Mapping[str, RoomParticipant] = {}
        self._take(view)

    @property
    def linked_participants(self) -> tuple[RoomParticipant, ...]:
        """Those whom the agent talks with; one, unless the agent file wants more."""
        return tuple(each for each in self.remote_participants.values() if each.linked)

    def look(self) -> Answer:
        """Awaited, it answers this room as it is now."""
        return Answer(self._ask("look", {})[1], self._take)

    def set_attributes(self, attributes: Mapping[str, str], *, identity: str = "") -> Answer:
        """Of the agent's own participant, or of another's by `identity`, which takes the daemon's API key. Others that
        they have stay; one that is set to "" goes. Names that begin with "lk." are LiveKit's."""
        return self._asked("set_attributes", attributes=dict(attributes), identity=identity)

    def set_metadata(self, metadata: str, *, identity: str = "") -> Answer:
        """Of the agent's own participant, or of another's by `identity`, which takes the daemon's API key."""
        return self._asked("set_metadata", metadata=metadata, identity=identity)

    def publish_data(self, data: bytes | str, *, topic: str = "", identities: Sequence[str] = ()) -> Answer:
        """A reliable packet for these participants, or for everybody."""
        raw = data.encode() if isinstance(data, str) else data
        return self._asked(
            "publish_data", data=base64.b64encode(raw).decode(), topic=topic, identities=list(identities)
        )

    def send_text(self, text: str, *, topic: str = "", identities: Sequence[str] = ()) -> Answer:
        """A text stream for these participants, or for everybody."""
        return self._asked("send_text", text=text, topic=topic, identities=list(identities))

    def perform_rpc(self, identity: str, method: str, payload: str = "", *, timeout: float = 5.0) -> Answer:
        """Awaited, it answers what the participant's program said. `timeout`: seconds for that."""
        return self._asked("perform_rpc", identity=identity, method=method, payload=payload, timeout_s=float(timeout))

    def _asked(self, what: str, **values: Any) -> Answer:
        return Answer(self._ask(what, values)[1])

    def _take(self, view: Mapping[str, Any]) -> Room:
        self.name, self.sid, self.metadata = view["name"], view["sid"], view["metadata"]
        self.local_participant = RoomParticipant(**view["local"])
        self.remote_participants = {each["identity"]: RoomParticipant(**each) for each in view["remote"]}
        return self


class JobContext(RunContext):
    """A hook's parameter annotated `JobContext` is filled in by agentd. It is a RunContext whose `say` and
    `generate_reply` answer handles, and has besides the `job`, its `room`, and shutdown callbacks."""

    __slots__ = ("_ask", "_name_callback", "_take_back", "job", "room")

    def __init__(
        self,
        view: Mapping[str, Any],
        ask: Ask,
        take_back: Callable[[int, bool], None],
        name_callback: Callable[[Any], str],
        **context: Any,
    ) -> None:
        """`view`: `agentd.tools.job.JobView` as plain values; `take_back`: takes a speech back, by the number of its
        question; `name_callback`: the reference of a function that can be a shutdown callback."""
        super().__init__(**context)
        self._ask = ask
        self._take_back = take_back
        self._name_callback = name_callback
        self.job = Job(id=view["id"], metadata=view["metadata"])
        self.room = Room(view["room"], ask)

    def say(
        self,
        text: str,
        *,
        priority: Priority = "normal",
        interruptible: bool = True,
        add_to_history: bool = True,
    ) -> Speech:
        """Has the agent say this after what it says now, and what waits with at least this priority."""
        options = {"priority": priority, "interruptible": interruptible, "add_to_history": add_to_history}
        return self._speech("say", {"text": text, **options})

    def generate_reply(
        self,
        instructions: str = "",
        *,
        user_input: str = "",
        priority: Priority = "normal",
        interruptible: bool = True,
    ) -> Speech:
        """The same in the model's words; see `RunContext.generate_reply`."""
        options = {"user_input": user_input, "priority": priority, "interruptible": interruptible}
        return self._speech("generate_reply", {"instructions": instructions or None, **options})

    def commit_user_turn(self) -> Said:
        """Ends the caller's turn now, whatever the silence; nothing when there are no words."""
        return self._act("commit_user_turn", {})

    def clear_user_turn(self) -> Said:
        """Forgets what the caller has said of a turn that has not ended."""
        return self._act("clear_user_turn", {})

    def add_shutdown_callback(self, function: Callable[..., Any] | str) -> Answer:
        """Has this function called when the call is over, with the `reason` and a JobContext where it takes them. It
        stands at the top of a module under `tools_allow`, as it is found again by its name, also by another process.
        One that was added before is called once. Raises an error that says what is wrong with it."""
        return Answer(self._ask("add_shutdown_callback", {"ref": self._name_callback(function)})[1])

    def _speech(self, what: str, values: dict[str, Any]) -> Speech:
        number, future = self._ask(what, values)
        return Speech(future, lambda force: self._take_back(number, force))
