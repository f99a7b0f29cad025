"""A docstring's description and what it says of each parameter, in Google's, NumPy's or Sphinx' style."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass

_OTHER_SECTIONS = {"returns", "return", "yields", "yield", "raises", "raise", "except", "exceptions", "example"}
_OTHER_SECTIONS |= {"examples", "note", "notes", "attributes", "warning", "warnings", "todo", "references", "see-also"}
_PARAMETER_SECTIONS = {
    "args",
    "arguments",
    "parameters",
    "params",
    "keyword-args",
    "keyword-arguments",
    "other-parameters",
}
_GOOGLE_ENTRY = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY_ENTRY = re.compile(r"^\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")
_REST_FIELD = re.compile(r"^:(\w+)\s*([^:]*):\s*(.*)$")
_REST_PARAMETERS = {"param", "parameter", "arg", "argument", "key", "keyword"}


@dataclass(frozen=True, slots=True)
class Docstring:
    """`description`: everything before the first section."""

    description: str
    parameters: dict[str, str]


def parse(text: str | None) -> Docstring:
    """Never fails: what is in no known style is description."""
    description: list[str] = []
    parameters: dict[str, list[str]] = {}
    for kind, name, line in _lines(inspect.cleandoc(text or "").splitlines()):
        if kind == "text":
            description.append(line)
        elif kind == "parameter":
            for each in name.split(","):
                parameters.setdefault(each.strip(), []).append(line)
    return Docstring(_paragraphs(description), {name: _joined(lines) for name, lines in parameters.items()})


def _lines(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """(kind, parameter, line) where kind is text, parameter or other."""
    section, indent, name = "text", 0, ""
    index = 0
    while index < len(lines):
        line = lines[index]
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if (found := _section(line, following)) is not None:
            section, name, indent = found, "", -1
            index += 2 if _underlined(following) else 1
            continue
        index += 1
        if rest := _REST_FIELD.match(line):
            field, argument, text = rest.groups()
            name = argument.split()[-1].lstrip("*") if field in _REST_PARAMETERS and argument.split() else ""
            section = "rest"
            if name:
                yield "parameter", name, text
        elif section == "text":
            yield "text", "", line
        elif section == "rest":
            if name and line.strip():
                yield "parameter", name, line
        elif section in ("google", "numpy") and line.strip():
            depth = len(line) - len(line.lstrip())
            indent = depth if indent < 0 else indent
            if depth <= indent:
                entry = (_GOOGLE_ENTRY if section == "google" else _NUMPY_ENTRY).match(line.strip())
                name = entry.group(1) if entry else ""
                if section == "google" and entry:
                    yield "parameter", name, entry.group(2)
            elif name:
                yield "parameter", name, line


def _section(line: str, following: str) -> str | None:
    """google, numpy, or other for a section that is not about parameters; None where no section begins."""
    if line[:1].isspace():
        return None
    title = re.sub(r"[\s_]+", "-", line.strip().rstrip(":").lower())
    if title not in _PARAMETER_SECTIONS | _OTHER_SECTIONS:
        return None
    if _underlined(following):
        return "numpy" if title in _PARAMETER_SECTIONS else "other"
    if line.rstrip().endswith(":"):
        return "google" if title in _PARAMETER_SECTIONS else "other"
    return None


def _underlined(line: str) -> bool:
    return len(line.strip()) >= 3 and set(line.strip()) == {"-"}


def _paragraphs(lines: list[str]) -> str:
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines))
    return "\n\n".join(_joined(paragraph.splitlines()) for paragraph in paragraphs if paragraph.strip())


def _joined(lines: list[str]) -> str:
    return " ".join(part for line in lines if (part := line.strip()))
