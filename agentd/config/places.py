"""Where each setting of an agent is written, for those who ask later which value was behind a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar

DECIDING = frozenset(
    {
        *("turn", "limits", "room", "vad", "interruption_detector", "greeting", "hooks", "handoffs"),
        *("language", "languages", "language_detection"),
    }
)
"""The keys whose settings decide how a conversation goes."""


def places_of(root: MappingNode, *, deciding: bool = True) -> Mapping[str, str]:
    """By setting ("turn.endpointing.min_delay") its file:line; a default is written nowhere. `deciding`: of those keys
    only, and of tools by their names."""
    entries = [entry for entry in root.entries if entry.key in DECIDING or not deciding]
    found = dict(pair for entry in entries for pair in _places(entry.value, entry.key))
    return {**found, **dict(_tools(root.get("tools")))} if deciding else found


def _tools(node: Node | None) -> Iterator[tuple[str, str]]:
    """By the name that the model calls them by, as far as the file tells it."""
    for item in node.items if isinstance(node, ListNode) else ():
        if not isinstance(item, MappingNode):
            continue
        name, ref = item.get("name"), item.get("ref")
        written = name if isinstance(name, Scalar) else ref
        if isinstance(written, Scalar):
            yield from _places(item, f"tools.{written.text.rpartition(':')[2]}")


def _places(node: Node, path: str) -> Iterator[tuple[str, str]]:
    yield path, f"{node.mark.file}:{node.mark.line}"
    if isinstance(node, MappingNode):
        for entry in node.entries:
            yield from _places(entry.value, f"{path}.{entry.key}")
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from _places(item, f"{path}[{index}]")


def mark_at(place: str) -> Mark | None:
    """The beginning of the line that such a place names; None for one that is written nowhere."""
    file, _, line = place.rpartition(":")
    return Mark(file, int(line), 1) if file and line.isdecimal() else None
