"""`agentd webhook send` of what agentd sends by itself: events, and the question before a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import click

from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.events import EVENT_TYPES, EventSink
from agentd.errors import ToolError
from agentd.runtime.admission import ask
from agentd.runtime.event_feed import bounded, data_of
from agentd.session.sample_call import sample_events
from agentd.tools import signing
from agentd.tools.endpoint import Message, post, shown, traceparent
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from agentd.transport.protocol import Job

QUESTION = "session.request"


def send_of_agentds(
    definition: AgentDefinition, daemon: DaemonConfig, kind: str, variables: Mapping[str, Any], url: str | None
) -> int:
    """The exit code. Raises click.ClickException."""
    if kind == QUESTION:
        return asyncio.run(_ask(definition, daemon, url))
    if kind not in EVENT_TYPES:
        near = get_close_matches(kind, (*EVENT_TYPES, QUESTION), 1)
        raise click.UsageError(f'there is no event "{kind}"; ' + (f"did you mean {near[0]}?" if near else _all()))
    sinks = [sink for sink in (*definition.events, *daemon.events) if sink.wants(kind)]
    if not sinks:
        raise click.ClickException(f"no sink of {definition.name} or of agentd.yaml wants {kind}")
    return asyncio.run(_send(definition, daemon, kind, variables, [_at(sink, url) for sink in sinks]))


def _all() -> str:
    return f"there are: {', '.join(EVENT_TYPES)}"


def _at(sink: EventSink, url: str | None) -> EventSink:
    return replace(sink, url=url, allow_http=True) if url else sink


async def _send(
    definition: AgentDefinition, daemon: DaemonConfig, kind: str, variables: Mapping[str, Any], sinks: list[EventSink]
) -> int:
    failures = 0
    async with WebhookClient(daemon.http.allow) as client:
        for sink in sinks:
            body = sample_body(kind, definition, variables, transcript=sink.transcript)
            message = Message(id=signing.new_id("ev_", time.time()), body=body, traceparent=traceparent("s-example"))
            said, well = await _posted(sink, message, client)
            click.echo(f"{shown(sink.url)} {said}")
            failures += not well
    return 1 if failures else 0


async def _posted(sink: EventSink, message: Message, client: WebhookClient) -> tuple[str, bool]:
    try:
        answer: Answer = await post("events", sink, message, client, now_s=0.0)
    except (NotSent, AnswerLost, ToolError) as error:
        return f"was not reached: {error}", False
    return f"answered {answer.status}", 200 <= answer.status < 300


def sample_body(kind: str, definition: AgentDefinition, variables: Mapping[str, Any], *, transcript: bool) -> bytes:
    """An event of this type with what it might say. Pure but for the time."""
    values = {**definition.variables, **variables}
    fold, events = sample_events(definition.name, definition.digest, values)
    for event in events:
        if event.type == kind:
            return bounded(kind, time.time(), data_of(fold, event, transcript=transcript))
    return bounded(kind, time.time(), {"seq": 1, **_SAMPLES.get(kind, {}), **_about(kind, definition)})


_SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "agent.loaded": {"generation": 1},
    "agent.rejected": {"serves": True, "problems": ['agents.d/example.yaml:3:1: error unknown-key: unknown key "lmm"']},
    "agent.removed": {"generation": 2},
    "worker.lost": {"process": None, "reason": "the connection broke", "calls": 0},
    "worker.draining": {"calls": 3},
}


def _about(kind: str, definition: AgentDefinition) -> dict[str, Any]:
    if kind == "agent.loaded":
        return {"agent": {"name": definition.name, "revision": definition.digest}, "source": definition.source}
    if kind.startswith("agent."):
        return {"agent": {"name": definition.name}}
    return {} if kind == "worker.draining" else {"agent": definition.name}


async def _ask(definition: AgentDefinition, daemon: DaemonConfig, url: str | None) -> int:
    """Says what would become of a call. Raises click.ClickException."""
    asked = definition.on_request
    if asked is None:
        raise click.ClickException(f"{definition.name} has no on_request")
    if url:
        definition = replace(definition, on_request=replace(asked, url=url, allow_http=True))
    job = Job(id="AJ_example", agent_name=definition.name, room_name="example")
    async with WebhookClient(daemon.http.allow) as client:
        admission = await ask(definition, job, client)
    why = f": {admission.message}" if admission.message else ""
    click.echo(f"{admission.outcome} after {admission.duration_s * 1000:.0f} ms{why}")
    click.echo("the call is taken" if admission.accept else "the call is refused")
    if admission.accept:
        click.echo(f"by: {admission.agent or definition.name}")
        click.echo(f"variables: {dict(admission.variables)}")
        click.echo(f"added to the instructions: {admission.instructions_append or '(nothing)'}")
    return 0 if admission.outcome in ("accepted", "refused") else 1
