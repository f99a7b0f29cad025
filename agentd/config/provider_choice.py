"""A provider as an agent's file chooses it, parsed by the settings class of the plugin that it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentd.registry import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChoice:
    """A provider of one kind with its parsed settings (the plugin's dataclass), and what to try when it fails.

    `digest` is equal for equal settings: a worker shares one provider among all that have the same.
    """

    kind: Kind
    provider: str
    settings: Any
    digest: str
    fallback: tuple[ProviderChoice, ...] = ()
