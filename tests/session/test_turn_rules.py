"""The turn machine's further rules, step by step: echo, backchannels, profiles, buttons, monologues, wake phrases."""

from __future__ import annotations

import pytest

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
    Ignore,
    Interim,
    Interrupt,
    LanguageSet,
    LullBegan,
    LullEnded,
    Overlap,
    PauseSpeech,
    Recognized,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    SayOver,
    Sound,
    SpeechEnded,
    SpeechStarted,
    Tick,
    ToolsRunning,
    TurnBegun,
    TurnDropped,
    TurnEvent,
    TurnJudged,
)
from tests.session.test_turns import SPEAKING, kinds, machine, play, utterance


def rules(made: list[tuple[float, object]]) -> list[tuple[float, str]]:
    return [(pytest.approx(at), decision.rule) for at, decision in made]  # type: ignore[attr-defined]


# The end of a turn.


def test_an_unfinished_turn_waits_and_takes_what_follows() -> None:
    said = [*utterance(0, 1, "My name is"), *utterance(2.4, 3.0, "Ann.")]
    assert rules(play(machine(), *said, (9, Tick()))) == [(3.5, "silence")]
    alone = play(machine(), *utterance(0, 1, "My name is"), (9, Tick()))
    assert rules(alone) == [(4.0, "unfinished")]


def test_what_the_agent_asked_last_decides_how_long_a_number_may_take() -> None:
    asked: list[tuple[float, TurnEvent]] = [
        (-3, ReplyStarted(True)), (-2.9, ReplyAudible()), (-2.8, AgentWords("What is")),
        (-2.5, AgentWords(" your phone number?")), (-2, ReplyEnded()),
    ]  # fmt: skip
    made = play(machine(), *asked, *utterance(0, 1, "555"), *utterance(2.6, 3.6, "0123 456"), (9, Tick()))
    assert [(at, d.text) for at, d in made if isinstance(d, CommitTurn)] == [(pytest.approx(4.1), "555 0123 456")]
    forgotten = [(-1.9, ReplyStarted(True)), (-1.8, AgentWords("Thank you.")), (-1, ReplyEnded())]
    made = play(machine(), *asked, *forgotten, *utterance(0, 1, "555"), (9, Tick()))
    assert rules(made) == [(pytest.approx(2.4), "digits_open")]


def test_the_language_of_the_conversation_decides_which_words_are_unfinished() -> None:
    made = play(machine(), (-1, LanguageSet("de")), *utterance(0, 1, "Ich möchte"), (9, Tick()))
    assert rules(made) == [(4.0, "unfinished")]
    assert rules(play(machine(), *utterance(0, 1, "Ich möchte"), (9, Tick()))) == [(1.5, "silence")]


def test_dynamic_delays_learn_from_pauses_within_turns_and_from_being_cut_short() -> None:
    turn = Turn(endpointing=Endpointing(mode="dynamic"))
    tested = machine(turn)
    play(tested, *utterance(0, 1, "Hello"), *utterance(1.4, 2, "there."), (3, Tick()))
    assert tested.state.pause_s == 0.5  # pauses shorter than min_delay teach nothing
    cut_short = [(3.1, ReplyStarted(True)), (4.06, SpeechStarted(4.0))]
    play(tested, *cut_short, (5.2, SpeechEnded(5, 1, recognizing=True)), (5.3, Recognized("again", batch=True)))
    assert tested.state.pause_s == pytest.approx(0.5 * 0.9 + 2.0 * 0.1)
    assert rules(play(tested, (9, Tick()))) == [(5.65, "dynamic")]


def test_a_turn_detector_is_waited_for_and_its_opinion_holds_until_there_is_more_speech() -> None:
    ended = [(0.1, SpeechStarted(0)), (1.25, SpeechEnded(1, 1, recognizing=True, judging=True))]
    words = (1.4, Recognized("A table for two", batch=True))
    made = play(machine(), *ended, words, (1.7, TurnJudged(0.9)), (9, Tick()))
    assert rules(made) == [(1.7, "silence")]
    made = play(machine(), *ended, words, (1.7, TurnJudged(0.1)), (9, Tick()))
    assert rules(made) == [(4.0, "turn_detector")]
    made = play(machine(), *ended, words, (1.7, TurnJudged(None)), (9, Tick()))
    assert rules(made) == [(1.7, "silence")]
    made = play(machine(), *ended, words, (1.45, TurnJudged(0.1)), *utterance(2, 3, "Please."), (9, Tick()))
    assert rules(made) == [(3.5, "silence")]


