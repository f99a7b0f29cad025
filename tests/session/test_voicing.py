"""Markup and pronunciations go to the synthesiser; captions and history hold the written words, at their times."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from agentd.audio import AudioFrame
from agentd.config.definition import RoomOptions
from agentd.errors import ProviderUnavailable
from agentd.providers.tts import PLAIN, Markup, TimedWord, TTSSettings
from agentd.session.alignment import heard_text, pieces
from agentd.session.markup import parse, plain
from agentd.session.voicing import Times, voiced
from tests.fakes.call import calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import CHARS_PER_S, FakeTTS, says

ALL = Markup(breaks=True, emphasis=True, cues=frozenset({"laughs"}))
SSML = Markup(breaks=True, emphasis=True, ssml=True)
GP = {"GP": "gee pee", "Dr. Ng": "Doctor Ing"}


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("No markup at all.", "No markup at all."),
        ('Well, <break time="300ms"/> yes.', "Well, yes."),
        ("Well <break/>, yes.", "Well, yes."),
        ("It is <emphasis>so</emphasis> good [laughs].", "It is so good."),
        ("[LAUGHS] Good.", "Good."),
        ("See [1] and [sic].", "See [1] and [sic]."),
        ("un<emphasis>believ</emphasis>able", "unbelievable"),
        ("5 < 6 > 4", "5 < 6 > 4"),
        ("Bye. <break time='1s'/>", "Bye."),
    ],
)
def test_captions_hold_the_plain_words(marked: str, words: str) -> None:
    assert plain(marked) == words
    assert voiced(marked, ALL).written == words
    assert voiced(marked, PLAIN).spoken == words


@pytest.mark.parametrize(
    ("marked", "markup", "spoken"),
    [
        ('Well, <break time="300ms"/> yes.', ALL, 'Well, <break time="0.3s"/> yes.'),
        ("Well, <break time='9s'/>yes.", ALL, 'Well, <break time="3s"/> yes.'),
        ("It is <emphasis level='strong'>so</emphasis> good.", ALL, "It is <emphasis>so</emphasis> good."),
        ("It is <emphasis>so good.", ALL, "It is so good."),
        ("[laughs] Good. [sighs]", ALL, "[laughs] Good."),
        ("Q&A, <break/> 5 < 6.", SSML, '<speak>Q&amp;A, <break time="0.3s"/> 5 &lt; 6.</speak>'),
        ("Yes. <break time='1s'/>", ALL, 'Yes.<break time="1s"/>'),
    ],
)
def test_a_synthesiser_is_given_what_it_takes(marked: str, markup: Markup, spoken: str) -> None:
    assert voiced(marked, markup).spoken == spoken


def test_whole_words_are_pronounced_otherwise() -> None:
    text = voiced("The GP and Dr. Ng, not GPS.", PLAIN, GP)
    assert text.spoken == "The gee pee and Doctor Ing, not GPS."
    assert text.written == "The GP and Dr. Ng, not GPS."
    assert [(unit.written, unit.letters) for unit in text.units] == [
        ("The ", 3), ("GP ", 6), ("and ", 3), ("Dr. Ng, ", 10), ("not ", 3), ("GPS.", 4),
    ]  # fmt: skip


def timed(text: str, per_s: float = 10.0) -> list[TimedWord]:
    """Every word, one letter (or space) each tenth of a second."""
    words, at = [], 0
    for word in text.split(" "):
        words.append(TimedWord(text=word, start_s=at / per_s, end_s=(at + len(word)) / per_s))
        at += len(word) + 1
    return words


def test_times_of_the_spoken_become_times_of_the_written_words() -> None:
    text = voiced("The GP is in.", PLAIN, GP)  # The gee pee is in.
    times = Times(text)
    found = [word for each in timed(text.spoken) for word in times.push([each])] + times.flush(1.8)
    assert [(word.text, word.start_s, word.end_s) for word in found] == [
        ("The ", 0.0, pytest.approx(0.3)), ("GP ", 0.4, pytest.approx(1.1)),
        ("is ", 1.2, pytest.approx(1.4)), ("in.", 1.5, pytest.approx(1.8)),
    ]  # fmt: skip


def test_a_synthesiser_may_time_the_letters_of_markup_or_not() -> None:
    text = voiced('Well, <break time="300ms"/> yes [laughs] indeed.', ALL)
    for spoken in (text.spoken, "Well, yes indeed."):
        found = Times(text).push(timed(spoken))
        assert [word.text for word in found] == ["Well, ", "yes ", "indeed."]


def test_words_without_spaces_have_times_of_their_own() -> None:
    text = voiced("你好。再见")
    found = Times(text).push([TimedWord(text="你好。再见", start_s=0.0, end_s=1.0)])
    assert [(word.text, round(word.start_s, 2)) for word in found] == [
        ("你", 0.0),
        ("好。", 0.2),
        ("再", 0.6),
        ("见", 0.8),
    ]


def test_without_times_they_are_estimated_where_the_spoken_differs() -> None:
    assert Times(voiced("As it is written.")).flush(2.0) == []
    text = voiced('The GP <break time="1s"/> is.', ALL, GP)
    found = Times(text).flush(1.0 + 1.2)
    assert [(word.text, round(word.start_s, 2)) for word in found] == [("The ", 0.0), ("GP ", 0.3), ("is.", 1.9)]


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_written_no_word_is_lost_and_times_go_forward(seed: int) -> None:
    rng = Random(seed)
    bits = [
        "Hello",
        "GP",
        "Dr. Ng",
        "—",
        "你好。",
        "<break/>",
        "[laughs]",
        "<emphasis>",
        "</emphasis>",
        "5 < 6",
        "[x]",
        "สวัสดี",
    ]
    marked = "".join(rng.choice(bits) + rng.choice([" ", " ", "", ", "]) for _ in range(rng.randint(1, 12)))
    markup = rng.choice([PLAIN, ALL, SSML])
    text = voiced(marked, markup, rng.choice([{}, GP]))
    assert text.written == parse(marked)[0]
    assert "".join(unit.written for unit in text.units) == text.written
    assert "".join(pieces(text.written)) == text.written
    times = Times(text, estimate=True)
    found = []
    if rng.random() < 0.5:
        for word in timed(text.spoken):
            found += times.push([word])
    found += times.flush(3.0)
    assert "".join(word.text for word in found) == text.written
    starts = [word.start_s for word in found]
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("text", "heard_s", "total_s", "heard"),
    [
        ("Guten Morgen, Welt.", 0.5, None, "Guten Morgen, "),
        ("你好。再见。", 0.1, None, "你"),
        ("你好。再见。", 0.6, 1.0, "你好。再"),
        ("こんにちは", 0.3, None, "こんに"),
        ("안녕하세요 세계", 0.3, None, "안녕하세요 "),
        ("สวัสดี", 0.1, None, "สวั"),
    ],
)
def test_what_was_heard_is_estimated_for_every_script(
    text: str, heard_s: float, total_s: float | None, heard: str
) -> None:
    assert heard_text(text, heard_s, total_s, ()) == heard


def test_a_faster_voice_has_said_more() -> None:
    text = "one two three four five six seven eight nine ten"
    assert len(heard_text(text, 1.0, None, (), pace=2.0)) > 1.8 * len(heard_text(text, 1.0, None, ())) - 5


class MarkedTTS(FakeTTS):
    markup = ALL


SPOKEN_GP = "The GP sees you at nine. After that she is away until the end of the week."


@pytest.mark.parametrize("aligned", [True, False])
def test_a_caller_who_cuts_a_pronounced_word_leaves_only_what_was_heard(aligned: bool) -> None:
    slow = {"GP": "general practitioner of the family"}

    async def story() -> None:
        agent = definition(tts=_settings(slow))
        async with calling(agent=agent, script=says(SPOKEN_GP, "Yes?"), tts=FakeTTS(aligned=aligned)) as call:
            await call.room.speak(call.learn("When?"), 1.0)
            await call.room.silent(0.8 + 1.6)
            await call.say("Stop please.")
            first = call.of("turn.agent")[0]
            assert first["text"] == "The GP"  # two seconds of it, where four letters would have been heard
            assert call.tts.spoken[0] == "The general practitioner of the family sees you at nine."
            shown = call.room.captions["S1-1-1-0"].text.strip()
            assert shown == first["text"]

    run_virtual(story())


def test_markup_reaches_the_voice_and_neither_captions_nor_history() -> None:
    async def story() -> None:
        marked = '[laughs] Oh <break time="200ms"/> yes. It is <emphasis>so</emphasis> good.'
        async with calling(script=says(marked, "Bye."), tts=MarkedTTS()) as call:
            await call.say("Is it?")
            await call.room.silent(6)
            await call.say("Thanks.")
            assert call.tts.spoken[:2] == [
                '[laughs] Oh <break time="0.2s"/> yes.',
                "It is <emphasis>so</emphasis> good.",
            ]
            assert call.agent_texts[0] == "Oh yes. It is so good."
            assert ("assistant", "Oh yes. It is so good.") in call.last_request()
            texts = [caption.text.strip() for caption in call.room.captions.values()]
            assert texts[:2] == ["Oh yes.", "It is so good."]
            assert {data["text"] for data in call.of("segment.started")} >= {"Oh yes.", "It is so good."}

    run_virtual(story())


def test_a_fallback_is_given_only_what_it_takes() -> None:
    async def story() -> None:
        spare = FakeTTS()
        marked = '[laughs] Oh <break time="200ms"/> yes, GP.'
        broken = MarkedTTS(
            failures={'[laughs] Oh <break time="0.2s"/> yes, gee pee.': ProviderUnavailable("fake", "no")}
        )
        agent = definition(tts=_settings(GP))
        async with calling(agent=agent, script=says(marked), tts=broken, fallback_tts=spare) as call:
            await call.say("Is it?")
            await call.room.silent(4)
            assert spare.spoken == ["Oh yes, gee pee."]
            assert call.agent_texts[0] == "Oh yes, GP."

    run_virtual(story())


class BreakingTTS(FakeTTS):
    """Breaks the first segment off after half of its sound, whose words it may have timed."""

    async def synthesize(self, segments, *, language):  # type: ignore[no-untyped-def]
        async for chunk in super().synthesize(segments, language=language):
            half = len(chunk.frame.data) // 4 * 2
            half_s = half / 2 / self.sample_rate_hz
            words = tuple(word for word in chunk.words if word.end_s <= half_s)
            frame = AudioFrame(chunk.frame.data[:half], self.sample_rate_hz)
            yield type(chunk)(segment=chunk.segment, frame=frame, words=words)
            raise ProviderUnavailable("fake", "reset")


@pytest.mark.parametrize("second_aligned", [True, False])
@pytest.mark.parametrize("first_aligned", [True, False])
def test_a_sentence_of_two_voices_is_heard_to_the_word(first_aligned: bool, second_aligned: bool) -> None:
    sentence = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen."

    async def story(cut_after_s: float) -> str:
        broken, spare = BreakingTTS(aligned=first_aligned), FakeTTS(aligned=second_aligned)
        async with calling(script=says(sentence, "Yes?"), tts=broken, fallback_tts=spare) as call:
            await call.room.speak(call.learn("Count."), 1.0)
            while not call.room.audio_out.played:
                await call.room.silent(0.032)
            await call.room.silent(cut_after_s)
            await call.say("Stop please.")
            return str(call.of("turn.agent")[0]["text"])

    for cut_after_s in (1.5, 4.5):
        heard = run_virtual(story(cut_after_s))
        assert sentence.startswith(heard)
        assert len(heard) / CHARS_PER_S == pytest.approx(cut_after_s, abs=1.0)


def test_captions_of_a_sentence_still_in_the_making_follow_the_pace_that_is_set() -> None:
    class TrickleTTS(FakeTTS):
        """Twice as fast as usual, in pieces, without times."""

        async def synthesize(self, segments, *, language):  # type: ignore[no-untyped-def]
            async for chunk in super().synthesize(segments, language=language):
                step = self.sample_rate_hz // 5 * 2
                for at in range(0, len(chunk.frame.data) // 2, step):
                    piece = AudioFrame(chunk.frame.data[at : at + step], self.sample_rate_hz)
                    yield type(chunk)(segment=chunk.segment, frame=piece)
                    await asyncio.sleep(0.18)
                yield type(chunk)(segment=chunk.segment, frame=AudioFrame(b"", self.sample_rate_hz), last=True)

    async def shown(factor: float) -> int:
        agent = definition(room=RoomOptions(transcription_speed_factor=factor))
        async with calling(agent=agent, script=says(SPOKEN_GP.replace(". ", ", ")), tts=TrickleTTS()) as call:
            await call.room.speak(call.learn("When?"), 1.0)
            while not call.room.audio_out.played:
                await call.room.silent(0.032)
            await call.room.silent(1.2)
            return sum(len(caption.text) for key, caption in call.room.captions.items() if "user" not in key)

    slow, fast = run_virtual(shown(1.0)), run_virtual(shown(2.0))
    assert fast == pytest.approx(2 * slow, abs=12)


def _settings(pronunciations: dict[str, str]):  # type: ignore[no-untyped-def]
    choice = definition().tts
    return type(choice)(
        kind="tts", provider="fake", settings=TTSSettings(pronunciations=pronunciations), digest=choice.digest
    )
