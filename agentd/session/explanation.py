"""What a journal says of why a call went as it did: what ended each turn, what cut each answer, where time went. Pure.

`explain` folds the records; `document` gives the result as JSON values, in a shape that only ever grows (`version`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.session.records import Record

VERSION = 1
DEFAULT = "default"  # the place of a setting that no file has

TASK_RULES: Mapping[str, str] = {
    "value": "it was answered",
    "partial": "a part of it was said",
    "keys": "it was answered by keys",
    "confirmed": "it was confirmed",
    "denied": "it was denied",
    "corrected": "it was corrected",
    "went_back": "the caller went back to it",
    "nothing_before": "there was nothing to go back to",
    "skipped": "the caller left it out",
    "nothing_to_skip": "there was nothing to leave out",
    "needed": "the caller would not say, and it is needed",
    "repeated": "the question was asked again",
    "unclear": "the answer was neither yes nor no",
    "exhausted": "it had been asked for often enough, and was left out",
    "given_up": "the caller gave up",
    "handed_over": "the call was handed over to another agent",
    "nothing_to_confirm": "there was nothing to confirm",
    "nothing": "there was no answer in the words",
    "incomplete": "the answer was not complete",
    "not_valid": "the answer was not good",
    "too_short": "digits were missing",
    "too_long": "there were too many digits",
    "checksum": "the check digit was wrong",
    "no_such_day": "there is no such day",
    "in_the_past": "the day was over",
    "in_the_future": "the day was still to come",
    "too_small": "the number was too small",
    "too_great": "the number was too great",
    "not_offered": "it was none of the options",
    "keys_only": "only keys are taken",
}

RULES: Mapping[str, str] = {
    "silence": "the silence lasted",
    "max_delay": "the longest wait for more had passed",
    "late_words": "the recogniser never finalised its words",
    "unfinished": "the words asked for more, and none came",
    "digits_missing": "digits were missing, and none came",
    "digits_open": "digits were being dictated, and no more came",
    "open_ended": "the words could have gone on, and did not",
    "turn_detector": "the turn detector expected more, and none came",
    "turn_detector_alone": "the turn detector expected more of what was a whole sentence, and none came",
    "slot_filled": "the last digit that was asked for was said",
    "asked": "the agent had asked for something that is said slowly",
    "dynamic": "the silence was longer than the caller's pauses",
    "answer_at_the_end": "an answer to what the agent was just ending",
    "max_speech": "the caller had the turn for as long as is allowed",
    "noise": "sound went on for long without any words",
    "language_unclear": "the language could not be told",
    "key_pressed": "the caller pressed a key",
    "task": "a task took the turn",
    "same_language": "it was the language of the conversation",
    "not_enough": "one utterance in another language is not enough to change to it",
    "provider_end_of_turn": "the recogniser said that the turn had ended",
    "realtime": "the realtime model said that the caller was done",
    "manual": "somebody ended the turn by hand",
    "generate_reply": "it was written by whoever asked for the answer",
    "text_received": "a chat message is a turn by itself",
    "words": "words of the caller's",
    "phrase": "a phrase that stops the agent",
    "turn_begun": "the caller took the turn by hand",
    "speech_duration": "speech of the caller's lasted long enough",
    "interruption_heard": "it sounded like somebody who takes the turn",
    "no_interruption_heard": "it did not sound like somebody who takes the turn",
    "short_sound": "the sound was short, and nothing followed it",
    "speech_goes_on": "it went on, and sounded like more than it did before",
    "turn_committed": "the caller's turn ended meanwhile",
    "operator": "an operator interrupted",
    "speech_onset": "the caller began to make a sound",
    "caller_is_speaking": "the caller was making a sound",
    "asked_to_wait": "the caller asked for a moment",
    "no_words": "there were no words in the sound",
    "false_interruption": "no words came in time",
    "acknowledgement": "it was an acknowledgement",
    "asleep": "the wake phrase had not been said",
    "wake_phrase": "nothing but the wake phrase was said",
    "own_echo": "they were the agent's own, come back",
    "made_up": "the recogniser had made them up from noise",
    "turn_dropped": "the turn was dropped by hand",
    "not_interruptible": "the agent could not be interrupted",
    "words_known": "the words were known",
    "more_words": "more words came",
    "agent_speaks": "the agent spoke meanwhile",
    "other_text": "another turn ended first",
    "other_answer": "another answer was asked for first",
    "no_turn": "what was said was no turn",
    "context_changed": "what the model is told had changed",
    "failed": "the provider failed",
    "session_ended": "the call ended",
    "consent": "it answered a question of agentd's",
    "other_voice": "somebody else said it",
    "before_heard": "it began before the question had been heard",
    "caller_attribute": "the caller has not the attribute that the tool wants",
    "caller_identity": "the tool is not for this caller",
    "caller_kind": "the tool is not for callers of this kind",
    "long_speech": "the caller had spoken for long",
    "hook": "a hook wanted it so",
    "model": "the model asked for it",
    "task_exhausted": "a question of its task had been asked for often enough",
    "tool": "a tool wanted it so",
    "expression": "what the file waits for became true",
    "event": "what the file waits for happened",
    "handoff": "the call was handed over",
    "handoff_loop": "the call would have gone round",
    "handoff_to_itself": "it had the call already",
    "handoff_impossible": "the other agent could not go on with it",
    "handoff_under_way": "another was under way",
    "max_handoffs": "the call had been handed over as often as is allowed",
    "speaker_left": "whoever had held it has left",
    "most_people": "as many people as can be heard were there",
    "tool_disallows_interruptions": "a tool did not want to be interrupted",
    "tool_args_invalid": "the model had called its tools wrongly again and again",
    "duplicate_call": "the same call was under way, or had just been made",
    "rate_limit": "it had been called as often as is allowed",
    "tool_loop": "the model went on calling tools",
    "background": "the tool runs in the background",
    "pending": "the tool answers later, by callback",
    "attempts": "as many as are allowed had been made in this turn",
}
"""Rules in words; one that is not here stands for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`value`: the setting behind it, as it was; `place`: file:line of it, "default", or "" where there is none."""

    rule: str
    why: str
    value: str = ""
    place: str = ""


@dataclass(slots=True, kw_only=True)
class Pause:
    """The answer's sound was held; `resumed` None: it never went on."""

    at_s: float
    cause: Cause
    lasted_s: float | None = None
    resumed: Cause | None = None


