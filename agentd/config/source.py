"""YAML text -> a tree whose every node knows where it stands.

The events come from PyYAML's C parser; the tree is composed here, because PyYAML's own composer takes the last
of two equal keys, follows tags, and lets a bomb of aliases through. Scalars keep their text: what they mean is
decided by the field that reads them (`agentd.config.check`), or by `Scalar.value` where anything may stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from agentd.errors import Problem

MAX_FILE_BYTES = 1 << 20
MAX_NODES = 100_000  # counted as if every alias were written out
MAX_DEPTH = 32

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_BASED_INTEGER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.([0-9]|[0-9]*[1-9]))?([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def problem(self, pointer: str, code: str, message: str, hint: str = "", *, warning: bool = False) -> Problem:
        return Problem(
            file=self.file, line=self.line, column=self.column, pointer=pointer, code=code, message=message,
            hint=hint, severity="warning" if warning else "error",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scalar:
    """`plain`: written without quotes. `block`: written after `|` or `>`, so that its text begins a line below."""

    mark: Mark
    text: str
    plain: bool = True
    block: bool = False

    @property
    def value(self) -> str | int | float | bool | None:
        """What the scalar means where anything may stand: YAML 1.2's core schema, but nothing is lost.

        A number that would not be printed as it was written (`012`, `1.10`, `+44`) stays text.
        """
        text = self.text
        if not self.plain:
            return text
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if len(text) <= 40:
            if _INTEGER.fullmatch(text):
                return int(text)
            if _BASED_INTEGER.fullmatch(text):
                return int(text, 0)
            if _FLOAT.fullmatch(text) and abs(number := float(text)) != float("inf"):
                return number
        return text

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in _NULL


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value`; `mark` is the key's."""

    key: str
    mark: Mark
    value: Node


@dataclass(frozen=True)
class MappingNode:
    mark: Mark
    entries: tuple[Entry, ...]

    @cached_property
    def by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.entries}

    def get(self, key: str) -> Node | None:
        entry = self.by_key.get(key)
        return entry.value if entry else None

    def mark_of(self, key: str) -> Mark:
        """Where the key's value stands; the mapping's own place when there is no such key."""
        entry = self.by_key.get(key)
        return entry.value.mark if entry else self.mark


@dataclass(frozen=True, slots=True)
class ListNode:
    mark: Mark
    items: tuple[Node, ...]


Node = Scalar | MappingNode | ListNode


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document; `source` is the file, with "#2" and so on from the second document on."""

    source: str
    number: int
    root: Node
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """`problem`: why the file could not be read to its end."""

    documents: tuple[Document, ...]
    problem: Problem | None = None

    @property
    def problems(self) -> tuple[Problem, ...]:
        found = [problem for document in self.documents for problem in document.problems]
        return (*found, self.problem) if self.problem else tuple(found)


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def parse(text: str, file: str) -> Parsed:
    """Every document of `text`. Never raises for what the text holds."""
    documents: list[Document] = []
    try:
        for number, (root, problems) in enumerate(_documents(text, file), 1):
            source = file if number == 1 else f"{file}#{number}"
            documents.append(Document(source, number, root, tuple(problems)))
    except _Refused as refused:
        return Parsed(tuple(documents), refused.problem)
    except yaml.MarkedYAMLError as error:
        return Parsed(tuple(documents), _syntax_problem(error, file))
    except yaml.YAMLError as error:
        return Parsed(tuple(documents), Mark(file, 1, 1).problem("", "yaml-syntax", _reader_message(error)))
    except UnicodeEncodeError:
        return Parsed(tuple(documents), Mark(file, 1, 1).problem("", "encoding", "the text is not Unicode"))
    return Parsed(tuple(documents))


def plain(node: Node) -> Any:
    """The tree as JSON values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {entry.key: plain(entry.value) for entry in node.entries}


