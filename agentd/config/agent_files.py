"""Agents as files that are written by a program: checked before, replaced as a whole, each version with its tag."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agentd.config.definition import NAME_PATTERN, AgentDefinition
from agentd.config.load import Loaded
from agentd.config.source import MAX_FILE_BYTES, MappingNode, Mark, Scalar, parse
from agentd.errors import AgentdError, Problem

Load = Callable[[Mapping[str, str]], Loaded]
"""Reads the directory, with these texts in the place of the files of these names."""


class NotWritable(AgentdError):
    """The file cannot be written, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A draft among the files that are there. `definition` None: an error is among `problems`."""

    definition: AgentDefinition | None
    problems: tuple[Problem, ...]


class AgentFiles:
    """NAME.yaml of the agents' directory. Blocks: call it in a thread, one change at a time."""

    def __init__(self, directory: Path, load: Load) -> None:
        self.directory = directory
        self._load = load

    def text(self, name: str) -> str | None:
        """None: there is no such file. Raises NotWritable."""
        path = self._path(name)
        if path.is_symlink():
            raise NotWritable(f"{path} is a link: something else keeps this directory")
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise NotWritable(f"{path} cannot be read: {error}") from error

    def check(self, name: str, text: str) -> Checked:
        """What `agentd validate` would say if the text were the agent's file. Errors that it would cause in other
        files, by taking their name, count."""
        shown = str(self._path(name))
        if len(text.encode()) > MAX_FILE_BYTES:
            return _refused(shown, "file-size", "the text is larger than 1 MiB")
        documents = parse(text, shown).documents
        if len(documents) > 1:
            return _refused(shown, "several-documents", "a file that is written here holds one agent")
        before, after = self._load({}), self._load({f"{name}.yaml": text})
        known = set(before.errors)
        problems = tuple(
            problem
            for problem in after.problems
            if problem.file == shown or (problem.severity == "error" and problem not in known)
        )
        definition = next((each for each in after.agents.values() if each.source == shown), None)
        if definition is not None and definition.name != name:
            return _refused(shown, "other-name", f'the file names "{definition.name}", and the address "{name}"')
        if any(problem.severity == "error" for problem in problems):
            definition = None
        return Checked(definition=definition, problems=problems)

    def write(self, name: str, text: str) -> None:
        """A reader sees the former text or this one. Raises NotWritable."""
        path = self._path(name)
        draft = path.with_name(f".{name}.{secrets.token_hex(4)}.tmp")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _mode_of(path)), "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
            self._sync()
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise NotWritable(f"{path} cannot be written: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Raises NotWritable."""
        path = self._path(name)
        try:
            path.unlink()
            self._sync()
        except OSError as error:
            raise NotWritable(f"{path} cannot be deleted: {error.strerror}") from error

    def put_back(self, name: str, text: str | None) -> None:
        """The file as it was before; None: there was none."""
        if text is None:
            self.delete(name)
        else:
            self.write(name, text)

    def _path(self, name: str) -> Path:
        if not re.fullmatch(NAME_PATTERN, name):
            raise NotWritable(f"{name!r} is no name of an agent")
        return self.directory / f"{name}.yaml"

    def _sync(self) -> None:
        """So that the name is on the disk as well."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def tag_of(text: str) -> str:
    """An ETag: of this text and no other."""
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def name_in(text: str) -> str:
    """The agent that a text names; "": none."""
    documents = parse(text, "").documents
    root = documents[0].root if documents else None
    named = root.get("name") if isinstance(root, MappingNode) else None
    return named.text if isinstance(named, Scalar) and re.fullmatch(NAME_PATTERN, named.text) else ""


def _mode_of(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return 0o640


def _refused(shown: str, code: str, message: str) -> Checked:
    return Checked(definition=None, problems=(Mark(shown, 1, 1).problem("", code, message),))
