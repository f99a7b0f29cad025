"""The code of agentd and of its plugins as it lies on disk, and what of it runs here already."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import agentd
from agentd.config.diff import Change
from agentd.registry import Registry

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFile:
    """A Python file: whose it is, and the digest of its text."""

    origin: Literal["agentd", "plugin"]
    digest: str


Reading = Mapping[str, CodeFile]
"""Every file of agentd and of its plugins, by path."""


class CodeOnDisk:
    """Reads a file again only when it looks another. Blocks."""

    def __init__(self, registry: Registry) -> None:
        self._roots = _plugin_roots(registry)
        self._known: dict[str, tuple[Stamp, str]] = {}

    def read(self) -> Reading:
        found: dict[str, CodeFile] = {}
        for path in _python_files(Path(agentd.__file__).parent):
            found[path] = CodeFile(origin="agentd", digest=self._digest(path))
        for root in self._roots:
            for path in _files_of_package(root):
                found.setdefault(path, CodeFile(origin="plugin", digest=self._digest(path)))
        return found

    def _digest(self, path: str) -> str:
        try:
            about = os.stat(path)
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
            known = self._known.get(path)
            if known is None or known[0] != stamp:
                known = self._known[path] = (stamp, hashlib.sha256(Path(path).read_bytes()).hexdigest())
        except OSError:  # it went away this moment
            return ""
        return known[1]


def _plugin_roots(registry: Registry) -> tuple[str, ...]:
    references = (place for each in registry.components() for place in (each.settings, each.factory))
    return tuple(sorted({place.partition(":")[0].partition(".")[0] for place in references}))


def _files_of_package(root: str) -> Iterator[str]:
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # it was taken away
        return
    if spec is None:
        return
    if spec.submodule_search_locations is None and spec.origin is not None:
        yield spec.origin
    for place in spec.submodule_search_locations or ():
        yield from _python_files(Path(place))


def _python_files(folder: Path) -> Iterator[str]:
    return (str(path) for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def loaded_here() -> frozenset[str]:
    """The files of this process' modules, links followed."""
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return frozenset(os.path.realpath(file) for file in files if file)


def differing(old: Reading, new: Reading) -> tuple[str, ...]:
    """The paths that one of them does not have, or has with another text."""
    return tuple(path for path in sorted({*old, *new}) if old.get(path) != new.get(path))


def code_changes(
    paths: Iterable[str], old: Reading, new: Reading, reload: Literal["next_session", "restart"]
) -> Iterator[Change]:
    for path in paths:
        was, becomes = old.get(path), new.get(path)
        file = becomes or was
        yield Change(
            path=path,
            old=was and was.digest[:8],
            new=becomes and becomes.digest[:8],
            reload=reload,
            place=f"{path}:1",
            origin=file.origin if file else "agentd",
        )
