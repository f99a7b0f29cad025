"""Plugins that raise what no contract says, and recognisers and detectors that fail in the middle of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field

import pytest

from agentd.audio import AudioFrame
from agentd.errors import JournalError, ProviderRefused
from agentd.providers.llm import TextDelta
from agentd.providers.stt import SpeechEvent, Transcript
from agentd.providers.tts import SpeechChunk
from agentd.session.phrases import phrase
from agentd.session.voice_detection import FAILURES, REST_S
from tests.fakes.call import calling
from tests.fakes.providers import (
    FakeLLM,
    FakeStreamingSTT,
    FakeSTT,
    FakeSTTStream,
    FakeTTS,
    FakeVAD,
    FakeVADStream,
    says,
)
from tests.session.test_session import story

TROUBLE = phrase("trouble", "en")
LOUD = 8_000  # a sample value that is speech by its loudness, too


class Broken(RuntimeError):
    """Of a plugin's own."""


# Streaming recognisers.


@dataclass
class LosingSTT(FakeStreamingSTT):
    """Opens, and then does what `how` says."""

    how: str = "refuses"
    streams: int = 0
    well: bool = False

    async def stream(self, *, language: str | None) -> FakeSTTStream:
        self.streams += 1
        return await super().stream(language=language) if self.well else LosingStream(self)


class LosingStream(FakeSTTStream):
    def __init__(self, stt: LosingSTT) -> None:
        super().__init__(stt)
        self._how = stt.how

    async def push(self, frame: AudioFrame) -> None:
        if self._how == "stalls":
            await asyncio.sleep(1_000)
        if self._how == "breaks":
            raise Broken("of its SDK")

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        if self._how == "refuses":
            raise ProviderRefused("fake", "quota exceeded")
        if self._how == "ends":
            return
        while True:
            await asyncio.sleep(1_000)
            yield SpeechEvent(kind="final", transcript=Transcript(text=""))

    async def aclose(self) -> None:
        if self._how == "breaks":
            raise Broken("when it closes, too")


@pytest.mark.parametrize("how", ["refuses", "stalls", "ends", "breaks"])
def test_f17_f18_a_recogniser_that_fails_after_it_has_opened_is_left_for_the_next(how: str) -> None:
    @story
    async def told() -> None:
        first, spare = LosingSTT(how=how), FakeStreamingSTT()
        spare.texts = first.texts
        async with calling(stt=first, fallback_stt=spare) as call:
            await call.room.silent(4)
            for text in ("Hello.", "When do you open?"):
                await call.say(text)
            assert call.user_texts == ["Hello.", "When do you open?"]
            assert first.streams == 1
            errors = call.of("error")
            assert [error["where"] for error in errors] == ["stt fake"]
            assert [(p["provider"], p["outcome"]) for p in call.of("provider") if p["kind"] == "stt"] == [
                ("fake", "ok"),
                ("fake", {"refuses": "refused", "stalls": "timeout"}.get(how, "unavailable")),
                ("fake", "aside"),
                ("spare", "ok"),
            ]

    told()


@story
async def test_f18_the_error_names_the_recogniser_that_failed() -> None:
    first, spare = LosingSTT(how="ends"), LosingSTT(how="ends")
    async with calling(stt=first, fallback_stt=spare) as call:
        await call.room.silent(1)
        assert [error["where"] for error in call.of("error")] == ["stt fake", "stt spare"]


@story
async def test_f18_with_all_recognisers_down_the_caller_is_told_once_and_the_call_recovers_by_itself() -> None:
    stt = LosingSTT(how="refuses")
    async with calling(stt=stt) as call:
        for _ in range(3):
            await call.say("Hello?")
            await call.room.silent(6)
        assert call.agent_texts == [TROUBLE]
        assert stt.streams < 25, "it is not asked without a pause"
        stt.well = True
        await call.room.silent(15)
        await call.say("Do you hear me now?")
        assert call.user_texts[-1] == "Do you hear me now?"
        await call.room.silent(5)
        assert call.agent_texts == [TROUBLE, "Fine."]


@story
async def test_f17_a_stream_that_is_open_again_soon_tells_the_caller_nothing() -> None:
    stt = LosingSTT(how="ends")
    async with calling(stt=stt) as call:
        await call.room.silent(0.1)
        stt.well = True
        await call.say("Hello.", 2.5)
        await call.room.silent(6)
        assert call.user_texts == ["Hello."]
        assert call.agent_texts == ["Fine."]


