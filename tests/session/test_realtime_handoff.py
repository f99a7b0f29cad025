"""Calls that go to and from agents with a realtime model: one room, one track, one history. In virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from agentd.audio import AudioFrame
from agentd.cli.explained import text_of
from agentd.config.definition import AgentDefinition, Greeting
from agentd.config.handoffs import Handoff
from agentd.config.turns import Turn
from agentd.errors import ProviderUnavailable
from agentd.providers.llm import TextDelta
from agentd.providers.realtime import AddItem, Configure, RemoveItem, Respond
from agentd.providers.stt import Transcript
from agentd.session.explanation import explain
from agentd.session.restore import restore
from agentd.session.setup import Candidate, Equipment, Providers
from agentd.tools.acts import HandOff
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeLLM, FakeSTT, FakeTTS, FakeVAD, calls, says
from tests.fakes.realtime import FakeRealtime, Step, answers, realtime_agent
from tests.session.test_handoff import shown, tools_of
from tests.session.test_session import LONG, story

DETECTIONS = ["auto", "realtime"]


@dataclass
class Switchboard:
    """A call, and all that its agents are made of. Whoever hears, hears the same `texts` in the same sounds."""

    call: Call
    agents: FakeAgents
    texts: dict[int, str | None]
    llm: FakeLLM
    tts: FakeTTS

    async def say(self, text: str | None, seconds: float = 1.0, after: float = 3.0) -> None:
        value = len(self.texts) + 1
        self.texts[value] = text
        await self.call.room.speak(value, seconds)
        await self.call.room.silent(after)

    async def to(self, agent: str, after: float = 3.0, **how: Any) -> None:
        """An operator hands the call over."""
        self.call.session.do(HandOff(agent=agent, rule="operator", **how))
        await self.call.room.silent(after)

    def ways(self) -> list[tuple[str, str, str]]:
        return [(each["from"], each["to"], each.get("connection", "")) for each in self.call.of("handoff")]


def realtime(name: str, detection: Any = "realtime", **changes: Any) -> AgentDefinition:
    return realtime_agent(name=name, instructions=f"You are {name}.", turn=Turn(detection=detection), **changes)


def pipeline(name: str, **changes: Any) -> AgentDefinition:
    return replace(definition(), name=name, instructions=f"You are {name}.", digest=name, **changes)


@asynccontextmanager
async def switchboard(
    *agents: tuple[AgentDefinition, FakeRealtime | None],
    llm: FakeLLM | None = None,
    stt: FakeSTT | None = None,
    **more: Any,
) -> AsyncIterator[Switchboard]:
    """The call begins with the first one. Those without a realtime model share a recogniser, a model and a voice."""
    texts: dict[int, str | None] = {}
    stt, tts, llm = stt or FakeSTT(), FakeTTS(), llm or FakeLLM(says("Here is the pipeline."))
    stt.texts = texts  # type: ignore[assignment]
    ready = FakeAgents({})
    for agent, model in agents:
        kinds: dict[str, Any] = {"stt": stt, "llm": llm, "tts": tts}
        if model is not None:
            model.texts = texts
            kinds = {"realtime": model, **({"tts": tts} if agent.tts else {})}
        chains: dict[str, Any] = {"stt": (), "llm": (), "tts": ()}
        chains |= {kind: (Candidate("fake", each),) for kind, each in kinds.items()}
        providers = Providers(vad=FakeVAD(), **chains)
        ready.ready[agent.name] = Equipment(definition=agent, providers=providers, tools=tools_of(agent))
    first, model = agents[0]
    tools = ready.ready[first.name].tools
    options: dict[str, Any] = {"realtime": model, "stt": stt, "tts": tts, "script": llm.script}
    assert isinstance(tools, FakeTools)
    async with calling(agent=first, agents=ready, tools=tools, **options, **more) as call:
        conversation = call.session._conversation
        if model is not None:  # which stands in the place of the others
            own = replace(conversation.setup.providers, llm=())
            conversation.setup = replace(conversation.setup, providers=own)
        await call.room.silent(0.2)
        yield Switchboard(call, ready, texts, llm, tts)


def model(*script: Step | list[Step], **options: Any) -> FakeRealtime:
    return FakeRealtime(script=answers(*script), **options)


def agrees_with_its_journal(call: Call) -> None:
    again = restore(call.records)
    assert again.items == call.session._conversation.history.items()


# One model.


@story
async def test_two_agents_of_one_model_have_one_connection_which_is_told_anew() -> None:
    one = model("The desk.", [calls("handoff_to_billing")], "Billing, I see your invoice.")
    desk = realtime("desk", handoffs=(Handoff(agent="billing", when="the caller asks about an invoice"),))
    billing = realtime("billing", handoffs=(Handoff(agent="desk", when="anything else"),))
    async with switchboard((desk, one), (billing, one)) as board:
        await board.say("Hello.")
        await board.say("My invoice, please.", after=4)
        assert board.ways() == [("desk", "billing", "kept")]
        assert len(one.connections) == 1
        assert board.call.agent_texts == ["The desk.", "", "Billing, I see your invoice."]
        assert one.now.configuration.instructions == "You are billing."
        assert [tool.name for tool in one.now.configuration.tools] == ["handoff_to_desk"]
        assert one.now.of(Respond)[-1].instructions.startswith("You are billing.\n\nYou have just taken this call over")
        assert one.now.told[:4] == [
            ("user", "Hello."), ("assistant", "The desk."), ("user", "My invoice, please."),
            ("call", "handoff_to_billing"),
        ]  # fmt: skip
        assert one.now.of(AddItem)[0].item.content == "The call goes to billing."  # it knew the rest by itself
        assert one.now.refused == []
        assert board.call.of("error") == []
        agrees_with_its_journal(board.call)
        assert "model    its connection was kept" in text_of(explain("S1", board.call.records))


@pytest.mark.parametrize("before", DETECTIONS)
@pytest.mark.parametrize("after", DETECTIONS)
def test_the_ears_are_those_of_the_file_also_with_one_connection(before: str, after: str) -> None:
    async def told() -> None:
        one = model("The desk.", "Billing.", "It is due in May.")
        async with switchboard((realtime("desk", before), one), (realtime("billing", after), one)) as board:
            await board.say("Hello.")
            await board.to("billing")
            assert one.now.configuration.detects_turns is (after == "realtime")
            await board.say("When is it due?")
            rules = {"auto": "silence", "realtime": "realtime"}
            assert [each["rule"] for each in board.call.of("turn.user")] == [rules[before], rules[after]]
            assert board.call.agent_texts == ["The desk.", "Billing.", "It is due in May."]
            assert len(one.connections) == 1
            assert one.now.refused == []
            assert board.call.of("error") == []

    run_virtual(told())


@pytest.mark.parametrize(
    ("history", "knows"),
    [
        ("full", ["Hello.", "The desk.", "And now?", "Yes?", "My invoice.", "Of May."]),
        ("last: 2", ["And now?", "Yes?", "My invoice.", "Of May."]),
        ("none", ["My invoice.", "Of May."]),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_the_model_that_goes_on_knows_as_much_as_the_file_says(history: str, knows: list[str], kept: bool) -> None:
    async def told() -> None:
        one = model("The desk.", "Yes?", "Of May.")
        other = one if kept else model("Of May.")
        async with switchboard((realtime("desk"), one), (realtime("billing"), other)) as board:
            await board.say("Hello.")
            await board.say("And now?")
            await board.to("billing", history=history, enter="wait")
            await board.say("My invoice.")
            assert [text for _, text in other.now.told] == knows
            assert other.now.refused == []
            if kept and history == "none":
                assert len(one.now.of(RemoveItem)) == 4
            agrees_with_its_journal(board.call)

    run_virtual(told())


# Another model, or another voice of the same: two providers for the session, whatever they have in common.


@story
async def test_another_voice_has_a_connection_of_its_own_which_is_there_before_the_call_is() -> None:
    first, second = model("The desk."), model("I see.", first_s=0.1)
    billing = realtime("billing", greeting=Greeting(say="Billing, hello."))
    async with switchboard((realtime("desk"), first), (billing, second)) as board:
        await board.say("Hello.")
        await board.to("billing", say="I connect you.", after=5)
        assert board.ways() == [("desk", "billing", "opened")]
        assert board.call.agent_texts == ["The desk.", "I connect you.", "Billing, hello."]
        assert first.now.closed
        assert len(second.connections) == 1
        assert not second.now.closed
        assert [type(each) for each in second.now.commands] == [Configure, Respond]  # as the file says, then the words
        assert second.now.configuration.instructions == "You are billing."
        await board.say("My invoice.")
        assert second.now.told == [
            ("user", "Hello."), ("assistant", "The desk."), ("assistant", "I connect you."),
            ("assistant", "Billing, hello."), ("user", "My invoice."), ("assistant", "I see."),
        ]  # fmt: skip
        assert second.now.refused == []
        assert board.call.of("error") == []
        agrees_with_its_journal(board.call)


@story
async def test_an_agent_whose_model_cannot_be_reached_does_not_get_the_call() -> None:
    first = model("The desk.", "I am still here.", "As I said.")
    second = FakeRealtime()
    second.refusals = [ProviderUnavailable("fake", "it is down")] * 9
    async with switchboard((realtime("desk"), first), (realtime("billing"), second)) as board:
        await board.say("Hello.")
        await board.to("billing", after=14)
        refused = [each for each in board.call.of("decision") if each["action"] == "RefuseHandoff"]
        assert [each["rule"] for each in refused] == ["handoff_impossible"]
        assert board.ways() == []
        assert not first.now.closed
        await board.say("Are you there?")
        assert board.call.agent_texts[-1] == "I am still here."


@story
async def test_what_was_opened_for_another_agent_is_closed_with_the_call() -> None:
    first, second = model(LONG * 3), FakeRealtime()
    async with switchboard((realtime("desk"), first), (realtime("billing"), second)) as board:
        await board.say("Hello.", after=1)
        await board.to("billing", after=1)  # the answer is still being said
        assert board.ways() == []
        assert len(second.connections) == 1
        board.call.room.leave()
        assert await board.call.task == "caller_left"
        assert second.now.closed
        assert first.now.closed


@story
async def test_a_connection_that_was_lost_before_its_turn_came_is_opened_again() -> None:
    first, second = model(LONG), model("Billing.")
    async with switchboard((realtime("desk"), first), (realtime("billing"), second)) as board:
        await board.say("Hello.", after=1)
        await board.to("billing", after=1)
        second.now.lose(ProviderUnavailable("fake", "idle for too long"))
        await board.call.room.silent(12)
        assert board.ways() == [("desk", "billing", "opened")]
        assert len(second.connections) == 2
        assert board.call.agent_texts == [LONG, "Billing."]
        assert second.now.told[:2] == [("user", "Hello."), ("assistant", LONG)]


# From one kind to the other.


@pytest.mark.parametrize("detection", DETECTIONS)
def test_from_a_realtime_model_to_a_pipeline_and_back(detection: Any) -> None:
    async def told() -> None:
        one = model("The desk.", [calls("handoff_to_billing")], "The desk again.", "You are welcome.")
        llm = FakeLLM(lambda request: next(steps))
        steps = iter([[TextDelta("Here is billing.")], [TextDelta("In May.")], [calls("handoff_to_desk")]])
        desk = realtime("desk", detection, handoffs=(Handoff(agent="billing", when="an invoice"),))
        billing = pipeline("billing", handoffs=(Handoff(agent="desk", when="anything else"),))
        async with switchboard((desk, one), (billing, None), llm=llm) as board:
            await board.say("Hello.")
            await board.say("My invoice.", after=4)
            await board.say("When is it due?")
            await board.say("Thank you, the desk please.", after=4)
            await board.say("Thanks.", after=4)
            assert board.ways() == [("desk", "billing", "closed"), ("billing", "desk", "opened")]
            assert board.call.user_texts == [
                "Hello.", "My invoice.", "When is it due?", "Thank you, the desk please.", "Thanks.",
            ]  # fmt: skip
            assert board.call.agent_texts == [
                "The desk.", "", "Here is billing.", "In May.", "", "The desk again.", "You are welcome.",
            ]  # fmt: skip
            assert [text for text in board.tts.spoken if text] == ["Here is billing.", "In May."]
            assert shown(llm.requests[0])[:4] == [
                ("system", "You are billing."), ("user", "Hello."), ("assistant", "The desk."), ("user", "My invoice."),
            ]  # fmt: skip
            assert [each.closed for each in one.connections] == [True, False]
            assert one.now.told[0] == ("user", "Hello.")  # the new connection was told all
            assert ("assistant", "In May.") in one.now.told
            assert one.now.told[-1] == ("assistant", "You are welcome.")
            assert one.now.refused == []
            assert board.call.of("error") == []
            agrees_with_its_journal(board.call)

    run_virtual(told())


@story
async def test_variables_go_along_and_the_other_file_s_hold_beside_them() -> None:
    one = model("Hello Anna.")
    clinic = realtime_agent(
        name="clinic",
        instructions="{{ place }}: {{ name }}, {{ topic }}",
        variables={"place": "Hill Street", "name": ""},
    )
    async with switchboard((pipeline("desk", variables={"name": ""}), None), (clinic, one)) as board:
        board.call.session._conversation.set_variables({"name": "Anna"})
        await board.to("clinic", variables={"topic": "teeth"})
        assert one.now.configuration.instructions == "Hill Street: Anna, teeth"


@story
async def test_words_that_nobody_could_write_down_are_not_there_for_a_pipeline_and_the_history_says_so() -> None:
    one = model("Yes?")
    async with switchboard((realtime("desk"), one), (pipeline("billing"), None)) as board:
        await board.say(None, after=5)
        await board.to("billing")
        assert ("user", "(not transcribed)") in shown(board.llm.requests[-1])


class Recogniser(FakeSTT):
    """Keeps how much sound of the caller's it was given."""

    heard_s = 0.0

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        self.heard_s = np.count_nonzero(audio.array()) / audio.sample_rate_hz
        return await super().recognize(audio, language=language)


