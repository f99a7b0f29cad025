"""What stands between the model's wish to call a tool and the call: rules that may answer in the tool's place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from agentd.aio import now
from agentd.config.tools import RateLimit, ToolOptions
from agentd.config.values import format_duration
from agentd.providers.llm import ToolCall, ToolResult
from agentd.session.open_calls import OpenCall, OpenCalls, canonical, same
from agentd.session.rates import Limit, Rates
from agentd.tools.spec import ToolContext, ToolOutcome


def refused(call: ToolCall, text: str, outcome: str) -> ToolOutcome:
    """The call was not made, and the model is told so. `outcome`: a label of metrics."""
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
    return ToolOutcome(result=result, outcome=outcome)


class Gate(Protocol):
    """One rule, with what it remembers of one session."""

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        """What the model is told instead of an answer, with the rule and the setting behind it; None: the call may be
        made."""
        ...


class Refusing(Protocol):
    """What may be called at this moment."""

    def refusal(self, tool: str) -> str | None: ...


class OfferedTools:
    """A tool that the model was not offered, or not any more, is not called: models remember what they once had."""

    def __init__(self, conversation: Refusing) -> None:
        self._conversation = conversation

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        why = self._conversation.refusal(call.name)
        if why is None:
            return None
        result = ToolResult(call_id=call.id, name=call.name, content=why, is_error=True)
        return ToolOutcome(result=result, outcome="refused")


class Gates:
    """Those of one session, in the order in which they are asked."""

    def __init__(self, gates: Iterable[Gate] = ()) -> None:
        self._gates = tuple(gates)

    def __iter__(self) -> Iterator[Gate]:
        return iter(self._gates)

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        """The first objection."""
        answers = (gate.stop(call, options, context) for gate in self._gates)
        return next((answer for answer in answers if answer is not None), None)


def stopped(call: ToolCall, text: str, *, outcome: str, rule: str, value: str) -> ToolOutcome:
    """What a gate answers in the tool's place."""
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=True)
    return ToolOutcome(result=result, outcome=outcome, rule=rule, value=value)


class Duplicates:
    """A call while the same is under way, or has just been."""

    def __init__(self, calls: OpenCalls, turns: Callable[[], int]) -> None:
        """`turns`: how many the caller has had."""
        self._calls = calls
        self._turns = turns
        self._asked: dict[tuple[str, str], int] = {}  # in which turn the model was told to ask the caller

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        this = self._calls.of_call(call)
        if options.duplicates == "allow" or this is None:
            return None
        earlier = next((each for each in self._calls.made_before(this) if _counts(each, call, options)), None)
        if earlier is None:
            return None
        match options.duplicates:
            case "replace":
                if earlier.ended is None:
                    earlier.cancel("The call was cancelled: the same call was made again.")
                return None
            case "confirm" if self._confirmed(call):
                return None
        asks = options.duplicates == "confirm"
        told = _told(earlier) + (
            " Ask the caller whether it is to be done again; if so, call it again." if asks else ""
        )
        setting = f"tools.{call.name}.duplicates={options.duplicates}"
        return stopped(call, told, outcome="duplicate", rule="duplicate_call", value=setting)

    def _confirmed(self, call: ToolCall) -> bool:
        """The caller has said something since they should have been asked."""
        key, turns = (call.name, canonical(call.arguments)), self._turns()
        asked = self._asked.pop(key, None)
        if asked is not None and turns > asked:
            return True
        self._asked[key] = turns
        return False


def _counts(earlier: OpenCall, call: ToolCall, options: ToolOptions) -> bool:
    lately = earlier.ended is None or (
        options.duplicate_window > 0 and now() - earlier.ended < options.duplicate_window
    )
    done = earlier.outcome in ("", "ok", "unknown")
    return lately and done and same(earlier.call, call)


def _told(earlier: OpenCall) -> str:
    if earlier.ended is None:
        return "The same call is still under way; its result will come. This one was not made."
    ago_s = round(now() - earlier.ended)
    return f"The same call was made {ago_s} s ago, and this one was not made. Its result was: {earlier.content}"


class RateLimits:
    """How often a tool may be called: in this session, by this caller, and for all callers of the agent."""

    def __init__(self, calls: OpenCalls, rates: Rates) -> None:
        self._calls = calls
        self._rates = rates

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        limits = options.rate_limits
        full = next((each for each in limits if each.of == "session" and self._is_reached(call, each)), None)
        if full is None:
            wider = {_limit(call, each, context): each for each in limits if each.of != "session"}
            reached = self._rates.take(list(wider), now())
            full = wider[reached] if reached else None
        if full is None:
            return None
        often = f"{full.calls} in {format_duration(full.per)}"
        return stopped(
            call,
            f"{call.name} was called as often as is allowed ({often}), and this call was not made. Do without it.",
            outcome="rate_limited",
            rule="rate_limit",
            value=f"tools.{call.name}.rate_limits={often} of {full.of}",
        )

    def _is_reached(self, call: ToolCall, limit: RateLimit) -> bool:
        this = self._calls.of_call(call)
        made = self._calls.made_before(this) if this else ()
        times = [each.began for each in made if each.call.name == call.name]
        return sum(1 for began in times if began > now() - limit.per) >= limit.calls


def _limit(call: ToolCall, limit: RateLimit, context: ToolContext) -> Limit:
    whose = ("caller", context.caller.identity) if limit.of == "caller" else ("agent",)
    return Limit((context.agent, call.name, *whose), limit.calls, limit.per)
