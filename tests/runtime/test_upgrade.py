"""An upgrade and a drain meet: the drain wins until the successor begins. The exec itself is in tests/cli."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agentd.runtime.upgrade import UpgradeRefused
from tests.runtime.daemon import running, until
from tests.runtime.parts import Files, definition


class Successor:
    """Its check lasts until a test lets it pass."""

    def __init__(self) -> None:
        self.checked = asyncio.Event()
        self.passes = asyncio.Event()
        self.held = self.released = False
        self.begun: list[Sequence[int]] = []
        self.as_signals_are_held: Callable[[], object] = lambda: None

    async def check(self) -> None:
        self.checked.set()
        await self.passes.wait()

    def hold_signals(self) -> None:
        self.held = True
        self.as_signals_are_held()

    def release_signals(self) -> None:
        self.released = True

    def begin(self, children: Sequence[int]) -> None:
        self.begun.append(children)


def abandoned(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in log.records if record.message == "upgrade abandoned"]


async def test_a_drain_while_what_is_installed_is_asked_refuses_the_upgrade(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    successor = Successor()
    async with running(tmp_path, Files({"desk": definition("desk")}), successor=successor) as daemon:
        call = await daemon.call("desk")
        asking = asyncio.create_task(daemon.supervisor.upgrade())
        await successor.checked.wait()
        daemon.supervisor.stop_signal()
        successor.passes.set()
        with pytest.raises(UpgradeRefused, match="told to drain"):
            await asking
        assert daemon.supervisor.facts().state == "draining"
        await daemon.hang_up(call)
        assert daemon.run is not None
        assert await daemon.run
    assert (successor.held, successor.begun, len(abandoned(caplog))) == (False, [], 1)


@pytest.mark.parametrize("late", [False, True], ids=["before the last look", "in the last moment"])
async def test_a_drain_after_the_upgrade_was_granted_abandons_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, late: bool
) -> None:
    caplog.set_level(logging.INFO)
    successor = Successor()
    successor.passes.set()
    async with running(tmp_path, Files({"desk": definition("desk")}), successor=successor) as daemon:
        call = await daemon.call("desk")
        if late:
            loop = asyncio.get_running_loop()
            successor.as_signals_are_held = lambda: loop.call_soon(daemon.supervisor.stop_signal)
        await daemon.supervisor.upgrade()
        assert daemon.supervisor.facts().state == "upgrading"
        if not late:
            daemon.supervisor.drain()
        await until(lambda: successor.released)
        assert daemon.supervisor.facts().state == "draining"
        await daemon.hang_up(call)
        assert daemon.run is not None
        assert await daemon.run
    assert (successor.begun, len(abandoned(caplog))) == ([], 1)


async def test_without_a_drain_the_successor_begins(tmp_path: Path) -> None:
    successor = Successor()
    successor.passes.set()
    async with running(tmp_path, Files({"desk": definition("desk")}), successor=successor) as daemon:
        await daemon.supervisor.upgrade()
        await until(lambda: bool(successor.begun))
        assert successor.held
