"""A tool that is an HTTP endpoint: contract version 1, `tool.call` (docs/webhooks.md)."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from email.utils import parsedate_to_datetime

from agentd import __version__
from agentd.aio import now
from agentd.config.tools import WebhookTool
from agentd.errors import ToolError, ToolTimeout
from agentd.providers.fields import SecretMissing
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools import replies, signing
from agentd.tools.addresses import checked_url
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from agentd.tools.replies import Reading
from agentd.tools.request import Request, request_for
from agentd.tools.spec import ToolContext, ToolOutcome

logger = logging.getLogger(__name__)

MAX_RETRIES = 2
RETRY_DELAY_S = (0.2, 0.8)
IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})  # by RFC 9110
_RETRIED_STATUS = frozenset({429, 502, 503, 504})
_DOWN_STATUS = frozenset({502, 503, 504})  # for the circuit breaker; a 500 may be one tool's own fault
_OUR_HEADERS = {"content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature", "idempotency-key"}
_OUR_HEADERS |= {"agentd-contract", "agentd-attempt", "agentd-timeout-ms", "traceparent", "host", "content-length"}
_OUR_HEADERS |= {"content-encoding", "accept-encoding", "connection", "transfer-encoding", "te", "trailer", "upgrade"}


class Webhook:
    """One webhook tool of an agent; shared by its sessions."""

    def __init__(self, tool: WebhookTool, client: WebhookClient) -> None:
        """Resolves its secrets. Raises ToolError, which says what is wrong with the definition."""
        self._tool = tool
        self._client = client
        url = checked_url(tool.name, tool.url, client.policy, allow_http=tool.allow_http)
        self._breaker = client.breaker(url.authority)
        self._arguments = ArgumentsSchema(tool.name, tool.parameters)
        self._reading = Reading.of(tool)
        self._repeatable = tool.idempotent or tool.method in IDEMPOTENT_METHODS
        self._keys = _keys(tool)
        self._headers = _own_headers(tool)
        self.schema = ToolSchema(name=tool.name, description=tool.description, parameters=tool.parameters)
        self.options = tool

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        arguments = self._arguments.parse(call.arguments)
        request = request_for(self._tool, call, arguments, context)
        try:
            async with asyncio.timeout(self._tool.timeout):
                answer = await self._answer(request)
        except TimeoutError as error:
            self._breaker.failed(now())
            raise ToolTimeout(f"no answer within {self._tool.timeout:g} s") from error
        except (NotSent, AnswerLost) as error:
            logger.warning("a webhook could not be reached", extra={"tool": call.name, "error": str(error)})
            raise ToolError("it cannot be reached") from error
        except ToolError as error:
            logger.warning("a webhook failed", extra={"tool": call.name, "error": str(error)})
            raise ToolError("it cannot be reached") from error
        return replies.outcome(call, answer, self._reading)

    async def _answer(self, request: Request) -> Answer:
        """The answer of the last attempt. Raises NotSent, AnswerLost, ToolError."""
        if not self._breaker.permits(now()):
            raise ToolError("the host has failed again and again; it is given a rest")
        deadline_s = now() + self._tool.timeout
        attempt = 0
        while True:
            attempt += 1
            result = await self._attempt(request, attempt, deadline_s - now())
            if isinstance(result, Answer) and result.status not in _RETRIED_STATUS:
                return result
            delay_s = retry_delay(result, attempt, idempotent=self._repeatable)
            if delay_s is None or now() + delay_s >= deadline_s:
                break
            await asyncio.sleep(delay_s)
        if isinstance(result, Answer):
            return result
        raise result

    async def _attempt(self, request: Request, attempt: int, remaining_s: float) -> Answer | NotSent | AnswerLost:
        """Raises ToolError."""
        result: Answer | NotSent | AnswerLost
        try:
            headers = self._signed(request, attempt, remaining_s)
            result = await self._client.send(request.method, request.url, request.body, headers)
        except (NotSent, AnswerLost) as error:
            result = error
        if isinstance(result, Answer) and result.status not in _DOWN_STATUS:
            self._breaker.succeeded()
        else:
            self._breaker.failed(now())
        return result

    def _signed(self, request: Request, attempt: int, remaining_s: float) -> dict[str, str]:
        timestamp = int(time.time())
        headers = {
            **self._headers,
            **({"content-type": "application/json"} if request.body else {}),
            "accept-encoding": "gzip",
            "user-agent": f"agentd/{__version__}",
            "webhook-id": request.id,
            "webhook-timestamp": str(timestamp),
            "idempotency-key": request.id,
            "agentd-contract": "1",
            "agentd-attempt": str(attempt),
            "agentd-timeout-ms": str(max(0, round(remaining_s * 1000))),
            "traceparent": request.traceparent,
        }
        if self._keys:
            headers["webhook-signature"] = signing.signature(self._keys, request.id, timestamp, request.body)
        return headers


def retry_delay(failure: Answer | NotSent | AnswerLost, attempt: int, *, idempotent: bool) -> float | None:
    """Seconds until the next attempt; None when this was the last.

    What the endpoint cannot have seen is repeated once, always; all else only where the tool says that it may be.
    """
    if attempt > MAX_RETRIES or (not idempotent and not (isinstance(failure, NotSent) and attempt == 1)):
        return None
    jittered_s = random.uniform(*RETRY_DELAY_S)
    if isinstance(failure, Answer) and (asked_s := _retry_after_s(failure.retry_after)) is not None:
        return max(jittered_s, asked_s)
    return jittered_s


def _retry_after_s(text: str) -> float | None:
    """Seconds, or a date, as RFC 9110 has it."""
    if text.strip().isdecimal():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return None


def _keys(tool: WebhookTool) -> tuple[bytes, ...]:
    if tool.secret is None:
        return ()
    try:
        return signing.keys(tool.secret.reveal())
    except (SecretMissing, signing.SecretMalformed) as error:
        raise ToolError(f"{tool.name}: secret: {error}") from error


def _own_headers(tool: WebhookTool) -> dict[str, str]:
    headers = {}
    for name, secret in tool.headers.items():
        if name.lower() in _OUR_HEADERS:
            raise ToolError(f"{tool.name}: headers: {name} is set by agentd")
        try:
            value = secret.reveal()
        except SecretMissing as error:
            raise ToolError(f"{tool.name}: headers: {name}: {error}") from error
        if any(each in name + value for each in "\r\n\0"):
            raise ToolError(f"{tool.name}: headers: {name} holds a line break")
        headers[name] = value
    return headers
