"""One tool process, seen from the worker: start it, ask it, end it with everything that it has started."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from agentd import ipc, logs
from agentd.errors import ToolCrashed
from agentd.tools.acts import Act, ClearUserTurn, CommitUserTurn, InterruptSpeech
from agentd.tools.asks import Asks, asked_reply, told
from agentd.tools.confinement import Limits
from agentd.tools.family import MARK, Relative, descendants, end_family
from agentd.tools.spec import Event, ToolContext
from agentd.tools.text import for_speech

logger = logging.getLogger(__name__)

START_DEADLINE_S = 15.0
KILL_GRACE_S = 0.25  # from SIGTERM to SIGKILL
_MAX_FRAME_BYTES = 4 * 1024 * 1024
_MAX_SAYS = 32  # in one call, what else it asks for included
HISTORY_BYTES = 64 * 1024
"""Of the conversation's JSON, told to each call: the newest."""

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class NotStarted(Exception):
    """The process ended before it took the call: another can have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonResult:
    """`outcome`: ok, error or invalid_arguments. `end_say` is meant only when `end_call`. `change`: a hook's answer.
    `tools`: what it changes in the session's tools, as `ToolChanges.made` has it. `changes`: what it asked for of the
    agent."""

    outcome: str
    content: str
    variables: Mapping[str, Any]
    end_call: bool = False
    end_say: str | None = None
    traceback: str = ""
    change: Mapping[str, Any] | None = None
    tools: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Mapping[str, Any], ...] = ()


class ToolProcess:
    """A process with one call at a time; whoever has it is its only user."""

    def __init__(self, child: ipc.Child, home: Path, mark: str, allow: Sequence[str]) -> None:
        self._child = child
        self._home = home
        self._mark = mark
        self._allow = list(allow)
        self._calls = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self.worn = ""
        """Why it should take no further call; "" while it may."""
        child.process.on_exit(self._exited)

    @property
    def pid(self) -> int:
        return self._child.process.pid

    @property
    def alive(self) -> bool:
        return self._child.process.returncode is None

    async def describe(self, refs: Sequence[str], *, hooks: bool = False) -> list[dict[str, Any]]:
        """One object a ref, with the tool's schema or with a `problem`; of `hooks` only that. Raises ToolCrashed."""
        request = {"type": "describe", "hooks": hooks, "refs": list(refs), "allow": self._allow}
        try:
            await ipc.send_json(self._child.link, request)
            reply = await self._receive("described", lambda message: True)
        except ipc.LinkClosed as closed:
            raise ToolCrashed(
                f"the tool process ended while it imported {', '.join(refs)} ({await self._end()})"
            ) from closed
        return list(reply["tools"])

    async def run(self, ref: str, arguments: Mapping[str, Any], context: ToolContext) -> PythonResult:
        """Raises NotStarted, and ToolCrashed when it ended in mid-call; the caller sets the deadline."""
        return await self._call({"type": "run", "ref": ref, "arguments": arguments}, context)

    async def run_hook(self, ref: str, event: Event, context: ToolContext) -> PythonResult:
        """The same for a hook."""
        values = {field.name: getattr(event, field.name) for field in fields(event)}
        return await self._call({"type": "hook", "ref": ref, "event": values}, context)

    async def _call(self, request: Mapping[str, Any], context: ToolContext) -> PythonResult:
        call = next(self._calls)
        self._child.process.output_fields = {**logs.present(), "tool": request["ref"], "session": context.session_id}
        whole = {**request, "call": call, "context": _plain(context), "allow": self._allow}
        try:
            await ipc.send_json(self._child.link, whole)
            await self._receive("started", lambda message: message.get("call") == call)
        except ipc.LinkClosed as closed:
            raise NotStarted from closed
        try:
            return await self._result(call, context)
        except ipc.LinkClosed as closed:
            raise ToolCrashed(await self._end()) from closed

    async def end(self) -> None:
        """SIGTERM, 250 ms, SIGKILL to the group; then whatever left the group, and the scratch directory."""
        known = list[Relative]()
        try:
            known = await asyncio.to_thread(descendants, self.pid) if self.alive else []
        finally:
            try:
                await self._child.process.stop(KILL_GRACE_S)
            finally:
                self._child.link.abort()
                await asyncio.to_thread(self._clear, known)
                await self._child.link.wait_closed()

    def _clear(self, known: list[Relative]) -> None:
        end_family(self.pid, self._mark, self._home, known)
        shutil.rmtree(self._home, ignore_errors=True)

    async def _result(self, call: int, context: ToolContext) -> PythonResult:
        asks = Asks(context.job, lambda answer: self._reply({**answer, "call": call}))
        said = 0
        try:
            while True:
                message = await self._receive(None, lambda message: message.get("call") == call)
                if message["type"] == "result":
                    self.worn = str(message.get("worn", ""))
                    await asks.settle()
                    return _result(message)
                if not asks.take(message) and said < _MAX_SAYS:
                    said += 1
                    await _take(message, context)
        finally:
            asks.drop()

    async def _reply(self, message: Mapping[str, Any]) -> None:
        with suppress(ipc.LinkClosed, ipc.FrameTooLarge):
            await ipc.send_json(self._child.link, message)

    async def _receive(self, kind: str | None, wanted: Any) -> dict[str, Any]:
        """The next message of this kind; those of earlier calls are dropped. What is no message ends the link."""
        while True:
            message = await ipc.receive_json(self._child.link)
            if not isinstance(message, dict) or not isinstance(message.get("type"), str):
                self._child.link.close()
                raise ipc.LinkClosed("the tool process sent no message")
            if (kind is None or message["type"] == kind) and wanted(message):
                return message

    async def _end(self) -> str:
        """Words for how the process ended; only after its link has."""
        try:
            async with asyncio.timeout(KILL_GRACE_S):
                code = await self._child.process.wait()
        except TimeoutError:
            return "it closed its link"
        if code >= 0:
            return f"it ended with exit code {code}"
        with suppress(ValueError):
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it was ended by signal {-code}"

    def _exited(self) -> None:
        """Its children may hold the link open: without them it ends, after what is still to be read."""
        self._child.process.send_signal(signal.SIGKILL)
        self._loop.call_later(KILL_GRACE_S, self._child.link.abort)


