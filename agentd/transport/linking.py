"""Whom the agent talks with, and what a departure means. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

CallerKind = Literal["standard", "sip", "connector"]

GUEST_PREFIX = "agentd-guest-"
"""Identities of those whom an agent of ours has rung to take a call: they are nobody's caller."""

# Left on purpose: the session ends. For any other reason the caller may come back.
FINAL_REASONS = frozenset({"CLIENT_INITIATED", "ROOM_DELETED", "USER_REJECTED"})
NO_WAY_BACK = frozenset({"ROOM_DELETED", "USER_REJECTED"})

# Why our own connection ended, and how the session is told. Anything else is mended by joining again.
_ROOM_GONE = {
    "CLIENT_INITIATED": "left",
    "DUPLICATE_IDENTITY": "replaced",
    "PARTICIPANT_REMOVED": "removed",
    "ROOM_DELETED": "room_deleted",
    "ROOM_CLOSED": "room_deleted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A remote participant, as far as the choice needs it. `rings`: their telephone is called, and nobody has answered:
    LiveKit has them in the room already, and what is said to them is lost."""

    identity: str
    kind: str
    rings: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which participants may be linked; `identity` "" means any."""

    kinds: tuple[CallerKind, ...] = ("standard", "sip", "connector")
    identity: str = ""

    def admits(self, person: Person) -> bool:
        guest = person.identity.startswith(GUEST_PREFIX)
        return not guest and not person.rings and person.kind in self.kinds and self.identity in ("", person.identity)


def first_caller(people: Iterable[Person], wanted: Wanted) -> str | None:
    """The identity of the first, in order of joining, that may be linked."""
    return next((person.identity for person in people if wanted.admits(person)), None)


def leaves_for_good(reason: str) -> bool:
    return reason in FINAL_REASONS


def closing_reason(reason: str) -> str | None:
    """What to call the end of the room; None when the connection shall be made again."""
    return _ROOM_GONE.get(reason)


def room_is_gone(error: str) -> bool:
    """Whether a failed join says that the room does not exist any more (servers with auto_create off)."""
    text = error.lower()
    return "room does not exist" in text or ("404" in text and "room" in text)
