"""Hooks, as an agent file says them: on what, under which condition, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentd.config.event_names import BEFORE_REPLY
from agentd.config.handoffs import Passing
from agentd.config.patterns import REFERENCE_PATTERN, TOOL_NAME_PATTERN, URL_PATTERN
from agentd.config.values import digest
from agentd.providers.fields import Duration, JsonObject, Secret, setting

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
class HandoffAction(Passing):
    """Another agent goes on with the call, at the end of this turn."""

    agent: str = setting("The agent.")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionsAction:
    """What the model is told from now on, until the call is handed over. One of the two."""

    append: str | None = setting(
        "Text behind the agent's instructions; a template over the variables and `event`.", default=None
    )
    replace: str | None = setting("Text instead of them; a template over the same.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsAction:
    """Tools that the model may not call any more, or may call again, until the call is handed over."""

    enable: tuple[str, ...] = setting("Names of tools.", default=())
    disable: tuple[str, ...] = setting("Names of tools.", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAction:
    """An HTTP endpoint that is given the event; see docs/webhooks.md."""

    url: str = setting("Where to POST it.", pattern=URL_PATTERN)
    secret: Secret | None = setting("Signing secret: whsec_ and base64 of 24 to 64 bytes.", default=None)
    headers: Mapping[str, Secret] = setting("Headers to add; they never override the contract's.", default_factory=dict)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)

    @property
    def ref(self) -> str:
        """By which the agent's tools know it."""
        return f"webhook:{digest(self)}"


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
    webhook: WebhookAction | None = setting(
        "An HTTP endpoint to tell of the event; the actions in its answer are done.", default=None
    )
    instructions: InstructionsAction | None = setting("Tell the model more, or something else.", default=None)
    tools: ToolsAction | None = setting("Keep tools from the model, or let it have them again.", default=None)
    task: str | None = setting("One of the agent's `tasks`, to begin.", default=None, pattern=TOOL_NAME_PATTERN)
    dtmf: str | None = setting(
        "Keys to press on the line: 0 to 9, *, #, A to D; a comma waits half a second. A template over the same.",
        default=None,
    )
    say: str | None = setting("Text to speak; a Jinja2 template over the variables and `event`.", default=None)
    generate: str | None = setting(
        "An instruction from which the model speaks; a template over the same.", default=None
    )
    handoff: HandoffAction | None = setting("Hand the call over to another agent.", default=None)
    end: EndAction | None = setting("End the call.", default=None)

    @property
    def named(self) -> tuple[str, ...]:
        """Those that are asked for, in order."""
        found = {
            "set": bool(self.set),
            "tool": self.tool is not None,
            "python": self.python is not None,
            "webhook": self.webhook is not None,
            "instructions": self.instructions is not None,
            "tools": self.tools is not None,
            "task": self.task is not None,
            "dtmf": self.dtmf is not None,
            "say": self.say is not None,
            "generate": self.generate is not None,
            "handoff": self.handoff is not None,
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
