"""How an agent begins: a call, or one that was handed to it, and what it then knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentd.config.handoffs import Enter
from agentd.providers.chat import is_pinned
from agentd.providers.llm import ChatItem, Message
from agentd.session.conversation import Conversation
from agentd.session.plan import Plan, answer_owed, greeting, result_came, waiting
from agentd.session.restored import Restored
from agentd.session.speech import HIGH
from agentd.session.speeches import Speeches
from agentd.session.waiting import to_answer

TAKE_OVER = (
    "You have just taken this call over from another agent, {}, who was here until now. Go on with what the caller "
    "wants. Do not ask again for what was said already, and do not speak of the hand-over unless the caller does."
)
"""What the model is told once, where it begins without a greeting."""

NOT_POSSIBLE = "The call could not be handed over: {}. Go on yourself, and do not promise it again."


@dataclass(frozen=True, slots=True)
class Entrance:
    """`enters`: what it does (answer: to a turn that waits; greet, reply or wait)."""

    enters: str
    plan: Plan | None = None


def entrance(conversation: Conversation, enter: Enter, *, first: bool, answers: bool, before: str) -> Entrance:
    """`first`: it has not had this call before; `answers`: a turn of the caller waits for it; `before`: who had it."""
    if answers:
        return Entrance("answer")
    greets = greeting(conversation) if enter == "greet" or (enter == "auto" and first) else None
    if greets is not None:
        return Entrance("greet", greets)
    if enter in ("wait", "greet"):
        return Entrance("wait")
    instruction = TAKE_OVER.format(before)
    return Entrance("reply", Plan(purpose="reply", generate=True, instruction=instruction, priority=HIGH))


def begin_to_talk(conversation: Conversation, speeches: Speeches, bridge: Callable[[Restored], Plan]) -> None:
    """A call begins: with the greeting, or with the bridge to what an earlier incarnation said, and what it owes."""
    restored = conversation.setup.restored
    plan = bridge(restored) if restored else greeting(conversation)
    if plan is not None:
        speeches.add(plan)
    if restored is not None and restored.result_owed:
        conversation.calls.untold.add("")
        speeches.add(result_came())
    for speech in restored.waiting if restored else ():
        speeches.restore(waiting(speech))
    for turn in to_answer(restored.unanswered) if restored else ():
        speeches.add(answer_owed(turn))


def kept(history: str, items: tuple[ChatItem, ...], settled: int, *, answers: bool) -> int | None:
    """How many of the last settled items stay; None: all. `answers`: the caller's last turn waits for its answer, and
    stays whatever the policy."""
    if history in ("full", "summary"):
        return None
    wanted = 0 if history == "none" else int(history.partition(":")[2])
    mine = [item for item in items[:settled] if not is_pinned(item)]
    asked = next((n for n, item in enumerate(reversed(mine), 1) if _is_callers(item)), 0)
    return max(wanted, asked if answers else 0)


def before_last_turn(items: tuple[ChatItem, ...]) -> tuple[ChatItem, ...]:
    """What stands before the caller's last turn."""
    last = next((n for n in reversed(range(len(items))) if _is_callers(items[n])), len(items))
    return items[:last]


def _is_callers(item: ChatItem) -> bool:
    return isinstance(item, Message) and item.role == "user"