@story
async def test_a_caller_who_begins_to_speak_as_the_call_is_handed_over_is_heard_from_the_beginning() -> None:
    one, stt = model("The desk.", onset_s=0.4), Recogniser()
    async with switchboard((realtime("desk"), one), (pipeline("billing"), None), stt=stt) as board:
        await board.say("Hello.", after=4)
        board.texts[7] = "My invoice."
        await board.call.room.speak(7, 0.2)  # the model has not told of it yet
        board.call.session.do(HandOff(agent="billing", rule="operator", enter="wait"))
        await board.call.room.speak(7, 0.8)
        await board.call.room.silent(3)
        assert board.ways() == [("desk", "billing", "closed")]
        assert board.call.user_texts == ["Hello.", "My invoice."]
        assert stt.heard_s == pytest.approx(1.0, abs=0.05)


@story
async def test_a_model_that_writes_for_a_voice_and_one_that_speaks_share_a_connection() -> None:
    one = model("The desk.", "In my own voice.")
    writes = realtime("desk", tts=definition().tts)
    async with switchboard((writes, one), (realtime("billing"), one)) as board:
        await board.say("Hello.")
        await board.to("billing")
        assert board.ways() == [("desk", "billing", "kept")]
        assert [text for text in board.tts.spoken if text] == ["The desk."]
        assert board.call.agent_texts == ["The desk.", "In my own voice."]
        assert one.now.configuration.speaks