MONOLOGUE: list[tuple[float, TurnEvent]] = [
    (0.1, SpeechStarted(0)),
    (9.25, SpeechEnded(9, 9, recognizing=True)),
    (9.4, Recognized("It was my", batch=True)),
    (9.6, SpeechStarted(9.5)),
]


def test_a_monologue_is_answered_after_its_limit_though_the_caller_goes_on() -> None:
    tested = machine(Turn(max_speech=MaxSpeech(after=Duration(15.0))))
    made = play(tested, *MONOLOGUE, (16, Tick()))
    assert rules(made) == [(15.0, "max_speech")]
    assert isinstance(made[0][1], CommitTurn)
    assert play(tested, (16.1, ReplyStarted(False)), (16.2, ReplyAudible()), (18, Tick())) == []
    ended = [(18.3, SpeechEnded(18, 8, recognizing=True)), (18.5, Recognized("so I went home", batch=True))]
    assert kinds(play(tested, *ended, (20, ReplyEnded()), (22, Tick()))) == ["CommitTurn"]


def test_a_monologue_may_be_told_something_once_and_goes_on() -> None:
    tested = machine(Turn(max_speech=MaxSpeech(after=Duration(5.0), say="Let me stop you there.")))
    made = play(tested, *MONOLOGUE, (12, Tick()))
    assert [(at, d.text) for at, d in made if isinstance(d, SayOver)] == [(5.0, "Let me stop you there.")]
    assert kinds(made) == ["SayOver"]


def test_nothing_is_a_turn_before_the_wake_phrase() -> None:
    turn = Turn(wake_phrase=WakePhrase(phrases=("hey clinic",), awake=Duration(10.0)))
    tested = machine(turn)
    assert rules(play(tested, *utterance(0, 1, "What time is it?"), (9, Tick()))) == [(1.4, "asleep")]
    woken = play(tested, *utterance(10, 11, "Hey clinic, are you open?"), (12, Tick()))
    assert [d.text for _, d in woken if isinstance(d, CommitTurn)] == ["are you open?"]
    answered = [(12, ReplyStarted(True)), (12.1, ReplyAudible()), (30, ReplyEnded())]
    assert kinds(play(tested, *answered, *utterance(36, 37, "And on Sunday?"), (45, Tick()))) == ["CommitTurn"]
    assert rules(play(tested, *utterance(60, 61, "Dear, have you seen my keys?"), (70, Tick()))) == [(61.4, "asleep")]


def test_an_agent_that_sleeps_is_not_silenced_by_what_is_said_beside_it() -> None:
    turn = Turn(wake_phrase=WakePhrase(phrases=("hey clinic",)))
    assert rules(play(machine(turn), *SPEAKING, *utterance(12, 13, "Turn that down."), (20, Tick()))) == [
        (13.4, "asleep")
    ]


# A button.


def test_a_turn_by_hand_begins_with_the_button_and_ends_with_its_words() -> None:
    tested = machine(Turn(detection="manual"))
    made = play(tested, *SPEAKING, *utterance(11, 12, "Nobody meant you."), (13, TurnBegun()))
    assert [(at, type(d).__name__, d.rule) for at, d in made] == [(13, "Interrupt", "turn_begun")]
    steps = [(13.3, SpeechStarted(13.2)), (14.2, SpeechEnded(14.2, 1, recognizing=True)), (14.2, CommitRequested())]
    made = play(tested, *steps, (14.5, Recognized("Are you open?", batch=True)), (30, Tick()))
    assert [(at, d.text) for at, d in made if isinstance(d, CommitTurn)] == [(14.5, "Are you open?")]


def test_a_button_without_words_is_no_turn_and_not_waited_for_for_ever() -> None:
    tested = machine(Turn(detection="manual"))
    assert play(tested, (1, TurnBegun()), (2, CommitRequested()), (30, Tick())) == []
    assert tested.deadline is None


def test_a_turn_that_was_thrown_away_leaves_no_words_though_its_recogniser_answers_late() -> None:
    tested = machine(Turn(detection="manual"))
    steps = [(1, TurnBegun()), (1.3, SpeechStarted(1.2)), (2.2, SpeechEnded(2.2, 1, recognizing=True))]
    made = play(tested, *steps, (2.2, TurnDropped()), (2.6, Recognized("Never mind", batch=True)))
    assert rules(made) == [(2.6, "turn_dropped")]
    assert kinds(play(tested, *utterance(5, 6, "Again."), (7, CommitRequested()))) == ["CommitTurn"]