@dataclass(slots=True, kw_only=True)
class Tool:
    """`outcome` "unknown": no result came before the journal ended, or its process did. `stopped`: why it was not
    made; `detached`: why no reply waited for its result; `repeated`: how often it was made again, under the same
    `key`, because its process had died."""

    name: str
    id: str
    arguments: str
    outcome: str = "unknown"
    is_error: bool = False
    duration_s: float | None = None
    key: str = ""
    stopped: Cause | None = None
    detached: Cause | None = None
    repeated: int = 0
    progress: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request to a provider. `early`: number of the early start that made it."""

    kind: str
    provider: str
    outcome: str
    duration_s: float
    message: str = ""
    early: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """An answer begun before the turn had ended: used, dropped, or (attempt None) not even begun: skipped."""

    attempt: int | None
    outcome: str
    ran_s: float
    characters: int
    cause: Cause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentExplained:
    """What became of a call that somebody must agree to; `outcome` as in the record, or "refused"."""

    tool: str
    outcome: str
    at_s: float
    cause: Cause


@dataclass(slots=True, kw_only=True)
class ReplyExplained:
    """`text` was heard, `unheard` was to follow. `tool_changes`: "+name", "-name" of what the model may call since;
    `tools_off`: why it had to answer without any. `finished` False: its process died first, or it is still going on."""

    reply: int
    purpose: str
    at_s: float
    text: str = ""
    unheard: str = ""
    finished: bool = False
    interrupted: bool = False
    cut: Cause | None = None
    cut_at_s: float | None = None
    latencies: Mapping[str, float] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_changes: list[str] = field(default_factory=list)
    tools_off: Cause | None = None
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class TurnExplained:
    """`delay_s`: from the last speech to the decision that the turn had ended. `heard`: what was said, where a hook
    made `text` of it; `hook`: its place."""

    turn: int
    at_s: float
    text: str
    source: str
    language: str | None
    delay_s: float
    ended: Cause
    speaker: str = ""  # of several people, by label
    ignored: list[Cause] = field(default_factory=list)
    early: list[Early] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    reply: ReplyExplained | None = None
    heard: str = ""
    hook: str = ""
    consents: list[ConsentExplained] = field(default_factory=list)
    tasks: list[TaskStep] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStep:
    """What the caller's words, or the model's call, did to the task that ran. `why`: the rule in words."""

    task: str
    field: str
    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """Silence of `gap_s` until another process went on with the call."""

    at_s: float
    gap_s: float
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffExplained:
    """`turn`: the caller's last; None before the first. `made` False: it was asked for and refused."""

    at_s: float
    agent: str
    to: str
    cause: Cause
    turn: int | None = None
    history: str = ""
    made: bool = True


