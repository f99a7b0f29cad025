"""Who may have a tool called, and who must agree first, as an agent's file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.providers.fields import Duration, setting

ConsentBy = Literal["spoken", "dtmf", "operator"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A word alone (`confirm: spoken`) stands for `{by: spoken}`."""

    by: ConsentBy = setting(
        "Who agrees, and how: the caller by their words (spoken), the caller by key 1 (dtmf; key 2 declines), or "
        "somebody who watches over the admin API (operator)."
    )
    read_back: str | None = setting(
        "What the caller is asked, spoken as it is; a Jinja2 template over the arguments and the variables. By default "
        "a sentence of the tool's name and all of its arguments.",
        default=None,
        interpolate=False,
        min_length=1,
    )
    expires: Duration = setting("How long the answer is waited for.", default=Duration(60.0), minimum=1, maximum=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowCallers:
    """Every criterion that is written must hold; one of a list's values is enough."""

    attributes: Mapping[str, tuple[str, ...]] = setting(
        "Participant attributes, by name, and the values that one of them must have when the caller is met.",
        default_factory=dict,
        min_length=1,
    )
    identities: tuple[str, ...] = setting("Participant identities; * at the end stands for anything.", default=())
    kinds: tuple[Literal["standard", "sip", "connector"], ...] = setting("Kinds of participant.", default=())
