"""The private copy of the tools' code."""

import os
from pathlib import Path

import pytest

from agentd.errors import ToolError
from agentd.tools import snapshot
from agentd.tools.snapshot import Scratch, copy_code


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    for name in (
        "tools/a.py",
        "tools/deep/b.py",
        "tools/deep/words.json",
        "tools/__pycache__/a.pyc",
        "tools/.venv/c.py",
        "other/d.py",
        "single.py",
        "front-desk.yaml",
    ):
        path = tmp_path / "agents.d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "agents.d"


@pytest.mark.parametrize(
    ("allow", "copied"),
    [
        (("tools.*",), ["tools/a.py", "tools/deep/b.py", "tools/deep/words.json"]),
        (("single",), ["single.py"]),
        (("other.d", "single"), ["other/d.py", "single.py"]),
        (("acme.voice.*",), []),
        (("*",), ["other/d.py", "single.py", "tools/a.py", "tools/deep/b.py", "tools/deep/words.json"]),
    ],
)
def test_what_may_be_imported_is_copied_and_nothing_else(
    agents: Path, tmp_path: Path, allow: tuple[str, ...], copied: list[str]
) -> None:
    copy_code(agents, allow, tmp_path / "code")
    assert names(tmp_path / "code") == copied


def test_mounted_files_are_copied_through_their_links(tmp_path: Path) -> None:
    data = tmp_path / "agents.d" / "..data"
    data.mkdir(parents=True)
    (data / "a.py").write_text("A = 1")
    (tmp_path / "agents.d" / "tools").symlink_to("..data")
    copy_code(tmp_path / "agents.d", ("tools.*",), tmp_path / "code")
    assert not (tmp_path / "code" / "tools").is_symlink()
    assert (tmp_path / "code" / "tools" / "a.py").read_text() == "A = 1"


def test_pipes_and_dangling_links_are_passed_over(agents: Path, tmp_path: Path) -> None:
    os.mkfifo(agents / "tools" / "pipe")
    (agents / "tools" / "dangling.py").symlink_to("nowhere.py")
    copy_code(agents, ("tools.*",), tmp_path / "code")
    assert names(tmp_path / "code") == ["tools/a.py", "tools/deep/b.py", "tools/deep/words.json"]


def test_a_data_set_beside_the_code_is_refused(agents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_FILES", 2)
    with pytest.raises(ToolError, match="keep data and environments elsewhere"):
        copy_code(agents, ("tools.*",), tmp_path / "code")


def test_a_directory_is_private_and_goes_when_it_is_removed(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    assert scratch.path.stat().st_mode & 0o777 == 0o700
    home = scratch.home()
    (home / "x").write_text("x")
    scratch.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_owner_left_is_removed_and_what_lives_is_kept(tmp_path: Path) -> None:
    living = Scratch(tmp_path)
    left = tmp_path / "agentd-tools-left"
    left.mkdir()
    (left / "owner.lock").touch()
    begun = tmp_path / "agentd-tools-just-begun"
    begun.mkdir()
    unrelated = tmp_path / "mine"
    unrelated.mkdir()
    second = Scratch(tmp_path)
    assert set(tmp_path.iterdir()) == {living.path, second.path, begun, unrelated}
    living.remove()
    second.remove()
