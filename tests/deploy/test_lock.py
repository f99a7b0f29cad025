"""The image holds files that are known by their hashes, of versions that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.documents import ROOT

LOCK = ROOT / "deploy" / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked() -> dict[str, tuple[str, list[str]]]:
    """By name: the version, and the hashes of its files."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in LOCK.read_text().splitlines():
        if package := re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+) \\", line):
            name = canonicalize_name(package[1])
            found[name] = (package[2], [])
        elif digest := re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line):
            found[name][1].append(digest[1])
        else:
            assert not line or line.startswith("#"), line
    return found


def wanted(extra: str) -> Iterator[str]:
    for each in PROJECT["optional-dependencies"][extra]:
        if own := re.fullmatch(r"agentd\[(.*)\]", each):
            for name in own[1].split(","):
                yield from wanted(name)
        else:
            yield each


@pytest.mark.parametrize("dependency", [*PROJECT["dependencies"], *wanted("all"), *wanted("otel")])
def test_every_dependency_is_locked_to_a_version_that_is_allowed(dependency: str) -> None:
    requirement = Requirement(dependency)
    version, _ = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_every_package_has_the_hashes_of_its_files() -> None:
    assert len(locked()) > 40
    assert [name for name, (_, hashes) in locked().items() if not hashes] == []


def test_the_image_is_built_from_the_lock() -> None:
    assert "--require-hashes -r requirements.lock" in (ROOT / "Dockerfile").read_text()
