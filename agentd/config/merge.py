"""One tree laid over another: `extends`, and `defaults:` of agentd.yaml. Every node keeps the place it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agentd.config.source import Entry, ListNode, MappingNode, Mark, Node, Scalar

MAX_PARTS = 8
_CHOOSERS = ("provider", "type")


class Refused(NamedTuple):
    """Why a part cannot be used."""

    mark: Mark
    code: str
    message: str
    hint: str = ""


def overlay(base: MappingNode, over: MappingNode) -> MappingNode:
    """`over` on `base`: mappings are merged key by key, everything else is replaced.

    A block that names another `provider` (or `type`) than the base's replaces it, as its settings are others.
    """
    entries = {entry.key: entry for entry in base.entries}
    for entry in over.entries:
        under = entries.get(entry.key)
        if under is None:
            entries[entry.key] = entry
        else:
            entries[entry.key] = Entry(entry.key, entry.mark, _over(under.value, entry.value))
    return MappingNode(over.mark, tuple(entries.values()))


def without(node: MappingNode, key: str) -> MappingNode:
    return MappingNode(node.mark, tuple(entry for entry in node.entries if entry.key != key))


def with_languages(root: MappingNode) -> MappingNode:
    """`root` with each language's `stt` and `tts` over its own, so that a language says only what differs.

    `languages` is put last: what is wrong with the agent's own block is found there first.
    """
    languages = root.by_key.get("languages")
    if languages is None or not isinstance(languages.value, MappingNode):
        return root
    merged = tuple(Entry(e.key, e.mark, _over_agent(root, e.value, ("stt", "tts"))) for e in languages.value.entries)
    entry = Entry(languages.key, languages.mark, MappingNode(languages.value.mark, merged))
    return MappingNode(root.mark, (*without(root, "languages").entries, entry))


def with_steps(root: MappingNode) -> MappingNode:
    """`root` with the `llm` of each step of `when_busy` over its own, in the same way; `when_busy` is put last too."""
    steps = root.by_key.get("when_busy")
    if steps is None or not isinstance(steps.value, ListNode):
        return root
    merged = tuple(_over_agent(root, item, ("llm",)) for item in steps.value.items)
    entry = Entry(steps.key, steps.mark, ListNode(steps.value.mark, merged))
    return MappingNode(root.mark, (*without(root, "when_busy").entries, entry))


def _over_agent(root: MappingNode, block: Node, kinds: tuple[str, ...]) -> Node:
    if not isinstance(block, MappingNode):
        return block
    of_agent = {kind: root.get(kind) for kind in kinds}
    return MappingNode(
        block.mark,
        tuple(
            Entry(e.key, e.mark, _over(under, e.value) if (under := of_agent.get(e.key)) is not None else e.value)
            for e in block.entries
        ),
    )


def resolve_parts(
    root: MappingNode, read_part: Callable[[str, Mark], MappingNode | Refused], parents: tuple[str, ...] = ()
) -> MappingNode | Refused:
    """`root` over the parts that it extends, the farthest first; `extends` itself is kept as it is written."""
    entry = root.by_key.get("extends")
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.is_null):
        return root
    if not isinstance(entry.value, Scalar):
        return Refused(entry.value.mark, "wrong-type", '"extends" must be the path of a part')
    name = entry.value.text
    if name in parents:
        return Refused(entry.value.mark, "extends-cycle", f'"{name}" extends itself: {" -> ".join((*parents, name))}')
    if len(parents) >= MAX_PARTS:
        return Refused(entry.value.mark, "extends-cycle", f"more than {MAX_PARTS} parts extend each other")
    part = read_part(name, entry.value.mark)
    if isinstance(part, Refused):
        return part
    base = resolve_parts(part, read_part, (*parents, name))
    if isinstance(base, Refused):
        return base
    return overlay(without(base, "extends"), root)


def _over(under: Node, over: Node) -> Node:
    if not (isinstance(under, MappingNode) and isinstance(over, MappingNode)):
        return over
    for chooser in _CHOOSERS:
        ours, theirs = over.get(chooser), under.get(chooser)
        if isinstance(ours, Scalar) and (not isinstance(theirs, Scalar) or theirs.text != ours.text):
            return over
    return overlay(under, over)
