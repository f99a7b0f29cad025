"""How advice calls the program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agentd.cli.files import this_program


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program is: in a virtual environment below the working directory."""
    program = tmp_path / ".venv" / "bin" / "agentd"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program), "serve"])
    return program.parent


def test_the_program_is_called_by_its_path_unless_the_shell_finds_it(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert this_program() == ".venv/bin/agentd"
    monkeypatch.setenv("PATH", f"{installed}:/usr/bin")
    assert this_program() == "agentd"


def test_as_a_module_it_is_called_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/agentd/__main__.py", "serve"])
    assert this_program() == "python -m agentd"
