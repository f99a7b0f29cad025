"""The code on disk, and what a worker that could not begin has left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.ipc import LinkClosed
from agentd.registry import Component, Plugin, Registry, installed
from agentd.runtime.code import CodeFile, CodeOnDisk, code_changes, differing, loaded_here
from agentd.runtime.entry import last_words, leave
from agentd.runtime.launch import launch_process

MakePlugin = Callable[[str], Registry]


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePlugin:
    monkeypatch.syspath_prepend(str(tmp_path))

    def registry(settings: str) -> Registry:
        one = Component(kind="llm", provider="owl", settings=settings, factory="owl.llm:make", summary="An owl.")
        return Registry([Plugin(name="owl", version="1", components=(one,))])

    return registry


def test_every_file_of_agentd_and_of_its_plugins_is_read() -> None:
    reading = CodeOnDisk(installed()).read()
    assert {file.origin for file in reading.values()} == {"agentd", "plugin"}
    names = {path.rpartition("/agentd")[2] for path in reading}
    assert {"/runtime/worker.py", "_scripted/llm.py", "_scripted/config.py"} <= names
    assert not [path for path in reading if "__pycache__" in path]


def test_an_edit_of_a_package_and_of_a_single_module_is_seen(tmp_path: Path, make_plugin: MakePlugin) -> None:
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "__init__.py").write_text("")
    (tmp_path / "owl" / "llm.py").write_text("A = 1\n")
    (tmp_path / "owlet.py").write_text("A = 1\n")
    code = CodeOnDisk(make_plugin("owlet:Settings"))
    before = code.read()
    assert differing(before, code.read()) == ()
    (tmp_path / "owl" / "llm.py").write_text("A = 2 + 0\n")
    (tmp_path / "owlet.py").write_text("A = 3 + 0\n")
    (tmp_path / "owl" / "more.py").write_text("")
    (tmp_path / "owl" / "__init__.py").unlink()
    after = code.read()
    found = differing(before, after)
    assert [Path(path).name for path in found] == ["__init__.py", "llm.py", "more.py", "owlet.py"]
    gone, edited, new, _ = code_changes(found, before, after, "next_session")
    assert (gone.new, new.old) == (None, None)
    assert edited.old != edited.new
    assert (edited.place, edited.origin, edited.reload) == (f"{tmp_path}/owl/llm.py:1", "plugin", "next_session")


def test_a_plugin_that_was_taken_away_differs(tmp_path: Path, make_plugin: MakePlugin) -> None:
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "__init__.py").write_text("")
    code = CodeOnDisk(make_plugin("owl.config:Settings"))
    before = code.read()
    (tmp_path / "owl" / "__init__.py").unlink()
    (tmp_path / "owl").rmdir()
    assert differing(before, code.read()) == (str(tmp_path / "owl" / "__init__.py"),)
    assert before[str(tmp_path / "owl" / "__init__.py")] == CodeFile(
        origin="plugin", digest="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_what_this_process_runs_is_known() -> None:
    assert os.path.realpath(sys.modules["agentd.runtime.code"].__file__ or "") in loaded_here()


def test_the_last_words_of_a_worker_are_one_line_with_the_place(tmp_path: Path) -> None:
    assert last_words(tmp_path) == ""
    try:
        raise ExceptionGroup("many", [ValueError("no owl\ntoday")])
    except ExceptionGroup as error:
        leave(error, str(tmp_path))
    assert last_words(tmp_path) == "ValueError: no owl"
    try:
        int("owl")
    except ValueError as error:
        leave(error, str(tmp_path))
    assert last_words(tmp_path).startswith("ValueError: invalid literal for int() with base 10: 'owl' (")
    assert f"{Path(__file__).name}:" in last_words(tmp_path)


async def test_a_worker_that_cannot_be_imported_says_why() -> None:
    async with launch_process("worker-9", module="no.such.worker") as launched:
        with pytest.raises(LinkClosed):
            await launched.link.receive()
        assert launched.last_words().startswith("ModuleNotFoundError: No module named 'no' (")
