"""Which sentence of an answer a heard word belongs to."""

from __future__ import annotations

from agentd.session.realtime_take import Part, Take


def take() -> Take:
    made = Take(0)
    assert made.add(4, "We open at nine.") == "We open at nine."
    assert made.add(5, "We close at five.") == " We close at five."
    return made


def test_heard_words_are_those_of_their_sentences_and_a_sentence_is_over_when_the_next_one_sounds() -> None:
    made = take()
    assert list(made.hear("We open ")) == [Part(4, "We open ")]
    assert list(made.hear("at nine. ")) == [Part(4, "at nine.")]
    assert list(made.hear("We close ")) == [Part(4, "We open at nine.", done=True), Part(5, "We close ")]
    assert list(made.end("We open at nine. We close at five.")) == [Part(5, "We close at five.", done=True)]


def test_words_of_two_sentences_may_be_heard_at_once() -> None:
    made = take()
    assert list(made.hear("We open at nine. We ")) == [
        Part(4, "We open at nine."), Part(4, "We open at nine.", done=True), Part(5, "We "),
    ]  # fmt: skip


def test_of_a_take_that_was_cut_the_begun_sentence_is_not_whole() -> None:
    made = take()
    list(made.hear("We open at nine. We close "))
    (cut,) = made.end("We open at nine. We close")
    assert cut == Part(5, "We close", done=True)
    assert not made.is_whole(cut)


def test_sentences_that_were_not_heard_are_not_told() -> None:
    made = take()
    list(made.hear("We open "))
    assert list(made.end("We open")) == [Part(4, "We open", done=True)]
    assert list(made.end("We open")) == []
