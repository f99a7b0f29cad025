"""What a hook's function asks of its session while it runs and may wait for: read from its process, which runs user
code, carried out beside it, and answered."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from agentd.errors import ToolError
from agentd.tools.acts import GenerateReply, SayText
from agentd.tools.job import (
    RESERVED_ATTRIBUTES,
    AddShutdownCallback,
    JobDesk,
    JobRequest,
    JobView,
    PerformRpc,
    PublishData,
    RoomMember,
    SendText,
    SetAttributes,
    SetMetadata,
    Speech,
)
from agentd.tools.text import for_speech

logger = logging.getLogger(__name__)

MOST_ASKS = 256
"""Of one call of a hook."""

LONGEST_RPC_S = 60.0
LARGEST_TEXT = 256 * 1024  # characters of a text, of metadata, of an attribute

Reply = Callable[[Mapping[str, Any]], Awaitable[None]]


class Asks:
    """Of one call. `reply` gives the process a message."""

    def __init__(self, desk: JobDesk | None, reply: Reply) -> None:
        self._desk = desk
        self._reply = reply
        self._speeches: dict[int, Speech] = {}
        self._speaking: set[asyncio.Task[None]] = set()
        self._doing: set[asyncio.Task[None]] = set()
        self._taken = 0

    def take(self, message: Mapping[str, Any]) -> bool:
        """False: it is none of these."""
        number = message.get("id")
        if message["type"] not in ("ask", "cancel") or not isinstance(number, int):
            return False
        if message["type"] == "cancel":
            if number in self._speeches:
                self._speeches[number].cancel(force=message.get("force") is True)
            return True
        self._taken += 1
        what, values = message.get("ask"), message.get("values")
        if isinstance(what, str) and isinstance(values, dict):
            self._begin(number, what, values)
        return True

    async def settle(self) -> None:
        """The function has returned: what it asked for is done, whether it waited or not; what it has asked to be said
        is said without it."""
        for task in self._speaking:
            task.cancel()
        if self._doing:
            await asyncio.wait(self._doing)

    def drop(self) -> None:
        """The process is over."""
        for task in (*self._speaking, *self._doing):
            task.cancel()

    def _begin(self, number: int, what: str, values: Mapping[str, Any]) -> None:
        tasks = self._doing
        try:
            if self._desk is None or self._taken > MOST_ASKS:
                raise ToolError("there is no session here" if self._desk is None else f"at most {MOST_ASKS} a call")
            if (act := _speech(what, values)) is not None:
                self._speeches[number] = speech = self._desk.speak(act)
                tasks, work = self._speaking, self._speak(number, speech)
            elif what == "look":
                work = self._answer(number, _view(self._desk.view())["room"])
            else:
                work = self._do(number, what, self._desk, _request(what, values))
        except ToolError as error:
            work = self._refuse(number, what, error)
        task = asyncio.create_task(work)  # kept in the set, and awaited or cancelled with the call
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _speak(self, number: int, speech: Speech) -> None:
        await speech.wait_for_playout()
        await self._answer(number, {"interrupted": speech.interrupted})

    async def _do(self, number: int, what: str, desk: JobDesk, request: JobRequest) -> None:
        try:
            answer = await desk.do(request)
        except ToolError as error:
            await self._refuse(number, what, error)
        except Exception:  # the tool-call boundary: a fault of ours must not end the call
            logger.exception("a hook's request could not be carried out", extra={"request": what})
            await self._refuse(number, what, ToolError("it could not be done"))
        else:
            await self._answer(number, answer)

    async def _refuse(self, number: int, what: str, error: ToolError) -> None:
        logger.info("a hook's request was refused", extra={"request": what, "reason": str(error)})
        await self._reply({"type": "answer", "id": number, "error": f"{what}: {error}"})

    async def _answer(self, number: int, value: Any) -> None:
        await self._reply({"type": "answer", "id": number, "value": value})


def told(desk: JobDesk | None) -> dict[str, Any] | None:
    """The job as its process is told it."""
    return None if desk is None else _view(desk.view())


def _view(view: JobView) -> dict[str, Any]:
    room = view.room
    return {
        "id": view.id,
        "metadata": view.metadata,
        "room": {
            "name": room.name,
            "sid": room.sid,
            "metadata": room.metadata,
            "local": _member(room.local),
            "remote": [_member(each) for each in room.remote],
        },
    }


def _member(member: RoomMember) -> dict[str, Any]:
    return {**asdict(member), "attributes": dict(member.attributes)}


# Nothing that comes of a process which runs user code is taken for granted.


def asked_reply(values: Mapping[str, Any]) -> GenerateReply | None:
    """None for what is none."""
    match values:
        case {
            "instructions": str() | None as instructions,
            "user_input": str(user_input),
            "priority": "low" | "normal" | "high" as priority,
            "interruptible": bool(interruptible),
        }:
            said = for_speech(user_input)
            return GenerateReply(
                instructions=instructions, user_input=said, priority=priority, interruptible=interruptible
            )
    return None


def _speech(what: str, values: Mapping[str, Any]) -> SayText | GenerateReply | None:
    """None for what is no speech. Raises ToolError."""
    match what, values:
        case "say", {
            "text": str(text),
            "priority": "low" | "normal" | "high" as priority,
            "interruptible": bool(interruptible),
            "add_to_history": bool(add_to_history),
        } if text.strip():
            return SayText(
                text=for_speech(text), priority=priority, interruptible=interruptible, add_to_history=add_to_history
            )
        case "generate_reply", _:
            return asked_reply(values)
        case "say", _:
            raise ToolError("there is nothing to say, or it is said with what is none of its options")
    return None


def _request(what: str, values: Mapping[str, Any]) -> JobRequest:
    """Raises ToolError."""
    match what, values:
        case "set_attributes", {"attributes": dict(attributes), "identity": str(identity)}:
            return SetAttributes(attributes=_attributes(attributes), identity=identity)
        case "set_metadata", {"metadata": str(metadata), "identity": str(identity)}:
            return SetMetadata(metadata=_bounded(metadata), identity=identity)
        case "publish_data", {"data": str(data), "topic": str(topic), "identities": list(identities)}:
            return PublishData(data=_decoded(data), topic=topic, identities=_names(identities))
        case "send_text", {"text": str(text), "topic": str(topic), "identities": list(identities)}:
            return SendText(text=_bounded(text), topic=topic, identities=_names(identities))
        case "perform_rpc", {
            "identity": str(identity),
            "method": str(method),
            "payload": str(payload),
            "timeout_s": float(timeout_s),
        } if 0 < timeout_s <= LONGEST_RPC_S:
            return PerformRpc(identity=identity, method=method, payload=payload, timeout_s=timeout_s)
        case "add_shutdown_callback", {"ref": str(ref)}:
            return AddShutdownCallback(ref=ref)
    raise ToolError(f"it was asked for with values that it does not take: {', '.join(map(str, values))}")


def _attributes(told: Mapping[Any, Any]) -> dict[str, str]:
    """Raises ToolError."""
    if not all(isinstance(each, str) for pair in told.items() for each in pair):
        raise ToolError("attributes are texts by names")
    if own := [name for name in told if name.startswith(RESERVED_ATTRIBUTES)]:
        raise ToolError(f'{", ".join(own)}: names that begin with "{RESERVED_ATTRIBUTES}" are LiveKit\'s')
    return {name: _bounded(value) for name, value in told.items()}


def _bounded(text: str) -> str:
    if len(text) > LARGEST_TEXT:
        raise ToolError(f"{len(text)} characters; at most {LARGEST_TEXT} are taken")
    return text


def _names(told: list[Any]) -> tuple[str, ...]:
    if not all(isinstance(each, str) and each for each in told):
        raise ToolError("identities are texts")
    return tuple(told)


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ToolError("the data cannot be read") from error
