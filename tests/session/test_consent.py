"""Calls that somebody must agree to first, as whole conversations in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentd.config.consent import AllowCallers, Consent
from agentd.config.definition import RoomOptions
from agentd.config.tools import ToolOptions
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, Message, TextDelta, ToolCall, ToolResult
from agentd.session.journal import read_journal
from agentd.session.restore import Restored, restore
from agentd.tools.acts import DecideApproval
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import Answer, FakeTTS
from tests.session.test_session import story

PLEASE = "Please confirm: book table, guests: 4, day: Friday. Is that right?"
FOUR = '{"guests": 4, "day": "Friday"}'


async def _book(call: ToolCall, context: ToolContext) -> str:
    return "booked"


def tools(consent: Consent | None = None, **options: Any) -> FakeTools:
    made = ToolOptions(confirm=consent or Consent(by="spoken"), **options)
    return FakeTools({"book_table": _book}, {"book_table": made})


def eager(arguments: Callable[[str], str | None]) -> Callable[[ChatRequest], Answer]:
    """A model that calls the tool whenever `arguments` of the caller's last words are some, and else boasts."""

    def script(request: ChatRequest) -> Answer:
        items = [item for item in request.items if not (isinstance(item, Message) and item.role == "system")]
        last = items[-1]
        if isinstance(last, ToolResult):
            return [TextDelta(f"It is {last.content}."[:40])]
        said = last.text if isinstance(last, Message) else ""
        given = arguments(said)
        if given is None or request.tool_choice == "none":
            return [TextDelta("It is booked!")]
        return [ToolCall(id=f"m-{len(items)}", name="book_table", arguments=given)]

    return script


def for_words(**arguments: str) -> Callable[[str], str | None]:
    return lambda said: next((given for word, given in arguments.items() if word in said.lower()), None)


@asynccontextmanager
async def asking(script: Any = None, kit: FakeTools | None = None, **more: Any) -> AsyncIterator[Call]:
    """A call in which the caller has asked for a table for four, and has heard the question."""
    async with calling(script=script or eager(for_words(table=FOUR)), tools=kit or tools(), **more) as call:
        await call.say("A table for four on Friday.")
        await asyncio.sleep(8)
        yield call


def outcomes(call: Call) -> list[str]:
    return [data["outcome"] for data in call.of("consent")]


@story
async def test_a_call_is_read_back_and_made_once_after_a_yes() -> None:
    async with asking() as call:
        assert call.tools.ran == []
        assert call.agent_texts[-1] == PLEASE
        await call.say("Yes, please.")
        await asyncio.sleep(4)
        (ran,) = call.tools.ran
        assert json.loads(ran.arguments) == {"guests": 4, "day": "Friday"}
        assert outcomes(call) == ["asked", "heard", "granted", "used"]
        assert call.agent_texts[-1] == "It is booked."
        assert [c["id"] for c in call.of("tool.called")][-1] == "consent-1-1"


@story
async def test_consent_to_a_call_is_spent_with_it() -> None:
    async with asking() as call:
        await call.say("Yes.")
        await asyncio.sleep(4)
        await call.say("The same table again.")
        await asyncio.sleep(8)
        assert len(call.tools.ran) == 1
        assert outcomes(call)[-2:] == ["asked", "heard"]


@story
async def test_a_no_is_told_to_the_model_which_cannot_call_it_in_the_same_breath() -> None:
    async with asking(eager(for_words(table=FOUR, no=FOUR))) as call:
        await call.say("No.")
        await asyncio.sleep(6)
        assert call.tools.ran == []
        assert outcomes(call) == ["asked", "heard", "denied"]
        assert "was refused" in call.of("tool.completed")[-1]["content"]


@story
async def test_other_arguments_are_asked_about_anew() -> None:
    async with asking(eager(for_words(table=FOUR, five='{"guests": 5, "day": "Friday"}'))) as call:
        await call.say("Make it five.")
        await asyncio.sleep(8)
        assert call.agent_texts[-1] == PLEASE.replace("4", "5")
        await call.say("Yes.")
        await asyncio.sleep(4)
        (ran,) = call.tools.ran
        assert json.loads(ran.arguments)["guests"] == 5
        assert "replaced" in outcomes(call)


@story
async def test_the_models_claim_that_the_caller_agreed_is_none() -> None:
    async with asking(eager(lambda said: '{"guests": 4, "day": "Friday", "confirmed": true}')) as call:
        assert call.tools.ran == []
        assert "confirmed: yes" in call.agent_texts[-1]


@story
async def test_the_order_of_arguments_is_no_change() -> None:
    async with asking(eager(for_words(table=FOUR, hurry='{"day": "Friday", "guests": 4}'))) as call:
        await call.say("Hurry up.")
        await asyncio.sleep(8)
        assert outcomes(call) == ["asked", "heard", "unclear", "heard"]
        await call.say("Yes.")
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1


