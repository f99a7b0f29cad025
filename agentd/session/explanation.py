"""What a journal says of why a call went as it did: what ended each turn, what cut each answer, where time went. Pure.

`explain` folds the records; `document` gives the result as JSON values, in a shape that only ever grows (`version`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.session.explained_call import (
    Attempt,
    Cause,
    ConsentExplained,
    Early,
    EditExplained,
    Explained,
    HandoffExplained,
    MuteExplained,
    Pause,
    ReplyExplained,
    Rescue,
    TaskStep,
    Tool,
    TurnExplained,
)
from agentd.session.records import Record
from agentd.session.rule_words import RULES, TASK_RULES

VERSION = 1
DEFAULT = "default"  # the place of a setting that no file has


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
        self._handed(data["to"], data, history=data["history"], connection=data.get("connection", ""))

    def on_agent_entered(self, data: Mapping[str, Any]) -> None:
        self.places, self.agent = data.get("places"), data["agent"]

    def _handed(self, to: str, data: Mapping[str, Any], **more: Any) -> None:
        turn = self.call.turns[-1].turn if self.call.turns else None
        told = HandoffExplained(at_s=self.at_s, agent=self.agent, to=to, cause=self._cause(data), turn=turn, **more)
        self.call.handoffs.append(told)

    def on_mute(self, data: Mapping[str, Any]) -> None:
        cause = dataclasses.replace(self._cause(data), why="an operator wanted it so")
        told = MuteExplained(at_s=self.at_s, what=data["what"], muted=data["muted"], cause=cause)
        self.call.mutes.append(told)

    def on_agent_edited(self, data: Mapping[str, Any]) -> None:
        self.places = data.get("places")
        self._edited(data, taken=True, applied=tuple(data["applied"]))

    def _edited(self, data: Mapping[str, Any], **more: Any) -> None:
        turn = self.call.turns[-1].turn if self.call.turns else None
        kept = tuple((each["setting"], each["why"]) for each in data["kept"])
        named = {name: data[name] for name in ("agent", "revision", "previous")}
        self.call.edits.append(EditExplained(at_s=self.at_s, turn=turn, kept=kept, **named, **more))

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
            revision=data.get("revision", ""),
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
            case "KeepRevision":
                self._edited(data, taken=False, cause=cause)
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
