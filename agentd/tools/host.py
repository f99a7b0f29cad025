"""The Python tools of one generation: a snapshot of their code, and a small pool of processes that run it.

A process has one call at a time, so that ending one which hangs harms no other call. Processes are started when
they are needed and one or two are kept warm; calls beyond the pool's size wait for their turn, inside their
own deadline.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentd.errors import ToolCrashed, ToolError, ToolTimeout
from agentd.tools import process
from agentd.tools.confinement import Limits
from agentd.tools.process import NotStarted, PythonResult, ToolProcess
from agentd.tools.snapshot import Scratch, copy_code
from agentd.tools.spec import Event, ToolContext

logger = logging.getLogger(__name__)

DESCRIBE_DEADLINE_S = 20.0
PROCESSES = 8
IDLE_PROCESSES = 2  # about 13 MiB each; starting one takes 0.1 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A Python tool as its type hints and docstring tell it."""

    ref: str
    name: str
    description: str
    parameters: Mapping[str, Any]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Description:
        """From what a tool process tells, or a journal. Raises KeyError, TypeError."""
        if not isinstance(told["parameters"], Mapping):
            raise TypeError("a tool's parameters are a JSON Schema")
        texts = {name: str(told[name]) for name in ("ref", "name", "description")}
        return cls(**texts, parameters=told["parameters"])


