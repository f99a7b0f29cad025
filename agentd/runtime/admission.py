"""The one question before a call (session.request): whether to take it, and what to begin it with.

Asked while LiveKit waits for our answer to its offer, so it has 2 s at the most, one attempt, and a defined result in
every case: what goes wrong is decided by the agent file's `on_request.on_error`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agentd.aio import now
from agentd.config.definition import AgentDefinition
from agentd.config.events import OnRequest
from agentd.errors import ToolError
from agentd.tools import signing
from agentd.tools.endpoint import Message, breaker_of, envelope, post, traceparent
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from agentd.transport.protocol import Job

logger = logging.getLogger(__name__)

APPEND_CHARACTERS = 16 * 1024
VARIABLES_BYTES = 64 * 1024

Outcome = Literal["accepted", "refused", "timeout", "unreachable", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What came of the question. `accept` is what holds, also after an error, which `message` tells. `agent`: who takes
    the call; "" the one that was asked for."""

    accept: bool
    outcome: Outcome
    variables: Mapping[str, Any] = field(default_factory=dict)
    instructions_append: str = ""
    agent: str = ""
    duration_s: float = 0.0
    message: str = ""

    def record(self) -> dict[str, Any]:
        """The session's record of it."""
        return {
            "outcome": self.outcome,
            "accept": self.accept,
            "agent": self.agent,
            "variables": dict(self.variables),
            "instructions_append": self.instructions_append,
            "duration_s": self.duration_s,
            "message": self.message,
        }


class AnswerUnusable(Exception):
    """The answer is none that the contract knows; the message says why."""


async def ask(definition: AgentDefinition, job: Job, client: WebhookClient) -> Admission:
    """The answer of the agent's `on_request`, which it has. Never raises but for cancellation."""
    asked = definition.on_request
    assert asked is not None, "who asks has looked"
    began = now()
    try:
        admission = reading(await _answer(asked, request_body(definition, job, time.time()), job, client))
    except NotSent as error:
        admission = failed(asked, "unreachable", str(error))
    except AnswerLost as error:
        outcome: Outcome = "timeout" if now() - began >= asked.timeout else "unreachable"
        admission = failed(asked, outcome, str(error))
    except (ToolError, AnswerUnusable) as error:
        admission = failed(asked, "error", str(error))
    return replace(admission, duration_s=round(now() - began, 3))


def failed(asked: OnRequest, outcome: Outcome, message: str) -> Admission:
    return Admission(accept=asked.on_error == "accept", outcome=outcome, message=message)


async def _answer(asked: OnRequest, body: bytes, job: Job, client: WebhookClient) -> Answer:
    """Raises NotSent, AnswerLost, ToolError."""
    if not breaker_of(asked, client).permits(now()):
        raise NotSent("the host has failed again and again; it is given a rest")
    message = Message(id=signing.new_id("sr_", time.time()), body=body, traceparent=traceparent(job.id))
    return await post("on_request", asked, message, client, now_s=now())


def request_body(definition: AgentDefinition, job: Job, at_s: float) -> bytes:
    """session.request, as docs/webhooks.md has it. Pure."""
    data = {
        "agent": {"name": definition.name, "revision": definition.digest},
        "job": {"id": job.id, "dispatch_id": job.dispatch_id, "metadata": job.metadata},
        "room": {"name": job.room_name, "sid": job.room_sid, "metadata": job.room_metadata},
        "participant": {"identity": job.participant_identity} if job.participant_identity else None,
        "attributes": dict(job.attributes),
    }
    return envelope("session.request", at_s, data)


def reading(answer: Answer) -> Admission:
    """What an answer says; an empty one accepts. Pure. Raises AnswerUnusable."""
    if not 200 <= answer.status < 300:
        raise AnswerUnusable(f"it answered {answer.status}")
    if answer.truncated:
        raise AnswerUnusable("its answer is too large")
    if not answer.text.strip():
        return Admission(accept=True, outcome="accepted")
    try:
        said = json.loads(answer.text)
    except ValueError as error:
        raise AnswerUnusable(f"its answer is no JSON: {error}") from error
    if not isinstance(said, dict):
        raise AnswerUnusable("its answer is no JSON object")
    accept = _field(said, "accept", bool, True)
    return Admission(
        accept=accept,
        outcome="accepted" if accept else "refused",
        variables=_variables(said),
        instructions_append=_field(said, "instructions_append", str, "")[:APPEND_CHARACTERS],
        agent=_field(said, "agent", str, ""),
    )


def _variables(said: Mapping[str, Any]) -> Mapping[str, Any]:
    variables: Mapping[str, Any] = _field(said, "variables", dict, {})
    if len(json.dumps(variables)) > VARIABLES_BYTES:
        raise AnswerUnusable(f"its variables are larger than {VARIABLES_BYTES >> 10} KiB")
    return variables


def _field(said: Mapping[str, Any], name: str, kind: type[Any], default: Any) -> Any:
    """Raises AnswerUnusable."""
    value = said.get(name)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise AnswerUnusable(f'"{name}" of its answer is {type(value).__name__}, not {kind.__name__}')
    return value
