"""The turn machine, step by step, to the millisecond."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentd.config.turns import (
    Endpointing,
    Interruption,
    InterruptionProfile,
    InterruptionProfiles,
    MaxSpeech,
    Turn,
    WakePhrase,
)
from agentd.providers.fields import Duration
from agentd.session.events import (
    AgentWords,
    CommitRequested,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    Interrupt,
    LanguageSet,
    Overlap,
    PauseSpeech,
    ProviderEndOfTurn,
    Recognized,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    SpeechEnded,
    SpeechStarted,
    TextTyped,
    Tick,
    ToolsRunning,
    TurnBegun,
    TurnDropped,
    TurnEvent,
    TurnJudged,
)
from agentd.session.turns import LATE_WORDS_S, NOISE_S, Agent, TurnMachine

TURN = Turn()


def play(machine: TurnMachine, *steps: tuple[float, TurnEvent]) -> list[tuple[float, Decision]]:
    """Steps at their times, with Ticks where the machine asks for them; decisions with the time they were made.
    That both speak is no decision, and has tests of its own."""
    made: list[tuple[float, Decision]] = []
    for at, event in steps:
        while machine.deadline is not None and machine.deadline < at:
            due = machine.deadline
            made += [(due, d) for d in machine.step(Tick(), due)]
        made += [(at, d) for d in machine.step(event, at)]
    return [(at, d) for at, d in made if not isinstance(d, Overlap)]


def utterance(begin: float, end: float, text: str, *, recognized_after: float = 0.4) -> list[tuple[float, TurnEvent]]:
    return [
        (begin + 0.064, SpeechStarted(begin)),
        (end + 0.25, SpeechEnded(end, end - begin, recognizing=True)),
        (end + recognized_after, Recognized(text, batch=True)),
    ]


def kinds(made: list[tuple[float, Decision]]) -> list[str]:
    return [type(decision).__name__ for _, decision in made]


def machine(turn: Turn = TURN, *, streaming: bool = False, warm: bool = True) -> TurnMachine:
    return TurnMachine(turn, streaming, warm=warm)


def test_a_turn_is_committed_min_delay_after_the_last_speech() -> None:
    made = play(machine(), *utterance(0, 1, "Hello."), (9, Tick()))
    assert [(at, type(d)) for at, d in made] == [(1.5, CommitTurn)]
    commit = made[0][1]
    assert isinstance(commit, CommitTurn)
    assert (commit.text, commit.rule, commit.ended_at, commit.words_at) == ("Hello.", "silence", 1.0, 1.4)


def test_a_slow_recogniser_delays_the_commit_until_its_answer() -> None:
    made = play(machine(), *utterance(0, 1, "Hello.", recognized_after=0.9), (9, Tick()))
    assert [at for at, _ in made] == [1.9]


def test_speech_within_the_delay_joins_the_turn() -> None:
    made = play(machine(), *utterance(0, 1, "A table"), *utterance(1.4, 2.5, "for two."), (9, Tick()))
    assert [(at, d.text) for at, d in made if isinstance(d, CommitTurn)] == [(3.0, "A table for two.")]


def test_silence_without_words_is_no_turn() -> None:
    assert play(machine(), *utterance(0, 1, ""), (9, Tick())) == []


@pytest.mark.parametrize("delay", [0.1, 0.3, 1.0])
def test_the_delay_is_the_configured_one(delay: float) -> None:
    turn = Turn(endpointing=Endpointing(min_delay=Duration(delay)))
    made = play(machine(turn), *utterance(0, 1, "Hi.", recognized_after=0.26), (9, Tick()))
    assert made[0][0] == pytest.approx(1 + max(delay, 0.26))


def test_manual_detection_commits_only_when_asked() -> None:
    made = play(machine(Turn(detection="manual")), *utterance(0, 1, "Hello."), (5, CommitRequested()))
    assert [(at, d.rule) for at, d in made] == [(5, "manual")]


def test_stt_detection_waits_for_the_provider_and_at_most_max_delay() -> None:
    turn = Turn(detection="stt")
    spoken = utterance(0, 1, "Hello.")
    ended = play(machine(turn), *spoken, (1.7, ProviderEndOfTurn()), (9, Tick()))
    assert [(at, d.rule) for at, d in ended] == [(1.7, "provider_end_of_turn")]
    never = play(machine(turn), *spoken, (9, Tick()))
    assert [(at, d.rule) for at, d in never] == [(4.0, "max_delay")]


def test_interim_words_wait_for_their_final_and_are_taken_when_it_never_comes() -> None:
    spoken = [(0.1, SpeechStarted(0)), (0.5, Interim("Hello")), (1.25, SpeechEnded(1, 1, recognizing=False))]
    made = play(machine(streaming=True), *spoken, (1.9, Recognized("Hello there.")), (9, Tick()))
    assert [(at, d.text) for at, d in made if isinstance(d, CommitTurn)] == [(1.9, "Hello there.")]
    late = play(machine(streaming=True), *spoken, (9, Tick()))
    assert [(at, d.rule) for at, d in late] == [(1.5 + LATE_WORDS_S, "late_words")]


SPEAKING: list[tuple[float, TurnEvent]] = [(10, ReplyStarted(True)), (10.2, ReplyAudible())]


def test_the_onset_of_speech_holds_the_agent_and_words_cut_it() -> None:
    made = play(machine(), *SPEAKING, *utterance(12, 13, "Stop."), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Interrupt", "CommitTurn"]
    assert [at for at, _ in made] == pytest.approx([12.064, 13.4, 13.5])


def test_a_noise_without_words_lets_the_agent_go_on_as_soon_as_that_is_known() -> None:
    made = play(machine(), *SPEAKING, *utterance(12, 12.3, ""), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "ResumeSpeech"]
    assert made[1][0] == pytest.approx(12.7)


def test_without_a_batch_answer_the_agent_goes_on_after_false_timeout() -> None:
    steps = [(12.06, SpeechStarted(12)), (12.55, SpeechEnded(12.3, 0.3, recognizing=False))]
    made = play(machine(streaming=True), *SPEAKING, *steps, (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "ResumeSpeech"]
    assert made[1][0] == pytest.approx(14.3)
    assert made[1][1].rule == "false_interruption"


def test_min_words_lets_fewer_words_pass_and_their_turn_waits() -> None:
    turn = Turn(interruption=Interruption(min_words=3))
    made = play(machine(turn), *SPEAKING, *utterance(12, 13, "wait a minute"), (20, Tick()))
    assert kinds(made)[:1] == ["Interrupt"]
    few = play(machine(turn), *SPEAKING, *utterance(12, 13, "not sure"), (13.45, ReplyEnded()), (20, Tick()))
    assert "PauseSpeech" not in kinds(few)
    assert kinds(few) == ["CommitTurn"]


def test_an_acknowledgement_is_ignored_while_the_agent_speaks_and_taken_while_it_listens() -> None:
    turn = Turn(interruption=Interruption(acknowledgements=("okay",)))
    made = play(machine(turn), *SPEAKING, *utterance(12, 12.4, "Okay!"), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Ignore", "ResumeSpeech"]
    assert kinds(play(machine(turn), *utterance(0, 1, "Okay!"), (9, Tick()))) == ["CommitTurn"]


def test_what_is_said_during_uninterruptible_speech_is_ignored() -> None:
    steps = [(10, ReplyStarted(False)), (10.2, ReplyAudible()), *utterance(11, 12, "Hello?"), (20, Tick())]
    made = play(machine(), *steps)
    assert kinds(made) == ["Ignore"]
    assert isinstance(made[0][1], Ignore)


def test_speech_that_outlasts_uninterruptible_speech_is_a_turn() -> None:
    steps = [(11.0, SpeechStarted(10.9)), (12.0, ReplyEnded()), (13.25, SpeechEnded(13, 2, recognizing=True))]
    made = play(machine(), (10, ReplyStarted(False)), *steps, (13.4, Recognized("Hello?", batch=True)), (20, Tick()))
    assert kinds(made) == ["CommitTurn"]


def test_a_reply_that_begins_while_the_caller_speaks_is_held() -> None:
    made = play(machine(), (0.1, SpeechStarted(0)), (0.5, ReplyStarted(True)))
    assert [(type(d), d.rule) for _, d in made] == [(PauseSpeech, "caller_is_speaking")]


def test_typed_text_is_a_turn_at_once() -> None:
    made = play(machine(), *SPEAKING, (12, TextTyped("hi")))
    assert kinds(made) == ["Interrupt", "CommitTurn"]


def test_words_that_are_too_few_do_not_end_a_turn_in_mid_speech() -> None:
    turn = Turn(interruption=Interruption(min_words=3, resume_false=False))
    steps = [(12.06, SpeechStarted(12)), (12.3, Interim("maybe")), (14, Tick())]
    tested = machine(turn, streaming=True)
    assert play(tested, *SPEAKING, *steps) == []
    assert tested.deadline is None or tested.deadline > 14


def test_the_length_of_speech_interrupts_at_its_moment_whatever_the_rounding() -> None:
    turn = Turn(interruption=Interruption(resume_false=False, min_duration=Duration(0.1)))
    for since in (0.1, 0.2, 0.3, 1.1, 12.7, 1e6 + 0.3):
        tested = machine(turn)
        play(tested, (since - 0.1, ReplyStarted(True)), (since, SpeechStarted(since)))
        assert tested.deadline is not None
        assert kinds([(0, d) for d in tested.step(Tick(), tested.deadline)]) == ["Interrupt"]


def test_an_acknowledgement_that_was_first_an_interim_is_ignored_too() -> None:
    turn = Turn(interruption=Interruption(acknowledgements=("okay",)))
    heard = [(12.06, SpeechStarted(12)), (12.2, Interim("okay")), (12.5, SpeechEnded(12.3, 0.3, recognizing=False))]
    made = play(machine(turn, streaming=True), *SPEAKING, *heard, (12.7, Recognized("Okay.")), (20, Tick()))
    assert [(at, type(d)) for at, d in made] == [(12.06, PauseSpeech), (12.5, ResumeSpeech), (12.7, Ignore)]


def test_noise_too_short_for_a_batch_recogniser_lets_the_agent_go_on_at_once() -> None:
    steps = [(12.06, SpeechStarted(12)), (12.4, SpeechEnded(12.1, 0.1, recognizing=False)), (12.4, Recognized(""))]
    made = play(machine(), *SPEAKING, *steps, (20, Tick()))
    assert [(at, d.rule) for at, d in made] == [(12.06, "speech_onset"), (12.4, "no_words")]


def test_noise_that_never_ends_does_not_silence_the_agent_for_ever() -> None:
    tested = machine(streaming=True)
    made = play(tested, *SPEAKING, (12, SpeechStarted(12)), (40, Tick()))
    assert [(at, d.rule) for at, d in made] == [(12, "speech_onset"), (12 + NOISE_S, "noise")]
    after = [(40, ReplyEnded()), (41, ReplyStarted(True)), (42, SpeechEnded(41, 29, recognizing=False))]
    assert play(tested, *after, (43, SpeechStarted(43))) == []
    assert kinds(play(tested, (44, Interim("stop")))) == ["Interrupt"]


def test_a_turn_ends_although_noise_goes_on() -> None:
    steps = [*utterance(0, 1, "Hello."), (1.42, SpeechStarted(1.41)), (30, Tick())]
    made = play(machine(), *steps)
    assert [(at, d.rule) for at, d in made] == [(pytest.approx(1.41 + NOISE_S), "noise")]


def test_a_final_that_comes_after_its_interim_was_taken_is_no_second_turn() -> None:
    spoken = [(0.1, SpeechStarted(0)), (0.5, Interim("Hello")), (1.25, SpeechEnded(1, 1, recognizing=False))]
    steps = [*spoken, (5, ReplyStarted(True)), (6, Recognized("Hello there.")), (9, Tick())]
    made = play(machine(streaming=True), *steps)
    assert kinds(made) == ["CommitTurn", "Ignore"]


def test_words_without_any_speech_that_the_vad_heard_wait_for_their_final() -> None:
    steps = [(50, Interim("Hello")), (50.8, Recognized("Hello there.")), (60, Tick())]
    made = play(machine(streaming=True), *steps)
    assert [(at, d.text, d.ended_at) for at, d in made if isinstance(d, CommitTurn)] == [(51.3, "Hello there.", 50.8)]


def test_speech_before_an_uninterruptible_reply_is_not_lost_where_nothing_can_be_interrupted() -> None:
    turn = Turn(interruption=Interruption(enabled=False))
    said = [(1.25, SpeechEnded(1, 1, recognizing=True)), (1.4, Recognized("Hello.", batch=True)), (3, ReplyEnded())]
    made = play(machine(turn), (0.1, SpeechStarted(0)), (1.0, ReplyStarted(True)), *said, (9, Tick()))
    assert kinds(made) == ["CommitTurn"]


def test_typed_text_does_not_cut_what_must_not_be_cut() -> None:
    made = play(machine(), (10, ReplyStarted(False)), (12, TextTyped("hi")))
    assert kinds(made) == ["CommitTurn"]


_EVENTS = st.one_of(
    st.just(SpeechStarted(0.0)),
    st.builds(SpeechEnded, st.just(0.0), st.floats(0.05, 5), st.booleans(), st.booleans()),
    st.builds(Interim, st.sampled_from(["", "hello", "hello there"])),
    st.builds(Recognized, st.sampled_from(["", "hello", "stop it now", "okay", "and"]), st.none(), st.booleans()),
    st.just(ProviderEndOfTurn()),
    st.just(TextTyped("typed")),
    st.builds(ReplyStarted, st.booleans()),
    st.just(ReplyAudible()),
    st.just(ReplyEnded()),
    st.builds(AgentWords, st.sampled_from(["hello there", "what is your phone number?"])),
    st.builds(ToolsRunning, st.booleans()),
    st.builds(TurnJudged, st.sampled_from([None, 0.1, 0.9])),
    st.just(TurnBegun()),
    st.just(CommitRequested()),
    st.just(TurnDropped()),
    st.just(LanguageSet("de")),
    st.just(Tick()),
)
_TURNS = st.sampled_from(
    [
        TURN,
        Turn(detection="stt"),
        Turn(interruption=Interruption(min_words=2)),
        Turn(interruption=Interruption(resume_false=False)),
        Turn(interruption=Interruption(resume_false=False, min_words=2)),
        Turn(interruption=Interruption(enabled=False)),
        Turn(interruption=Interruption(acknowledgements=("okay",))),
        Turn(interruption=Interruption(acknowledgements=(), phrases=(), uninterruptible="keep")),
        Turn(interruption=Interruption(while_=InterruptionProfiles(tool=InterruptionProfile(enabled=False)))),
        Turn(endpointing=Endpointing(mode="dynamic")),
        Turn(max_speech=MaxSpeech(after=Duration(2.0))),
        Turn(max_speech=MaxSpeech(after=Duration(2.0), say="One moment.")),
        Turn(wake_phrase=WakePhrase(phrases=("hello",), awake=Duration(3.0))),
        Turn(detection="manual"),
    ]
)


def _at(event: TurnEvent, now: float) -> TurnEvent:
    """The event with the times that it would have at `now`."""
    match event:
        case SpeechStarted():
            return SpeechStarted(now - 0.064)
        case SpeechEnded():
            return replace(event, last_speech=now - 0.25)
    return event


@settings(max_examples=300, deadline=None)
@given(_TURNS, st.booleans(), st.lists(st.tuples(st.floats(0.0, 1.5), _EVENTS), max_size=40))
def test_no_sequence_of_events_spins_loses_words_or_leaves_the_agent_held(
    turn: Turn, warm: bool, steps: list[tuple[float, TurnEvent]]
) -> None:
    tested = machine(turn, streaming=True, warm=warm)
    now, spoken, committed, held = 0.0, 0, 0, False
    for wait, event in steps:
        now += wait
        decisions = tested.step(_at(event, now), now)
        for _ in range(20):
            if tested.deadline is None or tested.deadline > now:
                break
            decisions += tested.step(Tick(), now)
        else:
            pytest.fail("the machine wants to be stepped again and again at one moment")
        held = held and not isinstance(event, ReplyEnded | ReplyStarted)
        for decision in decisions:
            held = _held_after(decision, held=held)
            committed += isinstance(decision, CommitTurn)
        if isinstance(event, Recognized) and event.text:
            spoken += 1
        assert held == (tested.state.held and tested.state.agent is not Agent.SILENT)
        paused_s = now - tested.state.held_since if tested.state.held else 0.0
        assert paused_s <= NOISE_S, "the agent is silent for longer than any noise is waited for"
    tested.step(ReplyEnded(), now)
    tested.step(SpeechEnded(now, 1.0, recognizing=False), now)
    while tested.state.recognizing:
        tested.step(Recognized("", batch=True), now)
    while tested.state.judging:
        tested.step(TurnJudged(None), now)
    if turn.detection == "manual":
        tested.step(CommitRequested(), now)
    end = tested.step(Tick(), now + 60)
    assert not tested.state.finals, "words were never committed"
    assert committed + len([d for d in end if isinstance(d, CommitTurn)]) <= spoken + len(steps)
    assert not tested.state.held


def _held_after(decision: Decision, *, held: bool) -> bool:
    if isinstance(decision, PauseSpeech):
        return True
    return False if isinstance(decision, ResumeSpeech | Interrupt) else held