async def start(
    *,
    code: Path,
    home: Path,
    allow: Sequence[str],
    environment: Mapping[str, str],
    limits: Limits,
) -> ToolProcess:
    """A process that is ready for calls. Raises ToolCrashed."""
    mark = secrets.token_hex(16)
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    paths = os.pathsep.join(map(str, (code, *ipc.own_path())))
    env |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    env |= {**environment, MARK: mark, **limits.to_environment()}
    try:
        child = await ipc.spawn_child(
            [sys.executable, "-P", "-m", "agentd.tools.child"],
            env=env,
            cwd=home,
            start_new_session=True,
            output=logger,
            max_frame_bytes=_MAX_FRAME_BYTES,
        )
    except OSError as error:
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        raise ToolCrashed(f"the tool process cannot be started: {error}") from error
    process = ToolProcess(child, home, mark, allow)
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            await process._receive("ready", lambda message: True)
    except (TimeoutError, ipc.LinkClosed) as error:
        await process.end()
        raise ToolCrashed(f"the tool process did not start ({await process._end()})") from error
    except BaseException:  # cancelled as well: the process must not stay
        await process.end()
        raise
    return process


def _plain(context: ToolContext) -> dict[str, Any]:
    names = ("agent", "revision", "room", "job_id", "started_at", "language")
    return {
        "session": {"id": context.session_id, **{name: getattr(context, name) for name in names}},
        "participant": {**asdict(context.caller), "attributes": dict(context.caller.attributes)},
        "participants": [{**asdict(each), "attributes": dict(each.attributes)} for each in context.present],
        "variables": dict(context.variables),
        "secrets": dict(context.secrets),
        "key": context.key,
        "job": told(context.job),
        "history": context.history().newest(HISTORY_BYTES).to_dict() if context.history is not None else None,
    }


async def _take(message: Mapping[str, Any], context: ToolContext) -> None:
    """What the function asks for while it runs. A hook's progress is speech: it is no call that somebody follows."""
    text = for_speech(str(message.get("text", "")))
    match message["type"]:
        case "say" if context.say is not None:
            await context.say(text)
        case "update" if (update := context.update or context.say) is not None:
            await update(text)
        case "hold" if context.hold is not None:
            context.hold()
        case "act" if context.act is not None and (act := _act(message)) is not None:
            context.act(act)


def _act(message: Mapping[str, Any]) -> Act | None:
    """What the process asks for; None for what is no act: it runs user code."""
    match message:
        case {"act": "interrupt", "values": {"force": bool(force)}}:
            return InterruptSpeech(force=force)
        case {"act": "commit_user_turn"}:
            return CommitUserTurn()
        case {"act": "clear_user_turn"}:
            return ClearUserTurn()
        case {"act": "generate_reply", "values": dict(values)}:
            return asked_reply(values)
    return None


def _result(message: Mapping[str, Any]) -> PythonResult:
    """From a process that runs user code: nothing in it is taken for granted."""
    outcome, variables, words = message.get("outcome"), message.get("variables"), message.get("end_say")
    return PythonResult(
        outcome=outcome if outcome in ("ok", "error", "invalid_arguments") else "error",
        content=str(message.get("content", "")),
        variables=variables if isinstance(variables, dict) else {},
        end_call=message.get("end_call") is True,
        end_say=for_speech(words) if isinstance(words, str) else None,
        traceback=str(message.get("traceback", "")),
        change=change if isinstance(change := message.get("change"), dict) else None,
        tools=tools if isinstance(tools := message.get("tools"), dict) else {},
        changes=tuple(each for each in changes[:_MAX_SAYS] if isinstance(each, dict))
        if isinstance(changes := message.get("changes"), list)
        else (),
    )
