"""Deepgram's messages as speech events, and the sound kept for replay: pure."""

from __future__ import annotations

from typing import Any

from agentd_deepgram.results import Results
from agentd_deepgram.sdk import ListenV1Results, ListenV1UtteranceEnd
from agentd_deepgram.tail import Tail

from agentd.audio import silence


def result(text: str, start: float = 0.0, duration: float = 1.0, **flags: Any) -> ListenV1Results:
    best = {"transcript": text, "confidence": flags.pop("confidence", 0.9), "words": [], **flags.pop("best", {})}
    values = {"channel_index": [0, 1], "start": start, "duration": duration, "channel": {"alternatives": [best]}}
    return ListenV1Results.model_validate(
        {**values, "metadata": {"request_id": "r", "model_uuid": "u", "model_info": {
            "name": "n", "version": "v", "arch": "a"}}, **flags}
    )  # fmt: skip


END = ListenV1UtteranceEnd(channel=[0, 1], last_word_end=1.0)


def said(results: Results, *messages: object) -> list[tuple[str, str]]:
    return [(event.kind, event.transcript.text) for message in messages for event in results.push(message)]


def test_pieces_are_joined_until_speech_final() -> None:
    assert said(
        Results(0.0, "en"),
        result("I need", is_final=False),
        result("I need", is_final=True),
        result("a table", 1.0, is_final=False),
        result("a table", 1.0, is_final=True, speech_final=True),
    ) == [
        ("interim", "I need"),
        ("interim", "I need"),
        ("interim", "I need a table"),
        ("final", "I need a table"),
        ("end_of_turn", ""),
    ]


def test_silence_says_nothing() -> None:
    assert (
        said(Results(0.0, "en"), result(""), result("", is_final=True), result("", is_final=True, speech_final=True))
        == []
    )


def test_utterance_end_ends_what_speech_final_did_not_and_nothing_twice() -> None:
    results = Results(0.0, "en")
    assert said(results, result("hello", is_final=True), END, END) == [
        ("interim", "hello"), ("final", "hello"), ("end_of_turn", ""),
    ]  # fmt: skip
    assert said(results, result("more", 2.0, is_final=True, speech_final=True), END) == [
        ("final", "more"), ("end_of_turn", ""),
    ]  # fmt: skip


def test_words_after_a_finalize_can_still_end_the_turn() -> None:
    results = Results(0.0, "en")
    assert said(results, result("hello", is_final=True, from_finalize=True)) == [("final", "hello")]
    assert said(results, result("", 1.0, is_final=True, speech_final=True)) == [("end_of_turn", "")]


def test_confidence_is_weighed_by_duration_and_language_is_what_was_detected() -> None:
    results = Results(0.0, None)
    results.push(result("a", 0.0, 3.0, is_final=True, confidence=0.8, best={"languages": ["es", "en"]}))
    final = results.push(result("b", 3.0, 1.0, is_final=True, speech_final=True, confidence=0.4))[0]
    assert final.transcript.confidence is not None
    assert round(final.transcript.confidence, 6) == 0.7
    assert final.transcript.language == "es"
    assert final.audio_end_s == 4.0


def test_a_connection_that_takes_over_keeps_the_words_and_counts_from_its_own_place() -> None:
    first = Results(0.0, "en")
    first.push(result("I need", 0.0, 2.0, is_final=True))
    assert first.settled_s == 2.0
    second = first.carried(2.0)
    final = second.push(result("a table", 0.0, 1.0, is_final=True, speech_final=True))[0]
    assert final.transcript.text == "I need a table"
    assert final.audio_end_s == 3.0


def test_the_tail_forgets_what_is_settled_and_what_is_too_old() -> None:
    tail = Tail(limit_s=1.0)
    for _ in range(20):
        tail.push(silence(0.1, 16_000))
    assert len(tail.frames()) == 10
    assert round(tail.begin_s, 6) == 1.0
    assert round(tail.end_s, 6) == 2.0
    tail.settle(1.55)  # in the middle of a frame: that one is kept
    assert len(tail.frames()) == 5
    assert round(tail.begin_s, 6) == 1.5
    tail.settle(9.0)
    assert tail.frames() == ()
    assert round(tail.begin_s, 6) == 2.0


def words(*said: tuple[str, int]) -> dict[str, Any]:
    return {
        "words": [{"word": word, "start": 0.0, "end": 0.1, "confidence": 0.9, "speaker": who} for word, who in said]
    }


def voices(events: list[Any]) -> list[tuple[str, str, str | None]]:
    return [(event.kind, event.transcript.text, event.transcript.speaker) for event in events]


def test_voices_at_one_microphone_are_events_of_their_own() -> None:
    results = Results(0.0, "en")
    both = words(("book", 0), ("it", 0), ("no", 1), ("today", 0))
    assert voices(results.push(result("book it no today", is_final=False, best=both))) == [
        ("interim", "book it today", "0"), ("interim", "no", "1"),
    ]  # fmt: skip
    assert voices(results.push(result("book it no today", is_final=True, speech_final=True, best=both))) == [
        ("final", "book it", "0"), ("final", "no", "1"), ("final", "today", "0"), ("end_of_turn", "", None),
    ]  # fmt: skip
