"""What is kept of revisions, and what of it can be made again."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded
from agentd.runtime.revisions import ABANDONED_S, CODE_BYTES, KEPT, RevisionLost, Revisions
from tests.reload.directory import AGENT, Directory

TOOL = "tools: [{type: python, ref: 'tools.clock:now'}]\n"


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    made = Directory(tmp_path / "agents.d")
    made.write("tools/clock.py", "def now() -> str:\n    return 'early'\n")
    made.write("desk.yaml", AGENT + TOOL)
    return made


def store(tmp_path: Path, directory: Directory) -> Revisions:
    return Revisions(tmp_path / "state", directory.path, directory.rebuild)


def kept(revisions: Revisions, directory: Directory, at: float = 1.0) -> tuple[AgentDefinition, Loaded]:
    loaded = directory.load({})
    assert not loaded.errors, loaded.errors
    revisions.keep(loaded.agents.values(), loaded.texts, at)
    return loaded.agents["desk"], loaded


def test_a_revision_is_made_again_with_the_code_of_its_time(tmp_path: Path, directory: Directory) -> None:
    revisions = store(tmp_path, directory)
    first, _ = kept(revisions, directory)
    directory.write("tools/clock.py", "def later() -> str:\n    return 'late'\n")
    directory.write("desk.yaml", AGENT)
    again = revisions.restore("desk", first.digest)
    assert again == first
    assert (again.digest, again.source) == (first.digest, first.source)
    assert "early" in (Path(again.root) / "tools/clock.py").read_text()


def test_what_is_kept_is_its_owners_only(tmp_path: Path, directory: Directory) -> None:
    kept(store(tmp_path, directory), directory)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").rglob("*.json")}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "state/revisions").stat().st_mode) == 0o700


def test_code_is_kept_once_for_all_that_have_it_and_goes_with_the_last(tmp_path: Path, directory: Directory) -> None:
    revisions = store(tmp_path, directory)
    directory.write("shop.yaml", f"instructions: shop\n{AGENT}{TOOL}")
    kept(revisions, directory)
    codes = tmp_path / "state/revisions/code"
    assert len(list(codes.iterdir())) == 1
    directory.write("tools/clock.py", "def now() -> str:\n    return 'late'\n")
    (directory.path / "shop.yaml").unlink()
    for number in range(KEPT):
        directory.write("desk.yaml", f"instructions: v{number}\n{AGENT}{TOOL}")
        kept(revisions, directory, at=2.0 + number)
    revisions.prune({"desk": []})
    assert len(revisions.of("desk")) == KEPT
    assert len(list(codes.iterdir())) == 2, "the shop still has the older code"
    revisions.forget(["desk"], at=ABANDONED_S + 100)
    assert revisions.of("shop") == ()
    assert len(list(codes.iterdir())) == 1


def test_what_is_needed_is_never_removed(tmp_path: Path, directory: Directory) -> None:
    revisions = store(tmp_path, directory)
    first, _ = kept(revisions, directory)
    for number in range(KEPT + 3):
        directory.write("desk.yaml", f"instructions: v{number}\n{AGENT}")
        kept(revisions, directory, at=2.0 + number)
    revisions.prune({"desk": [first.digest]})
    digests = [one.digest for one in revisions.of("desk")]
    assert len(digests) == KEPT + 1
    assert digests[-1] == first.digest


def test_a_revision_that_serves_again_is_the_newest(tmp_path: Path, directory: Directory) -> None:
    revisions = store(tmp_path, directory)
    first, _ = kept(revisions, directory, at=1.0)
    directory.write("desk.yaml", f"instructions: other\n{AGENT}")
    kept(revisions, directory, at=2.0)
    directory.write("desk.yaml", AGENT + TOOL)
    kept(revisions, directory, at=3.0)
    [newest, _] = revisions.of("desk")
    assert (newest.digest, newest.first_at, newest.last_at) == (first.digest, 1.0, 3.0)


def test_too_much_code_is_told_and_not_kept(
    tmp_path: Path, directory: Directory, caplog: pytest.LogCaptureFixture
) -> None:
    with (directory.path / "tools/large.bin").open("wb") as file:
        file.truncate(CODE_BYTES + 1)
    revisions = store(tmp_path, directory)
    first, _ = kept(revisions, directory)
    assert "a rollback takes today's" in caplog.text
    assert list((tmp_path / "state/revisions/code").iterdir()) == []
    again = revisions.restore("desk", first.digest)
    assert (again, again.root) == (first, "")


def test_what_cannot_be_made_again_says_why(tmp_path: Path, directory: Directory) -> None:
    revisions = store(tmp_path, directory)
    with pytest.raises(RevisionLost, match="is not kept"):
        revisions.restore("desk", "0" * 64)
    directory.write("desk.yaml", f"description: '${{CITY:-here}}'\n{AGENT}")
    first, _ = kept(revisions, directory)
    (path,) = (tmp_path / "state/revisions/desk").glob("*.json")
    path.write_text(path.read_text().replace("description", "descripton"))
    with pytest.raises(RevisionLost, match="unknown-key"):
        revisions.restore("desk", first.digest)
    path.write_text("{")
    assert revisions.of("desk") == ()