def test_a_committed_turn_waits_for_words_that_are_being_recognised_whatever_the_detection() -> None:
    steps = [(0.1, SpeechStarted(0)), (1.25, SpeechEnded(1, 1, recognizing=True)), (1.3, CommitRequested())]
    made = play(machine(), *steps, (1.4, Recognized("Hello and", batch=True)), (9, Tick()))
    assert rules(made) == [(1.4, "manual")]


# Interruption.


def test_a_backchannel_costs_a_pause_and_no_turn() -> None:
    made = play(machine(), *SPEAKING, *utterance(12, 12.4, "Uh-huh."), (14, ReplyEnded()), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Ignore", "ResumeSpeech"]
    assert made[1][1].value == "turn.interruption.acknowledgements=en"


def test_the_agent_does_not_go_on_after_an_acknowledgement_when_the_caller_already_says_more() -> None:
    more = [(12.06, SpeechStarted(12)), (12.7, SpeechEnded(12.4, 0.4, recognizing=True)), (12.75, SpeechStarted(12.7))]
    rest = [(14, SpeechEnded(13.7, 1, recognizing=True)), (14.2, Recognized("but on Sunday?", batch=True))]
    made = play(machine(), *SPEAKING, *more, (12.8, Recognized("Okay", batch=True)), *rest, (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Ignore", "Interrupt", "CommitTurn"]


def test_an_acknowledgement_at_the_very_end_is_the_answer() -> None:
    made = play(machine(), *SPEAKING, *utterance(12, 12.4, "Yes."), (13.4, ReplyEnded()), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Ignore", "ResumeSpeech", "CommitTurn"]
    assert rules(made)[-1] == (13.4, "answer_at_the_end")
    long_after = play(machine(), *SPEAKING, *utterance(12, 12.4, "Yes."), (14, ReplyEnded()), (20, Tick()))
    assert "CommitTurn" not in kinds(long_after)


def test_a_streaming_recognisers_acknowledgement_need_not_be_final() -> None:
    heard = [(12.06, SpeechStarted(12)), (12.3, Interim("Uh")), (12.4, Interim("Uh-huh"))]
    ended = (12.65, SpeechEnded(12.4, 0.4, recognizing=False))
    made = play(machine(streaming=True), *SPEAKING, *heard, ended, (20, Tick()))
    assert rules(made) == [(12.06, "speech_onset"), (12.65, "acknowledgement")]


def test_a_command_cuts_although_it_is_too_few_words() -> None:
    turn = Turn(interruption=Interruption(min_words=4))
    made = play(machine(turn), *SPEAKING, *utterance(12, 12.5, "Hold on."), (20, Tick()))
    assert next((type(d).__name__, d.rule, d.value) for _, d in made) == (
        "Interrupt", "phrase", "turn.interruption.phrases=en",
    )  # fmt: skip


TOOL = Turn(interruption=Interruption(while_=InterruptionProfiles(tool=InterruptionProfile(enabled=False))))


def test_a_running_tool_is_not_interrupted_where_its_profile_forbids_it() -> None:
    tool = [(10, ReplyStarted(True)), (10.1, ToolsRunning(True))]
    made = play(machine(TOOL), *tool, *utterance(11, 12, "Hello?"), (13, ToolsRunning(False)), (20, Tick()))
    assert rules(made) == [(12.4, "not_interruptible")]
    done = [*tool, (10.5, ToolsRunning(False)), (10.6, ReplyAudible())]
    made = play(machine(TOOL), *done, *utterance(11, 12, "Hello?"), (20, Tick()))
    assert kinds(made) == ["PauseSpeech", "Interrupt", "CommitTurn"]


def test_speech_over_what_must_not_be_cut_can_be_kept_for_afterwards() -> None:
    steps = [(10, ReplyStarted(False)), (10.2, ReplyAudible()), *utterance(11, 12, "Hello?"), (14, ReplyEnded())]
    keep = Turn(interruption=Interruption(uninterruptible="keep"))
    made = play(machine(keep), *steps, (20, Tick()))
    assert [(at, type(d)) for at, d in made] == [(14, CommitTurn)]


# What nobody said.


def heard(begin: float, end: float, text: str, probability: float = 0.95) -> list[tuple[float, TurnEvent]]:
    sound = Sound(since=begin, until=end, speech_s=end - begin, probability=probability)
    return [*utterance(begin, end, text)[:2], (end + 0.4, Recognized(text, batch=True, sound=sound))]


TALKING: list[tuple[float, TurnEvent]] = [
    *SPEAKING,
    (10.3, AgentWords("The clinic is open")),
    (11.2, AgentWords(" from nine to five.")),
]


def test_the_agents_own_words_are_no_turn_and_from_then_on_only_words_silence_it() -> None:
    tested = machine()
    made = play(tested, *TALKING, *heard(11.4, 12.0, "from nine to"), (12.6, Tick()))
    assert [(type(d).__name__, d.rule) for _, d in made] == [
        ("PauseSpeech", "speech_onset"), ("Ignore", "own_echo"), ("ResumeSpeech", "own_echo"),
    ]  # fmt: skip
    assert play(tested, (13, AgentWords("Shall I book it?")), *heard(13.2, 14.2, "Shall I book it?")[:1]) == []
    ended = heard(13.2, 14.2, "Shall I book it?")[1:]
    assert rules(play(tested, *ended)) == [(14.6, "own_echo")]
    assert kinds(play(tested, *heard(15, 16, "Are you there on Sunday?"), (20, Tick()))) == ["Interrupt", "CommitTurn"]


def test_the_echo_of_the_last_words_is_no_turn_either() -> None:
    steps = [*TALKING, (12.3, ReplyEnded()), *heard(11.5, 12.6, "from nine to five"), (20, Tick())]
    made = play(machine(), *sorted(steps, key=lambda step: step[0]))
    assert [type(d).__name__ for _, d in made if not isinstance(d, Overlap)][-1] != "CommitTurn"
    assert "CommitTurn" not in kinds(made)


def test_interim_words_of_the_echo_do_not_cut() -> None:
    steps = [(11.5, SpeechStarted(11.4)), (12.0, Interim("from nine to"))]
    made = play(machine(streaming=True), *TALKING, *steps)
    assert kinds(made) == ["PauseSpeech"]


def test_while_the_echo_canceller_adapts_only_words_silence_the_agent() -> None:
    cold = machine(warm=False)
    made = play(cold, *SPEAKING, *utterance(11, 12, "Are you open?"), (20, Tick()))
    assert kinds(made) == ["Interrupt", "CommitTurn"]
    again = [(20, ReplyStarted(True)), (20.1, ReplyAudible()), (20.3, SpeechStarted(20.2))]
    assert kinds(play(cold, *again)) == ["PauseSpeech"]
    none = machine(Turn(interruption=Interruption(echo_warmup=Duration(0))), warm=False)
    assert kinds(play(none, *SPEAKING, (11, SpeechStarted(10.9)))) == ["PauseSpeech"]


def test_what_is_made_up_of_noise_is_no_turn() -> None:
    made = play(machine(), *heard(0, 0.16, "Thank you."), *heard(2, 3, "you"), (9, Tick()))
    assert [(type(d).__name__, d.rule) for _, d in made] == [("Ignore", "made_up")] * 2
    over = play(machine(), *SPEAKING, *heard(12, 12.2, "Thanks for watching."), (20, Tick()))
    assert kinds(over) == ["PauseSpeech", "Ignore", "ResumeSpeech"]


def test_the_third_noise_in_one_reply_no_longer_pauses_it_but_words_cut_it() -> None:
    tested = machine()
    coughs = [step for at in (12, 14, 16) for step in utterance(at, at + 0.3, "")]
    made = play(tested, *SPEAKING, *coughs, (17, Tick()))
    assert kinds(made) == ["PauseSpeech", "ResumeSpeech"] * 2
    assert kinds(play(tested, *utterance(18, 19, "Are you open?"), (20, Tick()))) == ["Interrupt", "CommitTurn"]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("Uh-huh.", "acknowledgement"), ("", "no_words"), ("Are you open?", "interruption")],
)
def test_that_both_spoke_is_told_with_what_came_of_it(text: str, outcome: str) -> None:
    tested = machine()
    for at, event in SPEAKING:
        tested.step(event, at)
    made = [d for at, event in utterance(12, 12.5, text) for d in tested.step(event, at)]
    overlap = [d for d in made if isinstance(d, Overlap)]
    assert [(d.rule, d.since, d.duration_s) for d in overlap] == [(outcome, 12, 0.9)]
    assert not [d for d in tested.step(ReplyEnded(), 14) if isinstance(d, Overlap)]


def test_an_ignored_word_says_which() -> None:
    made = play(machine(), *SPEAKING, *utterance(12, 12.4, "Okay."), (20, Tick()))
    assert [d.text for _, d in made if isinstance(d, Ignore)] == ["Okay."]


def test_after_noise_without_words_has_ended_a_turn_its_answer_is_neither_held_nor_cut_by_it() -> None:
    noise = [(1.1, SpeechStarted(1.0)), (1.2, Interim("hello")), (1.3, Recognized("Hello there."))]
    for settings in (Interruption(), Interruption(detection="duration"), Interruption(resume_false=False)):
        tested = machine(Turn(interruption=settings), streaming=True)
        made = play(tested, *noise, (11.4, Tick()), (11.41, ReplyStarted(True)), (11.6, ReplyAudible()), (14.0, Tick()))
        assert rules(made) == [(11.3, "noise")]


def test_speech_that_was_there_before_a_reply_counts_from_its_beginning() -> None:
    tested = machine(Turn(interruption=Interruption(detection="duration")))
    made = play(tested, (1.1, SpeechStarted(1.0)), (3.0, ReplyStarted(True)), (4.0, Tick()))
    assert made == [
        (3.0, PauseSpeech(rule="caller_is_speaking")),
        (3.5, Interrupt(rule="speech_duration", value="turn.interruption.min_duration=0.5")),
    ]


def test_silence_within_an_utterance_is_no_speech_that_interrupts() -> None:
    tested = machine(Turn(interruption=Interruption(detection="duration")))
    said = [(1.1, SpeechStarted(1.0)), (1.33, LullBegan(1.3)), (1.5, LullEnded(1.45)), (3.0, Tick())]
    made = play(tested, (0.0, ReplyStarted(True)), (0.1, ReplyAudible()), *said)
    assert [(at, type(decision).__name__) for at, decision in made] == [
        (1.1, "PauseSpeech"),
        (pytest.approx(1.65), "Interrupt"),
    ]
    ended = (4.0, SpeechEnded(3.9, 2.9, recognizing=False))
    reply = [(5.0, ReplyStarted(True)), (5.1, ReplyAudible())]
    still = play(tested, ended, *reply, (6.1, SpeechStarted(6.0)), (6.4, LullBegan(6.3)), (6.5, Tick()))
    assert [type(decision).__name__ for _, decision in still] == ["PauseSpeech"]


def test_words_that_are_too_few_to_interrupt_are_a_turn_when_the_agent_has_ended() -> None:
    tested = machine(Turn(interruption=Interruption(min_words=3)))
    made = play(tested, *SPEAKING, *utterance(12, 13, "not sure"), (18, ReplyEnded()), (20, Tick()))
    assert [(at, type(decision).__name__) for at, decision in made] == [(18, "CommitTurn")]
    tested = machine(Turn(interruption=Interruption(min_words=3)))
    more = play(tested, *SPEAKING, *utterance(12, 13, "not sure"), *utterance(15, 16, "really"), (20, Tick()))
    assert kinds(more) == ["Interrupt", "CommitTurn"]


def test_what_the_agent_asked_is_one_text_however_its_words_are_told() -> None:
    for told in (
        ["What is ", "your phone ", "number?"],
        ["What is", " your phone", " number?"],
        ["What is", "your phone", "number?"],
    ):
        tested = machine()
        steps = [(1 + index, AgentWords(text)) for index, text in enumerate(told)]
        play(tested, (0, ReplyStarted(True)), (0.5, ReplyAudible()), *steps, (9, ReplyEnded()))
        assert tested.state.asked.strip() == "What is your phone number?"


def test_what_a_monologue_goes_on_with_after_its_limit_is_the_next_turn_though_it_is_one_utterance() -> None:
    tested = machine(Turn(max_speech=MaxSpeech(after=Duration(2.0))), streaming=True)
    said = [(0.1, SpeechStarted(0.0)), (1.0, Interim("It all began")), (2.1, ReplyStarted(False)), (3.0, ReplyEnded())]
    ended = [(5.2, SpeechEnded(5.0, 5.0, recognizing=False)), (5.4, Recognized("It all began, when I was a child."))]
    made = play(tested, *said, *ended, (9, Tick()))
    assert [(d.rule, d.text) for _, d in made if isinstance(d, CommitTurn)] == [
        ("max_speech", "It all began"),
        ("silence", "when I was a child."),
    ]
