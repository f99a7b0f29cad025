"""A tool that is an HTTP endpoint: contract version 1, `tool.call` (docs/webhooks.md)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from agentd.aio import now
from agentd.config.tools import WebhookTool
from agentd.errors import ToolBlocked, ToolError, ToolTimeout, ToolUnreachable
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools import replies
from agentd.tools.addresses import checked_url
from agentd.tools.arguments import ArgumentsSchema
from agentd.tools.headers import contract_headers, own_headers, retry_after_s, signing_keys
from agentd.tools.http import Answer, AnswerLost, NotSent, WebhookClient
from agentd.tools.replies import Reading
from agentd.tools.request import Request, request_for
from agentd.tools.spec import LateAnswer, ToolContext, ToolOutcome

logger = logging.getLogger(__name__)

MAX_RETRIES = 2
RETRY_DELAY_S = (0.2, 0.8)
IDEMPOTENT_METHODS = frozenset({"GET", "PUT", "DELETE"})  # by RFC 9110
_RETRIED_STATUS = frozenset({429, 502, 503, 504})
_DOWN_STATUS = frozenset({502, 503, 504})  # for the circuit breaker; a 500 may be one tool's own fault


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
        self.repeatable = tool.idempotent or tool.method in IDEMPOTENT_METHODS
        self._keys = signing_keys(tool.name, tool.secret)
        self._headers = own_headers(tool.name, tool.headers)
        self.schema = ToolSchema(name=tool.name, description=tool.description, parameters=tool.parameters)
        self.options = tool

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Raises ToolError."""
        arguments = self._arguments.parse(call.arguments)
        request = request_for(self._tool, call, arguments, context)
        answer = await self.send(request, lambda text: _tell(context, text))
        return replies.outcome(call, answer, self._reading)

    async def send(self, request: Request, progress: Callable[[str], None] = lambda text: None) -> Answer:
        """Sends it, again where that may help, within the tool's time. Raises ToolError."""
        try:
            async with asyncio.timeout(self._tool.timeout):
                return await self._answer(request, progress)
        except TimeoutError as error:
            self._breaker.failed(now())
            logger.warning("tool_http", extra={"tool": self._tool.name, "error": "timeout"})
            raise ToolTimeout(f"no answer within {self._tool.timeout:g} s") from error
        except ToolBlocked as error:
            logger.warning("ssrf_blocked", extra={"tool": self._tool.name, "error": str(error)})
            raise ToolBlocked("it cannot be reached") from error
        except (NotSent, AnswerLost, ToolError) as error:
            logger.warning("tool_http", extra={"tool": self._tool.name, "error": str(error)})
            raise ToolUnreachable("it cannot be reached") from error

    def read(self, call: ToolCall, late: LateAnswer) -> ToolOutcome:
        """What an answer means that was brought later."""
        kind = late.content_type.lower()
        failed = kind == "application/problem+json"
        answer = Answer(status=500 if failed else 200, content_type=kind, text=late.text)
        return replies.outcome(call, answer, self._reading)

    async def _answer(self, request: Request, progress: Callable[[str], None]) -> Answer:
        """The answer of the last attempt. Raises NotSent, AnswerLost, ToolError."""
        if not self._breaker.permits(now()):
            raise ToolError("the host has failed again and again; it is given a rest")
        deadline_s = now() + self._tool.timeout
        attempt = 0
        while True:
            attempt += 1
            result = await self._attempt(request, attempt, deadline_s - now(), progress)
            if isinstance(result, Answer) and result.status not in _RETRIED_STATUS:
                return result
            delay_s = retry_delay(result, attempt, idempotent=self.repeatable)
            if delay_s is None or now() + delay_s >= deadline_s:
                break
            await asyncio.sleep(delay_s)
        if isinstance(result, Answer):
            return result
        raise result

    async def _attempt(
        self, request: Request, attempt: int, remaining_s: float, progress: Callable[[str], None]
    ) -> Answer | NotSent | AnswerLost:
        """Raises ToolError."""
        result: Answer | NotSent | AnswerLost
        try:
            headers = self._signed(request, attempt, remaining_s)
            result = await self._client.send(request.method, request.url, request.body, headers, progress)
        except (NotSent, AnswerLost) as error:
            result = error
        if isinstance(result, Answer) and result.status not in _DOWN_STATUS:
            self._breaker.succeeded()
        else:
            self._breaker.failed(now())
        return result

    def _signed(self, request: Request, attempt: int, remaining_s: float) -> dict[str, str]:
        return contract_headers(
            self._keys,
            self._headers,
            message_id=request.id,
            body=request.body,
            attempt=attempt,
            timeout_s=remaining_s,
            traceparent=request.traceparent,
        )


def _tell(context: ToolContext, text: str) -> None:
    """How far the tool says that it is."""
    if context.progress is not None and (progress := replies.progress(text)) is not None:
        context.progress(progress)


def retry_delay(failure: Answer | NotSent | AnswerLost, attempt: int, *, idempotent: bool) -> float | None:
    """Seconds until the next attempt; None when this was the last.

    What the endpoint cannot have seen is repeated once, always; all else only where the tool says that it may be.
    """
    if attempt > MAX_RETRIES or (not idempotent and not (isinstance(failure, NotSent) and attempt == 1)):
        return None
    jittered_s = random.uniform(*RETRY_DELAY_S)
    if isinstance(failure, Answer) and (asked_s := retry_after_s(failure.retry_after)) is not None:
        return max(jittered_s, asked_s)
    return jittered_s