def pointer_to(pointer: str, key: str | int) -> str:
    """The JSON pointer one step further."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    found = error.problem_mark or error.context_mark
    mark = Mark(file, found.line + 1, found.column + 1) if found else Mark(file, 1, 1)
    context = f"{error.context}, " if error.context else ""
    message = f"{context}{error.problem or 'cannot be parsed'}"
    hint = ""
    if "cannot start any token" in message:
        hint = "indent with spaces, and quote text that begins with @, ` or %"
    elif "mapping values are not allowed" in message:
        hint = 'quote text that holds ": "'
    return mark.problem("", "yaml-syntax", message, hint)


def _reader_message(error: yaml.YAMLError) -> str:
    reason = getattr(error, "reason", None)
    return f"the text cannot be read: {reason}" if reason else "the text cannot be read"


def _documents(text: str, file: str) -> Iterator[tuple[Node, list[Problem]]]:
    composer: _Composer | None = None
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            composer = _Composer(file)
        elif isinstance(event, yaml.DocumentEndEvent) and composer and composer.root is not None:
            yield composer.root, composer.problems
        elif composer is not None:
            composer.take(event)


class _Open:
    """A mapping or list whose end has not been seen."""

    def __init__(self, mark: Mark, anchor: str | None, is_mapping: bool) -> None:
        self.mark = mark
        self.anchor = anchor
        self.is_mapping = is_mapping
        self.children: list[Node] = []
        self.size = 1
        self.height = 1


class _Composer:
    """Builds one document's tree from its events; explicit stack, so depth cannot overflow ours."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # the node, its size and its height
        self._budget = MAX_NODES

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            mark = self._start(event)
            block = event.style in ("|", ">")
            node = Scalar(mark, event.value, plain=event.style is None or event.style == "", block=block)
            self._add(node, event.anchor, 1, 1)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            mark = self._start(event)
            self._stack.append(_Open(mark, event.anchor, isinstance(event, yaml.MappingStartEvent)))
            if len(self._stack) > MAX_DEPTH:
                raise _Refused(mark.problem("", "too-deep", f"more than {MAX_DEPTH} levels of nesting"))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()

    def _start(self, event: Any) -> Mark:
        mark = self._mark(event)
        if event.tag is not None:
            shown = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.problems.append(mark.problem("", "yaml-tag", f"the tag {shown} is not allowed", "remove it"))
        return mark

    def _mark(self, event: Any) -> Mark:
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _alias(self, event: Any) -> None:
        mark = self._mark(event)
        if any(level.anchor == event.anchor for level in self._stack):
            raise _Refused(mark.problem("", "alias-cycle", f"*{event.anchor} stands inside what it refers to"))
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _Refused(mark.problem("", "unknown-alias", f"*{event.anchor} refers to no anchor before it"))
        node, size, height = known
        if len(self._stack) + height > MAX_DEPTH + 1:
            raise _Refused(mark.problem("", "too-deep", f"more than {MAX_DEPTH} levels of nesting"))
        self._add(node, None, size, height)

    def _close(self) -> None:
        level = self._stack.pop()
        node = self._mapping(level) if level.is_mapping else ListNode(level.mark, tuple(level.children))
        self._budget += level.size - 1  # its children were counted one by one: the whole is counted once, below
        self._add(node, level.anchor, level.size, level.height)

    def _add(self, node: Node, anchor: str | None, size: int, height: int) -> None:
        self._budget -= size
        if self._budget < 0:
            raise _Refused(node.mark.problem("", "too-large", f"more than {MAX_NODES} nodes once aliases are expanded"))
        if anchor:
            self._anchors[anchor] = (node, size, height)
        if not self._stack:
            self.root = node
            return
        level = self._stack[-1]
        level.children.append(node)
        level.size += size
        level.height = max(level.height, height + 1)

    def _mapping(self, level: _Open) -> MappingNode:
        entries: dict[str, Entry] = {}
        for key, value in zip(level.children[::2], level.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.append(key.mark.problem("", "bad-key", "a key must be text"))
            elif key.text in entries:
                first = entries[key.text].mark
                message = f'the key "{key.text}" stands here a second time'
                self.problems.append(key.mark.problem("", "duplicate-key", message, f"first in line {first.line}"))
            else:
                entries[key.text] = Entry(key.text, key.mark, value)
        return MappingNode(level.mark, tuple(entries.values()))
