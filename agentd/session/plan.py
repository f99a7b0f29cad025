"""What a reply is to be, before it is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from agentd.providers.llm import ToolCall
from agentd.providers.speakers import Speaker
from agentd.session.causes import NOBODY, Causes
from agentd.session.conversation import Conversation
from agentd.session.early import EarlyAnswer
from agentd.session.events import THE_CALLER, CommitTurn, Voice
from agentd.session.phrases import phrase
from agentd.session.restore import Restored, Waiting
from agentd.session.speech import FIRST, LOW, NORMAL
from agentd.session.timing import TurnTiming
from agentd.session.waiting import WaitingTurn

Purpose = Literal["answer", "greeting", "say", "reply", "idle", "warning", "bridge", "goodbye", "consent", "result"]

GO_ON = (
    "A technical fault cut your last answer off after the words that stand last in this conversation. "
    "Go on from exactly there. Do not repeat anything of it, do not greet and do not mention the fault."
)
"""What the model is told to finish an answer that it, or the process, broke off."""

RESULT_CAME = (
    "The result of a call that you made earlier has come; it stands with that call in this conversation. "
    "Tell the caller what it says, in your own words, unless you have told them already."
)
"""What the model is told to speak of what came late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a reply is to be: the `opening`, `text` spoken as it is, `unsaid`, then, if `generate`, the model's answer.

    `opening`: a sentence that is not said again when the process dies. `unsaid`: segments of an earlier incarnation.
    `turn`: the caller's turn that it answers, `timing`: when that ended, `early`: what was made of the answer by then.
    `end_call`: the reason for which the call ends after it.
    `speech`: its name, given when it is queued. `requested`: from outside the session. `in_history`: whether the model
    learns of it. `user_input`: words that stand before it as the caller's. `causes`: the hooks that brought it about.
    `number`: of the turn that it answers, and `voice`: whose that is. `calls`: made before the model is asked.
    """

    purpose: Purpose
    opening: str = ""
    text: str = ""
    unsaid: tuple[str, ...] = ()
    generate: bool = False
    instruction: str | None = None
    interruptible: bool = True
    turn: CommitTurn | None = None
    timing: TurnTiming | None = None
    early: EarlyAnswer | None = None
    end_call: str | None = None
    speech: str = ""
    priority: int = NORMAL
    requested: bool = False
    in_history: bool = True
    user_input: str = ""
    causes: Causes = NOBODY
    number: int | None = None
    voice: Voice = THE_CALLER
    calls: tuple[ToolCall, ...] = ()


def greeting(conversation: Conversation) -> Plan | None:
    """What the agent says first, if the file has it greet."""
    greeting = conversation.in_language.greeting or conversation.definition.greeting
    if greeting is None:
        return None
    if greeting.say:
        text = conversation.render(greeting.say)
        return Plan(purpose="greeting", text=text, interruptible=greeting.interruptible, priority=FIRST)
    return Plan(
        purpose="greeting",
        generate=True,
        instruction=greeting.generate,
        interruptible=greeting.interruptible,
        priority=FIRST,
    )


class Task(Protocol):
    """One that runs: it asks its question again, where the caller may have missed it."""

    @property
    def reads_turns(self) -> bool: ...

    @property
    def question(self) -> str: ...


def bridge(restored: Restored, language: str, task: Task) -> Plan:
    """What is said first after the process of an earlier incarnation died: never again what was heard."""
    if restored.caller_was_speaking:
        return Plan(purpose="bridge", opening=phrase("bridge_say_again", language), priority=FIRST)
    if task.reads_turns:
        asked = restored.unsaid or (task.question,)
        return Plan(purpose="bridge", opening=phrase("bridge", language), unsaid=asked, priority=FIRST)
    owes = restored.reply_owed or restored.end_call
    question = (task.question,) if task.question and not owes else ()
    return Plan(
        purpose="bridge",
        opening=phrase("bridge", language),
        unsaid=restored.unsaid or question,
        generate=restored.reply_owed and not restored.end_call,
        end_call=restored.end_call or None,
        instruction=GO_ON if restored.reply_begun else None,
        priority=FIRST,
        voice=_voice(restored.speaker),
    )


def answer_owed(turn: WaitingTurn) -> Plan:
    """To a turn that an earlier incarnation had heard and not come to."""
    return Plan(purpose="answer", generate=True, number=turn.number, voice=_voice(turn.speaker))


def _voice(speaker: Speaker | None) -> Voice:
    return Voice(speaker.identity, speaker.other_voice) if speaker else THE_CALLER


def waiting(speech: Waiting) -> Plan:
    """What an earlier incarnation had queued."""
    return Plan(
        purpose="goodbye" if speech.end_call else "reply" if speech.generate else "say",
        text=speech.text,
        generate=speech.generate,
        instruction=speech.instruction,
        interruptible=speech.interruptible,
        end_call=speech.end_call,
        speech=speech.speech,
        priority=speech.priority,
        requested=True,
        in_history=speech.in_history,
        user_input=speech.user_input,
        causes=frozenset(speech.causes),
    )


def result_came() -> Plan:
    """The agent speaks by itself of the result of a call that was not waited for, when the floor is free."""
    return Plan(purpose="result", generate=True, instruction=RESULT_CAME, priority=LOW)


def goodbye(text: str, reason: str) -> Plan:
    """The last words; the call ends with them for this reason."""
    return Plan(purpose="goodbye", text=text, interruptible=False, end_call=reason)