@story
async def test_a_summary_is_written_by_the_other_agent_s_model_where_only_that_one_has_one() -> None:
    llm = FakeLLM(
        lambda request: [TextDelta("They said hello." if "Summarise" in shown(request)[0][1] else "Billing.")]
    )
    one = model("The desk has been open since nine o'clock, as it is on every day of the week.", "Yes.")
    async with switchboard((realtime("desk"), one), (pipeline("billing"), None), llm=llm) as board:
        await board.say("Hello, at which time do you open, if I may ask?", 4.0, after=8)
        await board.say("My invoice.")
        await board.to("billing", history="summary", after=5)
        assert shown(llm.requests[-1])[1][1].endswith("They said hello.")
        assert board.call.agent_texts[-1] == "Billing."
        agrees_with_its_journal(board.call)


@story
async def test_where_neither_has_a_model_that_summarises_the_other_knows_all_and_the_journal_why() -> None:
    one = model("The desk.", "Billing.")
    async with switchboard((realtime("desk"), one), (realtime("billing"), one)) as board:
        await board.say("Hello.")
        await board.say("My invoice.")
        await board.to("billing", history="summary")
        assert [error["where"] for error in board.call.of("error")] == ["summary"]
        assert ("user", "Hello.") in one.now.told
        assert board.call.agent_texts[-1] == "Billing."


@story
async def test_a_killed_call_goes_on_as_the_agent_that_it_was_handed_to() -> None:
    one = model("Billing.", "In May.")
    billing = realtime("billing")
    async with switchboard((pipeline("desk"), None), (billing, one)) as board:
        await board.say("Hello.")
        await board.to("billing")
        again = restore(board.call.records)
    assert again.agents == ("desk", "billing")
    async with switchboard((billing, one), restored=again, incarnation=2) as board:
        await board.call.room.silent(4)
        await board.say("When is it due?")
        assert board.call.agent_texts[-1] == "In May."
        assert one.now.told[:2] == [("user", "Hello."), ("assistant", "Here is the pipeline.")]
        assert one.now.refused == []
