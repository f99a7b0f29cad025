"""The revisions of agents that have served, in the state directory: what one can be rolled back to.

    revisions/AGENT/DIGEST.json     when it served, and the text of every file that it was made of
    revisions/code/DIGEST/          the tools' code, shared by all revisions that have the same

A revision is made again from its texts, as an agent file is read, so that a later agentd can read it too. Secrets are
not in it, but where an author has written one into the file itself: directory and files are their owner's only.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded
from agentd.config.values import digest
from agentd.errors import AgentdError

logger = logging.getLogger(__name__)

KEPT = 10  # revisions of an agent
CODE_BYTES = 16 * 1024 * 1024
CODE_FILES = 2_000
ABANDONED_S = 30 * 24 * 3600.0  # an agent that has served nothing for so long is forgotten
_CODE = "code"

Rebuild = Callable[[Path, str], Loaded]
"""(a copy of an agents' directory, the agent's file in it) -> what it says. Blocks."""


class RevisionLost(AgentdError):
    """A revision cannot be made again; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """`first_at`, `last_at`: when it began to serve, for the first time and lately; unix time. `code`: the directory's
    name of its tools' code; "": it has none, or it was too much to keep."""

    agent: str
    digest: str
    source: str
    first_at: float
    last_at: float
    code: str = ""
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)


