"""Consent: a call that somebody must agree to first is not made; they are asked, and their yes lets exactly it through.

The question is a sentence of ours, made of the call's arguments. What counts as its answer is for the session's own
task to say, from whose words they are and when they began: never a model's claim, never another voice in the room,
never what was said before the question had been heard to its end. One question is open at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentd.aio import now
from agentd.config.consent import Consent
from agentd.config.tools import ToolOptions
from agentd.errors import ToolError
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.session.affirmation import affirmation
from agentd.session.consent_words import (
    ASKED,
    BUSY,
    CONFIRMED,
    DENIED,
    EXPIRED,
    GIVEN_UP,
    OPERATOR_ASKED,
    OTHER_VOICE,
    TOO_LONG,
    UNANSWERED,
    WAITING,
)
from agentd.session.conversation import Conversation
from agentd.session.events import CommitTurn
from agentd.session.hook_actions import literal
from agentd.session.plan import Plan
from agentd.session.question import Question
from agentd.session.read_back import LONGEST, asked, canonical, sentence, speakable
from agentd.session.speech import LOW, SpeechHandle
from agentd.session.speeches import Speeches
from agentd.session.tool_gates import refused
from agentd.tools.acts import DecideApproval
from agentd.tools.spec import ToolContext, ToolOutcome

MOST_ASKED = 4  # times that one question is put, of which one may be for an answer that was neither yes nor no
YES_KEY, NO_KEY = "1", "2"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a turn of the caller's comes to: calls to make first, and what the model is told for its answer."""

    calls: tuple[ToolCall, ...] = ()
    instruction: str = ""


