"""The tool process: `python -m agentd.tools.child`. It imports and calls the users' functions, one call at a time.
Hooks are called as tools are, with an event instead of the model's arguments.

Its only tie to agentd is one socket with JSON frames, read in a thread of its own: when the socket ends, because the
worker closed it or died, the process ends with its whole group, whatever user code is doing. A function that is not
async runs in a thread, so that async leftovers of earlier calls go on; async functions share the one loop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import inspect
import json
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from agentd import ipc
from agentd.config.event_names import BEFORE_REPLY
from agentd.providers.chat import ChatContext
from agentd.tools.confinement import Limits, begin_call, confine, worn
from agentd.tools.context import Participant, RunContext, Session, ToolChanges
from agentd.tools.event import AT_SHUTDOWN
from agentd.tools.hook_signature import HookFunction, change_of, describe_hook, event_of
from agentd.tools.job_context import JobContext, StopResponse
from agentd.tools.loading import allowed_by, function_at, reference_to, tools_at
from agentd.tools.questions import Questions
from agentd.tools.secrets import Secrets
from agentd.tools.signature import SignatureRefused, ToolFunction
from agentd.tools.text import for_model

_TRACEBACK_CHARACTERS = 8192
_MESSAGE_CHARACTERS = 500
_VARIABLES_CHARACTERS = 1024 * 1024


class Child:
    """Answers the worker's requests in order."""

    def __init__(self, link: socket.socket, limits: Limits) -> None:
        self._link = link
        self._limits = limits
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._functions: dict[str, ToolFunction] = {}
        self._hooks: dict[tuple[str, bool], HookFunction] = {}
        self._questions = Questions(self.send)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="tool")

    async def serve(self) -> None:
        requests: asyncio.Queue[Any] = asyncio.Queue()  # bounded by the worker, which sends one and waits
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, args=(loop, requests), name="link", daemon=True).start()
        self.send({"type": "ready"})
        while True:
            request = await requests.get()
            if request["type"] == "describe":
                describe = self._describe_hook if request["hooks"] else self._describe
                self.send({"type": "described", "tools": [describe(ref, request) for ref in request["refs"]]})
            else:
                await self._run(request)

    def send(self, message: Mapping[str, Any]) -> None:
        """From any thread. A forked copy of this process has nothing to say, and ends."""
        if os.getpid() != self._pid:
            os._exit(0)
        frame = json.dumps(message, allow_nan=False).encode()
        with self._sending:
            self._link.sendall(ipc.HEADER.pack(len(frame)) + frame)

    def _read(self, loop: asyncio.AbstractEventLoop, requests: asyncio.Queue[Any]) -> None:
        stream = self._link.makefile("rb")
        while len(header := stream.read(ipc.HEADER.size)) == ipc.HEADER.size:
            message = json.loads(stream.read(ipc.HEADER.unpack(header)[0]))
            if message["type"] == "answer":
                self._questions.answered(message)
            else:
                loop.call_soon_threadsafe(requests.put_nowait, message)
        _end_group()

    def _describe(self, ref: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return _told(ref, lambda: {"tools": self._tools(ref, request["allow"])})

    def _describe_hook(self, ref: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return _told(ref, lambda: {"hook": self._load_hook(ref, request["allow"]) is not None})

    def _tools(self, ref: str, allow: list[str]) -> list[dict[str, Any]]:
        """What the model is told of the tools at `ref`. Raises SignatureRefused, and what the user's module raises."""
        found = tools_at(ref, allowed_by(allow))
        self._functions |= dict(found)
        return [
            {"ref": own, "name": tool.name, "description": tool.description, "parameters": tool.arguments.schema}
            for own, tool in found
        ]

    def _load(self, ref: str, allow: list[str]) -> ToolFunction:
        if ref not in self._functions:
            self._tools(ref, allow)
        return self._functions[ref]

    def _load_hook(self, ref: str, allow: list[str], *, is_callback: bool = False) -> HookFunction:
        if (ref, is_callback) not in self._hooks:
            function = function_at(ref, allowed_by(allow))
            self._hooks[ref, is_callback] = describe_hook(function, is_callback=is_callback)
        return self._hooks[ref, is_callback]

    def _name_callback(self, function: Any, allow: list[str]) -> str:
        """The reference of a function that is to be called when the call is over. Raises SignatureRefused."""
        ref = function if isinstance(function, str) else reference_to(function, allowed_by(allow))
        self._load_hook(ref, allow, is_callback=True)
        return ref

    def _changes(self, allow: list[str]) -> ToolChanges:
        """For tools that add tools: what they name is described at once, so that a mistake is theirs."""

        def described(tool: Any) -> list[dict[str, Any]]:
            ref = tool if isinstance(tool, str) else reference_to(tool, allowed_by(allow))
            if not allowed_by(allow)(ref.partition(":")[0]):
                raise SignatureRefused(f"{ref}: tools_allow ({', '.join(allow)}) does not permit it")
            return self._tools(ref, allow)

        return ToolChanges(described)

    async def _run(self, request: Mapping[str, Any]) -> None:
        call = request["call"]
        self.send({"type": "started", "call": call})
        begin_call(self._limits)
        try:
            hook = self._hook_of(request) if request["type"] == "hook" else None
            context = self._context(request, with_job=hook is not None and hook.job != "")
            before = json.dumps(context.variables, sort_keys=True, default=str)
            if hook is not None:
                told: dict[str, Any] = {"content": "ok", "change": await self._give(hook, request["event"], context)}
            else:
                tool = self._load(request["ref"], request["allow"])
                try:
                    arguments = tool.bind(request["arguments"], context)
                except (TypeError, ValueError, KeyError) as error:
                    invalid = {"outcome": "invalid_arguments", "content": _short(error)}
                    self.send({"type": "result", "call": call, **invalid})
                    return
                told = {"content": as_text(await self._call(tool.function, arguments))}
            variables = _changed(before, context.variables)
        except BaseException as error:  # the tool-call boundary: sys.exit included, the process goes on
            trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]
            traceback.clear_frames(error.__traceback__)  # what its frames hold goes now, not with the next collection
            answer: dict[str, Any] = {"outcome": "error", "content": _short(error), "traceback": trace}
        else:
            ends, words = context.call_ends
            answer = {"outcome": "ok", **told, "variables": variables, "end_call": ends, "end_say": words}
            answer |= {"tools": context.tools.made, "changes": context.changes}
        self.send({"type": "result", "call": call, **answer, "worn": worn(self._limits)})
        self._questions.drop()

    def _context(self, request: Mapping[str, Any], *, with_job: bool) -> RunContext:
        call, allow, data = request["call"], request["allow"], request["context"]
        shared = _shared(data)
        shared["tell"] = lambda kind, told: self.send({"type": kind, "call": call, **told})
        shared["tools"] = self._changes(allow)
        if not with_job or data["job"] is None:
            return RunContext(**shared)
        ask, take_back = self._questions.of(call)
        return JobContext(data["job"], ask, take_back, lambda each: self._name_callback(each, allow), **shared)

    def _hook_of(self, request: Mapping[str, Any]) -> HookFunction:
        is_callback = request["event"]["type"] == AT_SHUTDOWN
        return self._load_hook(request["ref"], request["allow"], is_callback=is_callback)

    async def _give(self, hook: HookFunction, told: Mapping[str, Any], context: RunContext) -> dict[str, Any] | None:
        """Gives the event to the function; the answer counts where it changes a turn."""
        event = event_of(told)
        try:
            result = await self._call(hook.function, hook.bind(event, context))
        except StopResponse:
            if event.type != BEFORE_REPLY:
                raise
            return {"drop": True}
        return change_of(result) if event.type == BEFORE_REPLY else None

    async def _call(self, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)

        def guarded() -> tuple[Any, BaseException | None]:
            try:
                result, error = function(**arguments), None
            except BaseException as raised:  # SystemExit in a thread would end the loop
                result, error = None, raised
            if os.getpid() != self._pid:
                os._exit(0)
            return result, error

        result, error = await asyncio.get_running_loop().run_in_executor(self._threads, guarded)
        if error is not None:
            raise error
        return await result if inspect.isawaitable(result) else result


def _told(ref: str, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was loaded, or its problem."""
    try:
        return {"ref": ref, **load()}
    except SignatureRefused as refusal:
        return {"ref": ref, "problem": f"{ref}: {refusal}"}
    except BaseException as error:  # user code runs at import: whatever it raises is its answer
        traceback.print_exc()
        return {"ref": ref, "problem": f"{ref}: {_short(error)}"}


def as_text(result: Any) -> str:
    """What a tool returned, as the model reads it: a text as it is, nothing as "ok", all else as JSON."""
    if result is None:
        return "ok"
    return for_model(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime.date | datetime.time | datetime.datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if callable(dump := getattr(value, "model_dump", None)):  # pydantic
        return dump(mode="json")
    return str(value)


def _shared(data: Mapping[str, Any]) -> dict[str, Any]:
    """What every context has, of what the worker tells."""
    return {
        "session": Session(**data["session"]),
        "participant": Participant(**data["participant"]),
        "participants": tuple(Participant(**each) for each in data["participants"]),
        "variables": data["variables"],
        "secrets": Secrets(data["secrets"]),
        "history": ChatContext.from_dict(data["history"]) if data["history"] else None,
        "key": data["key"],
    }


def _changed(before: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What differs, as plain JSON; None for what was deleted. Raises TypeError, ValueError."""
    after = json.dumps(variables, default=_plain, allow_nan=False)
    if len(after) > _VARIABLES_CHARACTERS:
        raise ValueError(
            f"the variables have grown to {len(after)} characters; at most {_VARIABLES_CHARACTERS} are kept"
        )
    old, new = json.loads(before), json.loads(after)
    return {name: new.get(name) for name in {**old, **new} if new.get(name) != old.get(name) or name not in old}


def _short(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it called sys.exit"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return for_model(text, _MESSAGE_CHARACTERS)


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main() -> None:
    limits = confine()
    asyncio.run(Child(ipc.parent_socket(), limits).serve())


if __name__ == "__main__":
    main()
