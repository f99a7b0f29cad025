from __future__ import annotations

from pathlib import Path

from agentd.config.generation import Diff, Generation, next_generation, with_rejected
from agentd.errors import Problem
from tests.config.files import PROVIDERS, loaded, write


def step(folder: Path, previous: Generation | None, files: dict[str, str | None]) -> tuple[Generation, Diff]:
    write(folder, {name: text for name, text in files.items() if text is not None})
    for name, text in files.items():
        if text is None:
            (folder / name).unlink()
    return next_generation(previous, loaded(folder))


def test_a_generation_tells_what_was_added_updated_and_removed(tmp_path: Path) -> None:
    first, diff = step(tmp_path, None, {"a.yaml": PROVIDERS, "b.yaml": PROVIDERS})
    assert (first.number, diff) == (1, Diff(added=("a", "b")))
    second, diff = step(tmp_path, first, {"a.yaml": f"{PROVIDERS}language: de\n", "b.yaml": None, "c.yaml": PROVIDERS})
    assert (second.number, diff) == (2, Diff(added=("c",), updated=("a",), removed=("b",)))


def test_a_comment_is_no_new_generation(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": PROVIDERS})
    same, diff = step(tmp_path, first, {"a.yaml": f"# hello\n{PROVIDERS}"})
    assert (same.number, diff) == (1, Diff())
    assert not diff


def test_a_broken_file_keeps_its_last_good_version(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": f"name: desk\n{PROVIDERS}", "b.yaml": PROVIDERS})
    for broken in ("name: [", "name: desk\nstt: {provider: nobody}\n", "", "name: other\nllm: 3\n"):
        after, diff = step(tmp_path, first, {"a.yaml": broken})
        assert not diff
        assert after.agents["desk"] == first.agents["desk"]
        assert after.stale["desk"][0].file == str(tmp_path / "a.yaml")
        assert after.rejected == {}
    mended, diff = step(tmp_path, after, {"a.yaml": f"name: desk\nlanguage: de\n{PROVIDERS}"})
    assert diff == Diff(updated=("desk",))
    assert mended.stale == {}


def test_a_broken_new_file_is_rejected_by_name_or_by_source(tmp_path: Path) -> None:
    generation, diff = step(tmp_path, None, {"a.yaml": "name: desk\n", "b.yaml": "x: ["})
    assert not diff
    assert list(generation.rejected) == ["desk", str(tmp_path / "b.yaml")]


def test_a_file_that_breaks_off_keeps_all_its_documents(tmp_path: Path) -> None:
    both = f"name: one\n{PROVIDERS}---\nname: two\n{PROVIDERS}"
    first, _ = step(tmp_path, None, {"pair.yaml": both})
    after, diff = step(tmp_path, first, {"pair.yaml": f"name: one\nlanguage: de\n{PROVIDERS}---\nname: {{"})
    assert not diff
    assert set(after.stale) == {"one", "two"}


def test_a_broken_part_keeps_every_agent_that_extends_it(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"_p.yaml": PROVIDERS, "a.yaml": "extends: _p.yaml\n", "b.yaml": PROVIDERS})
    after, diff = step(tmp_path, first, {"_p.yaml": "stt: ["})
    assert not diff
    assert set(after.stale) == {"a"}


def test_an_agent_moves_to_another_file_without_a_gap(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": f"name: desk\n{PROVIDERS}"})
    after, diff = step(tmp_path, first, {"a.yaml": None, "z.yaml": f"name: desk\n{PROVIDERS}"})
    assert not diff
    assert after.agents["desk"].source.endswith("z.yaml")


def test_a_renamed_agent_is_one_removed_and_one_added(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": f"name: old\n{PROVIDERS}"})
    _, diff = step(tmp_path, first, {"a.yaml": f"name: new\n{PROVIDERS}"})
    assert diff == Diff(added=("new",), removed=("old",))


def test_a_second_agent_of_a_name_takes_nothing_over(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": f"name: x\n{PROVIDERS}", "b.yaml": f"name: y\n{PROVIDERS}"})
    after, diff = step(tmp_path, first, {"b.yaml": f"name: x\nlanguage: de\n{PROVIDERS}"})
    assert not diff
    assert set(after.agents) == {"x", "y"}
    assert set(after.stale) == {"y"}


def test_a_directory_that_cannot_be_read_removes_nothing(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"d.yaml": PROVIDERS})
    after, diff = next_generation(first, loaded(tmp_path / "gone"))
    assert not diff
    assert after.agents == first.agents
    assert after.stale["d"][0].code == "directory"


def test_an_agent_that_a_worker_refuses_keeps_what_served(tmp_path: Path) -> None:
    first, _ = step(tmp_path, None, {"a.yaml": PROVIDERS})
    candidate, _ = step(
        tmp_path, first, {"a.yaml": f"{PROVIDERS}language: de\n", "b.yaml": PROVIDERS, "c.yaml": PROVIDERS}
    )
    problem = Problem(file="a.yaml", line=1, column=1, pointer="", code="prepare", message="no key")
    final, diff = with_rejected(candidate, first, {"a": (problem,), "b": (problem,)})
    assert diff == Diff(added=("c",))
    assert final.agents["a"] == first.agents["a"]
    assert (set(final.stale), set(final.rejected)) == ({"a"}, {"b"})
