"""Keys as they are pressed, one by one, until they are an answer. Pure: times come in."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.config.tasks import Keys


@dataclass(slots=True)
class Keypad:
    """`pressed`: since the last answer; `last`: when the last one was."""

    pressed: str = ""
    last: float = 0.0

    def take(self, key: str, keys: Keys, wanted: int | None, now: float) -> str | None:
        """All of them, if this key ends them. A * that is no terminator begins anew."""
        if key == keys.terminator:
            return self.empty() if self.pressed else None
        if key == "*":
            self.pressed = ""
            return None
        if not key.isdecimal():
            return None
        self.pressed, self.last = self.pressed + key, now
        return self.empty() if wanted is not None and len(self.pressed) >= wanted else None

    def deadline(self, keys: Keys) -> float | None:
        """When silence ends them."""
        return self.last + keys.between if self.pressed else None

    def empty(self) -> str:
        pressed, self.pressed = self.pressed, ""
        return pressed
