"""Methods that front ends may call, as an agent's file says them."""

from __future__ import annotations

from dataclasses import dataclass

from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.providers.fields import JsonObject, setting

OWN_METHODS = ("start_turn", "end_turn", "cancel_turn")
"""Of push to talk; every agent has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcMethod:
    """What is not named here cannot be called. Each call is an event, rpc_received, for hooks to act on."""

    method: str = setting("Its name.", pattern=TOOL_NAME_PATTERN)
    identities: tuple[str, ...] = setting(
        "Participants who may call it, by identity; * at the end stands for anything. By default those whom the agent "
        "talks with.",
        default=(),
    )
    parameters: JsonObject = setting(
        "JSON Schema of its payload, an object.",
        default_factory=lambda: {"type": "object", "properties": {}},
        interpolate=False,
    )
    set: tuple[str, ...] = setting("Names of the payload that become variables of the call.", default=())
