"""The tool process: `python -m agentd.tools.child`. It imports and calls the users' functions, one call at a time.
Hooks are called as tools are, with an event instead of the model's arguments.

Its only tie to agentd is one socket with JSON frames, read in a thread of its own: when the socket ends, because the
worker closed it or died, the process ends with its whole group, whatever user code is doing. A function that is not
async runs in a thread, so that async leftovers of earlier calls go on; async functions share the one loop.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import datetime
import enum
import fnmatch
import importlib
import inspect
import json
import os
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

from agentd import ipc
from agentd.providers.chat import ChatContext
from agentd.tools import signature
from agentd.tools.context import Participant, RunContext, Session
from agentd.tools.hook_signature import HookFunction, change_of, describe_hook, event_of
from agentd.tools.text import for_model

MEMORY_VARIABLE = "AGENTD_TOOL_MEMORY_BYTES"
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_TRACEBACK_CHARACTERS = 8192
_MESSAGE_CHARACTERS = 500
_VARIABLES_CHARACTERS = 1024 * 1024


Loaded = TypeVar("Loaded", signature.ToolFunction, HookFunction)


class Child:
    """Answers the worker's requests in order."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._pid = os.getpid()
        self._sending = threading.Lock()
        self._functions: dict[str, signature.ToolFunction] = {}
        self._hooks: dict[str, HookFunction] = {}
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
            frame = stream.read(ipc.HEADER.unpack(header)[0])
            loop.call_soon_threadsafe(requests.put_nowait, json.loads(frame))
        _end_group()

    def _describe(self, ref: str, request: Mapping[str, Any]) -> dict[str, Any]:
        found = _loaded(self._load, ref, request)
        if isinstance(found, dict):
            return found
        return {
            "ref": ref,
            "name": found.name,
            "description": found.description,
            "parameters": found.arguments.schema,
            "strict": found.arguments.strict,
        }

    def _describe_hook(self, ref: str, request: Mapping[str, Any]) -> dict[str, Any]:
        found = _loaded(self._load_hook, ref, request)
        return found if isinstance(found, dict) else {"ref": ref}

    def _load(self, ref: str, allow: list[str]) -> signature.ToolFunction:
        if ref not in self._functions:
            self._functions[ref] = signature.describe(_function(ref, allow))
        return self._functions[ref]

    def _load_hook(self, ref: str, allow: list[str]) -> HookFunction:
        if ref not in self._hooks:
            self._hooks[ref] = describe_hook(_function(ref, allow))
        return self._hooks[ref]

    async def _run(self, request: Mapping[str, Any]) -> None:
        call = request["call"]
        self.send({"type": "started", "call": call})
        context = _context(
            request["context"],
            lambda text: self.send({"type": "say", "call": call, "text": text}),
            lambda act, values: self.send({"type": "act", "call": call, "act": act, "values": values}),
        )
        before = json.dumps(context.variables, sort_keys=True, default=str)
        try:
            if request["type"] == "hook":
                told: dict[str, Any] = {"content": "ok", "change": await self._hook(request, context)}
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
            answer: dict[str, Any] = {"outcome": "error", "content": _short(error), "traceback": trace}
        else:
            ends, words = context.call_ends
            answer = {"outcome": "ok", **told, "variables": variables, "end_call": ends, "end_say": words}
        self.send({"type": "result", "call": call, **answer})

    async def _hook(self, request: Mapping[str, Any], context: RunContext) -> dict[str, Any] | None:
        """Gives the event to the function; the answer counts where it changes a turn."""
        hook, event = self._load_hook(request["ref"], request["allow"]), event_of(request["event"])
        result = await self._call(hook.function, hook.bind(event, context))
        return change_of(result) if event.type == "before_reply" else None

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


def _loaded(load: Callable[[str, list[str]], Loaded], ref: str, request: Mapping[str, Any]) -> Loaded | dict[str, Any]:
    """What was loaded, or its problem."""
    try:
        return load(ref, request["allow"])
    except signature.SignatureRefused as refusal:
        return {"ref": ref, "problem": f"{ref}: {refusal}"}
    except BaseException as error:  # user code runs at import: whatever it raises is its answer
        traceback.print_exc()
        return {"ref": ref, "problem": f"{ref}: {_short(error)}"}


def _function(ref: str, allow: list[str]) -> Callable[..., Any]:
    """Raises SignatureRefused, and what the module raises when it is imported."""
    module_name, _, name = ref.partition(":")
    module = importlib.import_module(module_name)
    function = module.__dict__.get(name)
    if function is None:
        raise signature.SignatureRefused(f"there is no {name} in {module_name} ({_instead(name, module)})")
    if not inspect.isfunction(function):
        raise signature.SignatureRefused("it is no Python function")
    if not any(fnmatch.fnmatchcase(function.__module__, pattern) for pattern in allow):
        raise signature.SignatureRefused(
            f"it is defined in {function.__module__}, which tools_allow ({', '.join(allow)}) does not permit"
        )
    return function


def _instead(name: str, module: ModuleType) -> str:
    public = [key for key, value in vars(module).items() if inspect.isfunction(value) and not key.startswith("_")]
    own = [key for key in public if vars(module)[key].__module__ == module.__name__]
    if near := get_close_matches(name, own, 1):
        return f"did you mean {near[0]}?"
    return f"it has: {', '.join(own[:10]) or 'no function'}"


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


def _context(
    data: Mapping[str, Any], say: Callable[[str], None], act: Callable[[str, dict[str, Any]], None]
) -> RunContext:
    return RunContext(
        session=Session(**data["session"]),
        participant=Participant(**data["participant"]),
        variables=data["variables"],
        say=say,
        act=act,
        history=ChatContext.from_dict(data["history"]) if data["history"] else None,
    )


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


def _confine() -> None:
    """No core dumps, no new privileges, an end with the worker's, and the memory limit that was asked for."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limit := int(os.environ.pop(MEMORY_VARIABLE, "0")):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def main() -> None:
    _confine()
    asyncio.run(Child(ipc.parent_socket()).serve())


if __name__ == "__main__":
    main()