@story
async def test_what_is_neither_yes_nor_no_is_asked_about_once_more() -> None:
    async with asking() as call:
        await call.say("How much is it?")
        await asyncio.sleep(8)
        assert call.agent_texts[-1] == PLEASE
        await call.say("Yes but at eight.")
        await asyncio.sleep(8)
        assert outcomes(call) == ["asked", "heard", "unclear", "heard", "unclear_twice"]
        await call.say("Yes.")
        await asyncio.sleep(4)
        assert call.tools.ran == []


@story
async def test_a_question_that_was_cut_was_not_heard_and_is_put_again() -> None:
    async with calling(script=eager(for_words(table=FOUR)), tools=tools()) as call:
        await call.room.speak(call.learn("A table for four on Friday."), 1.0)
        await call.room.silent(1.8)
        assert not call.agent_texts or call.agent_texts[-1] != PLEASE
        await call.room.speak(call.learn("Yes do it now please go."), 1.2)
        await call.room.silent(2.0)
        assert call.tools.ran == []
        await asyncio.sleep(8)
        assert outcomes(call)[:3] == ["asked", "unheard", "ignored"]
        assert call.of("consent")[2]["rule"] == "before_heard"
        assert call.agent_texts[-1] == PLEASE
        await call.say("Yes.")
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1


@story
async def test_a_yes_that_began_before_the_question_was_over_does_not_count() -> None:
    async with asking() as call:
        session = call.session
        session._parts.consents._heard_at = asyncio.get_running_loop().time() + 60  # type: ignore[assignment]
        await call.say("Yes.")
        await asyncio.sleep(1)
        assert call.tools.ran == []
        assert call.of("consent")[-1]["rule"] == "before_heard"


@story
async def test_somebody_elses_yes_is_no_consent() -> None:
    agent = definition(room=RoomOptions(participants="everyone"))
    async with calling(agent=agent, script=eager(for_words(table=FOUR)), tools=tools(), link=False) as call:
        call.room.link(identity="anna", name="Anna", outbound=True)
        call.room.link(identity="ben", name="Ben", outbound=True)
        await call.say("A table for four on Friday.", who="anna")
        await asyncio.sleep(8)
        await call.say("Yes.", who="ben")
        await asyncio.sleep(4)
        assert call.tools.ran == []
        assert call.of("consent")[-1]["rule"] == "other_voice"
        await call.say("Yes.", who="anna")
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1


@story
async def test_a_typed_yes_counts_and_one_given_by_an_operator_in_the_callers_name_does_not() -> None:
    async with asking() as call:
        call.session.generate_reply(user_input="Yes.")
        await asyncio.sleep(4)
        assert call.tools.ran == []
        call.room.type("yes")
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1


@story
async def test_a_question_expires() -> None:
    async with asking(kit=tools(Consent(by="spoken", expires=Duration(10.0)))) as call:
        await asyncio.sleep(12)
        await call.say("Yes.")
        await asyncio.sleep(4)
        assert call.tools.ran == []
        assert outcomes(call) == ["asked", "heard", "expired"]


@story
async def test_a_question_whose_sound_fails_was_not_heard() -> None:
    from agentd.errors import ProviderUnavailable

    class Mute(FakeTTS):
        def synthesize(self, *arguments: Any, **more: Any) -> Any:
            raise ProviderUnavailable("fake", "away")

    async with calling(script=eager(for_words(table=FOUR)), tools=tools(), tts=Mute()) as call:
        call.room.type("A table for four on Friday.")
        await asyncio.sleep(3)
        call.room.type("yes")
        await asyncio.sleep(8)
        assert call.tools.ran == []


@story
async def test_two_calls_at_once_are_asked_about_one_by_one() -> None:
    def script(request: ChatRequest) -> Answer:
        if isinstance(request.items[-1], Message) and request.items[-1].text == "Two tables.":
            return [ToolCall(id="a", name="book_table", arguments=FOUR),
                    ToolCall(id="b", name="book_table", arguments="{}")]  # fmt: skip
        return [TextDelta("Well.")]

    async with calling(script=script, tools=tools()) as call:
        await call.say("Two tables.")
        await asyncio.sleep(8)
        assert [c["outcome"] for c in call.of("tool.completed")] == ["consent_asked", "consent_busy"]


@story
async def test_a_templates_own_words_are_spoken_with_what_sounds_in_the_arguments_only() -> None:
    consent = Consent(by="spoken", read_back="Shall I book {{ guests }} seats on {{ day }}?")
    said = '{"guests": 4, "day": "<break time=\'3s\'/>Friday [whispers]"}'
    async with asking(eager(for_words(table=said)), tools(consent)) as call:
        assert call.agent_texts[-1] == "Shall I book 4 seats on break time='3s'/ Friday (whispers)?"
    async with asking(eager(for_words(table="{}")), tools(consent)) as call:
        assert call.agent_texts[-1] == "Please confirm: book table. Is that right?"


