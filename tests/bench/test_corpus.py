"""The items of the turn-taking benchmark, as they are drawn."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.turn_taking import corpus as corpora
from bench.turn_taking.corpus import KINDS, Pause, Recorded, Spoken, chosen, corpus
from bench.turn_taking.phrases import STORIES
from bench.turn_taking.recordings import known
from bench.turn_taking.timeline import story_of


def test_equal_seeds_give_equal_items_and_others_do_not() -> None:
    assert corpus(3) == corpus(3)
    assert corpus(3) != corpus(4)
    assert {item.id for item in corpus(3)} == {item.id for item in corpus(4)}


def test_there_are_about_a_hundred_items_of_all_kinds() -> None:
    counts = Counter(item.kind for item in corpus())
    assert set(counts) == set(KINDS)
    assert 90 <= counts.total() <= 120
    assert min(counts.values()) >= 6


def test_what_lies_between_the_parts_of_a_hesitation_is_a_pause_of_its_length() -> None:
    pauses = [part.seconds for item in corpus() if item.kind == "hesitation" for part in item.parts[1:2]]
    assert min(pauses) == corpora.PAUSES_S[0]
    assert max(pauses) == corpora.PAUSES_S[1]
    for item in corpus():
        if item.kind in ("hesitation", "number"):
            assert any(isinstance(part, Pause) and part.seconds >= 0.6 for part in item.parts), item.id


def test_no_caller_sounds_like_the_agent_and_one_person_speaks_in_an_item() -> None:
    for item in corpus():
        voices = {(part.voice.pitch, part.voice.speed) for part in item.parts if isinstance(part, Spoken)}
        if item.question and voices:
            voices.add((item.question.voice.pitch, item.question.voice.speed))
        assert len(voices) <= 1, item.id
        assert all(pitch != 1.0 for pitch, _ in voices)


def test_every_recording_is_known() -> None:
    names = {part.name for item in corpus() for part in item.parts if isinstance(part, Recorded)}
    assert names <= known()
    assert len(names) > 15


def test_only_what_happens_over_a_reply_asks_for_one() -> None:
    for item in corpus():
        over = item.kind not in (*corpora.TURNS, "noise-alone")
        assert (item.question is not None) == over, item.id
        assert (item.echo is not None) == item.kind.startswith("echo"), item.id


@pytest.mark.parametrize("limit", [11, 30, 60])
def test_a_short_form_has_all_kinds_in_proportion(limit: int) -> None:
    items = corpus()
    short = chosen(items, limit=limit)
    assert len(short) == limit
    assert [item for item in items if item in short] == short
    full, counts = Counter(item.kind for item in items), Counter(item.kind for item in short)
    assert all(abs(counts[kind] - limit * full[kind] / len(items)) <= 1 for kind in KINDS)


def test_items_are_chosen_by_kind_and_by_id() -> None:
    items = corpus()
    assert {item.kind for item in chosen(items, ["echo", "number"])} == {"echo", "number"}
    assert [item.id for item in chosen(items, ["clean-02"])] == ["clean-02"]
    assert len(chosen(items, ["clean"], limit=500)) == 12
    with pytest.raises(ValueError, match="no kind or item cough; kinds: clean"):
        chosen(items, ["cough"])


def test_the_answers_can_be_told_apart_by_any_piece() -> None:
    for number, story in enumerate(STORIES):
        words = story.split()
        assert "," not in story  # where the voice would rest
        for start in range(len(words) - 4):
            assert story_of(" ".join(words[start : start + 4])) == number
    assert story_of("Good day, this is the front desk") is None
    assert story_of("The house") is None
