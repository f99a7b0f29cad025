"""Journals of real sessions, on the virtual clock, and what they are explained by."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from agentd.cli.explained import text_of
from agentd.config.definition import AgentDefinition, Greeting
from agentd.config.turns import Interruption, Preemptive, Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.llm import TextDelta, ToolCall
from agentd.session.endpointing import Sign
from agentd.session.explained_call import Explained, ReplyExplained, TurnExplained
from agentd.session.explanation import document, explain
from agentd.session.reading.answer import Reason
from agentd.session.records import Record
from agentd.session.restore import restore
from agentd.session.rule_words import RULES, TASK_RULES
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, calls, says

SESSION = Path(__file__).parents[2] / "agentd" / "session"
LONG = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon. On Sundays we are closed."
PLACES = {"turn.endpointing.min_delay": "agents.d/front-desk.yaml:12", "turn": "agents.d/front-desk.yaml:11"}


def agent(**changes: object) -> AgentDefinition:
    return replace(definition(**changes), source="agents.d/front-desk.yaml", places=PLACES)


def explained(call: Call) -> Explained:
    return explain("S1", call.records)


def answered(turn: TurnExplained) -> ReplyExplained:
    assert turn.reply is not None
    return turn.reply


async def interrupted() -> Explained:
    async with calling(agent=agent(greeting=Greeting(say="Hello.")), script=says(LONG, "Sorry.")) as call:
        await call.room.silent(2)
        await call.say("When do you open?")
        await call.room.speak(call.learn(""), 0.3)
        await call.room.silent(1)
        await call.say("Stop please.")
        await call.room.silent(3)
        call.room.leave()
        await call.task
        return explained(call)


def test_each_turn_tells_the_rule_and_the_line_that_ended_it() -> None:
    call = run_virtual(interrupted())
    assert [turn.text for turn in call.turns] == ["When do you open?", "Stop please."]
    for turn in call.turns:
        assert turn.delay_s == pytest.approx(0.5, abs=0.001)
        assert turn.ended.rule == "silence"
        assert turn.ended.value == "turn.endpointing.min_delay=0.5"
        assert turn.ended.place == "agents.d/front-desk.yaml:12"


def test_a_cut_answer_tells_what_cut_it_and_where_and_a_default_has_no_line() -> None:
    first, second = map(answered, run_virtual(interrupted()).turns)
    assert first.cut is not None
    assert (first.cut.rule, first.cut.value, first.cut.place) == ("words", "turn.interruption.min_words=0", "default")
    assert f"{first.text} {first.unheard}" == LONG
    assert [(p.cause.rule, p.resumed and p.resumed.rule) for p in first.pauses] == [
        ("speech_onset", "short_sound"),
        ("speech_onset", None),
    ]
    assert (second.text, second.unheard, second.interrupted, second.cut) == ("Sorry.", "", False, None)


def test_what_answers_no_turn_is_told_beside_the_turns_and_the_end_is_known() -> None:
    call = run_virtual(interrupted())
    assert [(reply.purpose, reply.text) for reply in call.replies] == [("greeting", "Hello.")]
    assert (call.ended, call.agent, call.source) == ("caller_left", "test-agent", "agents.d/front-desk.yaml")
    assert call.duration_s is not None


async def with_tool_and_failover() -> Explained:
    async def find(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(0.7)
        return "nine"

    def broken(request: object) -> list[ProviderUnavailable]:
        return [ProviderUnavailable("fake", "connection reset")]

    def script(request: object) -> list[object]:
        last = request.items[-1]  # type: ignore[attr-defined]
        return [calls("find", '{"day": "monday"}')] if getattr(last, "role", "") == "user" else [TextDelta("At nine.")]

    spare = FakeLLM(script)  # type: ignore[arg-type]
    tools = FakeTools({"find": find})
    async with calling(agent=agent(), script=broken, fallback_llm=spare, tools=tools) as call:
        await call.say("When?")
        await call.room.silent(2)
        return explained(call)


def test_tools_and_failing_providers_are_told_with_their_outcome_and_time() -> None:
    (turn,) = run_virtual(with_tool_and_failover()).turns
    reply = answered(turn)
    assert [(t.name, t.arguments, t.outcome, t.is_error) for t in reply.tools] == [
        ("find", '{"day": "monday"}', "ok", False)
    ]
    early = [(a.kind, a.provider, a.outcome, a.early) for a in turn.attempts if a.kind == "llm"]
    assert early[0] == ("llm", "fake", "unavailable", 1)
    later = [(a.provider, a.outcome, a.message) for a in reply.attempts if a.kind == "llm"]
    assert ("spare", "ok", "") in later
    assert any(message == "connection reset" for _, _, message in later)
    assert reply.latencies["tools"] == pytest.approx(0.7, abs=0.001)
    assert sum(v for k, v in reply.latencies.items() if k != "e2e") == pytest.approx(reply.latencies["e2e"])


async def gone_on() -> Explained:
    async with calling(agent=agent()) as call:
        await call.room.speak(call.learn("We are four people."), 1.0)
        await call.room.silent(0.4)
        await call.room.speak(call.learn("And a dog."), 1.0)
        await call.room.silent(3)
        return explained(call)


def test_early_answers_are_told_with_what_became_of_them() -> None:
    (turn,) = run_virtual(gone_on()).turns
    assert [(e.attempt, e.outcome, e.cause and e.cause.rule) for e in turn.early] == [
        (1, "dropped", "more_words"),
        (2, "used", None),
    ]
    assert turn.early[0].characters == len("Fine. ")


async def skipped_and_ignored() -> Explained:
    turn = Turn(interruption=Interruption(acknowledgements=("right",)), preemptive=Preemptive(max_retries=0))
    async with calling(agent=agent(turn=turn), script=says(LONG)) as call:
        await call.say("When?")
        await call.say("Right.", 0.4)
        await call.room.silent(10)
        await call.say("Thanks.")
        return explained(call)


def test_what_was_ignored_and_what_was_not_even_begun_is_told_with_its_setting() -> None:
    first, second = run_virtual(skipped_and_ignored()).turns
    assert [(e.outcome, e.cause and e.cause.value) for e in first.early] == [
        ("skipped", "turn.preemptive.max_retries=0")
    ]
    assert [(c.rule, c.value) for c in second.ignored] == [("acknowledgement", "turn.interruption.acknowledgements")]


async def rescued() -> Explained:
    async with calling(agent=agent(), script=says(LONG)) as call:
        await call.say("When?")
        earlier: list[Record] = list(call.records)
    async with calling(agent=agent(), restored=restore(earlier), incarnation=2) as again:
        await again.room.silent(12)
        return explain("S1", [*earlier, *again.records])


def test_a_death_is_told_with_its_gap_and_what_it_cut() -> None:
    call = run_virtual(rescued())
    assert [rescue.incarnation for rescue in call.rescues] == [2]
    cut = answered(call.turns[0])
    assert not cut.finished
    assert cut.unheard == LONG
    (bridge,) = call.replies
    assert bridge.purpose == "bridge"
    assert bridge.finished


def test_a_journal_without_places_tells_the_value_alone() -> None:
    data = {"turn": 1, "text": "Hi.", "rule": "silence", "value": "turn.endpointing.min_delay=0.5", "delay_s": 0.5}
    started = {"agent": "a", "revision": "r", "room": "m"}
    call = explain("S1", [_record(0, "session.started", started), _record(1, "turn.user", data)])
    assert call.turns[0].ended.place == ""
    assert call.turns[0].reply is None


def test_a_rule_without_a_sentence_stands_for_itself() -> None:
    data = {"turn": 1, "text": "Hi.", "rule": "moon_phase", "value": "", "delay_s": 0.5}
    (turn,) = explain("S1", [_record(0, "turn.user", data)]).turns
    assert (turn.ended.why, turn.ended.place) == ("moon phase", "")


def test_the_document_is_json_of_a_known_shape() -> None:
    call = run_virtual(interrupted())
    shown = json.loads(json.dumps(document(call)))
    assert set(shown) == {
        "version", "session", "agent", "revision", "source", "room", "caller", "started_at", "duration_s", "ended",
        "turns", "replies", "rescues", "requested", "handoffs", "mutes", "edits",
    }  # fmt: skip
    assert set(shown["turns"][0]) == {
        "turn", "at_s", "text", "source", "language", "delay_s", "ended", "ignored", "early", "attempts", "errors",
        "reply", "heard", "hook", "speaker", "consents", "tasks", "revision",
    }  # fmt: skip
    assert set(shown["turns"][0]["reply"]) == {
        "reply", "purpose", "at_s", "text", "unheard", "finished", "interrupted", "cut", "cut_at_s", "latencies",
        "pauses", "tools", "tool_changes", "tools_off", "attempts", "errors",
    }  # fmt: skip
    assert [turn["turn"] for turn in document(call, 2)["turns"]] == [2]
    assert document(call, 2)["replies"] == []


def test_every_rule_that_the_turn_machine_knows_is_told_in_words() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in SESSION.glob("*.py") if path.stem != "task_machine")
    rules = set(re.findall(r'\brule="(\w+)"', sources))
    rules |= set(re.findall(r'_(?:commit|interrupt|resume|longest|unsure|no_words)\((?:\w+, )?"(\w+)"', sources))
    rules |= set(get_args(Sign)) - {""}
    assert len(rules) > 20
    assert rules - {"history_tokens"} <= RULES.keys()


def test_every_rule_of_a_task_is_told_in_words() -> None:
    source = (SESSION / "task_machine.py").read_text(encoding="utf-8")
    rules = set(re.findall(r'\brule="(\w+)"', source)) | set(get_args(Reason))
    assert len(rules) > 20
    assert rules - {"over"} <= TASK_RULES.keys()


def _record(seq: int, kind: str, data: dict[str, object]) -> Record:
    return Record(seq=seq, at=1_700_000_000.0 + seq, kind=kind, data=data)


def test_the_question_before_a_call_is_explained() -> None:
    started = {"agent": "desk", "revision": "r", "room": "room"}
    asked = {"outcome": "timeout", "agent": "", "duration_s": 2.0, "message": "no answer within 2 s"}
    kinds = (("session.started", started), ("session.requested", {**asked, "accept": True, "instructions_append": ""}))
    records = [Record(seq=seq, at=1000.0, kind=kind, data=data) for seq, (kind, data) in enumerate(kinds)]
    assert explain("S1", records).requested == asked
    assert "asked before the call: timeout after 2000 ms (no answer within 2 s)" in text_of(explain("S1", records))