@dataclass(slots=True, kw_only=True)
class Explained:
    """One call. Moments (`at_s`) are seconds since its start. `replies` answer no turn: greeting, prompts, bridges.
    `requested`: what came of the question before it (outcome, agent, duration_s, message)."""

    session: str
    agent: str = ""
    revision: str = ""
    source: str = ""
    room: str = ""
    caller: str = ""
    started_at: float = 0.0  # unix time
    duration_s: float | None = None
    ended: str | None = None
    requested: Mapping[str, Any] | None = None
    turns: list[TurnExplained] = field(default_factory=list)
    replies: list[ReplyExplained] = field(default_factory=list)
    rescues: list[Rescue] = field(default_factory=list)
    handoffs: list[HandoffExplained] = field(default_factory=list)


def explain(session: str, records: Iterable[Record]) -> Explained:
    """Folds a journal, also one that is still being written."""
    explaining = _Explaining(Explained(session=session))
    for record in records:
        explaining.take(record)
    return explaining.call


def document(call: Explained, turn: int | None = None) -> dict[str, Any]:
    """JSON values; of one turn, the others and the replies to none are left out."""
    shown = {"version": VERSION, **dataclasses.asdict(call)}
    if turn is not None:
        shown["turns"] = [each for each in shown["turns"] if each["turn"] == turn]
        shown["replies"] = []
    return shown


