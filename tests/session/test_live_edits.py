"""Edits of an agent's file that a call under way takes, at a turn's boundary and with what they bring ready before. In
virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from agentd.cli.explained import text_of
from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import AgentDefinition, Greeting, IdlePrompt, LanguageOverride, Limits
from agentd.config.hooks import Hook, HookActions
from agentd.config.provider_choice import ProviderChoice
from agentd.config.turns import Endpointing, Turn
from agentd.errors import ProviderRefused
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, LLMSettings, TextDelta, ToolCall
from agentd.providers.realtime import Configure
from agentd.providers.stt import STTSettings
from agentd.providers.tts import TTSSettings
from agentd.runtime.measures import measures
from agentd.session.explanation import explain
from agentd.session.live_edits import LET_GO_S
from agentd.session.restore import restore
from agentd.tools.acts import BeginTask, SetTools, UpdateInstructions
from agentd.tools.spec import Event, ToolContext
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, definition, equipment
from tests.fakes.providers import Answer, FakeLLM, FakeStreamingSTT, FakeSTT, FakeTTS, FakeVAD, calls, says
from tests.fakes.realtime import FakeRealtime, answers, realtime_agent
from tests.session.test_hooks import hook, hooked, python, ref
from tests.session.test_job_desk import adding
from tests.session.test_session import LONG, story

OTHER = "other"


def other(kind: Any) -> ProviderChoice:
    settings = {"stt": STTSettings(), "llm": LLMSettings(), "tts": TTSSettings()}[kind]
    return ProviderChoice(kind=kind, provider=OTHER, settings=settings, digest=f"{kind}-2")


@dataclass
class Edited:
    """A call, and the file of its agent."""

    call: Call
    agent: AgentDefinition
    agents: FakeAgents
    vad: FakeVAD
    written: int = 1
    tools: FakeTools = field(default_factory=FakeTools)

    def edit(self, revision: str = "", **changes: Any) -> None:
        """Writes the file: as it was at first, with these changes. Providers and tools that are no part of it are given
        beside them: `its_llm`, `its_stt`, `its_tts`, `its_tools`."""
        made = {name: changes.pop(f"its_{name}", None) for name in ("llm", "stt", "tts", "tools")}
        self.written += 1
        digest = revision or f"revision-{self.written}"
        call = self.call
        equipped = equipment(
            replace(self.agent, digest=digest, **changes),
            made["llm"] or call.llm,
            stt=made["stt"] or call.stt,
            tts=made["tts"] or call.tts,
            tools=made["tools"] or self.tools,
            vad=self.vad,
        )
        if self.agent.realtime is not None:
            providers = replace(
                equipped.providers, stt=(), llm=(), realtime=call.session._parts.setup.providers.realtime
            )
            equipped = replace(equipped, providers=providers)
        self.agents.serving[self.agent.name] = equipped
        call.session.look_at_files()

    @property
    def taken(self) -> list[str]:
        return [each["revision"] for each in self.call.of("agent.edited")]

    @property
    def kept(self) -> list[Mapping[str, Any]]:
        return [each for each in self.call.of("decision") if each["action"] == "KeepRevision"]

    def revisions(self) -> list[tuple[str, str]]:
        """Of every turn, whose it was and by which revision of the agent."""
        turns = [each for each in self.call.records if each.kind in ("turn.user", "turn.agent")]
        return [(each.kind.removeprefix("turn."), each.data["revision"]) for each in turns]


@asynccontextmanager
async def edited(agent: AgentDefinition | None = None, **options: Any) -> AsyncIterator[Edited]:
    agent = replace(agent or definition(), reload="live")
    agents, vad = FakeAgents({}), FakeVAD()
    tools = options.setdefault("tools", FakeTools())
    async with calling(agent=agent, agents=agents, vad=vad, **options) as call:
        yield Edited(call, agent, agents, vad, tools=tools)


def of(call: Call, event: str) -> list[Mapping[str, Any]]:
    return [each.data for each in call.events if each.type == event]


# When.


@story
async def test_other_instructions_hold_from_the_next_turn_and_every_later_turn_says_so() -> None:
    async with edited(script=says("Old.", "New.", "New again.")) as file:
        await file.call.say("First.")
        await file.call.room.silent(2)
        file.edit(instructions="Be polite.")
        await file.call.say("Second.")
        await file.call.room.silent(2)
        await file.call.say("Third.")
        assert [request.items[0].text for request in file.call.llm.requests] == [  # type: ignore[union-attr]
            "Be brief.",
            "Be polite.",
            "Be polite.",
        ]
        assert file.revisions() == [
            ("user", "revision-1"),
            ("agent", "revision-1"),
            *[("user", "revision-2"), ("agent", "revision-2")] * 2,
        ]
        (told,) = file.call.of("agent.edited")
        assert (told["previous"], told["applied"], told["kept"]) == ("revision-1", ["instructions"], [])
        assert file.agents.running == ["revision-2"]
        assert [item["revision"] for item in of(file.call, "conversation_item_added")][-1] == "revision-2"


@story
async def test_what_is_being_said_is_said_to_the_end_by_the_revision_that_began_it() -> None:
    async with edited(script=says(LONG, "New.")) as file:
        await file.call.say("Tell me.")
        file.edit(instructions="Be polite.", tts=other("tts"), its_tts=(voice := FakeTTS()))
        await file.call.room.silent(4)
        assert file.taken == []
        assert file.call.session.state == "speaking"
        await file.call.room.silent(10)
        assert file.taken == ["revision-2"]
        assert file.call.agent_texts == [LONG]
        assert voice.spoken == ["Hello."], "it was tried, and said nothing to the caller"


@story
async def test_a_caller_who_has_the_turn_is_answered_by_the_new_one() -> None:
    async with edited(script=says("Fine.")) as file:
        value = file.call.learn("When do you open?")
        speaking = asyncio.create_task(file.call.room.speak(value, 2.0))
        await asyncio.sleep(1.0)
        file.edit(instructions="Be polite.")
        await speaking
        await file.call.room.silent(3)
        assert file.revisions() == [("user", "revision-1"), ("agent", "revision-2")]
        assert file.call.last_request()[0] == ("system", "Be polite.")
        dropped = [each for each in file.call.of("preemption") if each["outcome"] == "dropped"]
        assert [each["rule"] for each in dropped] == ["edit"], "what the old one had begun early is not used"


@story
async def test_a_tool_at_work_is_waited_for() -> None:
    async def look(call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(5)
        return "Found."

    script = _in_turn([calls("look")], [TextDelta("It is there.")], [TextDelta("New.")])
    async with edited(script=script, tools=FakeTools({"look": look})) as file:
        await file.call.say("Look it up.")
        await file.call.room.silent(1)
        file.edit(instructions="Be polite.", its_tools=(new := FakeTools()))
        await file.call.room.silent(1)
        assert file.taken == []
        await file.call.room.silent(8)
        assert file.call.agent_texts[-1] == "It is there."
        assert file.taken == ["revision-2"]
        await file.call.say("And now?")
        assert new.ran == []
        assert file.call.llm.requests[-1].tools == ()


@story
async def test_a_task_that_runs_is_waited_for() -> None:
    digits = CollectDigitsTool(type="builtin", name="collect_digits", length=4, prompt="Which number?")
    async with edited(definition(tools=(digits,))) as file:
        file.call.session.do(BeginTask(task="digits", by="hook"))
        await file.call.room.silent(3)
        file.edit(instructions="Be polite.", tools=(digits,))
        await file.call.room.silent(2)
        assert file.taken == []
        file.call.room.push("1234")
        await file.call.room.silent(5)
        assert [each["outcome"] for each in file.call.of("task.ended")] == ["complete"]
        assert file.taken == ["revision-2"]


@story
async def test_a_greeting_that_waits_is_said_all_the_same() -> None:
    async with edited(definition(greeting=Greeting(say="Hello, this is the clinic.")), link=False) as file:
        file.edit(instructions="Be polite.", greeting=Greeting(say="Hello, this is the clinic."))
        await asyncio.sleep(1)
        file.call.room.link(outbound=True)
        await file.call.room.silent(4)
        assert file.call.agent_texts == ["Hello, this is the clinic."]
        assert file.taken == ["revision-2"]


@story
async def test_of_several_edits_the_newest_counts_and_the_others_are_let_go() -> None:
    async with edited(script=says(LONG, "New.")) as file:
        await file.call.say("Tell me.")
        for text in ("one", "two", "three"):
            file.edit(instructions=text)
            await file.call.room.silent(0.5)
        await file.call.room.silent(12)
        await file.call.say("And now?")
        assert file.taken == ["revision-4"]
        assert file.call.last_request()[0] == ("system", "three")
        assert file.agents.released == ["revision-2", "revision-3"]


@story
async def test_going_back_is_an_edit_as_any_other_and_before_a_boundary_it_is_none() -> None:
    async with edited(script=says(LONG, "Fine.")) as file:
        await file.call.say("Tell me.")
        file.edit(instructions="Be polite.")
        await file.call.room.silent(0.5)
        file.edit("revision-1")
        await file.call.room.silent(12)
        assert file.taken == []
        file.edit("revision-2", instructions="Be polite.")
        await file.call.say("And?")
        file.edit("revision-1")
        await file.call.room.silent(2)
        await file.call.say("And now?")
        assert file.taken == ["revision-2", "revision-1"]
        assert file.call.last_request()[0] == ("system", "Be brief.")


@story
async def test_a_file_that_does_not_say_so_leaves_its_calls_alone() -> None:
    async with edited() as file:
        file.edit(instructions="Be polite.", reload="next_session")
        await file.call.say("Hello.")
        assert file.taken == []
        assert file.kept == []
        assert {revision for _, revision in file.revisions()} == {"revision-1"}


# What.


@story
async def test_other_tools() -> None:
    async def find(call: ToolCall, context: ToolContext) -> str:
        return "Two doctors."

    script = _in_turn([TextDelta("Fine.")], [calls("find")], [TextDelta("There are two.")])
    async with edited(script=script) as file:
        await file.call.say("Hello.")
        file.edit(tools=(), instructions="Find.", its_tools=(new := FakeTools({"find": find})))
        await file.call.room.silent(2)
        await file.call.say("Who is there?")
        await file.call.room.silent(2)
        assert [call.name for call in new.ran] == ["find"]
        assert file.call.agent_texts[-1] == "There are two."


@story
async def test_another_voice() -> None:
    async with edited(script=says("Old.", "New.")) as file:
        await file.call.say("Hello.")
        await file.call.room.silent(2)
        file.edit(tts=other("tts"), its_tts=(voice := FakeTTS()))
        await file.call.say("And now?")
        await file.call.room.silent(1)
        assert file.call.tts.spoken == ["Old."]
        assert voice.spoken == ["Hello.", "New."]
        assert file.call.agent_texts == ["Old.", "New."]


@story
async def test_another_model() -> None:
    async with edited(script=says("Old.")) as file:
        await file.call.say("Hello.")
        await file.call.room.silent(2)
        file.edit(llm=other("llm"), its_llm=(model := FakeLLM(says("Tried.", "New."))))
        await file.call.room.silent(1)
        await file.call.say("And now?")
        await file.call.room.silent(1)
        assert file.call.agent_texts == ["Old.", "New."]
        assert len(file.call.llm.requests) == 1
        assert [item.text for item in model.requests[-1].items] == [  # type: ignore[union-attr]
            "Be brief.",
            "Hello.",
            "Old.",
            "And now?",
        ]


@pytest.mark.parametrize("first", [FakeSTT, FakeStreamingSTT])
@pytest.mark.parametrize("second", [FakeSTT, FakeStreamingSTT])
def test_another_recogniser(first: type[FakeSTT], second: type[FakeSTT]) -> None:
    @story
    async def told() -> None:
        async with edited(stt=first()) as file:
            await file.call.say("By the old one.")
            await file.call.room.silent(2)
            new = second(texts=file.call.stt.texts, delay_s=0.15)
            asked = len(file.call.stt.asked)
            file.edit(stt=other("stt"), its_stt=new)
            await file.call.room.silent(0.5)
            await file.call.say("By the new one.")
            await file.call.room.silent(2)
            assert file.call.user_texts == ["By the old one.", "By the new one."]
            assert len(file.call.stt.asked) == asked
            assert new.asked
            assert file.call.of("error") == []

    told()


@story
async def test_endpointing() -> None:
    async with edited() as file:
        await file.call.say("Hello.")
        await file.call.room.silent(2)
        slow = Endpointing(min_delay=Duration(1.5), max_delay=Duration(3.0))
        file.edit(turn=Turn(endpointing=slow))
        await file.call.room.silent(1)
        await file.call.say("And now?")
        first, second = (turn["delay_s"] for turn in file.call.of("turn.user"))
        assert (first, second) == (pytest.approx(0.5, abs=0.01), pytest.approx(1.5, abs=0.01))
        told = file.call.of("agent.edited")[0]["applied"]
        assert told == ["turn.endpointing.min_delay"]


@story
async def test_the_set_of_languages() -> None:
    stt = FakeSTT(languages={"Ich möchte gern einen Termin.": "de"})
    async with edited(definition(), stt=stt) as file:
        file.edit(languages={"de": LanguageOverride(instructions="Auf Deutsch.")})
        await file.call.room.silent(1)
        await file.call.say("Ich möchte gern einen Termin.")
        await file.call.room.silent(2)
        assert [each["language"] for each in file.call.of("language")] == ["de"]
        assert "Auf Deutsch." in file.call.last_request()[0][1]
        file.edit()
        await file.call.room.silent(1)
        await file.call.say("And now in English?")
        assert file.call.of("agent.edited")[-1]["language"] == "en"
        assert "Auf Deutsch." not in file.call.last_request()[0][1]


@story
async def test_hooks_limits_and_variables() -> None:
    hook = Hook(on="conversation_item_added", do=HookActions(set={"seen": "yes"}))
    idle = IdlePrompt(after=Duration(5.0), say="Are you open from {{ hours }}?")
    async with edited(definition(variables={"name": "Ann", "hours": "9"})) as file:
        file.call.session._conversation.set_variables({"name": "Anna"})
        file.edit(hooks=(hook,), limits=Limits(idle_prompt=idle), variables={"name": "Ann", "hours": "8"})
        await file.call.room.silent(1)
        await file.call.say("Hello.")
        await file.call.room.silent(8)
        assert file.call.session._conversation.variables == {"name": "Anna", "hours": "8", "seen": "yes"}
        assert file.call.agent_texts[-1] == "Are you open from 8?"
        assert restore(file.call.records).variables == {"name": "Anna", "hours": "8", "seen": "yes"}


@story
async def test_what_an_operator_has_changed_in_this_call_stays_changed() -> None:
    async def find(call: ToolCall, context: ToolContext) -> str:
        return "Two doctors."

    tools = {"find": find, "book": find}
    async with edited(tools=FakeTools(tools)) as file:
        file.call.session.do(UpdateInstructions(text="The doctor is away.", edit="append"))
        file.call.session.do(SetTools(disable=("book",)))
        await file.call.room.silent(1)
        file.edit(instructions="Be polite.", its_tools=FakeTools(tools))
        await file.call.room.silent(1)
        await file.call.say("Hello.")
        request = file.call.llm.requests[-1]
        assert file.call.last_request()[0][1] == "Be polite.\n\nThe doctor is away."
        assert [tool.name for tool in request.tools] == ["find"]


@story
async def test_what_holds_from_the_beginning_of_a_call_is_kept_and_told() -> None:
    async with edited() as file:
        file.edit(instructions="Be polite.", greeting=Greeting(say="Hello."))
        await file.call.room.silent(1)
        (told,) = file.call.of("agent.edited")
        assert told["kept"] == [{"setting": "greeting", "why": "it holds from the beginning of a call"}]
        assert file.agents.running == ["revision-2+revision-1"]
        assert told["revision"] == "revision-2"
        assert of(file.call, "agent_edited")[0]["kept"] == told["kept"]
        file.edit(greeting=Greeting(say="Hi."), instructions="Be polite.")
        await file.call.room.silent(1)
        assert [each["rule"] for each in file.kept] == ["edit_holds_later"]
        assert of(file.call, "agent_edited")[-1]["taken"] is False


# Providers that cannot be had.


class Refusing(FakeStreamingSTT):
    async def stream(self, *, language: str | None) -> Any:
        raise ProviderRefused("other", "no such key")


def _refusing_voice() -> FakeTTS:
    return FakeTTS(failures={"Hello.": ProviderRefused("other", "no such voice")})


def _refusing_model() -> FakeLLM:
    def script(request: ChatRequest) -> Answer:
        return [ProviderRefused("other", "no such model")]

    return FakeLLM(script)


@pytest.mark.parametrize(
    ("kind", "provider", "why"),
    [
        ("stt", Refusing(), "no such key"),
        ("tts", _refusing_voice(), "no such voice"),
        ("llm", _refusing_model(), "no such model"),
    ],
)
def test_a_provider_that_does_not_open_leaves_the_call_with_the_one_that_it_has(
    kind: str, provider: Any, why: str
) -> None:
    @story
    async def told() -> None:
        async with edited(stt=FakeStreamingSTT()) as file:
            await file.call.say("Hello.")
            await file.call.room.silent(2)
            file.edit(**{kind: other(kind), f"its_{kind}": provider}, instructions="Be polite.")
            await file.call.say("And now?")
            await file.call.room.silent(2)
            assert file.call.agent_texts == ["Fine.", "Fine."]
            assert file.taken == []
            assert {revision for _, revision in file.revisions()} == {"revision-1"}
            (kept,) = file.kept
            assert (kept["rule"], kept["revision"], kept["previous"]) == (
                "edit_not_ready",
                "revision-2",
                "revision-1",
            )
            assert why in kept["value"]
            assert file.agents.released == ["revision-2"]
            assert why in of(file.call, "agent_edited")[0]["reason"]
            step = [each for record in file.call.records for each in measures(record, "a")]
            assert [each.labels["outcome"] for each in step if each.name == "live_edits_total"] == ["failed"]

    told()


@story
async def test_a_revision_that_cannot_be_made_leaves_the_call_with_the_one_that_it_has() -> None:
    async with edited() as file:
        file.agents.refuses["revision-2"] = "no memory"
        file.edit(instructions="Be polite.")
        await file.call.say("Hello.")
        assert [(each["rule"], each["value"]) for each in file.kept] == [("edit_not_ready", "no memory")]
        file.edit(instructions="Be kind.")
        await file.call.room.silent(2)
        assert file.taken == ["revision-3"]


@story
async def test_what_the_call_ran_by_is_let_go_once_nothing_of_it_is_at_work() -> None:
    async with edited() as file:
        file.edit(instructions="Be polite.")
        await file.call.room.silent(1)
        await file.call.say("Hello.")
        assert file.agents.released == []
        await file.call.room.silent(LET_GO_S)
        await file.call.say("And now?")
        assert file.agents.released == ["revision-1"]


@story
async def test_the_code_of_what_is_to_be_called_at_the_end_is_kept_until_then() -> None:
    called: list[str] = []

    async def clean_up(event: Event, context: ToolContext) -> None:
        called.append(event.type)

    agent = hooked(hook("participant_linked", python=ref(adding(ref(clean_up)))))
    async with edited(agent, tools=python(adding(ref(clean_up)), clean_up)) as file:
        await file.call.room.silent(1)
        file.edit(instructions="Be polite.", its_tools=FakeTools())
        await file.call.room.silent(LET_GO_S + 2)
        await file.call.say("Hello.")
        assert file.taken == ["revision-2"]
        assert file.agents.released == []
        file.call.session.end("done")
        await file.call.task
        assert called == ["shutdown"]


# A realtime model.


@story
async def test_a_realtime_model_takes_its_instructions_and_tools_and_the_rest_waits_and_is_told() -> None:
    model = FakeRealtime(script=answers("Old.", "New."))
    agent = realtime_agent(languages={"de": LanguageOverride()})
    async with edited(agent, realtime=model, stt=FakeSTT()) as file:
        await file.call.room.silent(0.2)
        for number, text in enumerate(("Hello.", "And now?"), 1):
            model.texts[number] = text
            await file.call.room.speak(number, 1.0)
            await file.call.room.silent(4)
            if number == 1:
                file.edit(instructions="Be polite.", languages={"fr": LanguageOverride()})
                await file.call.room.silent(1)
        assert file.call.agent_texts == ["Old.", "New."]
        assert "Be polite." in model.now.of(Configure)[-1].configuration.instructions
        assert len(model.connections) == 1
        (told,) = file.call.of("agent.edited")
        assert told["applied"] == ["instructions"]
        why = 'fake takes no other "languages" while it is connected'
        assert told["kept"] == [{"setting": each, "why": why} for each in ("languages.de", "languages.fr")]
        assert file.call.session._conversation.definition.declared_languages == ("en", "de")
        assert file.revisions()[-1] == ("agent", "revision-2")


# Its explanation, and another process.


@story
async def test_it_is_explained() -> None:
    async with edited() as file:
        await file.call.say("Hello.")
        file.edit(instructions="Be polite.", greeting=Greeting(say="Hello."))
        await file.call.room.silent(2)
        file.agents.refuses["revision-3"] = "no memory"
        file.edit(instructions="Be kind.")
        await file.call.room.silent(2)
        await file.call.say("And now?")
        explained = explain("S1", file.call.records)
        assert [turn.revision for turn in explained.turns] == ["revision-1", "revision-2"]
        text = text_of(explained)
        assert "taken    instructions" in text
        assert "greeting: it holds from the beginning of a call" in text
        assert "what the edit brings could not be made ready: no memory" in text


@story
async def test_another_process_goes_on_by_the_revision_that_the_call_had() -> None:
    hook = Hook(on="agent_state_changed", do=HookActions(set={"a": 1}))
    async with edited(definition(hooks=(hook,))) as file:
        await file.call.say("Hello.")
        file.edit(instructions="Be polite.", hooks=(hook,))
        await file.call.room.silent(2)
        await file.call.say("And now?")
        restored = restore(file.call.records)
        assert (restored.revision, restored.first_hook, restored.agents) == ("revision-2", 1, ("test-agent",))
        running = replace(file.agent, digest="revision-2", instructions="Be polite.", hooks=(hook,))
    agents = FakeAgents({})
    third = replace(running, digest="revision-3", instructions="Be kind.")
    async with calling(agent=running, agents=agents, restored=restored, incarnation=2) as call:
        assert call.of("session.resumed")[0]["revision"] == "revision-2"
        await call.room.silent(4)
        await call.say("Are you there?")
        agents.serving["test-agent"] = equipment(third, call.llm, stt=call.stt, tts=call.tts)
        call.session.look_at_files()
        await call.room.silent(3)
        await call.say("And now?")
        turns = [each.data["revision"] for each in call.records if each.kind == "turn.user"]
        assert turns == ["revision-2", "revision-3"]
        assert call.of("agent.edited")[0]["previous"] == "revision-2"


def _in_turn(*answers: Any) -> Any:
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]
