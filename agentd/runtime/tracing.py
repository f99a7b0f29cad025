"""Follows the sessions of a worker with spans, where a collector was named."""

from __future__ import annotations

from agentd.config.definition import AgentDefinition
from agentd.runtime.messages import OtelSettings, StartJob
from agentd.runtime.otel import SpanExport
from agentd.runtime.spans import Spans
from agentd.session.records import Record


class Tracing:
    """Of all sessions of one worker."""

    def __init__(self, settings: OtelSettings, worker: str) -> None:
        self._content = settings.content
        self._export = SpanExport(settings.endpoint, settings.headers, settings.service, worker)
        self._spans: dict[str, Spans] = {}

    def take(self, start: StartJob, definition: AgentDefinition, record: Record) -> None:
        """Never waits."""
        spans = self._spans.get(start.session)
        if spans is None:
            spans = self._spans[start.session] = Spans(
                session=start.session, agent=start.agent, content=self._content, models=models_of(definition)
            )
        self._export.send(start.session, spans.take(record))

    def ended(self, session: str) -> None:
        self._spans.pop(session, None)

    def close(self) -> None:
        """Blocks for a moment."""
        self._export.close()


def models_of(definition: AgentDefinition) -> dict[tuple[str, str], str]:
    """What is asked of each provider, where its settings name a model."""
    found: dict[tuple[str, str], str] = {}
    for choice in (definition.stt, definition.llm, definition.tts, definition.realtime):
        for each in (choice, *choice.fallback) if choice else ():
            model = getattr(each.settings, "model", "")
            if model:
                found.setdefault((each.kind, each.provider), str(model))
    return found
