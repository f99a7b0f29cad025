"""A hook's Python function, run in the host's processes: whatever it does, what comes back is an outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agentd.errors import ToolCrashed, ToolError, ToolTimeout
from agentd.tools.host import ToolHost
from agentd.tools.process import PythonResult
from agentd.tools.python import actions_of
from agentd.tools.spec import Event, HookOutcome, ToolContext, TurnChange
from agentd.tools.text import for_speech

logger = logging.getLogger(__name__)

CONTEXT_CHARACTERS = 16 * 1024  # that a hook may add to what the model is told


async def run_hook(host: ToolHost, ref: str, event: Event, context: ToolContext, timeout_s: float) -> HookOutcome:
    """Never raises but for cancellation, which ends the function's process."""
    try:
        result = await host.run_hook(ref, event, context, timeout_s)
    except ToolTimeout as error:
        return HookOutcome(outcome="timeout", message=f"{ref}: {error}")
    except ToolCrashed as error:
        return HookOutcome(outcome="crashed", message=f"{ref}: {error}")
    except ToolError as error:
        return HookOutcome(outcome="error", message=f"{ref}: {error}")
    except Exception:  # the tool-call boundary: a fault of ours must not end the call
        logger.exception("a hook could not be run", extra={"tool": ref})
        return HookOutcome(outcome="error", message=f"{ref}: it could not be run")
    return _outcome(ref, result)


def _outcome(ref: str, result: PythonResult) -> HookOutcome:
    if result.outcome != "ok":
        extra = {"tool": ref, "error": result.content, "traceback": result.traceback}
        logger.warning("a hook raised an exception", extra=extra)
        return HookOutcome(outcome="error", message=f"{ref}: {result.content}")
    return HookOutcome(actions=tuple(actions_of(result)), change=_change(result.change))


def _change(told: Mapping[str, Any] | None) -> TurnChange | None:
    """From a process that runs user code: nothing in it is taken for granted."""
    if told is None:
        return None
    text, context = told.get("text"), told.get("context")
    return TurnChange(
        text=for_speech(text) or None if isinstance(text, str) else None,
        context=context[:CONTEXT_CHARACTERS] if isinstance(context, str) else "",
        drop=told.get("drop") is True,
    )
