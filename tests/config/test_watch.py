from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from agentd.config.watch import watch
from tests.fakes.config_map import publish


class Watched:
    """Counts the changes that `watch` told of."""

    def __init__(self) -> None:
        self.changes = 0
        self.changed = asyncio.Event()

    async def run(self, folder: Path, polling: bool) -> None:
        async with aclosing(watch(folder, polling=polling)) as changes:
            async for _ in changes:
                self.changes += 1
                self.changed.set()

    async def next(self, timeout_s: float = 8) -> None:
        async with asyncio.timeout(timeout_s):
            await self.changed.wait()
        self.changed.clear()


@asynccontextmanager
async def watching(folder: Path, polling: bool = False) -> AsyncIterator[Watched]:
    watched = Watched()
    task = asyncio.create_task(watched.run(folder, polling))
    await asyncio.sleep(0.4)  # the file system's watch has no "ready"
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("polling", [False, True], ids=["notices", "polling"])
async def test_an_edit_is_told_once(tmp_path: Path, polling: bool) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    async with watching(tmp_path, polling) as watched:
        (tmp_path / "a.yaml").write_text("a: 22")
        await watched.next()
        await asyncio.sleep(0.5)
        assert watched.changes == 1


async def test_a_half_written_file_is_waited_for(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        with (tmp_path / "a.yaml").open("w") as file:
            for _ in range(8):
                file.write("# a line\n")
                file.flush()
                await asyncio.sleep(0.1)
                assert watched.changes == 0
        await watched.next()
        await asyncio.sleep(0.5)
        assert watched.changes == 1


async def test_a_thousand_files_are_one_change(tmp_path: Path) -> None:
    async with watching(tmp_path) as watched:
        for number in range(1000):
            (tmp_path / f"{number}.yaml").write_text("a: 1")
        await watched.next()
        await asyncio.sleep(0.5)
        assert watched.changes == 1


@pytest.mark.parametrize("polling", [False, True], ids=["notices", "polling"])
async def test_a_config_map_swap_is_one_change(tmp_path: Path, polling: bool) -> None:
    publish(tmp_path, {"a.yaml": "one", "gone.yaml": "one"})
    async with watching(tmp_path, polling) as watched:
        publish(tmp_path, {"a.yaml": "two", "new.yaml": "two"})
        await watched.next()
        await asyncio.sleep(0.5)
        assert watched.changes == 1
        seen = {path.name: path.read_text() for path in tmp_path.glob("*.yaml")}
        assert seen == {"a.yaml": "two", "new.yaml": "two"}


async def test_bytecode_and_reading_are_no_change(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1")
    async with watching(tmp_path) as watched:
        (tmp_path / "__pycache__").mkdir()
        (tmp_path / "__pycache__" / "x.cpython-311.pyc").write_text("x")
        (tmp_path / "a.yaml").read_text()
        await asyncio.sleep(0.8)
        assert watched.changes == 0


async def test_a_directory_that_is_replaced_or_appears_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "agents.d"
    async with watching(folder) as watched:
        folder.mkdir()
        (folder / "a.yaml").write_text("a: 1")
        await watched.next()
        folder.rename(tmp_path / "old")
        folder.mkdir()
        (folder / "b.yaml").write_text("b: 1")
        await watched.next(timeout_s=12)
