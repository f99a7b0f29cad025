"""What the documentation holds: its pages, their fenced blocks, their code words, their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, with the page that it is in."""

    page: str
    language: str
    text: str

    @property
    def id(self) -> str:
        first = next((line for line in self.text.splitlines() if line.strip()), "")
        return f"{self.page}: {first[:40]}"


def pages() -> list[Path]:
    """README.md, CHANGELOG.md and all of docs/."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def all_blocks() -> list[Block]:
    return [
        Block(name_of(page), language, text)
        for page in pages()
        for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))
    ]


def blocks(page: str, language: str) -> list[str]:
    """The texts of one page's blocks in one language: `blocks("docs/tools.md", "yaml")`."""
    return [block.text for block in all_blocks() if (block.page, block.language) == (page, language)]


def shell_lines() -> Iterator[tuple[str, str]]:
    """(page, line) of every command in a block that is a shell's; comments are gone."""
    for block in all_blocks():
        if block.language in ("sh", "console"):
            for line in block.text.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield block.page, shlex.join(words)


def prose(page: Path) -> str:
    """A page without its blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def code_words() -> Iterator[tuple[str, str]]:
    """(page, text) of everything that stands in backquotes within sentences and tables."""
    for page in pages():
        for text in re.findall(r"`([^`\n]+)`", prose(page)):
            yield name_of(page), text.replace("\\|", "|")
