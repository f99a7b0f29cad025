"""The agents' directory: files beside the agent file, and nothing outside."""

from __future__ import annotations

import copy
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from agentd.audio import AudioFrame, wav_sound
from agentd.config.source import MAX_FILE_BYTES

MAX_SOUND_BYTES = 8 << 20

_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW


class FileRefused(Exception):
    """A file cannot be taken; `code` is a Problem's."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        self.code = code
        self.message = message
        self.hint = hint
        super().__init__(message)


class Folder:
    """Reads regular UTF-8 files of at most 1 MiB, and sounds, below `path`; a symbolic link may not lead out of it.

    `path` is shown as it was given; one Folder serves one load, and remembers what it read. `home`: what it is a copy
    of, where it is one; files are shown, and secrets' files found, as if they were there.
    """

    def __init__(self, path: Path, home: Path | None = None, drafts: Mapping[str, str] | None = None) -> None:
        """`drafts`: texts that stand for the files of these names, whether they are there or not."""
        self.path = path
        self.home = home or path
        self._real = Path(os.path.realpath(path))
        self._drafts = frozenset(drafts or ())
        self._texts: dict[str, str] = dict(drafts or {})
        self._code: dict[str, Mapping[str, str]] = {}
        self.used: set[str] = set()  # files of text that were asked for, found or not

    def for_one(self) -> Folder:
        """The same folder, which tells what one agent `used`."""
        view = copy.copy(self)
        view.used = set()
        return view

    @property
    def texts(self) -> Mapping[str, str]:
        """Every text that was read."""
        return self._texts

    def shown(self, relative: str) -> str:
        return str(self.home / relative)

    def read(self, relative: str) -> str:
        """The file's text. Raises FileRefused."""
        self.used.add(relative)
        if relative not in self._texts:
            self._texts[relative] = self._decode(relative, self._bytes(relative))
        return self._texts[relative]

    def sound(self, relative: str) -> AudioFrame:
        """The sound of a WAV file. Raises FileRefused."""
        try:
            return wav_sound(self._bytes(relative, MAX_SOUND_BYTES))
        except ValueError as error:
            raise FileRefused("bad-format", f'"{relative}" is no WAV file that can be played: {error}') from None

    def agent_files(self) -> list[str]:
        """Names of the agent files, sorted: *.yaml and *.yml, but for parts (_*) and hidden ones. Raises OSError."""
        there = [name for name in os.listdir(self.path) if name.endswith((".yaml", ".yml"))]
        names = {name for name in there if name[0] not in "._" and not (self.path / name).is_dir()}
        return sorted(names | self._drafts)

    def has_package(self, root: str) -> bool:
        """Whether Python code of this name lies here."""
        return (self._real / root).is_dir() or (self._real / f"{root}.py").is_file()

    def module_file(self, module: str) -> str | None:
        """The file of a dotted module, relative to the directory."""
        path = module.replace(".", "/")
        return next((p for p in (f"{path}.py", f"{path}/__init__.py") if (self._real / p).is_file()), None)

    def near_module(self, module: str) -> str | None:
        """A module whose name is like this one's."""
        root = module.partition(".")[0]
        found = {".".join(PurePosixPath(p).with_suffix("").parts) for p in self._code_files(root)}
        names = sorted(name.removesuffix(".__init__") for name in found)
        return next(iter(get_close_matches(module, names, 1)), None)

    def code_digests(self, root: str) -> Mapping[str, str]:
        """By file, of every Python file under the root package `root`: a tool may import any of them. The same mapping
        for all who ask."""
        if root not in self._code:
            self._code[root] = {
                relative: hashlib.sha256(self._content(relative)).hexdigest() for relative in self._code_files(root)
            }
        return self._code[root]

    def _content(self, relative: str) -> bytes:
        try:
            return (self._real / relative).read_bytes()
        except OSError as error:  # it went away, or may not be read: the tool process will say so
            return f"{error.strerror}".encode()

    def _code_files(self, root: str) -> Iterator[str]:
        if (self._real / f"{root}.py").is_file():
            yield f"{root}.py"
        for place, folders, files in os.walk(self._real / root):
            folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith("."))
            for name in sorted(files):
                if name.endswith(".py"):
                    yield (Path(place) / name).relative_to(self._real).as_posix()

    def _bytes(self, relative: str, most: int = MAX_FILE_BYTES) -> bytes:
        if "\0" in relative or PurePosixPath(relative).is_absolute():
            raise FileRefused("file-outside", f'"{relative}" is not a path inside the agents\' directory')
        real = Path(os.path.realpath(self._real / relative))
        if not real.is_relative_to(self._real) or real == self._real:
            raise FileRefused("file-outside", f'"{relative}" leads out of the agents\' directory')
        try:
            descriptor = self._open(real.relative_to(self._real).parts)
        except FileNotFoundError:
            raise FileRefused("file-not-found", f'there is no file "{relative}"', self._near_file(relative)) from None
        except OSError as error:
            raise FileRefused("file-unreadable", f'cannot read "{relative}": {error.strerror}') from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileRefused("file-unreadable", f'"{relative}" is no regular file')
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise FileRefused("file-size", f'"{relative}" is larger than {most >> 20} MiB')
        return content

    def _open(self, parts: tuple[str, ...]) -> int:
        """Opens step by step without following links: `parts` are resolved, a link put there since is refused."""
        at = os.open(self._real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for number, part in enumerate(parts, 1):
            flags = _OPEN_FLAGS if number == len(parts) else _OPEN_FLAGS | os.O_DIRECTORY
            try:
                following = os.open(part, flags, dir_fd=at)
            finally:
                os.close(at)
            at = following
        return at

    def _near_file(self, relative: str) -> str:
        parent = self._real / PurePosixPath(relative).parent
        try:
            names = sorted(os.listdir(parent))
        except OSError:
            return ""
        near = get_close_matches(PurePosixPath(relative).name, names, 1)
        return f'did you mean "{PurePosixPath(relative).with_name(near[0])}"?' if near else ""

    @staticmethod
    def _decode(relative: str, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise FileRefused("encoding", f'"{relative}" is not UTF-8 (line {line})', "save it as UTF-8") from None