@dataclass(slots=True)
class _Pending:
    """What happened since the last turn ended, and belongs to the next."""

    ignored: list[Cause] = field(default_factory=list)
    early: list[Early] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Explaining:
    """The fold. `reply`: the one under way; `segments`: of each reply, what it was to say and what was heard of it."""

    call: Explained
    places: Mapping[str, str] | None = None
    reply: ReplyExplained | None = None
    replies: dict[int, ReplyExplained] = field(default_factory=dict)
    segments: dict[int, dict[int, tuple[str, str]]] = field(default_factory=dict)
    pending: _Pending = field(default_factory=_Pending)
    agent: str = ""  # who has the call
    awaited: bool = False  # a turn has ended and its reply has not begun
    at_s: float = 0.0

    def take(self, record: Record) -> None:
        if not self.call.started_at:
            self.call.started_at = record.at
        self.at_s = round(record.at - self.call.started_at, 3)
        handler = getattr(self, "on_" + record.kind.replace(".", "_"), None)
        if handler is not None:
            handler(record.data)

    def _cause(self, data: Mapping[str, Any]) -> Cause:
        rule, value = str(data.get("rule", "")), str(data.get("value") or "")
        setting = value.partition("=")[0]
        place = "" if not setting or self.places is None else self.places.get(setting, DEFAULT)
        return Cause(rule=rule, why=RULES.get(rule, rule.replace("_", " ")), value=value, place=place)

    # The call.

    def on_session_started(self, data: Mapping[str, Any]) -> None:
        call = self.call
        call.agent, call.revision, call.room = data["agent"], data["revision"], data.get("room", "")
        call.source = data.get("source", "")
        self.places, self.agent = data.get("places"), call.agent

    def on_handoff(self, data: Mapping[str, Any]) -> None:
        self._handed(data["to"], data, history=data["history"])

    def on_agent_entered(self, data: Mapping[str, Any]) -> None:
        self.places, self.agent = data.get("places"), data["agent"]

    def _handed(self, to: str, data: Mapping[str, Any], **more: Any) -> None:
        turn = self.call.turns[-1].turn if self.call.turns else None
        told = HandoffExplained(at_s=self.at_s, agent=self.agent, to=to, cause=self._cause(data), turn=turn, **more)
        self.call.handoffs.append(told)

    def on_session_requested(self, data: Mapping[str, Any]) -> None:
        self.call.requested = {name: data[name] for name in ("outcome", "agent", "duration_s", "message")}

    def on_session_resumed(self, data: Mapping[str, Any]) -> None:
        self.call.rescues.append(Rescue(at_s=self.at_s, gap_s=data["gap_s"], incarnation=data["incarnation"]))
        self.reply = None

    def on_session_ended(self, data: Mapping[str, Any]) -> None:
        self.call.ended, self.call.duration_s = data["reason"], data["duration_s"]

    def on_caller_linked(self, data: Mapping[str, Any]) -> None:
        told = data.get("present")
        self.call.caller = ", ".join(told) if told else data.get("name") or data["identity"]

    # Tasks.

    def on_task_step(self, data: Mapping[str, Any]) -> None:
        """Of the caller's last turn; what silence and keys do before the first has no place here."""
        if self.call.turns:
            rule = data["rule"]
            step = TaskStep(task=data["task"], field=data["field"], rule=rule, why=TASK_RULES.get(rule, rule))
            self.call.turns[-1].tasks.append(step)

    # The caller.

    def on_turn_user(self, data: Mapping[str, Any]) -> None:
        pending, self.pending = self.pending, _Pending()
        turn = TurnExplained(
            turn=data["turn"],
            at_s=self.at_s,
            text=data["text"],
            source=data.get("source", "speech"),
            language=data.get("language"),
            delay_s=data["delay_s"],
            ended=self._cause(data),
            speaker=data.get("label", ""),
            ignored=pending.ignored,
            early=pending.early,
            attempts=pending.attempts,
            errors=pending.errors,
            heard=data.get("heard", ""),
            hook=data.get("hook", ""),
        )
        self.call.turns.append(turn)
        self.awaited = True

    def on_turn_corrected(self, data: Mapping[str, Any]) -> None:
        for turn in self.call.turns:
            if turn.turn == data["turn"]:
                turn.text = data["text"]

    def on_decision(self, data: Mapping[str, Any]) -> None:
        cause, reply = self._cause(data), self.reply
        match data["action"]:
            case "RefuseHandoff":
                self._handed(data.get("agent", ""), data, made=False)
            case "Ignore" | "DropTurn":
                self.pending.ignored.append(cause)
            case "RefuseTool":
                tool = str(data["value"]).split(".")[1]
                for turn in self.call.turns[-1:]:
                    turn.consents.append(ConsentExplained(tool=tool, outcome="refused", at_s=self.at_s, cause=cause))
            case "SkipEarly":
                self._begun_early().append(Early(attempt=None, outcome="skipped", ran_s=0, characters=0, cause=cause))
            case "AnswerWithoutTools" if reply is not None:
                reply.tools_off = cause
            case "Interrupt" if reply is not None:
                reply.cut, reply.cut_at_s = cause, self.at_s
            case "PauseSpeech" if reply is not None:
                reply.pauses.append(Pause(at_s=self.at_s, cause=cause))
            case "ResumeSpeech" if reply is not None and reply.pauses:
                pause = reply.pauses[-1]
                pause.resumed, pause.lasted_s = cause, round(self.at_s - pause.at_s, 3)

    def on_consent(self, data: Mapping[str, Any]) -> None:
        told = ConsentExplained(tool=data["tool"], outcome=data["outcome"], at_s=self.at_s, cause=self._cause(data))
        for turn in self.call.turns[-1:]:
            turn.consents.append(told)

    def on_preemption(self, data: Mapping[str, Any]) -> None:
        cause = self._cause(data) if "rule" in data else None
        self._begun_early(data.get("reply")).append(
            Early(
                attempt=data["attempt"],
                outcome=data["outcome"],
                ran_s=data["ran_s"],
                characters=data["characters"],
                cause=cause,
            )
        )

    def _begun_early(self, reply: int | None = None) -> list[Early]:
        """Those of the turn that is answered, or will be; `reply`: that has taken one over, maybe after it began."""
        taken = [turn for turn in self.call.turns if turn.reply is not None and turn.reply.reply == reply]
        if taken:
            return taken[-1].early
        return self.call.turns[-1].early if self.awaited else self.pending.early

    # The agent.

    def on_reply_started(self, data: Mapping[str, Any]) -> None:
        reply = ReplyExplained(reply=data["reply"], purpose=data["purpose"], at_s=self.at_s)
        self.reply = self.replies[reply.reply] = reply
        turn = data.get("turn")
        answered = next((each for each in reversed(self.call.turns) if each.turn == turn), None)
        if answered is None or answered.reply is not None:
            self.call.replies.append(reply)
        else:
            answered.reply = reply
            self.awaited = False

    def on_segment_started(self, data: Mapping[str, Any]) -> None:
        self.segments.setdefault(data["reply"], {})[data["segment"]] = (data["text"], "")
        self._told(data["reply"])

    def on_segment_heard(self, data: Mapping[str, Any]) -> None:
        of_reply = self.segments.setdefault(data["reply"], {})
        text = data["text"]
        planned, _ = of_reply.get(data["segment"], (text, ""))
        of_reply[data["segment"]] = (planned, text)
        self._told(data["reply"])

    def _told(self, number: int) -> None:
        reply, parts = self.replies.get(number), self.segments[number].values()
        if reply is not None:
            reply.text = " ".join(heard for _, heard in parts if heard)
            reply.unheard = " ".join(rest for planned, heard in parts if (rest := planned[len(heard) :].strip()))

    def on_turn_agent(self, data: Mapping[str, Any]) -> None:
        reply = self.replies.get(data["reply"])
        if reply is None:
            return
        reply.finished, reply.interrupted, reply.text = True, data["interrupted"], data["text"]
        reply.latencies = dict(data["latencies"])
        if reply.interrupted and reply.cut is None:
            reply.cut, reply.cut_at_s = Cause(rule="", why="the call ended, or somebody ended it"), self.at_s
        if self.reply is reply:
            self.reply = None

    def on_tool_called(self, data: Mapping[str, Any]) -> None:
        if (reply := self.replies.get(data["reply"])) is not None:
            key = data.get("key", "")
            reply.tools.append(Tool(name=data["name"], id=data["id"], arguments=data["arguments"], key=key))

    def on_tool_detached(self, data: Mapping[str, Any]) -> None:
        for tool in self._tools(data):
            tool.detached = self._cause(data)

    def on_tool_repeated(self, data: Mapping[str, Any]) -> None:
        for tool in self._tools(data):
            tool.repeated += 1

    def on_tool_progress(self, data: Mapping[str, Any]) -> None:
        for tool in self._tools(data):
            tool.progress.append(data["status"] or data["say"])

    def on_tool_completed(self, data: Mapping[str, Any]) -> None:
        for tool in self._tools(data):
            tool.outcome, tool.is_error, tool.duration_s = data["outcome"], data["is_error"], data["duration_s"]
            tool.stopped = self._cause(data) if "rule" in data else None

    def _tools(self, data: Mapping[str, Any]) -> list[Tool]:
        reply = self.replies.get(data["reply"])
        return [tool for tool in reply.tools if tool.id == data["id"]][-1:] if reply else []

    def on_tools_changed(self, data: Mapping[str, Any]) -> None:
        if self.reply is not None:
            changes = data["changes"].items()
            self.reply.tool_changes += [f"{'-' if told is None else '+'}{name}" for name, told in changes]

    # Providers.

    def on_provider(self, data: Mapping[str, Any]) -> None:
        attempt = Attempt(
            kind=data["kind"],
            provider=data["provider"],
            outcome=data["outcome"],
            duration_s=data["duration_s"],
            message=data.get("message", ""),
            early=data.get("preemptive"),
        )
        of_reply = self.reply is not None and attempt.kind != "stt"
        (self.reply.attempts if self.reply is not None and of_reply else self.pending.attempts).append(attempt)

    def on_error(self, data: Mapping[str, Any]) -> None:
        text = f"{data['where']}: {data['message']}"
        (self.reply.errors if self.reply is not None else self.pending.errors).append(text)
