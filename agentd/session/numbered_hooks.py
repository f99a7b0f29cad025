"""The hooks of an agent as one call knows them: by numbers that no other agent's hooks have in it."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.config.event_names import names_for
from agentd.config.hooks import Hook
from agentd.config.values import digest
from agentd.session.conversation import Conversation
from agentd.tools.spec import ToolRunner


@dataclass(frozen=True, slots=True)
class NumberedHook:
    """`setting`, `place`: where it stands, in its agent ("hooks[0]") and in the files. `key`: by which another
    incarnation knows it again. `types`: of the events that it is on. `tools`: its agent's, whoever has the call now."""

    number: int
    hook: Hook
    setting: str
    place: str
    key: str
    types: frozenset[str]
    tools: ToolRunner


def numbered_hooks(conversation: Conversation) -> tuple[NumberedHook, ...]:
    """Those of the agent that has the call."""
    definition = conversation.definition
    return tuple(
        NumberedHook(
            number=conversation.first_hook + index,
            hook=hook,
            setting=f"hooks[{index}]",
            place=definition.places.get(f"hooks[{index}]", f"hooks[{index}]"),
            key=key_of(hook),
            types=frozenset(() if hook.is_before_reply else names_for(hook.on)),
            tools=conversation.tools,
        )
        for index, hook in enumerate(definition.hooks)
    )


def key_of(hook: Hook) -> str:
    return digest(hook)[:12]
