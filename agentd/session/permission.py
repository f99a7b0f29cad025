"""Which callers may have which tools called. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from agentd.config.consent import AllowCallers
from agentd.tools.spec import Caller


def objection(allow: AllowCallers | None, caller: Caller) -> str | None:
    """The rule by which this caller may not; None: they may.

    Whoever else speaks at the caller's microphone has none of the caller's rights.
    """
    if allow is None:
        return None
    if caller.other_voice:
        return "other_voice"
    if allow.kinds and caller.kind not in allow.kinds:
        return "caller_kind"
    if allow.identities and not is_one_of(caller.identity, allow.identities):
        return "caller_identity"
    if any(caller.attributes.get(name) not in values for name, values in allow.attributes.items()):
        return "caller_attribute"
    return None


def is_one_of(identity: str, patterns: Iterable[str]) -> bool:
    """`*` at the end of a pattern stands for anything, and nowhere else for more than itself."""
    return any(
        identity.startswith(pattern[:-1]) if pattern.endswith("*") else identity == pattern for pattern in patterns
    )
