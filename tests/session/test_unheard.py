"""A connection that breaks in mid-sentence: what was queued and never played is not heard, and is said again."""

from __future__ import annotations

import asyncio

import pytest

from agentd.aio import now
from tests.fakes.call import Call, calling
from tests.fakes.clock import run_virtual
from tests.fakes.providers import CHARS_PER_S, FakeTTS, says
from tests.session.chaos import check_history_against_journal

LONG = "The clinic is open from nine to five on weekdays. On Saturdays we close at noon."
LONGEST_WORD_S = len("weekdays.") / CHARS_PER_S


async def in_mid_sentence(call: Call, after_s: float) -> float:
    """When the agent began to speak, `after_s` ago."""
    await call.room.speak(call.learn("When?"), 1.0)
    while not call.room.audio_out.played:
        await call.room.silent(0.032)
    began = call.room.audio_out.played[0][0]
    await asyncio.sleep(began + after_s - now())
    return began


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("after_s", [0.3, 1.0, 2.05, 3.0, 4.5])
def test_what_was_queued_when_the_room_was_lost_is_not_remembered(aligned: bool, after_s: float) -> None:
    async def story() -> None:
        async with calling(script=says(LONG), tts=FakeTTS(aligned=aligned)) as call:
            await in_mid_sentence(call, after_s)
            call.room.lose_voice()
            await asyncio.sleep(20)
            call.session.interrupt()
            await asyncio.sleep(1)
            (turn,) = call.of("turn.agent")
            assert LONG.startswith(turn["text"])
            sounded = len(turn["text"]) / CHARS_PER_S
            assert sounded <= after_s + LONGEST_WORD_S
            assert sounded >= after_s - 2 * LONGEST_WORD_S
            assert sum(end - begin for begin, end, _ in call.room.audio_out.played) <= after_s + 0.001
            check_history_against_journal(call)

    run_virtual(story())


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("lost_s", [0.0, 0.8, 2.0])
def test_when_there_is_a_way_again_the_sentence_goes_on_and_no_sound_is_lost(aligned: bool, lost_s: float) -> None:
    async def story() -> None:
        async with calling(script=says(LONG), tts=FakeTTS(aligned=aligned)) as call:
            await in_mid_sentence(call, 2.5)
            call.room.lose_voice(lost_s)
            await asyncio.sleep(7)
            call.room.regain_voice()
            await asyncio.sleep(8)
            (turn,) = call.of("turn.agent")
            assert (turn["text"], turn["interrupted"]) == (LONG, False)
            assert call.of("voice.unheard") == [{"seconds": lost_s}]
            played: dict[int, float] = {}
            for begin, end, value in call.room.audio_out.played:
                played[value] = played.get(value, 0.0) + end - begin
            for value, text in enumerate(call.tts.spoken, 1):
                length_s = len(text) / CHARS_PER_S
                again_s = LONGEST_WORD_S if aligned else 0.0
                assert length_s - 0.05 <= played[value] <= length_s + again_s + 0.06

    run_virtual(story())


def test_words_that_were_lost_on_the_way_are_not_in_the_context() -> None:
    async def story() -> None:
        async with calling(script=says(LONG), tts=FakeTTS(aligned=True)) as call:
            await in_mid_sentence(call, 2.5)
            call.room.lose_voice(1.5)
            await asyncio.sleep(5)
            call.session.interrupt()
            await asyncio.sleep(1)
            (turn,) = call.of("turn.agent")
            assert turn["text"] == "The clinic is open"  # of a second; 2.5 s had been played
            shown = call.room.captions["S1-1-1-0"].text.strip()
            assert shown.startswith(turn["text"])
            check_history_against_journal(call)

    run_virtual(story())


def test_a_write_that_waits_for_its_time_is_not_heard_yet() -> None:
    """Captions follow the sound, and are never ahead of it."""

    async def story() -> None:
        async with calling(script=says(LONG), tts=FakeTTS(aligned=True)) as call:
            began = await in_mid_sentence(call, 0.5)
            for _ in range(40):
                await asyncio.sleep(0.05)
                text = call.room.captions["S1-1-1-0"].text
                last = text.rstrip().rfind(" ") + 1
                assert last / CHARS_PER_S <= now() - began + 0.001

    run_virtual(story())
