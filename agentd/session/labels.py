"""What models read of a participant's name. Pure.

A name is the caller's to choose, and the model reads it, so only what looks like a name becomes a label: nothing that
could be an instruction, another's label, or the agent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

LONGEST = 32  # characters
MOST_WORDS = 3
NOBODY = "Guest"  # whose name and identity are none
OTHER_VOICE = "another voice"

_MARKS = frozenset(" .-_@+'\u2019")
_ROLES = frozenset(
    (
        "agent", "assistant", "system", "user", "developer", "tool", "function", "model", "bot", "ai", "admin",
        "caller", "everyone", "everybody", "instructions", "prompt", "operator", "moderator"
    )
)  # fmt: skip
_COMMANDS = frozenset(
    (
        "ignore", "disregard", "forget", "override", "instruction", "prompt", "system", "assistant", "must",
        "answer", "reply", "confirm", "approve", "execute", "always", "never", "please", "previous", "following",
        "ignoriere", "vergiss", "anweisung", "ignorez", "oubliez", "ignora", "olvida"
    )
)  # fmt: skip
_LIKE = str.maketrans(
    {
        **dict(zip("аеорсхуіјѕһкмтвнԁԛԝ", "aeopcxyijshkmtbndqw", strict=True)),  # Cyrillic
        **dict(zip("αορνικτυχβηεγ", "aopviktuxbney", strict=True)),  # Greek
        **dict(zip("01l3457", "oiieast", strict=True)),
    }
)


def label_of(name: str, identity: str, taken: Iterable[str], agent: str = "") -> str:
    """The name, else the identity, else `NOBODY`; with a number where another's label looks the same."""
    reserved = _ROLES | {skeleton(agent)}
    base = next((found for text in (name, identity) if (found := _as_name(text, reserved))), NOBODY)
    looks = {skeleton(label) for label in taken}
    number, label = 1, base
    while skeleton(label) in looks:
        number += 1
        label = f"{base} ({number})"
    return label


def skeleton(text: str) -> str:
    """What a reader takes it for: letters and digits, those that look alike made one."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c for c in plain.casefold().translate(_LIKE) if c.isalnum())


def _as_name(text: str, reserved: frozenset[str]) -> str:
    """The text, tidied; "" where it is no name."""
    tidy = " ".join(unicodedata.normalize("NFKC", text).split())
    words = tidy.split(" ")
    if not tidy or len(tidy) > LONGEST or len(words) > MOST_WORDS or not all(map(_is_of_a_name, tidy)):
        return ""
    looks = skeleton(tidy)
    if not looks or looks in reserved or looks.startswith(skeleton(OTHER_VOICE)):
        return ""
    parts = [skeleton(part) for part in tidy.replace("_", " ").replace("-", " ").replace(".", " ").split()]
    return "" if any(part in _COMMANDS or part.removesuffix("s") in _COMMANDS for part in parts) else tidy


def _is_of_a_name(character: str) -> bool:
    return character in _MARKS or unicodedata.category(character)[0] in "LM" or character.isdecimal()
