"""One registration a name: opened and closed with its agent, and told of when it comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from agentd.runtime.registrations import LiveKitUnreachable, Registrations
from tests.runtime.parts import definition


@dataclass
class Link:
    """A registration that a test lets come and go."""

    changed: Callable[[bool], None]
    failed: Callable[[Exception], None]
    registered: bool = False
    ended: bool = False
    draining: bool = False
    reports: int = 0
    worked_at: float = 0.0

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    def comes(self) -> None:
        self.registered = True
        self.changed(True)

    def goes(self, why: str) -> None:
        self.registered = False
        self.changed(False)
        self.failed(OSError(why))

    def drain(self) -> None:
        self.draining = True

    def renew(self) -> None:
        """Nothing is probed here."""

    def load_changed(self) -> None:
        self.reports += 1


@dataclass
class Desk:
    registrations: Registrations = field(init=False)
    links: dict[str, Link] = field(default_factory=dict)
    told: list[tuple[str, bool, str]] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    group: asyncio.TaskGroup | None = None

    def __post_init__(self) -> None:
        def register(
            name: str, calls: Any, changed: Callable[[bool], None], failed: Callable[[Exception], None]
        ) -> Link:
            self.links[name] = Link(changed, failed)
            return self.links[name]

        def note(agent: str, registered: bool, reason: str) -> None:
            self.told.append((agent, registered, reason))

        self.registrations = Registrations(register, lambda: None, note)  # type: ignore[arg-type]

    def serve(self, *names: str) -> None:
        calls: Any = SimpleNamespace(table=SimpleNamespace(of_registration=lambda name: int(name in self.busy)))
        assert self.group is not None
        self.registrations.sync({name: definition(name) for name in names}, calls, self.group)


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with asyncio.TaskGroup() as desk.group:
        yield desk
        desk.registrations.cancel()


async def test_it_lives_as_long_as_its_agent_serves_or_has_calls() -> None:
    async with desk() as place:
        place.serve("a", "b")
        await asyncio.sleep(0)
        place.busy = {"b"}
        place.serve("a")
        await asyncio.sleep(0)
        assert (place.links["b"].ended, place.links["b"].reports) == (False, 2)
        place.busy = set()
        place.serve("a")
        await asyncio.sleep(0)
        assert place.links["b"].ended
        assert place.registrations.link("b") is None


async def test_a_loss_is_told_once_and_a_first_attempt_that_fails_is_none() -> None:
    async with desk() as place:
        place.serve("a")
        link = place.links["a"]
        link.failed(OSError("no server"))
        assert place.told == []
        link.comes()
        link.goes("it broke")
        link.failed(OSError("no server"))
        link.comes()
        assert place.told == [("a", True, ""), ("a", False, "it broke"), ("a", True, "")]
        assert place.registrations.registered == {"a"}


async def test_who_waits_for_all_of_them_is_told_why_there_are_none() -> None:
    async with desk() as place:
        place.serve("a", "b")
        place.links["a"].failed(OSError("no server"))
        with pytest.raises(LiveKitUnreachable, match="no server"):
            await place.registrations.within(0.01)
        asyncio.get_running_loop().call_soon(place.links["a"].comes)
        asyncio.get_running_loop().call_soon(place.links["b"].comes)
        await place.registrations.within(5)
        assert place.registrations.unregistered == []


async def test_a_drain_opens_no_more_of_them() -> None:
    async with desk() as place:
        place.serve("a")
        place.registrations.drain()
        place.serve("a", "b")
        assert {name: link.draining for name, link in place.links.items()} == {"a": True}
