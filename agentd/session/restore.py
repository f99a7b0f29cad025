"""A conversation rebuilt from its journal's records, for the incarnation that goes on with it. Pure.

The records are folded through the same `History` that wrote them, so what comes out is what the session had:
only what was heard, every call with its result beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentd.providers.chat import ChatContext
from agentd.providers.llm import ToolCall, ToolResult
from agentd.providers.speakers import Speaker
from agentd.session.history import Draft, History, ToolRound, agent_id, tools_id, user_id
from agentd.session.known_calls import KnownCalls
from agentd.session.question import Question
from agentd.session.records import Record
from agentd.session.restore_agent import AgentFold
from agentd.session.restore_call import CallFold
from agentd.session.restored import Restored as Restored
from agentd.session.restored import Waiting as Waiting
from agentd.session.waiting import WaitingTurn, WaitingTurns


def restore(records: Iterable[Record]) -> Restored:
    """Rebuilds the conversation: only what was heard is in it, and of every tool call its result, or that it has
    none."""
    restoring = _Restoring()
    for record in records:
        restoring.take(record)
    return restoring.result()


def history_of(records: Iterable[Record]) -> ChatContext:
    """The conversation as it stands in the journal: a call under way is told as such."""
    restoring = _Restoring()
    for record in records:
        restoring.take(record)
    return restoring.history.context()


@dataclass(slots=True)
class _Restoring:
    """The fold over the records of what was said and done; `agent` and `call` are those over the others.

    `pending` are the sentences of the current reply that are not yet heard, `carried` those of the reply that an
    earlier death cut short and that the bridge has not come to. `generating`: the model is writing the current reply.
    """

    agent: AgentFold = field(default_factory=AgentFold)
    call: CallFold = field(default_factory=CallFold)
    history: History = field(default_factory=History)
    waiting_turns: WaitingTurns = field(init=False)
    drafts: dict[tuple[int, int], Draft] = field(default_factory=dict)  # by reply and number of the draft
    draft_of: dict[tuple[int, int], Draft] = field(default_factory=dict)  # by reply and segment
    tool_round: ToolRound | None = None  # the last one
    calls: KnownCalls = field(default_factory=KnownCalls)
    result_owed: bool = False
    end_call: str = ""
    last_kind: str = ""
    pending: dict[tuple[int, int], str] = field(default_factory=dict)
    carried: list[str] = field(default_factory=list)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    apart: dict[int, Waiting] = field(default_factory=dict)  # by reply: begun speeches that the model is not to know
    turns: int = 0
    replies: int = 0
    speaking: set[str] = field(default_factory=set)  # by identity
    turn_of: dict[int, Speaker | None] = field(default_factory=dict)
    speaker: Speaker | None = None
    again: tuple[str, int] | None = None  # an answer that is to be given again, and its turn
    owed: bool = False
    generating: bool = False
    begun: bool = False
    warned: bool = False
    last_at: float = 0.0
    started_at: float = 0.0
    question: Question | None = None
    granted: bool = False
    read_back: set[int] = field(default_factory=set)  # replies that put a question: it is put again as a whole
    held: list[Mapping[str, Any]] = field(default_factory=list)  # turns of the caller that hooks had not let pass yet

    def __post_init__(self) -> None:
        self.waiting_turns = WaitingTurns(self.history)

    def take(self, record: Record) -> None:
        self.last_at = record.at
        name = "on_" + record.kind.replace(".", "_")
        for fold in (self, self.agent, self.call):
            handler = getattr(fold, name, None)
            if handler is not None:
                handler(record.data)
        self.last_kind = record.kind

    def on_session_started(self, data: Mapping[str, Any]) -> None:
        self.started_at = self.last_at

    def on_session_resumed(self, data: Mapping[str, Any]) -> None:
        self._let_pass()

    # The caller.

    def on_speech_started(self, data: Mapping[str, Any]) -> None:
        self.speaking.add(data.get("speaker", ""))

    def on_speech_wordless(self, data: Mapping[str, Any]) -> None:
        self.speaking.discard(data.get("speaker", ""))

    def on_turn_held(self, data: Mapping[str, Any]) -> None:
        self.held.append(data)

    def _let_pass(self) -> None:
        """What a hook was still looking at when its process ended is a turn as it was said."""
        for data in self.held:
            self._said(self.turns + 1, data)
        self.held.clear()

    def on_decision(self, data: Mapping[str, Any]) -> None:
        if data["action"] == "DropTurn":
            del self.held[:1]
        if data["action"] not in ("Ignore", "ResumeSpeech", "DropTurn"):
            return
        if "speaker" in data:  # it was a cough, an "uh-huh", or noise
            self.speaking.discard(data["speaker"])
        else:
            self.speaking.clear()

    def on_caller_left(self, data: Mapping[str, Any]) -> None:
        if "present" in data:
            self.speaking.discard(data["identity"])

    def on_turn_user(self, data: Mapping[str, Any]) -> None:
        if data.get("source") != "request":
            del self.held[:1]
        self._said(data["turn"], data)

    def _said(self, turn: int, data: Mapping[str, Any]) -> None:
        self.speaking.discard(data.get("speaker", ""))
        self.turns = turn
        speaker = _speaker(data)
        self.turn_of[self.turns] = speaker
        self.waiting_turns.add(WaitingTurn(number=self.turns, text=data["text"], speaker=speaker))
        if not data.get("waits", False):
            self._admit(self.turns)
            self.owed = True

    def _admit(self, turn: int) -> None:
        self.waiting_turns.admit(turn)
        self.speaker = self.turn_of.get(turn)

    def on_turn_corrected(self, data: Mapping[str, Any]) -> None:
        self.history.correct_user(user_id(data["turn"]), data["text"])

    # What was asked for.

    def on_speech_created(self, data: Mapping[str, Any]) -> None:
        if data.get("again", False):
            self.again = (data["speech"], data["turn"])
        if not (data["requested"] or data["end_call"]):
            return
        self.waiting[data["speech"]] = Waiting(
            speech=data["speech"],
            priority=data["priority"],
            interruptible=data["interruptible"],
            in_history=data["in_history"],
            text=data["text"],
            generate=data["source"] == "generate_reply",
            instruction=data["instruction"],
            user_input=data["user_input"],
            end_call=data["end_call"],
            causes=tuple(data.get("causes", ())),
        )

    def _over(self, speech: str) -> None:
        """It has begun, or will not."""
        if self.again is not None and self.again[0] == speech:
            self.again = None

    def on_speech_finished(self, data: Mapping[str, Any]) -> None:
        self._over(data["speech"])
        self.waiting.pop(data["speech"], None)

    def _wait_again(self) -> None:
        """What broke off and is not to be in the history is no matter of the bridge's: its rest waits once more."""
        for reply, speech in self.apart.items():
            mine = [key for key in self.pending if key[0] == reply]
            rest = " ".join(self.pending.pop(key) for key in mine)
            if rest:
                self.waiting = {speech.speech: replace(speech, text=rest), **self.waiting}
                self.begun = False
        self.apart.clear()

    # The agent.

    def on_reply_started(self, data: Mapping[str, Any]) -> None:
        self._wait_again()
        if data.get("turn") is not None:
            self._admit(data["turn"])
        self._over(data.get("speech", ""))
        self.replies = data["reply"]
        if data["purpose"] == "consent":
            self.read_back.add(self.replies)
        asked_for = self.waiting.pop(data.get("speech", ""), None)
        if asked_for is not None and not asked_for.in_history:
            self.apart[self.replies] = asked_for
        bridge = data["purpose"] == "bridge"
        self.warned = self.warned or data["purpose"] == "warning"
        goes_on = bridge and not self.speaking  # a caller who is asked to say it again is not told the rest
        unsaid = [*self.pending.values(), *self.carried]
        self.carried = unsaid if goes_on else []
        self.pending.clear()
        generate = data.get("generate", data["purpose"] == "answer")
        self.begun = goes_on and generate and (self.begun or bool(unsaid))
        self.generating = generate
        if generate or bridge or data.get("turn") is not None:  # a task may answer with words of its own
            self.owed = False
        if data["purpose"] == "result":
            self.result_owed = False
        if bridge:
            self.speaking.clear()

    def on_reply_written(self, data: Mapping[str, Any]) -> None:
        self.generating = False

    def on_segment_started(self, data: Mapping[str, Any]) -> None:
        reply, segment, text = data["reply"], data["segment"], data["text"]
        self.draft_of[reply, segment] = self._draft(
            reply, data.get("draft", 0), before_calls=data.get("before_calls", False)
        )
        if data.get("opening", False) or reply in self.read_back:
            return
        if self.carried and self.carried[0] == text:
            self.carried.pop(0)
        self.pending[reply, segment] = text
        self.begun = True

    def _draft(self, reply: int, number: int, *, before_calls: bool) -> Draft:
        draft = self.drafts.get((reply, number))
        if draft is None:
            before = self.tool_round if before_calls else None
            if reply in self.apart:
                draft = Draft()
            else:
                draft = self.history.draft(before=before, entry_id=agent_id(reply, number))
            self.drafts[reply, number] = draft
        return draft

    def on_segment_heard(self, data: Mapping[str, Any]) -> None:
        key = (data["reply"], data["segment"])
        self.pending.pop(key, None)
        draft = self.draft_of.get(key) or self._draft(data["reply"], data.get("draft", 0), before_calls=False)
        draft.hear(data["text"])

    def on_turn_agent(self, data: Mapping[str, Any]) -> None:
        self.end_call = ""
        self.pending.clear()
        self.carried.clear()
        self.generating = self.begun = False
        for (reply, _), draft in self.drafts.items():
            if reply == data["reply"]:
                draft.settle(interrupted=data["interrupted"])

    # Tools.

    def on_tool_called(self, data: Mapping[str, Any]) -> None:
        """Calls made side by side are recorded one right after the other."""
        call = ToolCall(id=data["id"], name=data["name"], arguments=data["arguments"])
        if self.last_kind == "tool.called" and self.tool_round is not None:
            self.tool_round.add(call)
        else:
            self.tool_round = self.history.begin_tools([call], tools_id(data["reply"]))
        self.calls.called(data, self.last_at)
        if self.question is not None and call.id == self.question.id:
            self.question, self.granted = None, False  # whether it was made or not is not known: never twice

    def on_tool_callback(self, data: Mapping[str, Any]) -> None:
        self.calls.changed(data, digests=tuple(data["digests"]))

    def on_tool_detached(self, data: Mapping[str, Any]) -> None:
        changes = {"expires_at": data["expires_at"]} if "expires_at" in data else {}
        self.calls.changed(data, background=True, pending=data["rule"] == "pending", **changes)
        self.history.detach(tools_id(data["reply"]), data["id"])

    def on_tool_completed(self, data: Mapping[str, Any]) -> None:
        call = self.calls.get(data)
        if call is None:  # the record of the call was lost on a full disk
            return
        self.calls.completed(data)
        self.agent.variables.update(data.get("variables", {}))
        self.end_call = data.get("end_call", self.end_call)
        self.result_owed = self.result_owed or data.get("announced", False)
        result = ToolResult(call_id=call.id, name=call.name, content=data["content"], is_error=data["is_error"])
        self.history.complete(call.entry, ToolCall(id=call.id, name=call.name, arguments=call.arguments), result)

    # Consent.

    def on_consent(self, data: Mapping[str, Any]) -> None:
        match data["outcome"]:
            case "asked":
                self.question, self.granted = Question.of(data), False
            case "granted":
                self.granted = True
            case "used" | "withdrawn" | "denied" | "replaced" | "expired" | "unclear_twice" | "not_heard":
                self.question, self.granted = None, False

    # Another agent.

    def on_agent_entered(self, data: Mapping[str, Any]) -> None:
        self.owed = self.owed or data["enters"] == "reply"

    # The context.

    def on_context_edited(self, data: Mapping[str, Any]) -> None:
        entries = ChatContext.from_dict(data["context"]).entries
        if data["edit"] == "add":
            self.history.append(entries)
        else:
            self.history.replace(data["items"], entries)

    def on_context_truncated(self, data: Mapping[str, Any]) -> None:
        self.history.forget(data["items"])

    def on_context_summarized(self, data: Mapping[str, Any]) -> None:
        self.history.summarize(data["items"], data["text"])

    def result(self) -> Restored:
        self._wait_again()
        self._let_pass()
        for draft in self.drafts.values():
            if not draft.settled:
                draft.settle(interrupted=False)
        context = self.history.context()
        return Restored(
            items=context.items,
            ids=context.ids,
            variables=self.agent.variables,
            turns=self.turns,
            replies=self.replies,
            unsaid=(*self.pending.values(), *self.carried),
            caller_was_speaking=bool(self.speaking),
            reply_owed=self.owed or self.generating or self.again is not None,
            reply_begun=self.generating and self.begun,
            waiting=tuple(self.waiting.values()),
            end_call=self.end_call,
            calls=self.calls.all(),
            result_owed=self.result_owed,
            warned=self.warned,
            usage=self.call.usage,
            last_record_at=self.last_at,
            started_at=self.started_at,
            ended=self.call.ended,
            end_reason=self.call.end_reason,
            language=self.agent.language,
            instructions_append=self.agent.instructions_append,
            entered=frozenset(self.call.entered),
            transfer=self.call.transfer,
            muted=frozenset(self.call.muted),
            labels=self.call.labels,
            speaker=self.turn_of.get(self.again[1]) if self.again else self.speaker,
            unanswered=self.waiting_turns.all(),
            tools=self.agent.tools,
            question=self.question,
            granted=self.granted,
            agents=tuple(self.agent.agents),
            revision=self.agent.revision,
            assigned=self.agent.assigned,
            first_hook=self.agent.first_hook,
            adjustments=self.agent.adjustments,
            handoff=self.agent.handoff,
            callbacks=self.call.callbacks,
            attributes=self.call.attributes,
            task=self.call.task,
            tasks=self.call.tasks,
        )


def _speaker(data: Mapping[str, Any]) -> Speaker | None:
    """Of a turn; None: the only caller."""
    if "label" not in data:
        return None
    return Speaker(identity=data["speaker"], label=data["label"], other_voice=data["other_voice"])
