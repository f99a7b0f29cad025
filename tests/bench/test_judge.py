"""What is made of a call: stories of an agent, as its caller noticed them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.turn_taking.corpus import Item, Kind
from bench.turn_taking.judge import Verdict, judge
from bench.turn_taking.phrases import STORIES
from bench.turn_taking.timeline import Said, Timeline

FIRST = Said(11.0, STORIES[0][:40])
SECOND = Said(15.0, STORIES[1][:40])
GREETING = (1.0, 5.0)

# A caller's turn from 7 to 9.
TURN = Timeline(sound=(GREETING, (9.8, 10.0)), doing=(7.0, 9.0), until=10.0)
# A question from 6 to 8, the reply from 9 on; at 12 the caller does something for a second.
REPLY = Timeline(
    sound=(GREETING, (9.0, 11.0), (11.2, 19.0)),
    agent_said=(FIRST,),
    asked=(6.0, 8.0),
    replied=9.0,
    doing=(12.0, 13.0),
    until=19.0,
)


def verdict(kind: Kind, seen: Timeline, **changes: object) -> Verdict:
    return judge(Item(id="x", kind=kind), replace(seen, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["clean", "hesitation", "number", "noisy"])
def test_a_turn_is_answered_after_its_true_end(kind: Kind) -> None:
    found = verdict(kind, TURN)
    assert (found.outcome, found.ok) == ("answered", True)
    assert found.delay_s == pytest.approx(0.8)


def test_an_answer_before_the_end_is_a_cut_in_and_has_no_delay() -> None:
    found = verdict("hesitation", TURN, sound=(GREETING, (8.2, 8.6), (9.8, 10.0)))
    assert (found.outcome, found.ok, found.delay_s) == ("cut in", False, None)
    assert "0.80 s before" in found.why
    assert verdict("hesitation", TURN, sound=(GREETING, (8.2, 8.24), (9.8, 10.0))).ok  # a click of the line


def test_a_turn_may_stay_unanswered() -> None:
    assert verdict("clean", TURN, sound=(GREETING,), until=16.0).outcome == "unanswered"


def test_an_interruption_stops_the_agent_and_is_answered() -> None:
    found = verdict("interruption", REPLY, sound=(GREETING, (9.0, 12.4), (14.0, 19.0)), agent_said=(FIRST, SECOND))
    assert (found.outcome, found.ok) == ("stopped", True)
    assert found.silence_s == pytest.approx(0.4)


def test_an_interruption_that_is_not_answered_is_one_all_the_same() -> None:
    found = verdict("interruption", REPLY, sound=(GREETING, (9.0, 12.4)))
    assert (found.outcome, found.ok, found.why) == ("stopped", True, "stopped and never answered")


def test_an_interruption_is_missed_by_talking_on_and_by_resuming() -> None:
    assert verdict("interruption", REPLY).outcome == "missed"
    resumed = verdict("interruption", REPLY, sound=(GREETING, (9.0, 12.4), (14.0, 19.0)))
    assert (resumed.outcome, resumed.ok) == ("missed", False)
    late = verdict("interruption", REPLY, sound=(GREETING, (9.0, 15.0)))
    assert late.outcome == "missed"


def test_a_new_answer_without_a_rest_is_a_stop_too() -> None:
    assert verdict("interruption", REPLY, agent_said=(FIRST, SECOND)).outcome == "stopped"


@pytest.mark.parametrize("kind", ["backchannel", "event", "noise-over"])
def test_over_a_backchannel_or_a_cough_the_agent_goes_on(kind: Kind) -> None:
    assert verdict(kind, REPLY).outcome == "went on"
    assert verdict(kind, REPLY, sound=(GREETING, (9.0, 12.4), (12.8, 19.0))).ok  # a rest that nobody notices


@pytest.mark.parametrize("kind", ["backchannel", "event", "noise-over"])
def test_an_agent_that_stops_resumes_answers_or_stays_silent(kind: Kind) -> None:
    stopped = (GREETING, (9.0, 12.4), (14.0, 19.0))
    resumed = verdict(kind, REPLY, sound=stopped)
    assert (resumed.outcome, resumed.ok) == ("resumed", False)
    assert resumed.pause_s == pytest.approx(1.6)
    assert verdict(kind, REPLY, sound=stopped, agent_said=(FIRST, SECOND)).outcome == "answered"
    silent = verdict(kind, REPLY, sound=(GREETING, (9.0, 12.4)))
    assert silent.outcome == "silent"
    assert silent.pause_s == pytest.approx(6.6)


def test_captions_that_come_late_are_no_new_answer() -> None:
    late = Said(13.5, STORIES[0][60:110])
    assert verdict("backchannel", REPLY, agent_said=(late,)).outcome == "went on"


def test_an_echo_stops_nobody() -> None:
    assert verdict("echo", REPLY, doing=None).outcome == "went on"
    paused = (GREETING, (9.0, 9.6), (10.4, 19.0))
    assert verdict("echo", REPLY, doing=None, sound=paused).outcome == "resumed"


def test_an_agent_that_takes_its_echo_for_a_turn_answers_itself() -> None:
    own_words = (Said(8.6, "Tell me about the house."), Said(10.2, "The house"))
    stopped = verdict("echo", REPLY, sound=(GREETING, (9.0, 9.6), (10.4, 19.0)), caller_heard_as=own_words)
    assert stopped.outcome == "answered"
    ignored = verdict("echo", REPLY, caller_heard_as=own_words)
    assert ignored.ok  # it understood its own words, and went on
    early = verdict("echo", REPLY, states=((0.5, "listening"), (3.0, "thinking")))
    assert (early.outcome, early.why) == ("answered", "answered its own greeting")
    endless = verdict("echo", REPLY, asked=None, replied=None, agent_said=(FIRST,))
    assert endless.outcome == "answered"
    assert verdict("echo", REPLY, replied=None).outcome == "silent"


def test_an_agent_that_its_echo_has_stopped_cannot_be_interrupted() -> None:
    stopped = (GREETING, (9.0, 12.4), (14.0, 19.0))
    assert verdict("echo-interruption", REPLY, sound=stopped, agent_said=(FIRST, SECOND)).ok
    before = verdict("echo-interruption", REPLY, sound=(GREETING, (9.0, 9.6), (10.4, 12.4)))
    assert (before.outcome, before.ok) == ("missed", False)
    assert "echo had stopped it" in before.why
    never = verdict("echo-interruption", REPLY, replied=None, doing=None)
    assert (never.outcome, never.ok) == ("silent", False)


def test_noise_alone_is_no_turn_heard_or_thought_of() -> None:
    quiet = Timeline(sound=(GREETING,), states=((0.5, "listening"),), doing=(7.0, 19.0), until=25.0)
    assert verdict("noise-alone", quiet).outcome == "quiet"
    assert verdict("noise-alone", quiet, sound=(GREETING, (12.0, 14.0))).outcome == "spoke"
    thought = verdict("noise-alone", quiet, states=((0.5, "listening"), (9.5, "thinking")))
    assert (thought.outcome, thought.why) == ("spoke", "took noise for a turn after 2.5 s")


@pytest.mark.parametrize("kind", ["clean", "interruption", "backchannel", "noise-alone", "echo-interruption"])
def test_what_never_came_about_is_not_measured(kind: Kind) -> None:
    assert verdict(kind, REPLY, doing=None).outcome == "not measured"


def test_nothing_is_judged_while_the_machine_stands_still() -> None:
    found = verdict("clean", TURN, stalled_s=0.9)
    assert (found.outcome, found.ok) == ("not measured", False)
