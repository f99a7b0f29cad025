"""Text into sentences to be spoken."""

from __future__ import annotations

import pytest

from agentd.session.segmenter import LONGEST_SEGMENT_CHARS, Segmenter, speakable

CASES = {
    "two sentences": ("Hello there. How are you?", ["Hello there.", "How are you?"]),
    "abbreviation": ("Dr. Smith is in. Mrs. Jones is not.", ["Dr. Smith is in.", "Mrs. Jones is not."]),
    "initials": ("J. K. Rowling wrote it. Yes.", ["J. K. Rowling wrote it.", "Yes."]),
    "decimals": ("It costs 3.50 dollars. Fine?", ["It costs 3.50 dollars.", "Fine?"]),
    "time": ("Come at 5 p.m. on Friday. Bye.", ["Come at 5 p.m. on Friday.", "Bye."]),
    "time ends a sentence": ("Come at 5 p.m. We close at six.", ["Come at 5 p.m.", "We close at six."]),
    "ellipsis": ("Well... let me see. Yes.", ["Well...", "let me see.", "Yes."]),
    "quotes": ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
    "german": ("Das ist z.B. so. Gut.", ["Das ist z.B. so.", "Gut."]),
    "chinese": ("你好。今天天气很好！再见", ["你好。", "今天天气很好！", "再见"]),
    "japanese quotes": ("「はい。」と言った。次。", ["「はい。」", "と言った。", "次。"]),
    "list": ("We have:\n- tea\n- coffee\n", ["We have:", "tea", "coffee"]),
    "numbered list": ("Steps:\n1. Open it.\n2. Close it.", ["Steps:", "1. Open it.", "2. Close it."]),
    "markdown": ("**Hello** *you*. See [our site](http://x.y/z).", ["Hello you.", "See our site."]),
    "heading": ("# Title\n\nText here.", ["Title", "Text here."]),
    "code block": ("Run this. ```rm -rf``` Done now.", ["Run this.", "Done now."]),
    "emoji": ("Great 😀! See you 👋🏽.", ["Great!", "See you."]),
    "only emoji": ("😀 🎉", []),
    "table": ("| a | b |\n|---|---|\n| 1 | 2 |", ["a b 1 2"]),
    "question marks": ("Really?! Yes.", ["Really?!", "Yes."]),
    "snake case stays": ("Use the my_long_name field.", ["Use the my_long_name field."]),
    "multiplication stays": ("Two * three is six.", ["Two * three is six."]),
    "a break stays": ('One. <break time="300ms"/> Two.', ["One.", '<break time="300ms"/> Two.']),
    "a cue stays": ("[laughs] **Good** one.", ["[laughs] Good one."]),
    "a cue alone waits for words": ("[sighs]\n\nWell then.", ["[sighs]Well then."]),
    "markup without any words": ("<break/>", []),
    "other tags and brackets": ("<b>Hi</b> [sic] <speak>you</speak>.", ["Hi [sic] you."]),
    "version number": ("Version 1.2.3 is out. Get it.", ["Version 1.2.3 is out.", "Get it."]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_text_is_cut_into_sentences_however_it_streams(name: str, size: int) -> None:
    text, expected = CASES[name]
    segmenter = Segmenter()
    found = [s for at in range(0, len(text), size) for s in segmenter.push(text[at : at + size])]
    assert found + segmenter.flush() == expected


def test_a_sentence_comes_out_as_soon_as_the_next_begins() -> None:
    segmenter = Segmenter()
    assert segmenter.push("Hello there. ") == ["Hello there."]


def test_the_first_segment_may_end_at_a_comma_and_later_ones_may_not() -> None:
    segmenter = Segmenter()
    text = "If you would like to book a table for this evening, I can do that, for you, gladly. And if not, then not."
    found = [s for c in text for s in segmenter.push(c)] + segmenter.flush()
    assert found[0] == "If you would like to book a table for this evening,"
    assert found[1] == "I can do that, for you, gladly."
    assert len(found) == 3


def test_text_without_any_stop_is_cut_at_a_space() -> None:
    segmenter = Segmenter()
    found = segmenter.push("word " * 200) + segmenter.flush()
    assert all(len(segment) <= LONGEST_SEGMENT_CHARS for segment in found)
    assert " ".join(found).split() == ["word"] * 200


def test_nothing_is_lost_between_segments() -> None:
    text = "One, two. Three? Four! Five and six."
    segmenter = Segmenter()
    found = [s for c in text for s in segmenter.push(c)] + segmenter.flush()
    assert " ".join(found) == text


def test_speakable_keeps_plain_text_as_it_is() -> None:
    assert speakable("Plain text, 5 < 6 & more.") == "Plain text, 5 < 6 & more."