@story
async def test_f18_with_no_recogniser_of_utterances_the_caller_is_told_once_until_one_answers_again() -> None:
    down = [ProviderRefused("fake", "no credit") for _ in range(3)]
    stt = FakeSTT(failures=[*down])
    async with calling(stt=stt) as call:
        for _ in range(3):
            await call.say("Hello?")
            await call.room.silent(5)
        assert call.agent_texts == [TROUBLE]
        await call.say("And now?")
        await call.room.silent(3)
        assert call.agent_texts == [TROUBLE, "Fine."]
        stt.failures += [ProviderRefused("fake", "no credit")]
        await call.say("And now?")
        await call.room.silent(5)
        assert call.agent_texts == [TROUBLE, "Fine.", TROUBLE]


# What no contract says.


class BrokenSTT(FakeSTT):
    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        raise Broken("of its SDK")


class BrokenTTS(FakeTTS):
    async def synthesize(self, segments: AsyncIterable[str], *, language: str | None) -> AsyncIterator[SpeechChunk]:
        raise Broken("of its SDK")
        yield  # a generator


def _broken(request: object) -> list[TextDelta]:
    raise Broken("of its SDK")


@story
async def test_a_plugin_of_each_kind_that_raises_what_it_may_not_is_left_for_the_next() -> None:
    spare_stt = FakeSTT()
    stt, tts = BrokenSTT(texts=spare_stt.texts), FakeTTS()
    spare_llm = FakeLLM(says("From the spare."))
    async with calling(
        script=_broken, stt=stt, tts=BrokenTTS(), fallback_stt=spare_stt, fallback_llm=spare_llm, fallback_tts=tts
    ) as call:
        await call.say("Hello.")
        await call.room.silent(4)
        assert call.user_texts == ["Hello."]
        assert call.agent_texts == ["From the spare."]
        assert tts.spoken == ["From the spare."]
        assert not call.task.done()


@story
async def test_a_model_that_raises_what_it_may_not_is_apologised_for() -> None:
    async with calling(script=_broken) as call:
        await call.say("Hello.")
        await call.room.silent(30)
        assert call.agent_texts == [TROUBLE]
        assert not call.task.done()


# Voice activity detection.


@dataclass
class BreakingVAD(FakeVAD):
    """The first streams, `breaks` of them, raise when they are given sound that is none."""

    breaks: int = 1
    streams: int = 0
    opens: bool = True
    heard: list[int] = field(default_factory=list)

    def stream(self) -> FakeVADStream:
        self.streams += 1
        if not self.opens:
            raise Broken("no more of it")
        return BreakingVADStream() if self.streams <= self.breaks else FakeVADStream()


class BreakingVADStream(FakeVADStream):
    async def push(self, frame: AudioFrame) -> list[float]:
        raise Broken("of its model")


@story
async def test_f19_another_stream_of_a_detector_that_broke_goes_on() -> None:
    vad = BreakingVAD(breaks=1)
    async with calling(vad=vad) as call:
        await call.say("Hello.")
        assert call.user_texts == ["Hello."]
        assert vad.streams == 2
        assert [error["where"] for error in call.of("error")] == ["vad fake"]


@pytest.mark.parametrize("opens", [True, False])
def test_f19_loudness_stands_in_for_a_detector_that_is_broken_and_it_is_tried_again(opens: bool) -> None:
    @story
    async def told() -> None:
        vad = BreakingVAD(breaks=1_000, opens=opens)
        async with calling(vad=vad) as call:
            call.stt.texts[LOUD] = "Hello."
            await call.room.speak(LOUD, 1.0)
            await call.room.silent(3)
            assert call.user_texts == ["Hello."]
            assert call.agent_texts == ["Fine."]
            assert vad.streams == FAILURES
            vad.breaks, vad.opens = 0, True
            await call.room.silent(REST_S)
            await call.say("And again.")
            assert call.user_texts == ["Hello.", "And again."]
            assert vad.streams == FAILURES + 1

    told()


# The journal.


@story
async def test_f33_a_call_whose_journal_cannot_be_written_goes_on_and_tells_later_what_is_missing() -> None:
    async with calling() as call:
        append, missing = call.journal.append, 0

        def full(kind: str, data: object) -> None:
            nonlocal missing
            missing += 1
            raise JournalError("the disk is full")

        await call.say("Hello.")
        call.journal.append = full  # type: ignore[method-assign,assignment]
        await call.say("Are you there?")
        await call.room.silent(3)
        call.journal.append = append  # type: ignore[method-assign]
        await call.say("And now?")
        await call.room.silent(3)
        assert call.user_texts == ["Hello.", "And now?"]
        assert [error["message"].split()[0] for error in call.of("error")] == [str(missing)]
        assert call.of("error")[0]["where"] == "journal"
        assert len(call.llm.requests) == 3
