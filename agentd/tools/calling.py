"""One call of one tool: whatever goes wrong becomes an outcome that tells the model."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from agentd.aio import now
from agentd.config.tools import ToolOptions
from agentd.errors import ToolArgumentsInvalid, ToolBlocked, ToolCrashed, ToolError, ToolTimeout, ToolUnreachable
from agentd.providers.llm import ToolCall, ToolSchema
from agentd.tools.replies import failure
from agentd.tools.spec import RunnableTool, ToolContext, ToolOutcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A tool that never raises but for cancellation."""

    tool: RunnableTool

    @property
    def schema(self) -> ToolSchema:
        return self.tool.schema

    @property
    def options(self) -> ToolOptions:
        return self.tool.options

    @property
    def repeatable(self) -> bool:
        return self.tool.repeatable

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        return await run_tool(self.tool, call, context, ())


async def run_tool(
    tool: RunnableTool | None, call: ToolCall, context: ToolContext, names: Iterable[str]
) -> ToolOutcome:
    """`tool` None: there is none of this name, only `names`. Never raises but for cancellation."""
    began = now()
    outcome = failure(call, _unknown(call.name, list(names)), "unknown_tool")
    if tool is None:
        logger.warning("tool_unknown", extra={"tool": call.name})
    else:
        outcome = await _run(tool, call, context)
    return dataclasses.replace(outcome, duration_s=now() - began)


async def _run(tool: RunnableTool, call: ToolCall, context: ToolContext) -> ToolOutcome:
    try:
        return await tool.run(call, context)
    except ToolArgumentsInvalid as error:
        logger.warning("tool_args_invalid", extra={"tool": call.name})
        return failure(call, str(error), "invalid_arguments")
    except ToolTimeout as error:
        return failure(call, f"The tool {call.name} took too long: {error}.", "timeout")
    except ToolCrashed as error:
        return failure(call, f"The tool {call.name} crashed: {error}.", "crashed")
    except ToolBlocked as error:
        return failure(call, f"The tool {call.name} failed: {error}.", "blocked")
    except ToolUnreachable as error:
        return failure(call, f"The tool {call.name} failed: {error}.", "unreachable")
    except ToolError as error:
        return failure(call, f"The tool {call.name} failed: {error}.")
    except Exception:  # the tool-call boundary: a fault of ours must not end the call
        logger.exception("a tool could not be run", extra={"tool": call.name})
        return failure(call, f"The tool {call.name} failed.")


def _unknown(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no tool {name}.{hint} The tools are: {', '.join(names) or 'none'}."
