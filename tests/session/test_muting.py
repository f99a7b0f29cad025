"""An operator mutes the agent's ears or voice. In virtual time."""

from __future__ import annotations

from agentd.cli.explained import text_of
from agentd.config.definition import IdlePrompt, Limits
from agentd.providers.fields import Duration
from agentd.session.explanation import explain
from agentd.session.journal import read_journal
from agentd.session.restore import restore
from agentd.tools.acts import MuteCall, SetCallVariables
from tests.fakes.call import calling, definition
from tests.fakes.providers import says
from tests.session.test_session import LONG, story

ASKS = definition(
    limits=Limits(
        idle_prompt=IdlePrompt(after=Duration(5.0), say="Still there?", times=3), end_after_silence=Duration(30.0)
    )
)


@story
async def test_muted_ears_hear_silence_until_they_are_opened() -> None:
    async with calling(script=says("Fine.", "Yes.")) as call:
        call.session.do(MuteCall(what="ears"))
        await call.say("My card is four seven one one.")
        await call.room.silent(3)
        assert (call.user_texts, call.agent_texts) == ([], [])
        call.session.do(MuteCall(what="ears", muted=False))
        await call.say("Are you there?")
        await call.room.silent(3)
        assert (call.user_texts, call.agent_texts) == (["Are you there?"], ["Fine."])
        assert [(each["what"], each["muted"]) for each in call.of("mute")] == [("ears", True), ("ears", False)]


@story
async def test_mutes_are_explained_in_the_order_in_which_they_were_made() -> None:
    async with calling(script=says("Fine.")) as call:
        call.session.do(MuteCall(what="ears"))
        await call.room.silent(2)
        call.session.do(MuteCall(what="ears", muted=False))
        await call.room.silent(1)
        told = text_of(explain("s", call.records))
    closed, opened = told.index("agent    it no longer heard the callers"), told.index("it heard the callers again")
    assert closed < opened
    assert told.count("an operator wanted it so [operator]") == 2


@story
async def test_what_is_typed_is_taken_by_an_agent_that_does_not_hear() -> None:
    async with calling(script=says("Fine.")) as call:
        call.session.do(MuteCall(what="ears"))
        await call.room.silent(0.1)
        call.room.type("Hello?")
        await call.room.silent(3)
        assert call.agent_texts == ["Fine."]


@story
async def test_a_muted_voice_is_cut_and_says_only_the_last_answer_afterwards() -> None:
    async with calling(script=says(LONG, "To the second.", "To the third.")) as call:
        await call.say("First.")
        await call.room.silent(2)
        call.session.do(MuteCall(what="voice"))
        await call.room.silent(1)
        (first,) = call.of("turn.agent")
        assert first["interrupted"]
        assert 0 < len(first["text"]) < len(LONG)
        for text in ("Second.", "Third."):
            await call.say(text)
            await call.room.silent(3)
        assert call.user_texts == ["First.", "Second.", "Third."]
        assert len(call.agent_texts) == 1
        call.session.do(MuteCall(what="voice", muted=False))
        await call.room.silent(4)
        assert len(call.agent_texts) == 2
        said = [text for role, text in call.last_request() if role == "user"]
        assert said == ["First.", "Second.", "Third."]


@story
async def test_nobody_is_asked_or_given_up_while_one_side_is_muted() -> None:
    for what in ("ears", "voice"):
        async with calling(agent=ASKS) as call:
            await call.room.silent(1)
            call.session.do(MuteCall(what=what))
            await call.room.silent(120)
            assert not call.task.done()
            assert call.agent_texts == []
            call.session.do(MuteCall(what=what, muted=False))
            await call.room.silent(4)
            assert call.agent_texts == []  # the silence counts from now on
            await call.room.silent(4)
            assert call.agent_texts == ["Still there?"]


@story
async def test_a_mute_and_variables_outlive_the_process() -> None:
    async with calling() as call:
        call.session.do(MuteCall(what="voice"))
        call.session.do(MuteCall(what="ears"))
        call.session.do(MuteCall(what="ears", muted=False))
        call.session.do(MuteCall(what="ears", muted=False))  # it is so already
        call.session.do(SetCallVariables(values={"tier": "gold"}))
        await call.room.silent(0.5)
        restored = restore(read_journal(call.journal.path))
        assert restored.muted == {"voice"}
        assert restored.variables["tier"] == "gold"
        assert len(call.of("mute")) == 3
    async with calling(restored=restored) as again:
        again.session.say("Hello?")
        await again.room.silent(3)
        assert again.agent_texts == []
        again.session.do(MuteCall(what="voice", muted=False))
        await again.room.silent(3)
        assert again.agent_texts[-1] == "Hello?"


@story
async def test_variables_are_in_the_next_prompt() -> None:
    async with calling(agent=definition(instructions="Tier {{ tier }}."), script=says("Fine.")) as call:
        call.session.do(SetCallVariables(values={"tier": "gold"}))
        await call.say("Hello.")
        await call.room.silent(3)
        assert call.last_request()[0] == ("system", "Tier gold.")
