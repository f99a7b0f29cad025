"""The caller who says nothing, and the call that lasts too long. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.config.definition import Limits

Due = Literal["prompt", "give_up", "time_up"]


@dataclass(slots=True)
class QuietCaller:
    """`began`: when the call did. `touched` is called whenever either side stops or starts to say something."""

    limits: Limits
    began: float
    last_sound: float
    prompts: int = 0

    def touched(self, now: float) -> None:
        self.last_sound = now

    def spoke(self, now: float) -> None:
        """The caller said words: the count begins anew."""
        self.last_sound = now
        self.prompts = 0

    def deadline(self, *, silent: bool) -> float | None:
        """When `due` may answer something. `silent`: neither side speaks and the caller is there."""
        times = []
        if self.limits.max_duration is not None:
            times.append(self.began + self.limits.max_duration)
        prompt = self.limits.idle_prompt
        waits = prompt is not None and (self.prompts < prompt.times or prompt.then == "end_call")
        if silent and prompt is not None and waits:
            times.append(self.last_sound + prompt.after)
        return min(times, default=None)

    def due(self, now: float, *, silent: bool) -> Due | None:
        if self.limits.max_duration is not None and now >= self.began + self.limits.max_duration:
            return "time_up"
        prompt = self.limits.idle_prompt
        if not silent or prompt is None or now < self.last_sound + prompt.after:
            return None
        if self.prompts < prompt.times:
            self.prompts += 1
            return "prompt"
        return "give_up" if prompt.then == "end_call" else None
