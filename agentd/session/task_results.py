"""What comes of a task: the model reads it as the result of the task's tool, and another tool may get the values.

Whole values go to that tool and to nothing else; the model, the journal and the history have what may be shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from agentd.config.hooks import ToolAction
from agentd.config.tasks import Task
from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.conversation import Conversation
from agentd.session.history import tools_id
from agentd.session.task_state import TaskState, shown
from agentd.session.tool_actions import carry_out
from agentd.tools.acts import SayText
from agentd.tools.spec import ToolOutcome


class TaskResults:
    """One session's. `start` before any tool is to be called."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._background: asyncio.TaskGroup | None = None

    def start(self, background: asyncio.TaskGroup) -> None:
        """`background` owns the calls."""
        self._background = background

    def begun(self, task: Task, state: TaskState) -> None:
        """The model learns of a task that it has not begun itself."""
        self._open(task, state, {}, "begun")('{"status": "collecting"}', "ok", 0.0)

    def over(self, task: Task, state: TaskState) -> None:
        """The model learns how it ended."""
        self._open(task, state, shown(task, state), "over")(_told(task, state), "ok", 0.0)

    def call(self, task: Task, state: TaskState, tool: ToolAction, then: Callable[[ToolOutcome], None]) -> None:
        """The same with the answer of this tool, which is called beside the conversation; `then` is told of it."""
        conversation = self._conversation
        values = {name: given.value for name, given in state.given.items()}
        arguments = self._filled(tool.arguments, values) if tool.arguments else values
        complete = self._open(task, state, shown(task, state), "over")
        made = ToolCall(id=f"task-{state.run}", name=tool.name, arguments=json.dumps(arguments, ensure_ascii=False))

        async def say(text: str) -> None:
            conversation.act(SayText(text=text))

        async def run() -> None:
            outcome = await conversation.tools.run(made, conversation.tool_context(say))
            answered = {tool.name: outcome.result.content}
            complete(_told(task, state, answered), outcome.outcome, outcome.duration_s)
            for action in outcome.actions:
                carry_out(action, conversation, conversation.act)
            then(outcome)

        assert self._background is not None
        self._background.create_task(run())

    def _open(
        self, task: Task, state: TaskState, values: Mapping[str, Any], when: str
    ) -> Callable[[str, str, float], None]:
        """Puts a call of the task's tool into the history and on record; answers what completes it."""
        conversation, reply = self._conversation, self._conversation.replies
        arguments = json.dumps(values, ensure_ascii=False)
        call = ToolCall(id=f"task-{state.run}-{when}", name=task.tool_name, arguments=arguments)
        tool_round = conversation.history.begin_tools([call], tools_id(reply))
        speaker = conversation.caller.identity
        conversation.record(
            "tool.called", reply=reply, id=call.id, name=call.name, arguments=arguments, speaker=speaker
        )

        def complete(content: str, outcome: str, duration_s: float) -> None:
            is_error = outcome != "ok"
            tool_round.complete(ToolResult(call_id=call.id, name=call.name, content=content, is_error=is_error))
            conversation.record(
                "tool.completed",
                reply=reply,
                id=call.id,
                name=call.name,
                content=content,
                is_error=is_error,
                outcome=outcome,
                duration_s=round(duration_s, 4),
            )

        return complete

    def _filled(self, value: Any, values: Mapping[str, Any]) -> Any:
        """Templates in the text of free JSON, over the variables and whole values."""
        if isinstance(value, str):
            return self._conversation.render(value, **values)
        if isinstance(value, Mapping):
            return {key: self._filled(each, values) for key, each in value.items()}
        return [self._filled(each, values) for each in value] if isinstance(value, list) else value


def _told(task: Task, state: TaskState, answered: Mapping[str, str] | None = None) -> str:
    failed = {"failed": state.failed} if state.failed else {}
    told = {"status": state.outcome, "values": shown(task, state), **failed, **(answered or {})}
    return json.dumps(told, ensure_ascii=False)
