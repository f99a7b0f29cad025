"""The realtime model's own conversation, kept in step with the session's history. Pure.

The history is what was said and heard; what the model holds must follow it. So nothing is told to the model when it
happens: before each answer the two are compared, and the difference becomes commands. Items that the model made
itself (the caller's utterances, its own answers) are taken for the entries that they became, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agentd.providers.chat import Entry
from agentd.providers.llm import ChatItem, Message
from agentd.providers.realtime import AddItem, Command, RemoveItem, TruncateItem

LEAST_S = 0.001  # of an item's sound: less cannot be told
_NOTHING = Message(role="assistant", text="")  # no entry is that


@dataclass(slots=True)
class _Held:
    """The model's items for one entry. `given`: what was put there; None: the model made them."""

    items: list[str]
    given: ChatItem | None = None


@dataclass(slots=True)
class Mirror:
    """What one connection holds. `sounds`: seconds of each item of the model's."""

    held: dict[str, _Held] = field(default_factory=dict)  # by the entry's id
    sounds: dict[str, float] = field(default_factory=dict)
    made: int = 0  # items that were named here

    def adopt(self, entry: str, item: str) -> None:
        """The model has made this item, which is (part of) this entry and of no other."""
        for other in self.held.values():
            if item in other.items:
                other.items.remove(item)
        self.held.setdefault(entry, _Held([])).items.append(item)

    def replace(self, entry: str) -> None:
        """What the model made for this entry is not what was heard: from the next answer on it reads the entry."""
        if entry in self.held:
            self.held[entry].given = _NOTHING

    def disown(self, entry: str) -> None:
        """What the model made for this entry is none: it is taken out before the next answer."""
        held = self.held.pop(entry, None)
        for item in held.items if held else []:
            self.adopt("", item)

    def refused(self, item: str) -> None:
        """It could not be added: the next `sync` tries again."""
        self._forget(item)

    def in_step(self, entries: Sequence[Entry], *, but: Callable[[str], bool]) -> bool:
        """Whether `sync` would change nothing, if what the model made for entries of these ids is left out of
        account."""
        wanted = {entry.id: entry.item for entry in entries}
        held = {name: each for name, each in self.held.items() if each.items and not but(name)}
        return held.keys() == wanted.keys() and all(
            each.given is None or each.given == wanted[name] for name, each in held.items()
        )

    def sounded(self, item: str, seconds: float) -> None:
        self.sounds[item] = self.sounds.get(item, 0.0) + seconds

    def cut(self, entry: str, heard_s: float) -> list[Command]:
        """Of the model's items for this entry, which follow each other, no more than `heard_s` seconds were heard."""
        commands: list[Command] = []
        held = self.held.get(entry)
        for item in list(held.items) if held else []:
            sound_s = self.sounds.get(item, 0.0)
            if heard_s < LEAST_S:
                commands.append(RemoveItem(item))
                self._forget(item)
            elif heard_s < sound_s:
                commands.append(TruncateItem(id=item, heard_s=heard_s))
                self.sounds[item] = heard_s
            heard_s = max(0.0, heard_s - sound_s)
        return commands

    def sync(self, entries: Sequence[Entry]) -> list[Command]:
        """What makes the model's conversation these entries."""
        wanted = {entry.id: entry.item for entry in entries}
        commands: list[Command] = []
        for name, held in list(self.held.items()):
            if name not in wanted or (held.given is not None and held.given != wanted[name]):
                commands += [RemoveItem(item) for item in held.items]
                del self.held[name]
        after: str | None = None
        for entry in entries:
            found = self.held.get(entry.id)
            if found is None or not found.items:
                found = self.held[entry.id] = _Held([self._name()], entry.item)
                commands.append(AddItem(id=found.items[0], item=entry.item, after=after))
            after = found.items[-1]
        return commands

    def _name(self) -> str:
        self.made += 1
        return f"agentd_{self.made}"

    def _forget(self, item: str) -> None:
        self.sounds.pop(item, None)
        for held in self.held.values():
            if item in held.items:
                held.items.remove(item)
