"""Hooks, as an agent file says them: on what, under which condition, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentd.config.event_names import BEFORE_REPLY
from agentd.config.patterns import REFERENCE_PATTERN, TOOL_NAME_PATTERN
from agentd.providers.fields import Duration, JsonObject, setting

HOOK_TIMEOUT_S = 5.0
BEFORE_REPLY_TIMEOUT_S = 1.0  # the caller hears it as silence


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAction:
    """A tool of the agent's, called without the model."""

    name: str = setting("One of the agent's `tools`.", pattern=TOOL_NAME_PATTERN)
    arguments: JsonObject = setting(
        "What it is called with; text in it is a template over the variables and `event`.", default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAction:
    """The end of the call."""

    say: str | None = setting(
        "The last words; a Jinja2 template over the variables and `event`. Without it the call ends at once.",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HookActions:
    """One or more, carried out in this order; what follows one that fails is not."""

    set: Mapping[str, Any] = setting("Variables to set.", default_factory=dict)
    tool: ToolAction | None = setting("A tool to call; its answer goes to nobody, its actions are done.", default=None)
    python: str | None = setting(
        "module:function under a root that tools_allow permits; it gets the event and the call's context.",
        default=None,
        pattern=REFERENCE_PATTERN,
        interpolate=False,
    )
    say: str | None = setting("Text to speak; a Jinja2 template over the variables and `event`.", default=None)
    generate: str | None = setting(
        "An instruction from which the model speaks; a template over the same.", default=None
    )
    end: EndAction | None = setting("End the call.", default=None)

    @property
    def named(self) -> tuple[str, ...]:
        """Those that are asked for, in order."""
        found = {
            "set": bool(self.set),
            "tool": self.tool is not None,
            "python": self.python is not None,
            "say": self.say is not None,
            "generate": self.generate is not None,
            "end": self.end is not None,
        }
        return tuple(name for name, is_there in found.items() if is_there)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What to do when something happens in a call."""

    on: str = setting(
        "The event, as docs/events.md names it, with * as wildcard; or before_reply, which the reply waits for.",
        examples=("participant_linked", "participant_*", "before_reply"),
        min_length=1,
        interpolate=False,
    )
    if_: JsonObject = setting(
        "Only for events with these data: a value by field, or {in: [...]}, {min: 1, max: 2}; `metrics.e2e` is a field "
        "within a field.",
        default_factory=dict,
        key="if",
    )
    do: HookActions = setting("What to do.")
    timeout: Duration | None = setting(
        "Then what it does is ended, a Python function's process killed. 5s, for before_reply 1s, if it is not given.",
        default=None,
        minimum=0.05,
        maximum=60,
    )

    @property
    def is_before_reply(self) -> bool:
        return self.on == BEFORE_REPLY

    @property
    def timeout_s(self) -> float:
        if self.timeout is not None:
            return self.timeout
        return BEFORE_REPLY_TIMEOUT_S if self.is_before_reply else HOOK_TIMEOUT_S