class Revisions:
    """Reads and writes files, and blocks: use a thread, one call at a time."""

    def __init__(self, state_dir: Path, agents_dir: Path, rebuild: Rebuild | None) -> None:
        """`rebuild` None: nothing can be made again, only listed."""
        self._path = state_dir / "revisions"
        self._agents_dir = agents_dir
        self._rebuild = rebuild

    def keep(
        self, definitions: Iterable[AgentDefinition], texts: Mapping[str, str], at: float
    ) -> Mapping[tuple[str, str], Path]:
        """These serve from now on. `texts`: of the files that were read. Answers where the tools' code of each is, by
        name and digest. Raises OSError."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        codes: dict[tuple[str, str], Path] = {}
        for definition in definitions:
            known = self._read(definition.name, definition.digest) or self._new(definition, texts, at)
            self._write(replace(known, last_at=at))
            if code := self.code_of(known):
                codes[definition.name, definition.digest] = code
        return codes

    def _new(self, definition: AgentDefinition, texts: Mapping[str, str], at: float) -> Revision:
        return Revision(
            agent=definition.name,
            digest=definition.digest,
            source=definition.source,
            first_at=at,
            last_at=at,
            code=self._keep_code(definition),
            texts={file: texts[file] for file in definition.files if file in texts and _is_inside(file)},
        )

    def of(self, agent: str) -> tuple[Revision, ...]:
        """Newest first."""
        found = [self._parse(path) for path in (self._path / agent).glob("*.json")]
        return tuple(sorted((one for one in found if one), key=lambda one: -one.last_at))

    def restore(self, agent: str, revision: str) -> AgentDefinition:
        """The definition, with the tools' code of its time. Raises RevisionLost."""
        kept = self._read(agent, revision)
        if kept is None or self._rebuild is None:
            raise RevisionLost(f"revision {revision[:8]} of {agent} is not kept")
        code = self.code_of(kept)
        file = PurePosixPath(kept.source.partition("#")[0]).name
        try:
            with tempfile.TemporaryDirectory(prefix="agentd-revision-") as folder:
                _lay_out(Path(folder), kept.texts, code)
                loaded = self._rebuild(Path(folder), file)
        except OSError as error:
            raise RevisionLost(f"revision {revision[:8]} of {agent} cannot be made: {error}") from error
        definition = loaded.agents.get(agent)
        if definition is None:
            why = "; ".join(str(problem) for problem in loaded.errors) or "its file is not kept"
            raise RevisionLost(f"revision {revision[:8]} of {agent} can no longer be made: {why}")
        return replace(definition, digest=revision, root=str(code) if code else "", source=kept.source)

    def code_of(self, kept: Revision) -> Path | None:
        path = self._path / _CODE / kept.code
        return path if kept.code and path.is_dir() else None

    def prune(self, needed: Mapping[str, Iterable[str]]) -> None:
        """Removes what these agents have beyond `KEPT` revisions, the oldest first, but none that is needed (agent ->
        revisions)."""
        gone = [one for agent, revisions in needed.items() for one in self._beyond(agent, frozenset(revisions))]
        for one in gone:
            self._file(one.agent, one.digest).unlink(missing_ok=True)
        if any(one.code for one in gone):
            self._tidy_code()

    def forget(self, agents: Collection[str], at: float) -> None:
        """Removes what is kept of agents that are not among these, once they have served nothing for long."""
        for folder in self._path.glob("*/"):
            kept = () if folder.name in agents or folder.name == _CODE else self.of(folder.name)
            if kept and at - kept[0].last_at > ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)
        self._tidy_code()

    def _beyond(self, agent: str, needed: frozenset[str]) -> list[Revision]:
        if sum(1 for _ in (self._path / agent).glob("*.json")) <= KEPT:
            return []
        return [one for one in self.of(agent)[KEPT:] if one.digest not in needed]

    def _tidy_code(self) -> None:
        """Removes the code that no revision names."""
        agents = [folder.name for folder in self._path.glob("*/") if folder.name != _CODE]
        named = {one.code for agent in agents for one in self.of(agent)}
        for folder in (self._path / _CODE).glob("*/"):
            if folder.name not in named:
                shutil.rmtree(folder, ignore_errors=True)

    # Files

    def _file(self, agent: str, revision: str) -> Path:
        return self._path / agent / f"{revision}.json"

    def _read(self, agent: str, revision: str) -> Revision | None:
        return self._parse(self._file(agent, revision))

    @staticmethod
    def _parse(path: Path) -> Revision | None:
        """None: there is none, or it cannot be read."""
        try:
            return Revision(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            logger.warning("a kept revision could not be read", extra={"path": str(path), "reason": str(error)})
            return None

    def _write(self, revision: Revision) -> None:
        path = self._file(revision.agent, revision.digest)
        write_atomically(path, asdict(revision))

    def _keep_code(self, definition: AgentDefinition) -> str:
        """The name of the directory. Nothing, where the code has changed since it was read, or is too much."""
        if not definition.code:
            return ""
        name = digest(definition.code)[:32]
        target = self._path / _CODE / name
        if target.is_dir():
            return name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            for root in definition.code:
                _copy_package(self._agents_dir, root, scratch)
            os.rename(scratch, target)
        except (OSError, shutil.Error, _TooMuch) as error:
            shutil.rmtree(scratch, ignore_errors=True)
            extra = {"agent": definition.name, "revision": definition.digest[:8], "reason": str(error)}
            logger.warning("the code of an agent's tools was not kept: a rollback takes today's", extra=extra)
            return ""
        return name


class _TooMuch(Exception):
    """More than is kept of an agent's code."""


def _copy_package(agents_dir: Path, root: str, target: Path) -> None:
    count, size = 0, 0

    def copy(source: str, destination: str) -> str:
        nonlocal count, size
        count, size = count + 1, size + os.path.getsize(source)
        if count > CODE_FILES or size > CODE_BYTES:
            raise _TooMuch(f'"{root}" is more than {CODE_FILES} files or {CODE_BYTES >> 20} MiB')
        return str(shutil.copyfile(source, destination))

    package, module = agents_dir / root, agents_dir / f"{root}.py"
    if package.is_dir():
        shutil.copytree(package, target / root, copy_function=copy, ignore=_ignored, ignore_dangling_symlinks=True)
    if module.is_file():
        copy(str(module), str(target / module.name))


def _ignored(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__" or name.startswith(".")]


def _lay_out(folder: Path, texts: Mapping[str, str], code: Path | None) -> None:
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if code is not None:
        shutil.copytree(code, folder, dirs_exist_ok=True)


def _is_inside(file: str) -> bool:
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts


def write_atomically(path: Path, value: Mapping[str, Any]) -> None:
    """JSON, for its owner only: the old content or the new, whatever happens meanwhile. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(value, file)  # in ASCII: a file's name may be no Unicode
        os.replace(scratch, path)
    except BaseException:  # cancelled as well: the scratch file must not stay
        with suppress(OSError):
            os.unlink(scratch)
        raise
