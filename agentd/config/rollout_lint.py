"""What must hold between agents and their canaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentd.config.definition import AgentDefinition
from agentd.config.finding import Finding


def rollout_findings(definitions: Iterable[AgentDefinition]) -> Iterator[tuple[str, Finding]]:
    """By source. Warnings all: the other file may be about to change too."""
    canaries = {each.name: each for each in definitions if each.rollout is not None}
    shares: dict[str, float] = {}
    for name, canary in canaries.items():
        rollout = canary.rollout
        assert rollout is not None
        if rollout.of in canaries and rollout.of != name:
            message = f'"{rollout.of}" is a canary itself: calls that it takes from another agent are not shared again'
            yield canary.source, Finding("rollout", "rollout-chain", message, warning=True)
        if rollout.match:
            continue
        shares[rollout.of] = shares.get(rollout.of, 0.0) + (rollout.percent or 0.0)
        if shares[rollout.of] > 100:
            message = f'the canaries of "{rollout.of}" take {shares[rollout.of]:g} % of its calls in all'
            hint = "the first by name take theirs, the others what is left"
            yield canary.source, Finding("rollout", "rollout-share", message, hint, warning=True)
