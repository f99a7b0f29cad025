"""A hook's HTTP endpoint: it is given an event of the call (docs/webhooks.md, "Hooks"), and may answer with actions."""

from __future__ import annotations

from agentd.config.hooks import WebhookAction
from agentd.config.tools import WebhookTool
from agentd.errors import ToolError, ToolTimeout
from agentd.providers.fields import Duration
from agentd.providers.llm import ToolCall
from agentd.tools import replies
from agentd.tools.http import WebhookClient
from agentd.tools.replies import Reading
from agentd.tools.request import event_request
from agentd.tools.spec import Event, HookOutcome, ToolContext
from agentd.tools.webhook import Webhook

NAME = "hook"


class WebhookHook:
    """One hook's; signed, addressed and retried as the webhook of a tool is."""

    def __init__(self, action: WebhookAction, timeout_s: float, client: WebhookClient) -> None:
        """Resolves its secrets. Raises ToolError."""
        self._url = action.url
        tool = WebhookTool(
            type="webhook",
            name=NAME,
            description=NAME,
            url=action.url,
            secret=action.secret,
            headers=action.headers,
            allow_http=action.allow_http,
            timeout=Duration(timeout_s),
        )
        self._webhook = Webhook(tool, client)

    async def run(self, event: Event, context: ToolContext) -> HookOutcome:
        """Never raises but for cancellation: a fault is an outcome."""
        try:
            answer = await self._webhook.send(event_request(self._url, event, context))
        except ToolTimeout as error:
            return HookOutcome(outcome="timeout", message=f"{self._url}: {error}")
        except ToolError as error:
            return HookOutcome(outcome="error", message=f"{self._url}: {error}")
        if not 200 <= answer.status < 300:
            return HookOutcome(outcome="error", message=f"{self._url}: HTTP {answer.status}")
        read = replies.outcome(ToolCall(id=NAME, name=NAME, arguments="{}"), answer, Reading())
        return HookOutcome(actions=read.actions)
