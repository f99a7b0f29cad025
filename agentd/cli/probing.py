"""`agentd validate --probe`: the providers that files name, each with the line that names it and what it answered."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentd import logs
from agentd.config.load import Loaded
from agentd.config.places import mark_at
from agentd.config.provider_choice import ProviderChoice
from agentd.config.source import Mark
from agentd.errors import Problem
from agentd.registry import Registry
from agentd.runtime.provider_probes import Probe, choices_of, key_of, probe_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A provider's answer, for one place that chooses it. `setting` names that, as "llm.fallback[0]"."""

    mark: Mark
    setting: str
    probe: Probe

    @property
    def problem(self) -> Problem | None:
        """None: it serves."""
        if not self.probe.reason:
            return None
        pointer = "/" + re.sub(r"[.\[]", "/", self.setting.replace("]", ""))
        return self.mark.problem(pointer, "probe-failed", f"{self._who}: {self.probe.reason} {self._after}")

    @property
    def line(self) -> str:
        """Of one that serves, in the form of a problem."""
        return f"{self.mark.file}:{self.mark.line}:{self.mark.column}: ok: {self._who} {self._after}"

    def told(self) -> dict[str, Any]:
        return {
            "file": self.mark.file,
            "line": self.mark.line,
            "setting": self.setting,
            "kind": self.probe.kind,
            "provider": self.probe.provider,
            "ok": not self.probe.reason,
            "reason": self.probe.reason,
            "seconds": round(self.probe.seconds, 3),
        }

    @property
    def _who(self) -> str:
        return f"{self.probe.kind} {self.probe.provider}"

    @property
    def _after(self) -> str:
        return f"(after {self.probe.seconds:.2f} s)"


def probe_files(registry: Registry, loaded: Sequence[Loaded], environment: Mapping[str, str]) -> list[Placed]:
    """Of every valid agent. Connects, loads models, and may cost a few characters of speech."""
    logs.configure("text", "CRITICAL")  # what goes wrong is told as a problem
    os.environ.update(environment)  # providers resolve their secrets from it, as they do in a worker
    found = [each for one in loaded for each in _chosen(one)]
    probes = asyncio.run(probe_all(registry, [choice for _, _, choice in found]))
    placed = [Placed(mark=mark, setting=setting, probe=probes[key_of(choice)]) for mark, setting, choice in found]
    return sorted(placed, key=lambda each: (each.mark.file, each.mark.line))


def _chosen(loaded: Loaded) -> list[tuple[Mark, str, ProviderChoice]]:
    """A default, which is written nowhere, has its agent's first line."""
    found = []
    for name, definition in loaded.agents.items():
        places = loaded.places.get(name, {})
        for setting, choice in choices_of(definition):
            nowhere = Mark(definition.source.partition("#")[0], 1, 1)
            found.append((mark_at(places.get(setting, "")) or nowhere, setting, choice))
    return found