class Consents:
    """A gate, and whatever answers it. Of one session; but for `stop`, for its own task."""

    def __init__(self, conversation: Conversation, speeches: Speeches) -> None:
        self._conversation = conversation
        self._speeches = speeches
        self._open: Question | None = None
        self._speech: SpeechHandle | None = None
        self._heard_at: float | None = None
        self._deadline: float | None = None
        self._asked = 0  # how often the open question was put
        self._unclear = False  # one answer was neither yes nor no
        self._granted: Question | None = None
        self._denied: tuple[str, str, int] | None = None  # digest and identity, and the last turn at that time
        self._made = 0
        self._sounds: dict[str, float] = {}  # by identity, when the caller began to say what is no turn yet

    # The gate.

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        consent, conversation = options.confirm, self._conversation
        schema = next((each for each in conversation.tools.schemas if each.name == call.name), None)
        if consent is None or schema is None:
            return None
        try:
            arguments = conversation.tools.arguments(call)
        except ToolError as error:
            return refused(call, str(error), "invalid_arguments")
        caller, written = context.caller, canonical(arguments)
        key = (digest_of(call.name, written), caller.identity)
        if caller.other_voice:
            self._note("refused", call=call, digest=key[0], rule="other_voice")
            return refused(call, OTHER_VOICE, "not_permitted")
        if self._granted is not None and (self._granted.digest, self._granted.identity) == key:
            self._note("used", self._granted)
            self._granted = None
            return None
        if (*key, conversation.turns) == self._denied:
            return refused(call, DENIED.format(tool=call.name), "denied")
        if self._open is not None and (self._open.digest, self._open.identity) == key:
            return _told(call, WAITING)
        if self._open is not None and self._open.turn == conversation.turns:
            return refused(call, BUSY.format(tool=self._open.call.name), "consent_busy")
        return self._ask(call, consent, schema, arguments, key)

    def _ask(
        self, call: ToolCall, consent: Consent, schema: ToolSchema, arguments: Mapping[str, Any], key: tuple[str, str]
    ) -> ToolOutcome:
        text = self._text(call.name, consent, schema, arguments)
        if len(text) > LONGEST and consent.by != "operator":
            return refused(call, TOO_LONG, "invalid_arguments")
        conversation = self._conversation
        self._close("replaced")
        self._made += 1
        question = Question(
            id=f"consent-{conversation.setup.incarnation}-{self._made}",
            call=replace(call, id="", arguments=canonical(arguments)),
            digest=key[0],
            identity=key[1],
            by=consent.by,
            text=text,
            turn=conversation.turns,
            expires_s=consent.expires,
        )
        self._note("asked", question, arguments=question.call.arguments, text=text, expires_s=question.expires_s)
        self._begin(question)
        return _told(call, ASKED) if consent.by != "operator" else _told(call, OPERATOR_ASKED, reply=True)

    def _text(self, tool: str, consent: Consent, schema: ToolSchema, arguments: Mapping[str, Any]) -> str:
        language = self._conversation.language
        own = self._conversation.filled(consent.read_back, speakable(dict(arguments))) if consent.read_back else None
        text = own or sentence(tool, arguments, schema.parameters, language)
        return asked(" ".join(text.split()), consent.by, language, templated=own is not None)

    def _begin(self, question: Question) -> None:
        self._open, self._asked, self._unclear = question, 0, False
        self._deadline = now() + question.expires_s
        if question.by != "operator":
            self._say()

    def _say(self) -> None:
        """Puts the question, after what the caller is to hear before it."""
        assert self._open is not None
        if self._speech is not None:
            self._speech.cancel()
        self._asked += 1
        self._heard_at = None
        voice = self._conversation.people.voice(self._open.identity)
        self._speech = self._speeches.request(Plan(purpose="consent", text=self._open.text, priority=LOW, voice=voice))

    # What comes of it.

    def sounds(self, identity: str, since: float) -> None:
        """They began to speak."""
        self._sounds.setdefault(identity, since)

    def said(self, speech: str, *, heard: bool, caller_has_turn: bool) -> None:
        """A question was put. `heard`: to its last word."""
        if self._open is None or self._speech is None or self._speech.id != speech:
            return
        self._note("heard" if heard else "unheard", self._open)
        if heard:
            self._heard_at = now()
            self._deadline = self._heard_at + self._open.expires_s
            if not caller_has_turn:  # what they made of sounds meanwhile was no words
                self._sounds.clear()
        elif self._asked < MOST_ASKED:
            self._say()
        else:
            self._close("not_heard")

    def answered(self, turn: CommitTurn, language: str) -> Answered | None:
        """A turn has ended; None: it is about nothing that was asked."""
        identity = self._conversation.people.identity(turn.voice)
        began = self._sounds.pop(turn.voice.identity, None) if not turn.voice.other else None
        granted = self._granted
        if granted is not None and granted.identity == identity and granted.by != "operator":  # and it was never made
            self._note("withdrawn", granted, rule="turn_committed")
            self._granted = None
        question = self._open
        if question is None or question.by != "spoken":
            return None
        if turn.voice.other or identity != question.identity:
            self._note("ignored", question, rule="other_voice")
            return Answered(instruction=_about(OTHER_VOICE, question))
        if self._heard_at is None or (turn.source == "speech" and (began is None or began < self._heard_at)):
            self._note("ignored", question, rule="before_heard")
            return self._again(question)
        match affirmation(turn.text, language, about=question.text):
            case "yes":
                return self._agreed(question)
            case "no":
                return self._declined(question)
        if self._unclear:
            self._close("unclear_twice")
            return Answered(instruction=_about(GIVEN_UP, question))
        self._unclear = True
        self._note("unclear", question)
        return self._again(question)

    def _again(self, question: Question) -> Answered:
        if self._heard_at is None:  # it is on its way
            return Answered(instruction=_about(UNANSWERED, question))
        if self._asked >= MOST_ASKED:
            self._close("unclear_twice")
            return Answered(instruction=_about(GIVEN_UP, question))
        self._say()
        return Answered(instruction=_about(UNANSWERED, question))

    def pressed(self, identity: str, key: str) -> None:
        """A key of the caller's telephone."""
        question = self._open
        if question is None or question.by != "dtmf" or key not in (YES_KEY, NO_KEY):
            return
        if identity != question.identity:
            self._note("ignored", question, rule="other_voice")
        elif self._heard_at is None:
            self._note("ignored", question, rule="before_heard")
        else:
            self._go_on(question, self._agreed(question) if key == YES_KEY else self._declined(question))

    def decided(self, act: DecideApproval) -> None:
        """By an operator."""
        question = self._open
        if question is not None and question.by == "operator" and question.id == act.approval:
            self._go_on(question, self._agreed(question) if act.approve else self._declined(question))

    def _agreed(self, question: Question) -> Answered:
        self._close("granted")
        self._granted = question
        return Answered(calls=(question.granted_call,), instruction=_about(CONFIRMED, question))

    def _declined(self, question: Question) -> Answered:
        self._close("denied")
        self._denied = (question.digest, question.identity, self._conversation.turns)
        return Answered(instruction=_about(DENIED, question))

    def _go_on(self, question: Question, answered: Answered) -> None:
        """Without words of the caller's there is no answer under way that could tell them."""
        self._speeches.add(
            Plan(
                purpose="reply",
                generate=True,
                calls=answered.calls,
                instruction=answered.instruction,
                voice=self._conversation.people.voice(question.identity),
            )
        )

    @property
    def under_way(self) -> bool:
        """Somebody is asked, or has agreed to what is not made yet."""
        return self._open is not None or self._granted is not None

    # Time.

    @property
    def deadline(self) -> float | None:
        return self._deadline if self._open is not None else None

    def pass_by(self) -> None:
        question = self._open
        if question is None or self._deadline is None or now() < self._deadline:
            return
        self._close("expired")
        if question.by == "operator":
            self._go_on(question, Answered(instruction=_about(EXPIRED, question)))

    def _close(self, outcome: str, rule: str = "") -> None:
        if self._open is None:
            return
        self._note(outcome, self._open, rule=rule)
        if self._speech is not None:
            self._speech.cancel()
        self._open = self._speech = self._heard_at = self._deadline = None

    def withdraw(self, rule: str) -> None:
        """Nobody asks any more: what is open, and what was agreed to and not made yet, is not made."""
        granted, self._granted = self._granted, None
        if granted is not None:
            self._note("withdrawn", granted, rule=rule)
        self._close("withdrawn", rule)

    # Another incarnation.

    def resume(self, question: Question | None, bridge: Plan, *, granted: bool) -> Plan:
        """What an earlier process had asked is asked again; what was agreed to, and not called yet, is called: with the
        `bridge` where that answers the turn in which it was."""
        if question is None:
            return bridge
        if not granted or (question.by != "operator" and not bridge.generate):
            self._begin(question)
            return bridge
        self._granted = question
        answered = Answered(calls=(question.granted_call,), instruction=_about(CONFIRMED, question))
        if bridge.generate:
            return replace(bridge, calls=answered.calls, instruction=answered.instruction)
        self._go_on(question, answered)
        return bridge

    def _note(
        self,
        outcome: str,
        question: Question | None = None,
        *,
        call: ToolCall | None = None,
        digest: str = "",
        rule: str = "",
        **more: Any,
    ) -> None:
        named = question.call.name if question else call.name if call else ""
        self._conversation.record(
            "consent",
            id=question.id if question else "",
            tool=named,
            digest=question.digest if question else digest,
            by=question.by if question else "",
            identity=question.identity if question else "",
            turn=question.turn if question else self._conversation.turns,
            outcome=outcome,
            rule=rule,
            value=f"tools.{named}.confirm",
            **more,
        )


def digest_of(tool: str, arguments: str) -> str:
    """Of a call as it would be made."""
    return hashlib.sha256(f"{tool}\n{arguments}".encode()).hexdigest()


def _told(call: ToolCall, text: str, *, reply: bool = False) -> ToolOutcome:
    result = ToolResult(call_id=call.id, name=call.name, content=text)
    return ToolOutcome(result=result, reply=reply, outcome="consent_asked")


def _about(text: str, question: Question) -> str:
    return literal(text.format(tool=question.call.name))
