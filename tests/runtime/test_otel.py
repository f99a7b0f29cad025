"""Spans reach a collector over OTLP/HTTP; one that is away costs nothing."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agentd.runtime.spans import Span, span_id, trace_id
from tests.fakes.http_receiver import Receiver, receiving
from tests.runtime.test_spans import told

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """Its address, and the requests that it was sent, as the protobuf's classes read them."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    taken: list[Any] = []

    class Taking(Receiver):
        def do_POST(self) -> None:
            body = self.body()
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            taken.append((self.path, dict(self.headers), request))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()

    with receiving(Taking) as address:
        yield f"{address}/v1/traces", taken


def value(attribute: Any) -> Any:
    return getattr(attribute, attribute.WhichOneof("value"))


def test_a_collector_is_sent_the_whole_tree() -> None:
    from agentd.runtime.otel import SpanExport

    with collector() as (address, taken):
        export = SpanExport(address, {"x-key": "k"}, "clinic", "w1")
        export.send("s-1", told())
        export.close()
    (path, headers, request), *more = taken
    assert (path, headers["x-key"], more) == ("/v1/traces", "k", [])
    (resource,) = request.resource_spans
    named = {each.key: value(each.value) for each in resource.resource.attributes}
    assert (named["service.name"], named["service.instance.id"]) == ("clinic", "w1")
    spans = resource.scope_spans[0].spans
    assert [span.name for span in spans] == [span.name for span in told()]
    assert {int.from_bytes(span.trace_id, "big") for span in spans} == {trace_id("s-1")}
    ids = {span.span_id: span.name for span in spans}
    assert {ids.get(span.parent_span_id, "") for span in spans} == {"", "turn", "invoke_agent front-desk"}
    failed = next(span for span in spans if span.status.code == 2)
    assert failed.status.message == "timeout"
    assert failed.end_time_unix_nano - failed.start_time_unix_nano == pytest.approx(600_000_000, abs=1_000)


def test_a_collector_that_is_away_costs_nothing_and_memory_has_a_bound() -> None:
    from agentd.runtime.otel import QUEUE, SpanExport

    export = SpanExport("http://127.0.0.1:9/v1/traces", {}, "clinic", "w1")
    span = Span(name="turn", key="k", start=1.0, end=2.0)
    spent = time.thread_time()
    for _ in range(2 * QUEUE):
        export.send("s-1", [span])
    assert time.thread_time() - spent < 5.0  # it waited for nobody; how fast is not the question
    assert len(export._processor._batch_processor._queue) <= QUEUE
    export.close()


def test_ids_are_those_of_the_pure_functions() -> None:
    from agentd.runtime.otel import _context

    context = _context("s-1", "k")
    assert (context.trace_id, context.span_id) == (trace_id("s-1"), span_id("s-1", "k"))
