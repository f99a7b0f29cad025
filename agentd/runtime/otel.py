"""Sends spans over OTLP/HTTP, with the official SDK (the extra `otel`). Imported only where it is asked for.

The SDK's own thread sends in batches. Its queue is bounded and loses what does not fit: a collector that is slow or
away costs a call nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

import agentd
from agentd.runtime.spans import Span, span_id, trace_id

QUEUE = 2_048
BATCH = 256
EVERY_MS = 1_000
TIMEOUT_S = 5.0
FLUSH_S = 2.0
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_SCOPE = InstrumentationScope("agentd", agentd.__version__)


class SpanExport:
    """One process' way to a collector."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], service: str, worker: str) -> None:
        """`endpoint`: with its path, usually /v1/traces."""
        logging.getLogger("opentelemetry").setLevel("CRITICAL")  # a collector that is away is no news every second
        self._resource = Resource(
            {"service.name": service, "service.version": agentd.__version__, "service.instance.id": worker}
        )
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=TIMEOUT_S)
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, max_export_batch_size=BATCH, schedule_delay_millis=EVERY_MS
        )

    def send(self, session: str, spans: Iterable[Span]) -> None:
        """Queues them; never waits."""
        for span in spans:
            self._processor.on_end(self._readable(session, span))

    def close(self) -> None:
        """Sends what is left, for a moment. Blocks: call it in a thread."""
        flush = threading.Thread(target=self._processor.force_flush, daemon=True)
        flush.start()
        flush.join(FLUSH_S)
        self._exporter.shutdown()  # type: ignore[no-untyped-call, unused-ignore]
        self._processor.shutdown()  # type: ignore[no-untyped-call, unused-ignore]

    def _readable(self, session: str, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(session, span.key),
            parent=_context(session, span.parent) if span.parent else None,
            resource=self._resource,
            attributes=dict(span.attributes) | ({"error.type": span.error} if span.error else {}),
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=round(span.start * 1e9),
            end_time=round(span.end * 1e9),
            instrumentation_scope=_SCOPE,
        )


def _context(session: str, key: str) -> SpanContext:
    return SpanContext(trace_id(session), span_id(session, key), is_remote=False, trace_flags=TraceFlags(0x01))
