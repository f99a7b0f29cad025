"""An address of the user's that agentd itself sends to: events, and the question before a call.

Signed and guarded as tool calls are. Secrets are resolved at each request, so that one which was changed in its file is
used from then on, and none is held.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from yarl import URL

from agentd.config.events import EventSink, OnRequest
from agentd.tools.addresses import checked_url
from agentd.tools.breaker import Breaker
from agentd.tools.headers import contract_headers, own_headers, signing_keys
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient

DOWN_STATUS = frozenset({502, 503, 504})  # for the circuit breaker


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Serialised once: every attempt sends the same bytes under the same id."""

    id: str
    body: bytes
    traceparent: str


def envelope(kind: str, at_s: float, data: Mapping[str, Any]) -> bytes:
    """The body of a request of the contract's, as tool.call has it."""
    content = {"type": kind, "timestamp": rfc3339(at_s), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str).encode("utf-8", "replace")


def rfc3339(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def traceparent(subject: str) -> str:
    """A W3C trace context: one trace a session."""
    return f"00-{hashlib.sha256(subject.encode()).hexdigest()[:32]}-{secrets.token_hex(8)}-01"


def shown(url: str) -> str:
    """An address for logs and for people: without what may be a secret in it."""
    try:
        parsed = URL(url)
        return str(parsed.with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "(an address that cannot be read)"


def check_endpoint(name: str, endpoint: EventSink | OnRequest, client: WebhookClient) -> None:
    """What is wrong with the definition, before anything is sent. Raises ToolError."""
    checked_url(name, endpoint.url, client.policy, allow_http=endpoint.allow_http)
    signing_keys(name, endpoint.secret)
    own_headers(name, endpoint.headers)


def breaker_of(endpoint: EventSink | OnRequest, client: WebhookClient) -> Breaker:
    """Its host's."""
    try:
        host = URL(endpoint.url).authority
    except ValueError:
        host = endpoint.url
    return client.breaker(host)


async def post(
    name: str,
    endpoint: EventSink | OnRequest,
    message: Message,
    client: WebhookClient,
    *,
    now_s: float,
    attempt: int = 1,
) -> Answer:
    """One attempt, whatever the breaker says; it learns how it went. Raises NotSent, AnswerLost (also when the time is
    over), ToolError for what is wrong with the address or the secret."""
    url = checked_url(name, endpoint.url, client.policy, allow_http=endpoint.allow_http)
    headers = contract_headers(
        signing_keys(name, endpoint.secret),
        own_headers(name, endpoint.headers),
        message_id=message.id,
        body=message.body,
        attempt=attempt,
        timeout_s=endpoint.timeout,
        traceparent=message.traceparent,
    )
    breaker = breaker_of(endpoint, client)
    try:
        async with asyncio.timeout(endpoint.timeout):
            answer = await client.send("POST", str(url), message.body, headers)
    except TimeoutError as error:
        breaker.failed(now_s)
        raise AnswerLost(f"no answer within {endpoint.timeout:g} s") from error
    except (NotSent, AnswerLost):
        breaker.failed(now_s)
        raise
    if answer.status in DOWN_STATUS:
        breaker.failed(now_s)
    else:
        breaker.succeeded()
    return answer
