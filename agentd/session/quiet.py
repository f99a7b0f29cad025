"""The caller who says nothing, and the call that lasts too long. Pure: times come in, what is due comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentd.config.definition import Limits

UserState = Literal["listening", "speaking", "away"]
What = Literal["away", "prompt", "warn", "give_up", "time_up"]


@dataclass(frozen=True, slots=True)
class Due:
    """`rule`: why; `value`: the configuration behind it."""

    what: What
    rule: str
    value: str


@dataclass(slots=True)
class QuietCaller:
    """`began`: when the call did. `last_sound`: of either side; `last_heard`: the same without idle prompts, for a
    silence that they do not break."""

    limits: Limits
    began: float
    last_sound: float
    last_heard: float = 0.0
    prompts: int = 0
    warned: bool = False
    ending: bool = False
    state: UserState = "listening"
    asked_to_wait_until: float = 0.0

    def __post_init__(self) -> None:
        self.last_heard = self.last_sound

    def touched(self, now: float, *, prompt: bool = False) -> None:
        """Either side begins or ends to say something; `prompt`: it is an idle prompt."""
        self.last_sound = now
        if not prompt:
            self.last_heard = now

    def speaks(self, now: float, *, speaking: bool) -> None:
        """The caller begins or ends to make sound."""
        self.touched(now)
        self.state = "speaking" if speaking else "listening"

    def spoke(self, now: float) -> None:
        """The caller said or typed words: the count begins anew."""
        self.touched(now)
        self.prompts = 0
        self.asked_to_wait_until = 0.0
        self.state = "listening" if self.state == "away" else self.state

    def wait(self, until: float) -> None:
        """The caller wants a moment."""
        self.asked_to_wait_until = until

    def deadline(self, *, silent: bool) -> float | None:
        """When `due` may answer something. `silent`: neither side speaks and the caller is there."""
        return min((at for at, _ in self._coming(silent=silent)), default=None)

    def due(self, now: float, *, silent: bool) -> Due | None:
        """What is to be done now, once; ask again after it was."""
        due = next((due for at, due in self._coming(silent=silent) if now >= at), None)
        match due.what if due else None:
            case "away":
                self.state = "away"
            case "prompt":
                self.prompts += 1
                self.last_sound = now
            case "warn":
                self.warned = True
            case "give_up" | "time_up":
                self.ending = True
        return due

    def _coming(self, *, silent: bool) -> list[tuple[float, Due]]:
        """All that will be due if nothing happens, the more important first."""
        if self.ending:
            return []
        return [*self._of_duration(), *(self._of_silence() if silent else [])]

    def _of_duration(self) -> list[tuple[float, Due]]:
        longest, before = self.limits.max_duration, self.limits.warn_before
        if longest is None:
            return []
        times = [(self.began + longest, Due("time_up", "max_duration", f"limits.max_duration={longest}"))]
        if before is not None and not self.warned:
            times.append((self.began + longest - before, Due("warn", "max_duration", f"limits.warn_before={before}")))
        return times

    def _of_silence(self) -> list[tuple[float, Due]]:
        """Counted from when the caller said that they would be back, where they did."""
        times = []
        last_sound = max(self.last_sound, self.asked_to_wait_until)
        last_heard = max(self.last_heard, self.asked_to_wait_until)
        limits, prompt = self.limits, self.limits.idle_prompt
        if limits.end_after_silence is not None:
            value = f"limits.end_after_silence={limits.end_after_silence}"
            times.append((last_heard + limits.end_after_silence, Due("give_up", "silence", value)))
        if prompt is not None and self.prompts < prompt.times:
            value = f"limits.idle_prompt.after={prompt.after}"
            times.append((last_sound + prompt.after, Due("prompt", "idle", value)))
        elif prompt is not None and prompt.then == "end_call":
            value = f"limits.idle_prompt.times={prompt.times}"
            times.append((last_sound + prompt.after, Due("give_up", "idle", value)))
        if limits.away_after is not None and self.state == "listening":
            value = f"limits.away_after={limits.away_after}"
            times.append((last_sound + limits.away_after, Due("away", "silence", value)))
        return times
