"""The supervisor's registrations with LiveKit: one a name, for as long as an agent of this name serves or has calls."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.errors import AgentdError
from agentd.runtime.calls import Calls, JobLink

logger = logging.getLogger(__name__)


class LiveKitUnreachable(AgentdError):
    """No registration came about in the time that was allowed for it."""


class RegistrationLink(JobLink, Protocol):
    """`agentd.transport.registration.Registration`, or a test's."""

    @property
    def registered(self) -> bool: ...
    @property
    def worked_at(self) -> float: ...  # when it last reported its load or tried to register, by the loop's clock

    async def run(self) -> None: ...
    def drain(self) -> None: ...
    def renew(self) -> None: ...
    def load_changed(self) -> None: ...


Register = Callable[[str, Calls, Callable[[bool], None], Callable[[Exception], None]], RegistrationLink]
"""(agent name, its calls, called when the registration comes and goes, called when an attempt fails)."""


@dataclass(slots=True)
class _Registered:
    link: RegistrationLink
    task: asyncio.Task[None]
    last_failure: str = ""
    was_there: bool = False  # until its loss was told


class Registrations:
    """`changed` is called when one comes or goes; `told` with the agent's name, whether it is registered now, and why
    not: for those who are told of it."""

    def __init__(self, register: Register, changed: Callable[[], None], told: Callable[[str, bool, str], None]) -> None:
        self._register = register
        self._changed = changed
        self._told = told
        self._open: dict[str, _Registered] = {}
        self._draining = False
        self._stirred = asyncio.Event()

    def link(self, agent: str) -> RegistrationLink | None:
        found = self._open.get(agent)
        return found.link if found else None

    @property
    def registered(self) -> frozenset[str]:
        return frozenset(name for name, each in self._open.items() if each.link.registered)

    @property
    def unregistered(self) -> list[str]:
        return [name for name, each in self._open.items() if not each.link.registered]

    def idle(self, silence_s: float) -> tuple[str, ...]:
        """Those that for `silence_s` have neither reported to LiveKit nor tried to reach it."""
        return tuple(name for name, each in self._open.items() if now() - each.link.worked_at > silence_s)

    def sync(self, serving: Mapping[str, AgentDefinition], calls: Calls, group: asyncio.TaskGroup) -> None:
        """Opens what is missing, and closes what neither serves nor has calls; then all report their load."""
        for name in serving:
            if name not in self._open and not self._draining:
                self._open[name] = self._opened(name, calls, group)
        for name in [name for name in self._open if name not in serving]:
            if not calls.table.of_registration(name):
                self._open.pop(name).task.cancel()
                logger.info("agent unregistered", extra={"agent": name})
        for each in self._open.values():
            each.link.load_changed()

    def drain(self) -> None:
        """No call is taken any more, and no registration opened."""
        self._draining = True
        for each in self._open.values():
            each.link.drain()

    def renew(self, agent: str) -> None:
        """Has it registered anew: what there is receives nothing."""
        if found := self._open.get(agent):
            found.link.renew()

    def cancel(self) -> None:
        for each in self._open.values():
            each.task.cancel()

    async def within(self, limit_s: float) -> None:
        """Returns when all are registered. Raises LiveKitUnreachable."""
        try:
            async with asyncio.timeout(limit_s):
                while self.unregistered:
                    self._stirred.clear()
                    await self._stirred.wait()
        except TimeoutError as error:
            reasons = {each.last_failure for each in self._open.values()} - {""}
            raise LiveKitUnreachable("; ".join(sorted(reasons)) or "no registration in time") from error

    def _opened(self, name: str, calls: Calls, group: asyncio.TaskGroup) -> _Registered:
        def failed(error: Exception) -> None:
            if found := self._open.get(name):
                found.last_failure = str(error)
                if found.was_there:
                    self._told(name, False, str(error))
                found.was_there = False

        def changed(registered: bool) -> None:
            found = self._open.get(name)
            if registered and found is not None:
                found.was_there = True
                self._told(name, True, "")
            self._stirred.set()
            self._changed()

        link = self._register(name, calls, changed, failed)
        return _Registered(link, group.create_task(link.run(), name=f"registration {name}"))
