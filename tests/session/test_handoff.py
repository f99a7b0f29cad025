"""A call that goes from one agent to another: at a turn's boundary, with what the file says, and never half. In virtual
time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agentd.cli.explained import text_of
from agentd.config.builtins import Destination, TransferTool
from agentd.config.consent import Consent
from agentd.config.definition import AgentDefinition, Greeting, IdlePrompt, Limits, RoomOptions
from agentd.config.handoffs import Handoff
from agentd.config.hooks import HandoffAction, Hook, HookActions, InstructionsAction, ToolsAction
from agentd.config.tasks import NameField, Task
from agentd.config.tools import ToolOptions
from agentd.config.turns import Endpointing, Turn
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, Message, TextDelta, ToolCall, ToolResult
from agentd.session.explanation import explain
from agentd.session.restore import restore
from agentd.tools.acts import HandOff, SetTools, UpdateInstructions
from agentd.tools.builtins import builtin
from agentd.tools.handoff import HandoffTool
from agentd.tools.spec import Event, HookOutcome, SetVariables, ToolContext, ToolOutcome
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, definition, equipment
from tests.fakes.providers import FakeLLM, FakeStreamingSTT, FakeSTT, FakeTTS, calls, says
from tests.session.test_session import LONG, story

INVOICE = Handoff(agent="billing", when="the caller asks about an invoice")
BACK = Handoff(agent="desk", when="the caller wants something else")


def hands_over(request: ChatRequest) -> Any:
    return [calls("handoff_to_billing")]


@dataclass
class Desk:
    """A call that begins at the desk."""

    call: Call
    billing: FakeLLM
    voice: FakeTTS
    stt: FakeSTT
    agents: FakeAgents

    def handoffs(self) -> list[tuple[str, str, str, str]]:
        return [(each["from"], each["to"], each["rule"], each["value"]) for each in self.call.of("handoff")]

    def refused(self) -> list[str]:
        return [each["rule"] for each in self.call.of("decision") if each["action"] == "RefuseHandoff"]

    def told_billing(self) -> list[tuple[str, str]]:
        """The last request of its model, without the system prompt."""
        return shown(self.billing.requests[-1])[1:]


def shown(request: ChatRequest) -> list[tuple[str, str]]:
    told = []
    for item in request.items:
        match item:
            case Message(role=role, text=text):
                told.append((role, text))
            case ToolCall(name=name):
                told.append(("call", name))
            case ToolResult(content=content):
                told.append(("result", content))
    return told


def tools_of(
    agent: AgentDefinition,
    more: Mapping[str, Any] | None = None,
    options: Mapping[str, ToolOptions] | None = None,
    **hooks: Any,
) -> FakeTools:
    """With those for handing over, as the runner makes them."""
    made = [HandoffTool(each, n) for n, each in enumerate(agent.handoffs) if each.when]
    return FakeTools({**(more or {}), **{tool.schema.name: tool.run for tool in made}}, options or {}, hooks=hooks)


@asynccontextmanager
async def at_the_desk(
    *handoffs: Handoff,
    script: Callable[..., Any] | None = None,
    billing: Callable[..., Any] | None = None,
    desk: Mapping[str, Any] | None = None,
    other: Mapping[str, Any] | None = None,
    tools: Mapping[str, Any] | None = None,
    takes_s: float = 0.0,
    other_stt: FakeSTT | None = None,
    **more: Any,
) -> AsyncIterator[Desk]:
    agent = replace(definition(), name="desk", instructions="You are the desk.", handoffs=handoffs, **(desk or {}))
    its_own = {"instructions": "You are billing.", "handoffs": (BACK,), **(other or {})}
    second = replace(definition(), name="billing", digest="billing-1", **its_own)
    stt = more.pop("stt", None) or FakeSTT()
    voice, llm = FakeTTS(), FakeLLM(billing or says("This is billing."))
    agents = FakeAgents({}, takes_s)
    hooks = more.pop("hooks", {})
    first = tools_of(agent, tools, more.pop("options", None), **hooks)
    async with calling(agent=agent, script=script, stt=stt, agents=agents, tools=first, **more) as call:
        agents.ready["desk"] = equipment(agent, call.llm, stt=stt, tts=call.tts, tools=first)
        agents.ready["billing"] = equipment(second, llm, stt=other_stt or stt, tts=voice, tools=tools_of(second))
        yield Desk(call, llm, voice, stt, agents)


# The model's choice.


@story
async def test_the_model_hands_over_and_the_other_agent_answers_in_its_own_voice_with_its_own_instructions() -> None:
    async with at_the_desk(INVOICE, script=hands_over) as desk:
        await desk.call.say("I have a question about my invoice.")
        await desk.call.room.silent(3)
        assert desk.handoffs() == [("desk", "billing", "model", "handoffs[0].when")]
        assert desk.call.agent_texts == ["", "This is billing."]
        assert [text for text in desk.voice.spoken if text] == ["This is billing."]
        assert shown(desk.billing.requests[-1])[0] == ("system", "You are billing.")
        assert desk.told_billing()[:3] == [
            ("user", "I have a question about my invoice."),
            ("call", "handoff_to_billing"),
            ("result", "The call goes to billing."),
        ]
        (tool,) = desk.billing.requests[-1].tools
        assert tool.name == "handoff_to_desk"
        await desk.call.say("When is it due?")
        assert desk.call.agent_texts[-1] == "This is billing."
        assert len(desk.call.llm.requests) == 1


@story
async def test_its_last_words_are_said_before_and_its_greeting_first() -> None:
    handoff = replace(INVOICE, say="I connect you with {{ who }}.")
    async with at_the_desk(
        handoff,
        script=lambda request: [TextDelta("Of course. "), calls("handoff_to_billing")],
        desk={"variables": {"who": "billing"}},
        other={"greeting": Greeting(say="Billing, hello.")},
    ) as desk:
        await desk.call.say("My invoice, please.")
        await desk.call.room.silent(6)
        assert desk.call.agent_texts == ["Of course.", "I connect you with billing.", "Billing, hello."]
        assert desk.voice.spoken == ["Billing, hello."]
        assert desk.billing.requests == []
        entered = desk.call.of("agent.entered")[0]
        assert (entered["enters"], entered["first"], entered["previous"]) == ("greet", True, "desk")


@story
async def test_an_agent_that_gets_the_call_back_replies_and_does_not_greet_again() -> None:
    async with at_the_desk(
        INVOICE,
        script=_in_turn([calls("handoff_to_billing")], [TextDelta("Yes?")]),
        billing=_in_turn([calls("handoff_to_desk")]),
        desk={"greeting": Greeting(say="The desk, hello.")},
        other={"greeting": Greeting(say="Billing, hello.")},
    ) as desk:
        await desk.call.room.silent(3)
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        await desk.call.say("And an appointment.")
        await desk.call.room.silent(3)
        assert desk.call.agent_texts == ["The desk, hello.", "", "Billing, hello.", "", "Yes?"]
        assert [each["enters"] for each in desk.call.of("agent.entered")] == ["greet", "reply"]
        assert desk.call.last_request()[-1][1].startswith(
            "You have just taken this call over from another agent, billing"
        )


@story
async def test_an_agent_that_waits_listens() -> None:
    async with at_the_desk(replace(INVOICE, enter="wait"), script=hands_over) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        assert desk.handoffs()
        assert desk.call.room.states[-1][1] == "listening"
        desk.call.session.do(HandOff(agent="nobody", rule="operator"))
        await desk.call.room.silent(2)
        assert desk.call.room.states[-1][1] == "listening"


@story
async def test_a_caller_who_speaks_into_the_last_words_is_answered_by_the_other_agent() -> None:
    async with at_the_desk(INVOICE, script=hands_over, takes_s=1.0) as desk:
        await desk.call.room.speak(desk.call.learn("My invoice."), 1.0)
        await desk.call.room.silent(0.8)
        await desk.call.room.speak(desk.call.learn("The one of May."), 1.5)
        await desk.call.room.silent(4)
        assert desk.call.user_texts == ["My invoice.", "The one of May."]
        assert [each["enters"] for each in desk.call.of("agent.entered")] == ["answer"]
        assert desk.told_billing()[-1] == ("user", "The one of May.")
        assert desk.call.agent_texts[-1] == "This is billing."


def _in_turn(*answers: Any) -> Callable[[ChatRequest], Any]:
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


# What goes along.


@pytest.mark.parametrize(
    ("history", "knows"),
    [
        ("full", ["Hello.", "Fine.", "My invoice."]),
        ("last: 3", ["My invoice."]),
        ("none", []),
    ],
)
def test_the_other_agent_knows_as_much_as_the_file_says(history: str, knows: list[str]) -> None:
    @story
    async def told() -> None:
        async with at_the_desk(
            replace(INVOICE, history=history), script=_in_turn([TextDelta("Fine.")], [calls("handoff_to_billing")])
        ) as desk:
            await desk.call.say("Hello.")
            await desk.call.room.silent(2)
            await desk.call.say("My invoice.")
            await desk.call.room.silent(3)
            assert [text for role, text in desk.told_billing() if role in ("user", "assistant")] == knows
            _agrees_with_its_journal(desk.call)

    told()


@story
async def test_a_summary_goes_along_and_the_callers_last_turn_stays_word_for_word() -> None:
    def script(request: ChatRequest) -> Any:
        if "Summarise" in shown(request)[0][1]:
            return [TextDelta("They asked for hours.")]
        asked = [text for role, text in shown(request) if role == "user"]
        return [calls("handoff_to_billing")] if "invoice" in asked[-1] else [TextDelta(LONG)]

    async with at_the_desk(replace(INVOICE, history="summary"), script=script) as desk:
        await desk.call.say("When do you open, and on which days of the week are you there for everybody?", 5.0)
        await desk.call.room.silent(9)
        await desk.call.say("My invoice.")
        await desk.call.room.silent(4)
        told = desk.told_billing()
        assert told[0][0] == "system"
        assert told[0][1].endswith("They asked for hours.")
        assert told[1] == ("user", "My invoice.")
        assert desk.call.agent_texts[-1] == "This is billing."
        _agrees_with_its_journal(desk.call)


@story
async def test_without_a_summary_the_other_agent_knows_all() -> None:
    def script(request: ChatRequest) -> Any:
        if "Summarise" in shown(request)[0][1]:
            return [TextDelta("word " * 200)]
        asked = [text for role, text in shown(request) if role == "user"]
        return [calls("handoff_to_billing")] if "invoice" in asked[-1] else [TextDelta("Fine.")]

    async with at_the_desk(replace(INVOICE, history="summary"), script=script) as desk:
        await desk.call.say("Hello.")
        await desk.call.room.silent(2)
        await desk.call.say("My invoice.")
        await desk.call.room.silent(25)
        assert [text for role, text in desk.told_billing() if role == "user"] == [
            "Hello.",
            "My invoice.",
        ] or desk.refused()


@story
async def test_what_was_set_in_the_call_goes_along_and_what_the_other_file_says_holds_beside_it() -> None:
    async def find(call: ToolCall, context: ToolContext) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="found")
        return ToolOutcome(result=result, actions=(SetVariables(values={"customer": 7}),))

    async with at_the_desk(
        replace(INVOICE, variables={"topic": "invoice"}),
        script=_in_turn([calls("find"), calls("handoff_to_billing")]),
        tools={"find": find},
        desk={"variables": {"hours": "9 to 5", "clinic": "Hill Street", "customer": 0}},
        other={
            "variables": {"hours": "10 to 4", "customer": 0},
            "instructions": "{{ clinic }} {{ hours }} {{ customer }} {{ topic }}",
        },
    ) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        assert shown(desk.billing.requests[-1])[0][1] == "Hill Street 10 to 4 7 invoice"


@story
async def test_turn_taking_limits_and_the_recogniser_are_the_other_agents() -> None:
    slow = Turn(endpointing=Endpointing(min_delay=Duration(1.5), max_delay=Duration(3)))
    prompts = Limits(idle_prompt=IdlePrompt(after=Duration(4), say="Are you there?", times=1))
    streaming = FakeStreamingSTT()
    async with at_the_desk(
        INVOICE,
        script=hands_over,
        other={"turn": slow, "limits": prompts},
        other_stt=streaming,
    ) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        streaming.texts = desk.stt.texts
        await desk.call.say("When is it due?")
        await desk.call.room.silent(3)
        turn = desk.call.of("turn.user")[-1]
        assert (turn["text"], turn["value"]) == ("When is it due?", "turn.endpointing.min_delay=1.5")
        assert streaming.asked == ["en"]
        await desk.call.room.silent(5)
        assert desk.call.agent_texts[-1] == "Are you there?"


# Round and round.


@story
async def test_a_call_is_not_handed_round_while_the_caller_says_nothing() -> None:
    def always(tool: str) -> Callable[[ChatRequest], Any]:
        def script(request: ChatRequest) -> Any:
            refused = any("cannot be handed over" in text for role, text in shown(request) if role == "result")
            return [TextDelta("I help you myself.")] if refused else [calls(tool)]

        return script

    async with at_the_desk(INVOICE, script=always("handoff_to_billing"), billing=always("handoff_to_desk")) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(6)
        assert [each[:2] for each in desk.handoffs()] == [("desk", "billing"), ("billing", "desk")]
        assert desk.call.agent_texts[-1] == "I help you myself."
        assert any(each["outcome"] == "refused" for each in desk.call.of("tool.completed"))


@story
async def test_there_is_a_most_and_one_that_is_not_there_is_told() -> None:
    async with at_the_desk(INVOICE, desk={"limits": Limits(max_handoffs=0)}) as desk:
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.room.silent(1)
        desk.call.session.do(HandOff(agent="nobody"))
        desk.call.session.do(HandOff(agent="desk"))
        await desk.call.room.silent(1)
        assert desk.refused() == ["max_handoffs", "max_handoffs", "handoff_to_itself"]
    async with at_the_desk(INVOICE) as desk:
        desk.call.session.do(HandOff(agent="nobody", rule="tool"))
        await desk.call.room.silent(3)
        assert desk.refused() == ["handoff_impossible"]
        assert "there is no agent nobody" in desk.call.last_request()[-1][1]
        assert desk.call.agent_texts == ["Fine."]


@story
async def test_an_agent_with_another_kind_of_room_is_refused_and_the_call_goes_on() -> None:
    async with at_the_desk(INVOICE, other={"room": RoomOptions(participants="everyone")}) as desk:
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.say("Hello.")
        assert desk.refused() == ["handoff_impossible"]
        assert desk.call.agent_texts == ["Fine."]


@story
async def test_one_that_is_never_ready_costs_ten_seconds_and_no_turn() -> None:
    async with at_the_desk(INVOICE, takes_s=1_000.0) as desk:
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.say("Hello.")
        assert desk.call.agent_texts == []
        await desk.call.room.silent(9)
        assert desk.refused() == ["handoff_impossible"]
        assert desk.call.agent_texts == ["Fine."]


# Without the model.


@story
async def test_an_expression_that_becomes_true_hands_over_before_the_answer_and_once() -> None:
    async def route(event: Event, context: ToolContext) -> HookOutcome:
        return HookOutcome(actions=(SetVariables(values={"topic": "invoice"}),))

    edge = Handoff(agent="billing", if_="topic == 'invoice'")
    hook = Hook(on="before_reply", do=HookActions(python="tools.code:route"))
    async with at_the_desk(
        edge, desk={"hooks": (hook,), "variables": {"topic": ""}}, hooks={"tools.code:route": route},
        billing=_in_turn([TextDelta("Paid.")], [calls("handoff_to_desk")]),
    ) as desk:  # fmt: skip
        await desk.call.say("Is my invoice paid?")
        assert desk.handoffs() == [("desk", "billing", "expression", "handoffs[0].if=topic == 'invoice'")]
        assert desk.told_billing() == [("user", "Is my invoice paid?")]
        assert desk.call.agent_texts == ["Paid."]
        await desk.call.say("Thank you, something else.")
        await desk.call.room.silent(3)
        await desk.call.say(
            "An appointment, please."
        )  # it is still true, and has been since the desk got the call back
        await desk.call.room.silent(3)
        assert [each[:2] for each in desk.handoffs()] == [("desk", "billing"), ("billing", "desk")]


@story
async def test_an_event_hands_over_if_its_condition_holds() -> None:
    edge = Handoff(agent="billing", on="user_state_changed", if_="event.new_state == 'away' and open")
    async with at_the_desk(edge, desk={"variables": {"open": True}}) as desk:
        await desk.call.say("Hello.")
        assert desk.handoffs() == []
        await desk.call.room.silent(20)
        assert [each[2] for each in desk.handoffs()] == ["event"]


@story
async def test_silence_hands_over_at_its_time() -> None:
    edge = Handoff(agent="billing", after_silence=Duration(8), enter="wait")
    async with at_the_desk(edge) as desk:
        await desk.call.say("Hello.")
        await desk.call.room.silent(9)
        assert [each[2:] for each in desk.handoffs()] == [("silence", "handoffs[0].after_silence=8")]
        (record,) = [each for each in desk.call.records if each.kind == "handoff"]
        last = next(each for each in desk.call.records if each.kind == "turn.agent")
        assert desk.call.agent_texts == ["Fine."]
        assert record.seq > last.seq


# Hooks, tools and operators.


@story
async def test_hooks_hand_over_and_each_agent_has_its_own_who_are_told_of_entering_and_leaving() -> None:
    async with at_the_desk(
        desk={
            "hooks": (
                Hook(on="participant_linked", do=HookActions(handoff=HandoffAction(agent="billing", enter="wait"))),
                Hook(on="agent_left", do=HookActions(set={"left": "{{ no template }}"})),
            )
        },
        other={
            "hooks": (
                Hook(on="agent_entered", do=HookActions(say="I am {{ event.agent }}, after {{ event.previous }}.")),
            )
        },
    ) as desk:
        await desk.call.room.silent(5)
        assert desk.handoffs() == [("desk", "billing", "hook", "hooks[0]")]
        assert desk.call.agent_texts == ["I am billing, after desk."]
        done = [(each["hook"], each["event"], each["outcome"]) for each in desk.call.of("hook.completed")]
        assert done == [(0, "participant_linked", "ok"), (1, "agent_left", "ok"), (2, "agent_entered", "ok")]
        types = [
            event.type for event in desk.call.events if event.type.startswith("agent_") and "state" not in event.type
        ]
        assert types == ["agent_entered", "agent_left", "agent_handoff", "agent_entered"]


@story
async def test_a_tools_code_hands_over_and_the_model_says_nothing_more() -> None:
    async def move(call: ToolCall, context: ToolContext) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(HandOff(agent="billing", rule="tool", say="One moment."),))

    async with at_the_desk(tools={"move": move}, script=lambda request: [calls("move")]) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(4)
        assert len(desk.call.llm.requests) == 1
        assert desk.handoffs() == [("desk", "billing", "tool", "move")]
        assert desk.call.agent_texts == ["", "One moment.", "This is billing."]


@story
async def test_instructions_and_tools_change_for_the_agent_that_has_the_call() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        return "booked"

    async with at_the_desk(INVOICE, tools={"book": book}) as desk:
        desk.call.session.do(UpdateInstructions(text="It is {{ late }}."))
        desk.call.session.do(SetTools(disable=("book",)))
        await desk.call.say("Hello.")
        request = desk.call.llm.requests[-1]
        assert shown(request)[0] == ("system", "You are the desk.\n\nIt is {{ late }}.")
        assert [tool.name for tool in request.tools] == ["handoff_to_billing"]
        desk.call.session.do(UpdateInstructions(text="Be somebody else.", edit="replace"))
        desk.call.session.do(SetTools(enable=("book",), disable=("handoff_to_billing",)))
        await desk.call.say("Hello again.")
        request = desk.call.llm.requests[-1]
        assert shown(request)[0] == ("system", "Be somebody else.")
        assert [tool.name for tool in request.tools] == ["book"]
        restored = restore(desk.call.records)
        assert restored.adjustments == desk.call.session._conversation.adjustments
        assert restored.tools == {"book": True, "handoff_to_billing": None}
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.say("Hello.")
        assert shown(desk.billing.requests[-1])[0] == ("system", "You are billing.")


@story
async def test_a_tool_that_was_taken_away_is_not_called_although_the_model_remembers_it() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        return "booked"

    hook = Hook(
        on="participant_linked",
        do=HookActions(
            tools=ToolsAction(disable=("book",)), instructions=InstructionsAction(append="Hi {{ event.identity }}.")
        ),
    )
    async with at_the_desk(
        tools={"book": book}, script=_in_turn([calls("book")], [TextDelta("No.")]), desk={"hooks": (hook,)}
    ) as desk:
        await desk.call.room.silent(1)
        await desk.call.say("Book it.")
        await desk.call.room.silent(2)
        assert desk.call.tools.ran == []
        assert [each["outcome"] for each in desk.call.of("tool.completed")] == ["unknown_tool"]
        assert desk.call.last_request()[0][1] == "You are the desk.\n\nHi caller."


@story
async def test_what_a_tool_of_the_former_agent_finds_is_attached_and_its_words_are_not_said() -> None:
    async def slow(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(6)
        return "found late"

    async with at_the_desk(
        tools={"slow": slow}, script=_in_turn([calls("slow")]), billing=says("Who is it?", "I see.")
    ) as desk:
        await desk.call.room.speak(desk.call.learn("Look it up."), 1.0)
        await desk.call.room.silent(1.5)
        desk.call.session.do(HandOff(agent="billing"))
        desk.call.session.interrupt(force=True)
        await desk.call.room.silent(9)
        assert desk.call.agent_texts[-1] == "Who is it?"
        await desk.call.say("What now?")
        assert ("result", "found late") in desk.told_billing()


# Another process, and the record.


def _agrees_with_its_journal(call: Call) -> None:
    assert restore(call.records).items == call.session._conversation.history.items()


@story
async def test_a_call_that_was_handed_over_goes_on_with_that_agent_in_another_process() -> None:
    async with at_the_desk(replace(INVOICE, history="none"), script=hands_over) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        desk.call.session.do(UpdateInstructions(text="Be quick."))
        await desk.call.say("When is it due?")
        restored = restore(desk.call.records)
        assert restored.agents == ("desk", "billing")
        assert restored.revision == "billing-1"
        billing = desk.agents.ready["billing"]
    async with calling(
        agent=billing.definition,
        restored=restored,
        incarnation=2,
        script=says("On Monday."),
        tools=tools_of(billing.definition),
    ) as call:
        await call.room.silent(4)
        await call.say("Once more: when?")
        await call.room.silent(2)
        system = call.last_request()[0]
        assert system == ("system", "You are billing.\n\nBe quick.")
        assert ("user", "When is it due?") in call.last_request()
        assert call.session._conversation.trail.seen == {"desk", "billing"}
        assert call.session._conversation.trail.count == 1


@story
async def test_a_handoff_that_was_asked_for_is_made_by_the_process_that_goes_on() -> None:
    async with at_the_desk(INVOICE, takes_s=100.0) as desk:
        desk.call.session.do(HandOff(agent="billing", enter="wait"))
        await desk.call.say("Hello.")
        restored = restore(desk.call.records)
        assert restored.handoff is not None
        agents = FakeAgents(desk.agents.ready)
        first = desk.agents.ready["desk"].definition
    async with calling(agent=first, restored=restored, incarnation=2, agents=agents) as call:
        await call.room.silent(4)
        assert [(each["from"], each["to"]) for each in call.of("handoff")] == [("desk", "billing")]
        assert restore([*desk.call.records, *call.records]).handoff is None


@story
async def test_the_explanation_says_by_which_line_it_was_handed_over() -> None:
    places = {"handoffs[0].when": "agents.d/desk.yaml:12", "handoffs[0].agent": "agents.d/desk.yaml:11"}
    async with at_the_desk(INVOICE, script=hands_over, desk={"places": places}) as desk:
        await desk.call.say("My invoice.")
        await desk.call.room.silent(3)
        (told,) = explain("S1", desk.call.records).handoffs
        assert (told.agent, told.to, told.turn, told.made) == ("desk", "billing", 1, True)
        assert (told.cause.rule, told.cause.value, told.cause.place) == (
            "model",
            "handoffs[0].when",
            "agents.d/desk.yaml:12",
        )
        assert desk.call.of("handoff")[0]["place"] == "agents.d/desk.yaml:12"
        desk.call.session.do(HandOff(agent="nobody"))
        await desk.call.room.silent(1)
        text = text_of(explain("S1", desk.call.records))
        assert "the call went on: desk -> billing, with the history: full" in text
        assert "the model asked for it [model] handoffs[0].when (agents.d/desk.yaml:12)" in text
        assert "the call was not handed over: billing -> nobody" in text


@story
async def test_a_task_ends_with_the_agent_whose_it_is() -> None:
    task = Task(
        name="booking",
        fields=(NameField(type="name", name="who", ask="Your name?"),),
        at_start=True,
        understanding="rules",
    )
    async with at_the_desk(desk={"tasks": (task,)}, billing=says("Who is it?", "I see.")) as desk:
        await desk.call.room.silent(3)
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.room.silent(3)
        await desk.call.say("Anna Shah.")
        assert [(each["outcome"], each["rule"]) for each in desk.call.of("task.ended")] == [("given_up", "handed_over")]
        assert desk.call.agent_texts[-2:] == ["Who is it?", "I see."]


@story
async def test_a_question_that_was_asked_often_enough_hands_the_call_over() -> None:
    there = HandoffAction(agent="billing", say="Somebody else will help.")
    field = NameField(type="name", name="caller", ask="Your name?", retries=0, then="handoff", handoff=there)
    task = Task(name="who", fields=(field,), at_start=True, understanding="rules")
    async with at_the_desk(desk={"tasks": (task,)}) as desk:
        await desk.call.room.silent(3)
        await desk.call.say("forty two")
        await desk.call.room.silent(5)
        assert desk.handoffs() == [("desk", "billing", "task_exhausted", "tasks.who.caller.then=handoff")]
        assert "Somebody else will help." in desk.call.agent_texts
        assert desk.call.of("task.ended")[0]["outcome"] == "exhausted"


@story
async def test_a_destination_of_transfer_may_be_an_agent() -> None:
    to = TransferTool(
        type="builtin", name="transfer", destinations=(Destination(name="money", agent="billing", when="money"),)
    )

    async def transfer(call: ToolCall, context: ToolContext) -> ToolOutcome:
        return await builtin(to, definition(tools=(to,)), None).run(call, context)

    def script(request: ChatRequest) -> Any:
        return [calls("transfer", '{"destination": "money", "summary": "a bill"}')]

    async with at_the_desk(desk={"tools": (to,)}, tools={"transfer": transfer}, script=script) as desk:
        await desk.call.say("My bill, please.")
        await desk.call.room.silent(4)
        assert desk.handoffs() == [("desk", "billing", "tool", "tools.transfer.destinations.money")]
        assert desk.call.agent_texts[-1] == "This is billing."
        assert desk.call.of("transfer") == []


@story
async def test_a_question_for_consent_goes_with_the_agent_that_asked_it() -> None:
    async def book(call: ToolCall, context: ToolContext) -> str:
        raise AssertionError("nobody agreed to it")

    asks = ToolOptions(confirm=Consent(by="spoken"))

    def script(request: ChatRequest) -> Any:
        return [calls("book", "{}")]

    async with at_the_desk(tools={"book": book}, options={"book": asks}, script=script) as desk:
        await desk.call.say("Book a table.")
        await desk.call.room.silent(6)
        desk.call.session.do(HandOff(agent="billing"))
        await desk.call.room.silent(3)
        await desk.call.say("Yes, please.")
        await desk.call.room.silent(4)
        assert [(each["outcome"], each["rule"]) for each in desk.call.of("consent")] == [
            ("asked", ""),
            ("heard", ""),
            ("withdrawn", "handed_over"),
        ]
        assert desk.call.agent_texts[-1] == "This is billing."
        assert restore(desk.call.records).question is None