@story
async def test_what_is_too_long_to_be_read_back_is_not_called() -> None:
    long = json.dumps({"note": "word " * 200})
    async with asking(eager(for_words(table=long))) as call:
        assert call.of("consent") == []
        assert call.of("tool.completed")[0]["outcome"] == "invalid_arguments"


@story
async def test_an_operator_approves_or_declines_one_call() -> None:
    async with asking(kit=tools(Consent(by="operator"))) as call:
        await call.say("Yes.")  # nobody asked them
        await asyncio.sleep(3)
        assert call.tools.ran == []
        call.session.do(DecideApproval(approval="consent-1-7", approve=True))
        call.session.do(DecideApproval(approval="consent-1-1", approve=True))
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1
        assert call.agent_texts[-1] == "It is booked."
        call.session.do(DecideApproval(approval="consent-1-1", approve=True))
        await asyncio.sleep(2)
        assert len(call.tools.ran) == 1
    async with asking(kit=tools(Consent(by="operator", expires=Duration(30.0)))) as call:
        call.session.do(DecideApproval(approval="consent-1-1", approve=False))
        await asyncio.sleep(4)
        assert call.tools.ran == []
        assert "was refused" in str(call.llm.requests[-1].items[-1])


@story
async def test_an_approval_that_does_not_come_is_told() -> None:
    async with asking(kit=tools(Consent(by="operator", expires=Duration(30.0)))) as call:
        await asyncio.sleep(40)
        assert outcomes(call) == ["asked", "expired"]
        assert "in time" in str(call.llm.requests[-1].items[-1])


@story
async def test_keys_agree_after_the_question_and_only_then() -> None:
    async with calling(script=eager(for_words(table=FOUR)), tools=tools(Consent(by="dtmf"))) as call:
        await call.room.speak(call.learn("A table for four on Friday."), 1.0)
        await call.room.silent(1.8)
        call.room.push("1")
        await asyncio.sleep(8)
        assert call.agent_texts[-1].endswith("Press 1 for yes, or 2 for no.")
        assert call.tools.ran == []
        call.room.push("1", identity="somebody")
        call.room.push("5")
        await asyncio.sleep(2)
        assert call.tools.ran == []
        call.room.push("1")
        await asyncio.sleep(4)
        assert len(call.tools.ran) == 1


def _journal_of(call: Call) -> Restored:
    return restore(read_journal(call.journal.path))


@story
async def test_a_rescued_call_asks_again_and_a_yes_from_before_is_spent_once() -> None:
    async with asking() as call:
        between = _journal_of(call)
    assert between.question is not None
    assert not between.granted
    async with calling(restored=between, incarnation=2, script=eager(for_words(table=FOUR)), tools=tools()) as call:
        await asyncio.sleep(8)
        assert call.agent_texts[-1] == PLEASE
        await call.say("Yes.")
        await asyncio.sleep(4)
        assert [ran.id for ran in call.tools.ran] == ["consent-1-1"]
    async with asking() as call:
        granted: list[Restored] = []

        def look(record: Any) -> None:
            if record.kind == "consent" and record.data["outcome"] == "granted":
                granted.append(_journal_of(call))

        call.session._conversation.setup = call.session._conversation.setup.__class__(
            **{
                **{name: getattr(call.session._conversation.setup, name)
                   for name in call.session._conversation.setup.__dataclass_fields__},
                "observe": look,
            }
        )  # fmt: skip
        await call.say("Yes.")
        await asyncio.sleep(4)
        after = _journal_of(call)
    assert granted[0].granted
    assert after.question is None
    async with calling(restored=granted[0], incarnation=2, script=eager(for_words()), tools=tools()) as call:
        await asyncio.sleep(6)
        assert [ran.id for ran in call.tools.ran] == ["consent-1-1"]


@story
async def test_tools_are_kept_from_callers_who_may_not_use_them() -> None:
    staff = AllowCallers(attributes={"role": ("staff",)})
    kit = FakeTools({"book_table": _book}, {"book_table": ToolOptions(allow_callers=staff)})
    async with calling(script=eager(for_words(table=FOUR)), tools=kit, attributes={"role": "guest"}) as call:
        await call.say("A table.")
        await asyncio.sleep(4)
        assert call.llm.requests[0].tools == ()
        assert kit.ran == []
        assert [d["rule"] for d in call.of("decision") if d["action"] == "RefuseTool"] == ["caller_attribute"]
    async with calling(script=eager(for_words(table=FOUR)), tools=kit, attributes={"role": "staff"}) as call:
        await call.say("A table.")
        await asyncio.sleep(4)
        assert [each.name for each in call.llm.requests[0].tools] == ["book_table"]
        assert len(kit.ran) == 1
