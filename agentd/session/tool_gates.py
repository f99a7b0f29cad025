"""What stands between the model's wish to call a tool and the call: rules that may answer in the tool's place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from agentd.config.tools import ToolOptions
from agentd.providers.llm import ToolCall, ToolResult
from agentd.tools.spec import ToolContext, ToolOutcome


def refused(call: ToolCall, text: str, outcome: str) -> ToolOutcome:
    """The call was not made, and the model is told so. `outcome`: a label of metrics."""
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
    return ToolOutcome(result=result, outcome=outcome)


class Gate(Protocol):
    """One rule, with what it remembers of one session."""

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        """What the model is told instead of an answer; None: the call may be made."""
        ...


class Gates:
    """Those of one session, in the order in which they are asked."""

    def __init__(self, gates: Iterable[Gate] = ()) -> None:
        self._gates = tuple(gates)

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        """The first objection."""
        answers = (gate.stop(call, options, context) for gate in self._gates)
        return next((answer for answer in answers if answer is not None), None)
