"""What callers may not say of themselves when they ask for a token, because agents go by it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentd.admin.problems import Refused
from agentd.config.consent import AllowCallers
from agentd.config.definition import AgentDefinition
from agentd.config.tools import ToolOptions
from agentd.session.permission import is_one_of
from agentd.transport.linking import GUEST_PREFIX
from agentd.transport.protocol import agent_identity

OWN_IDENTITIES = (agent_identity(""), GUEST_PREFIX)
FRESH_IDENTITY = "caller-"
"""Before a random part: who has not said who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Names of attributes, and patterns of identities, by which tools are allowed to callers."""

    attributes: frozenset[str] = frozenset()
    identities: tuple[str, ...] = ()


def deciding(definitions: Iterable[AgentDefinition]) -> Deciding:
    """What the tools of these agents go by. A call may be handed from each to each."""
    rules = [rule for each in definitions for rule in _rules(each)]
    identities = dict.fromkeys(pattern for rule in rules for pattern in rule.identities)
    return Deciding(
        attributes=frozenset(name for rule in rules for name in rule.attributes),
        # A pattern that everybody fits decides nothing.
        identities=tuple(pattern for pattern in identities if not is_one_of(FRESH_IDENTITY, [pattern])),
    )


def refuse_attributes(attributes: Mapping[str, str], deciding: Deciding) -> None:
    """Of a caller whom nobody vouches for. Raises Refused."""
    for name in attributes:
        if name.startswith("sip."):
            raise Refused(403, f"participant_attributes.{name} is refused: sip.* is told of telephones")
        if name in deciding.attributes:
            why = "a tool is allowed to callers by it, so that only an operator may set it"
            raise Refused(403, f"participant_attributes.{name} is refused: {why}")


def refuse_identity(identity: str, deciding: Deciding) -> None:
    """An identity that a caller whom nobody vouches for has chosen. Raises Refused."""
    if is_one_of(identity, deciding.identities):
        why = "a tool is allowed to callers by it, so that only an operator may give it"
        raise Refused(403, f"participant_identity {identity!r} is refused: {why}")


def refuse_own_identity(identity: str) -> None:
    """Whoever joins under the identity of somebody in the room takes their place. Raises Refused."""
    if identity.startswith(OWN_IDENTITIES):
        own = " and ".join(f"{prefix}*" for prefix in OWN_IDENTITIES)
        raise Refused(403, f"participant_identity {identity!r} is refused: {own} are agentd's own")


def _rules(definition: AgentDefinition) -> Iterable[AllowCallers]:
    tools = (tool for tool in definition.tools if isinstance(tool, ToolOptions))  # the provider's own have no rules
    return (tool.allow_callers for tool in tools if tool.allow_callers is not None)
