"""The language of a conversation: what is enough to change it, and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentd.config.definition import (
    Greeting,
    IdlePrompt,
    LanguageDetection,
    LanguageOverride,
    Limits,
)
from agentd.config.tools import Filler, ToolOptions
from agentd.providers.fields import Duration
from agentd.providers.llm import TextDelta, ToolCall, ToolResult
from agentd.session.language import Evidence, KeepLanguage, LanguageTracker, SwitchLanguage, evidence_of, match
from agentd.session.restore import restore
from agentd.session.setup import Candidate, Providers
from agentd.tools.spec import SetLanguage, ToolOutcome
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.providers import FakeLLM, FakeStreamingSTT, FakeSTT, FakeTTS, FakeVAD, calls, says
from tests.session.test_session import story

DECLARED = ("en-GB", "de-DE", "fr")


def tracker(**settings: object) -> LanguageTracker:
    return LanguageTracker(DECLARED, LanguageDetection(**settings), "en-GB")  # type: ignore[arg-type]


def said(words: int, **likelihoods: float) -> Evidence:
    by_tag = {tag: likelihoods.get(tag[:2], 0.0) for tag in DECLARED}
    return Evidence(likelihoods=by_tag, words=words, by="text")


def test_one_long_and_clear_turn_changes_the_language() -> None:
    decision = tracker().hear(said(4, de=0.9, en=0.05))
    assert decision == SwitchLanguage(
        rule="clear_turn", value="language_detection.min_words=4", language="de-DE", before="en-GB"
    )


def test_short_turns_must_agree() -> None:
    spoken = tracker()
    assert spoken.hear(said(1, de=0.9)) == KeepLanguage(
        rule="not_enough", value="language_detection.agreeing=2", heard="de-DE"
    )
    assert isinstance(spoken.hear(said(1, fr=0.9)), KeepLanguage)
    assert isinstance(spoken.hear(said(1, de=0.9)), KeepLanguage)
    decision = spoken.hear(said(2, de=0.9))
    assert decision == SwitchLanguage(
        rule="agreeing_turns", value="language_detection.agreeing=2", language="de-DE", before="en-GB"
    )


def test_a_turn_in_the_conversations_own_language_undoes_a_foreign_word() -> None:
    spoken = tracker()
    spoken.hear(said(1, de=0.9))
    assert spoken.hear(said(1, en=0.9)) == KeepLanguage(rule="same_language", heard="en-GB")
    assert isinstance(spoken.hear(said(1, de=0.9)), KeepLanguage)


def test_a_turn_that_nobody_can_tell_neither_agrees_nor_undoes() -> None:
    spoken = tracker()
    spoken.hear(said(1, de=0.9))
    assert spoken.hear(said(1, en=0.125, de=0.08, fr=0.053)) == KeepLanguage(rule="language_unclear", heard=None)
    assert isinstance(spoken.hear(said(1, de=0.9)), SwitchLanguage)


def test_a_long_turn_without_the_margin_must_be_agreed_with() -> None:
    spoken = tracker(margin=0.5)
    assert isinstance(spoken.hear(said(9, de=0.5, en=0.3)), KeepLanguage)
    assert isinstance(spoken.hear(said(9, de=0.5, en=0.3)), SwitchLanguage)


def test_variants_of_one_language_are_no_rivals() -> None:
    spoken = LanguageTracker(("en-GB", "en-US", "de-DE"), LanguageDetection(), "de-DE")
    decision = spoken.hear(Evidence(likelihoods={"en-GB": 0.9, "en-US": 0.9, "de-DE": 0.0}, words=5, by="text"))
    assert isinstance(decision, SwitchLanguage)
    assert decision.language == "en-GB"


@pytest.mark.parametrize(
    ("language", "found"),
    [("de", "de-DE"), ("DE-at", "de-DE"), ("fr-CA", "fr"), ("en-gb", "en-GB"), ("es", None), ("", None)],
)
def test_a_tag_means_the_declared_one_of_the_same_language(language: str, found: str | None) -> None:
    assert match(language, DECLARED) == found


def test_by_whom_the_language_is_told_is_the_authors_choice() -> None:
    class German:
        def identify(self, text: str, languages: Sequence[str]) -> Mapping[str, float]:
            return {tag: float(tag == "de-DE") for tag in languages}

        async def aclose(self) -> None:
            pass

    def by(setting: str, heard: str | None) -> str | None:
        evidence = evidence_of("Guten Tag", heard, tracker(by=setting), German())
        return evidence.by if evidence else None

    assert by("auto", "fr") == "recognizer"
    assert by("auto", None) == "text"
    assert by("auto", "sv") is None
    assert by("recognizer", None) is None
    assert by("text", "fr") == "text"
    assert by("none", "fr") is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.dictionaries(st.sampled_from(DECLARED), st.floats(0, 1), min_size=0, max_size=3),
        )
    )
)
def test_only_declared_languages_are_ever_taken_and_never_on_one_short_turn(
    turns: list[tuple[int, dict[str, float]]],
) -> None:
    spoken = tracker()
    foreign = 0
    for words, likelihoods in turns:
        before = spoken.current
        decision = spoken.hear(Evidence(likelihoods=likelihoods, words=words, by="text"))
        assert spoken.current in DECLARED
        if isinstance(decision, SwitchLanguage):
            assert decision.before == before != decision.language == spoken.current
            assert words >= 4 or foreign >= 1
            foreign = 0
        elif decision.rule == "not_enough":
            foreign += 1
        elif decision.rule == "same_language":
            foreign = 0


# In a session.

GERMAN = LanguageOverride(
    greeting=Greeting(say="Guten Tag."),
    instructions="Sieze den Anrufer.",
    fillers=("Einen Moment.",),
    idle_prompt="Sind Sie noch da?",
    acknowledgements=("genau",),
)
TEXTS = {"Ich möchte einen Termin machen.": "de", "Guten Tag.": "de", "Genau.": "de", "Back to English please.": "en"}


def bilingual(**changes: object):  # type: ignore[no-untyped-def]
    return definition(language="en-GB", languages={"de-DE": GERMAN}, **changes)


def german(stt: FakeSTT, tts: FakeTTS) -> dict[str, Providers]:
    llm = (Candidate("fake", FakeLLM(says("unused"))),)
    return {
        "de-DE": Providers(vad=FakeVAD(), stt=(Candidate("deutsch", stt),), llm=llm, tts=(Candidate("Anna", tts),)),
    }


def own_model(call: Call, languages: dict[str, Providers]) -> None:
    """The model is the same in all languages."""
    de = languages["de-DE"]
    languages["de-DE"] = Providers(vad=de.vad, stt=de.stt, llm=(Candidate("fake", call.llm),), tts=de.tts)


@story
async def test_recogniser_voice_instructions_and_phrases_follow_from_the_next_reply_on() -> None:
    stt, anna = FakeSTT(languages=TEXTS), FakeTTS()
    other = FakeSTT(languages=TEXTS)
    languages = german(other, anna)
    async with calling(agent=bilingual(), stt=stt, languages=languages, script=says("Gern, wann?")) as call:
        own_model(call, languages)
        other.texts = stt.texts
        await call.say("Ich möchte einen Termin machen.")
        assert call.of("language") == [
            {
                "language": "de-DE",
                "before": "en-GB",
                "rule": "clear_turn",
                "value": "language_detection.min_words=4",
            }
        ]
        assert (call.tts.spoken, anna.spoken) == ([], ["Gern, wann?"])
        system = call.last_request()[0][1]
        assert system.startswith("Be brief.\n\nSieze den Anrufer.\n\n")
        assert "de-DE" in system
        assert call.llm.requests[-1].language == "de-DE"
        await call.say("Guten Tag.")
        assert (stt.asked, other.asked) == (["en-GB"], ["de-DE"])
        assert [turn["language"] for turn in call.of("turn.user")] == ["de-DE", "de-DE"]


@story
async def test_the_phrases_that_do_not_interrupt_are_the_languages_own() -> None:
    long = "Wir haben von neun bis fünf geöffnet. " * 3
    async with calling(agent=bilingual(), stt=FakeSTT(languages=TEXTS), script=says(long.strip())) as call:
        await call.say("Ich möchte einen Termin machen.")
        await call.say("Genau.", 0.4)
        assert [turn["text"] for turn in call.of("turn.user")] == ["Ich möchte einen Termin machen."]
        await call.room.silent(12)
        assert call.agent_texts == [long.strip()]


@story
async def test_a_streaming_recogniser_is_opened_again_for_the_new_language() -> None:
    async with calling(
        agent=bilingual(), stt=FakeStreamingSTT(), script=says("Gern."), language_id=GermanWords()
    ) as call:
        await call.say("Ich möchte einen Termin machen.")
        await call.say("Guten Tag.")
        assert call.stt.asked == ["en-GB", "de-DE"]
        assert call.user_texts == ["Ich möchte einen Termin machen.", "Guten Tag."]
        assert call.of("error") == []


@story
async def test_a_stream_that_tells_languages_by_itself_is_kept() -> None:
    stt = FakeStreamingSTT(languages=TEXTS)
    async with calling(agent=bilingual(), stt=stt, script=says("Gern.")) as call:
        await call.say("Ich möchte einen Termin machen.")
        await call.say("Guten Tag.")
        assert stt.asked == ["en-GB"]
        assert [turn["language"] for turn in call.of("turn.user")] == ["de-DE", "de-DE"]


@story
async def test_one_language_may_stream_and_the_other_not() -> None:
    stt, other = FakeStreamingSTT(languages=TEXTS), FakeSTT(languages=TEXTS)
    languages = german(other, FakeTTS())
    async with calling(agent=bilingual(), stt=stt, languages=languages, script=says("Gut.")) as call:
        own_model(call, languages)
        other.texts = stt.texts
        for text in ("Ich möchte einen Termin machen.", "Guten Tag.", "Back to English please.", "Guten Tag."):
            await call.say(text)
        assert call.user_texts == [
            "Ich möchte einen Termin machen.",
            "Guten Tag.",
            "Back to English please.",
            "Guten Tag.",
        ]
        assert (len(stt.asked), len(other.asked)) == (2, 2)
        assert call.of("error") == []


class GermanWords:
    def identify(self, text: str, languages: Sequence[str]) -> Mapping[str, float]:
        german = any(word in text.lower() for word in ("ich", "guten", "einen"))
        return {tag: float(tag.startswith("de") == german) for tag in languages}

    async def aclose(self) -> None:
        pass


@story
async def test_what_is_typed_is_told_by_its_words() -> None:
    async with calling(agent=bilingual(), language_id=GermanWords(), script=says("Gern.")) as call:
        call.room.type("Ich hätte gern einen Termin.")
        await call.room.silent(2)
        (turn,) = call.of("turn.user")
        assert (turn["language"], turn["source"]) == ("de-DE", "text")
        assert call.tts.asked == ["de-DE"]


@story
async def test_the_tool_changes_the_voice_of_what_the_same_reply_says_after_it() -> None:
    async def set_language(call: ToolCall, context: object) -> ToolOutcome:
        result = ToolResult(call_id=call.id, name=call.name, content="ok")
        return ToolOutcome(result=result, actions=(SetLanguage(language="de-DE"),))

    def script(request):  # type: ignore[no-untyped-def]
        if isinstance(request.items[-1], ToolResult):
            return [TextDelta("Gern. Wann?")]
        return [TextDelta("Of course. "), calls("set_language", '{"language": "de-DE"}')]

    anna = FakeTTS(sample_rate_hz=16_000)
    languages = german(FakeSTT(), anna)
    tools = FakeTools({"set_language": set_language})
    async with calling(agent=bilingual(), script=script, tools=tools, languages=languages) as call:
        own_model(call, languages)
        await call.say("Do you speak German?")
        await call.room.silent(3)
        assert (call.tts.spoken, anna.spoken) == (["Of course."], ["Gern.", "Wann?"])
        assert call.agent_texts == ["Of course. Gern. Wann?"]
        assert [change["rule"] for change in call.of("language")] == ["tool"]
        assert call.of("error") == []


@story
async def test_fillers_and_idle_prompts_are_the_languages_own() -> None:
    async def slow(call: ToolCall, context: object) -> str:
        await asyncio.sleep(3)
        return "ok"

    def script(request):  # type: ignore[no-untyped-def]
        return [TextDelta("Fertig.")] if isinstance(request.items[-1], ToolResult) else [calls("find")]

    limits = Limits(idle_prompt=IdlePrompt(after=Duration(5.0), say="Are you there?"))
    filler = Filler(say=("One moment.",), after=Duration(1.0))
    tools = FakeTools({"find": slow}, {"find": ToolOptions(while_waiting=filler)})
    agent = bilingual(limits=limits)
    async with calling(agent=agent, stt=FakeSTT(languages=TEXTS), script=script, tools=tools) as call:
        await call.say("Ich möchte einen Termin machen.")
        await call.room.silent(12)
        assert call.agent_texts == ["Einen Moment. Fertig.", "Sind Sie noch da?"]


@story
async def test_a_caller_who_says_so_beforehand_is_greeted_in_their_language() -> None:
    agent = bilingual(greeting=Greeting(say="Hello."))
    async with calling(agent=agent, attributes={"language": "de"}) as call:
        await call.room.silent(2)
        assert call.agent_texts == ["Guten Tag."]
        assert call.of("language")[0]["rule"] == "caller_attribute"
    async with calling(agent=agent, attributes={"language": "sv"}) as call:
        await call.room.silent(2)
        assert call.agent_texts == ["Hello."]


@story
async def test_the_language_outlives_the_process() -> None:
    async with calling(agent=bilingual(), stt=FakeSTT(languages=TEXTS), script=says("Gern.")) as call:
        await call.say("Ich möchte einen Termin machen.")
        restored = restore(call.records)
    assert restored.language == "de-DE"
    async with calling(agent=bilingual(), restored=restored, incarnation=2) as call:
        await call.room.silent(3)
        assert call.agent_texts[0].startswith("Entschuldigung")
        assert call.tts.asked == ["de-DE"]


@story
async def test_an_agent_of_one_language_asks_nobody() -> None:
    async with calling(stt=FakeSTT(languages=TEXTS), language_id=GermanWords()) as call:
        await call.say("Ich möchte einen Termin machen.")
        assert call.of("language") == []
        assert call.last_request()[0] == ("system", "Be brief.")
