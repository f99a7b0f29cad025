"""What happened to the daemon, for the audit log, whoever or whatever brought it about: an edit that was watched, a
signal, an operator, a canary's objectives. What operators asked for over HTTP stands beside it (`agentd.admin.deeds`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from agentd import __version__
from agentd.config.definition import AgentDefinition
from agentd.errors import JournalError
from agentd.runtime.audit_log import log_of
from agentd.runtime.messages import AuditSettings
from agentd.runtime.status import ReloadOutcome
from agentd.tools.event import Event

logger = logging.getLogger(__name__)


class Chronicle:
    """Owned by the supervisor. It never raises: a log that cannot be written is an error in the daemon's own."""

    def __init__(self, settings: AuditSettings | None) -> None:
        """None: nothing is kept."""
        self._log = log_of(settings) if settings is not None else None
        self._served: dict[str, str] = {}  # revisions, by agent
        self._failed = False

    def started(self, instance: str) -> None:
        self._keep("daemon.started", version=__version__, instance=instance)

    def reloaded(self, outcome: ReloadOutcome, agents: Mapping[str, AgentDefinition]) -> None:
        """The files were read, and `agents` serve now: those that are others than before; the workers' code, too."""
        if outcome.code is not None and outcome.code.state in ("replaced", "refused"):
            self._keep(f"code.{outcome.code.state}", files=outcome.code.files, workers=outcome.code.workers)
        for name in (*outcome.added, *outcome.updated):
            definition, previous = agents[name], self._served.get(name, "")
            self._served[name] = definition.digest
            told = {"revision": definition.digest, "previous": previous, "source": definition.source}
            self._keep("agent.served", agent=name, generation=outcome.generation, **told)
        for name in outcome.removed:
            previous = self._served.pop(name, "")
            self._keep("agent.removed", agent=name, generation=outcome.generation, previous=previous)

    def happened(self, event: Event) -> None:
        """Of `agentd.runtime.daemon_events`: held and released definitions, canaries."""
        self._keep(event.type.replace("_", ".", 1), agent=event.agent, **event.data)

    def draining(self, calls: int) -> None:
        self._keep("daemon.draining", calls=calls)

    def upgrading(self, calls: int) -> None:
        self._keep("daemon.upgrading", calls=calls)

    def ended(self, *, whole: bool) -> None:
        self._keep("daemon.ended", outcome="whole" if whole else "calls_cut")

    def _keep(self, kind: str, **told: Any) -> None:
        if self._log is None:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            self._log.append({"at": at, "kind": kind, **told})
            self._failed = False
        except JournalError:
            if not self._failed:
                logger.exception("audit_failed")
            self._failed = True
