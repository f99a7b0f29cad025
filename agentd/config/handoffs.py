"""Handoffs, as an agent file says them: to whom, on what, and what goes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentd.providers.fields import Duration, setting

HISTORY_PATTERN = r"full|none|summary|last: ?[1-9][0-9]{0,3}"

Enter = Literal["auto", "greet", "reply", "wait"]
"""How an agent begins that a call was handed to. auto: it greets when it comes into the call for the first time and
has a greeting, else it replies."""

_HISTORY = "What of the conversation it knows: full, `last: N` items, summary (a model's), or none."
_ENTER = (
    "How it begins: greet (its greeting), reply (its model's words on what was said), wait (for the caller); auto "
    "greets the first time where there is a greeting, and replies else."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """What goes along with the call, whatever hands it over."""

    history: str = setting(_HISTORY, default="full")
    say: str | None = setting(
        "What the agent that leaves says last; a Jinja2 template over the variables.", default=None
    )
    variables: Mapping[str, Any] = setting("Variables to set with it.", default_factory=dict)
    enter: Enter = setting(_ENTER, default="auto")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff(Passing):
    """One way out of an agent. One of `when`, `if`, `on` and `after_silence`; `if` may also stand beside another, which
    then counts only while it holds."""

    agent: str = setting("The agent that goes on with the call.")
    when: str | None = setting(
        "When the model is to hand over: it sees a tool, handoff_to_ and the agent's name, described so.",
        default=None,
        min_length=1,
    )
    if_: str | None = setting(
        "A Jinja2 expression over the variables: the call is handed over at the end of the turn in which it becomes "
        "true. Beside `on` it knows the `event`.",
        default=None,
        key="if",
        interpolate=False,
        min_length=1,
        examples=("total > 100", "topic == 'invoice'"),
    )
    on: str | None = setting("An event, as docs/events.md names it.", default=None, interpolate=False, min_length=1)
    after_silence: Duration | None = setting(
        "Silence of both, which the agent's idle prompts do not break.", default=None, minimum=1
    )

    @property
    def tool_name(self) -> str:
        """By which the model calls it."""
        return tool_name(self.agent)

    @property
    def trigger(self) -> str:
        """The key that it fires by."""
        named = {"when": self.when, "on": self.on, "after_silence": self.after_silence}
        return next((key for key, value in named.items() if value is not None), "if")


def tool_name(agent: str) -> str:
    return f"handoff_to_{agent.replace('-', '_')}"[:64]