class ToolHost:
    """One a worker and generation; shared by the agents of the generation.

    `environment`: what the tools see beside PATH, HOME, LANG and their like; nothing else of ours is theirs.
    `limits`: of each process. `scratch_dir`: where code and working directories go.
    """

    def __init__(
        self,
        agents_dir: Path,
        tools_allow: Sequence[str] = ("tools.*",),
        *,
        environment: Mapping[str, str] | None = None,
        processes: int = PROCESSES,
        idle_processes: int = IDLE_PROCESSES,
        limits: Limits = Limits(),  # noqa: B008 -- frozen
        scratch_dir: Path | None = None,
    ) -> None:
        self._agents_dir = agents_dir
        self._allow = tuple(tools_allow)
        self._environment = dict(environment or {})
        self._idle_processes = idle_processes
        self._limits = limits
        self._scratch_dir = scratch_dir
        self._scratch: Scratch | None = None
        self._copying = asyncio.Lock()
        self._slots = asyncio.Semaphore(processes)
        self._idle: list[ToolProcess] = []
        self._busy: set[ToolProcess] = set()
        self._closed = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that there are now."""
        return tuple(each.pid for each in (*self._idle, *self._busy))

    async def describe(self, refs: Sequence[str]) -> dict[str, tuple[Description, ...]]:
        """Imports the code in a tool process: by reference the tool there, or those of an object. Raises ToolError with
        every reason."""
        found = await self._describe_all(refs, hooks=False)
        return {each["ref"]: tuple(Description.of(tool) for tool in each["tools"]) for each in found}

    async def check_hooks(self, refs: Sequence[str]) -> None:
        """Imports the code of hooks. Raises ToolError with every reason."""
        await self._describe_all(refs, hooks=True)

    async def _describe_all(self, refs: Sequence[str], *, hooks: bool) -> list[dict[str, Any]]:
        refused = [ref for ref in refs if not self._allows(ref)]
        problems = [f"{ref}: tools_allow ({', '.join(self._allow)}) does not permit it" for ref in refused]
        wanted = [ref for ref in dict.fromkeys(refs) if ref not in refused]
        found = await self._describe(wanted, hooks=hooks) if wanted else []
        problems += [str(each["problem"]) for each in found if "problem" in each]
        if problems:
            raise ToolError("; ".join(problems))
        return found

    async def run(self, ref: str, arguments: Mapping[str, Any], context: ToolContext, timeout_s: float) -> PythonResult:
        """Raises ToolTimeout, ToolCrashed. Cancelling it, too, ends the process of the call."""
        return await self._within(timeout_s, ref, lambda each: each.run(ref, arguments, context))

    async def run_hook(self, ref: str, event: Event, context: ToolContext, timeout_s: float) -> PythonResult:
        """The same for a hook."""
        return await self._within(timeout_s, ref, lambda each: each.run_hook(ref, event, context))

    async def _within(
        self, timeout_s: float, ref: str, call: Callable[[ToolProcess], Awaitable[PythonResult]]
    ) -> PythonResult:
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                try:
                    return await self._run_in(await self._take(), ref, call)
                except NotStarted:  # it died while idle
                    return await self._run_in(await self._start(), ref, call)
        except NotStarted as error:
            raise ToolCrashed("its process ended before it began") from error
        except TimeoutError as error:
            raise ToolTimeout(f"no answer within {timeout_s:g} s") from error

    async def aclose(self) -> None:
        """Ends every process, also under a call, and removes the snapshot. Idempotent."""
        self._closed = True
        ending = [*self._idle, *self._busy]
        self._idle.clear()
        async with self._copying:
            scratch, self._scratch = self._scratch, None
        try:
            await asyncio.gather(*(each.end() for each in ending))
        finally:
            if scratch is not None:
                await asyncio.to_thread(scratch.remove)

    def _allows(self, ref: str) -> bool:
        module, _, path = ref.partition(":")
        named = all(part.isidentifier() for part in path.split("."))
        return named and any(fnmatch.fnmatchcase(module, pattern) for pattern in self._allow)

    async def _describe(self, refs: Sequence[str], *, hooks: bool) -> list[dict[str, Any]]:
        async with self._slots:
            each = await self._take()
            try:
                async with asyncio.timeout(DESCRIBE_DEADLINE_S):
                    found = await each.describe(refs, hooks=hooks)
            except TimeoutError as error:
                await self._end(each)
                raise ToolError(f"importing {', '.join(refs)} took more than {DESCRIBE_DEADLINE_S:g} s") from error
            except BaseException:  # cancelled as well: it is in an unknown state
                await self._end(each)
                raise
            await self._give_back(each)
            return found

    async def _run_in(
        self, each: ToolProcess, ref: str, call: Callable[[ToolProcess], Awaitable[PythonResult]]
    ) -> PythonResult:
        try:
            result = await call(each)
        except BaseException:  # timed out, cancelled, crashed: whatever it was, this process is done
            logger.info("ended a tool process", extra={"tool": ref, "pid": each.pid})
            await self._end(each)
            raise
        await self._give_back(each)
        return result

    async def _take(self) -> ToolProcess:
        """The process used last, so that the others can be let go; a new one when none is free."""
        while self._idle:
            each = self._idle.pop()
            self._busy.add(each)
            if each.alive:
                return each
            await self._end(each)
        return await self._start()

    async def _start(self) -> ToolProcess:
        scratch = await self._prepared()
        each = await process.start(
            code=scratch.path / "code",
            home=await asyncio.to_thread(scratch.home),
            allow=self._allow,
            environment=self._environment,
            limits=self._limits,
        )
        self._busy.add(each)
        return each

    async def _give_back(self, each: ToolProcess) -> None:
        if each.worn:
            logger.info("ended a tool process that is worn out", extra={"pid": each.pid, "left": each.worn})
        wanted = self._slots.locked()  # others wait for it, or as many calls as may be are under way
        if self._closed or each.worn or (len(self._idle) >= self._idle_processes and not wanted):
            await self._end(each)
        else:
            self._busy.discard(each)
            self._idle.append(each)

    async def _end(self, each: ToolProcess) -> None:
        try:
            await each.end()
        finally:
            self._busy.discard(each)

    async def _prepared(self) -> Scratch:
        """The scratch directory with the code in it, made at the first use."""
        async with self._copying:
            if self._closed:
                raise ToolCrashed("the tools were closed")
            if self._scratch is None:
                self._scratch = await asyncio.to_thread(self._copy)
            return self._scratch

    def _copy(self) -> Scratch:
        scratch = Scratch(self._scratch_dir)
        try:
            copy_code(self._agents_dir, self._allow, scratch.path / "code")
        except BaseException as error:  # cancelled as well: half a copy must not stay
            scratch.remove()
            if isinstance(error, OSError):
                raise ToolError(f"the tools' code cannot be copied: {error}") from error
            raise
        return scratch
