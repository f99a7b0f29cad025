"""Everybody's turns in one room, as a pure machine: whose words make which turn, and when the floor is free."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from agentd.config.turns import Turn
from agentd.session.events import (
    THE_CALLER,
    CommitRequested,
    CommitTurn,
    Decision,
    Ignore,
    Interim,
    Interrupt,
    PauseSpeech,
    Recognized,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    SpeechEnded,
    SpeechStarted,
    Tick,
    TurnEvent,
    Voice,
)
from agentd.session.floor import Floor
from agentd.session.turns import NOISE_S, TurnMachine

ANNA, BEN = Voice("anna"), Voice("ben")


@dataclass
class Room:
    """A floor over time: `at` lets time pass, and takes what is due on the way."""

    floor: Floor = field(default_factory=lambda: Floor(Turn(), streaming=False, warm=True))
    now: float = 0.0
    told: list[Decision] = field(default_factory=list)

    def at(self, now: float) -> Room:
        for _ in range(1_000):
            due = self.floor.deadline
            if due is None or due > now:
                break
            self.now = max(due, self.now)
            self._step(Tick(), THE_CALLER)
        else:
            raise AssertionError("the floor is due again and again")
        self.now = now
        return self

    def does(self, voice: Voice, *events: TurnEvent) -> list[Decision]:
        return [decision for event in events for decision in self._step(event, voice)]

    def says(self, voice: Voice, text: str, lasts_s: float = 1.0) -> None:
        """From now on; recognised at the end."""
        self.does(voice, SpeechStarted(self.now))
        self.at(self.now + lasts_s)
        self.does(voice, SpeechEnded(self.now, lasts_s, recognizing=True), Recognized(text, batch=True))

    def agent_speaks(self) -> None:
        self.does(THE_CALLER, ReplyStarted(interruptible=True), ReplyAudible())

    def of(self, kind: type[Decision]) -> list[Decision]:
        return [decision for decision in self.told if isinstance(decision, kind)]

    @property
    def turns(self) -> list[tuple[str, str]]:
        return [(t.voice.identity, t.text) for t in self.told if isinstance(t, CommitTurn)]

    def _step(self, event: TurnEvent, voice: Voice) -> list[Decision]:
        decisions = self.floor.step(event, self.now, voice)
        self.told += decisions
        return decisions


def test_words_of_two_people_at_once_are_two_turns() -> None:
    room = Room()
    room.does(ANNA, SpeechStarted(0.0))
    room.at(0.3).does(BEN, SpeechStarted(0.3))
    room.at(1.0).does(ANNA, SpeechEnded(1.0, 1.0, True), Recognized("When do you open?", batch=True))
    room.at(1.2).does(BEN, SpeechEnded(1.2, 0.9, True), Recognized("Is there parking?", batch=True))
    room.at(5.0)
    assert room.turns == [("anna", "When do you open?"), ("ben", "Is there parking?")]


def test_the_floor_is_taken_until_the_last_has_finished() -> None:
    room = Room()
    room.does(BEN, SpeechStarted(0.0))
    room.says(ANNA, "When do you open?")
    room.at(2.0)
    assert room.turns == [("anna", "When do you open?")]
    assert room.floor.caller_has_turn
    room.does(BEN, SpeechEnded(2.0, 2.0, True), Recognized("Hm, well, I see.", batch=True))
    assert not room.at(4.0).floor.caller_has_turn


def test_the_agent_is_held_while_anybody_makes_a_sound_and_told_so_once() -> None:
    room = Room()
    room.agent_speaks()
    room.at(5.0).does(ANNA, SpeechStarted(5.0))
    room.does(BEN, SpeechStarted(5.0))
    assert len(room.of(PauseSpeech)) == 1
    room.at(5.3).does(ANNA, SpeechEnded(5.3, 0.3, True), Recognized("", batch=True))
    assert room.of(ResumeSpeech) == []
    room.at(5.6).does(BEN, SpeechEnded(5.6, 0.6, True), Recognized("", batch=True))
    (resumed,) = room.of(ResumeSpeech)
    assert resumed.voice == BEN


def test_whoever_cuts_the_agent_cuts_it_for_all() -> None:
    room = Room()
    room.agent_speaks()
    room.at(5.0).does(ANNA, SpeechStarted(5.0))
    room.does(BEN, SpeechStarted(5.0))
    room.at(6.0).does(BEN, SpeechEnded(6.0, 1.0, True), Recognized("Stop that now.", batch=True))
    room.at(6.2).does(ANNA, SpeechEnded(6.2, 1.2, True), Recognized("I have a question.", batch=True))
    (cut,) = room.of(Interrupt)
    assert cut.voice == BEN
    assert room.at(9.0).turns == [("ben", "Stop that now."), ("anna", "I have a question.")]


def test_who_leaves_while_holding_the_agent_lets_it_go_and_leaves_no_turn() -> None:
    room = Room()
    room.agent_speaks()
    room.at(5.0).does(ANNA, SpeechStarted(5.0))
    (resumed,) = room.floor.leave("anna", 5.5)
    assert (resumed.rule, type(resumed)) == ("speaker_left", ResumeSpeech)
    assert room.at(60.0).turns == []
    assert not room.floor.caller_has_turn


def test_who_comes_while_the_agent_speaks_interrupts_it_like_everybody() -> None:
    room = Room()
    room.agent_speaks()
    room.at(5.0)
    room.says(Voice("carla"), "Excuse me, please stop.")
    assert len(room.of(Interrupt)) == 1


def test_sound_without_words_takes_the_floor_for_ten_seconds() -> None:
    room = Room()
    room.does(ANNA, Recognized(""))  # two people are there
    room.does(BEN, SpeechStarted(0.0))
    assert room.at(NOISE_S - 0.1).floor.caller_has_turn
    assert room.floor.deadline == NOISE_S
    assert not room.at(NOISE_S).floor.caller_has_turn


def test_words_at_a_noisy_microphone_take_it_again() -> None:
    room = Room(Floor(Turn(), streaming=True, warm=True))
    room.does(ANNA, Interim(""))
    room.does(BEN, SpeechStarted(0.0))
    room.at(20.0).does(BEN, Interim("are you"))
    assert room.floor.caller_has_turn


def test_an_operator_ends_the_turn_of_whoever_has_it() -> None:
    room = Room()
    room.says(ANNA, "My number is")
    room.does(THE_CALLER, CommitRequested())
    assert room.turns == [("anna", "My number is")]


def test_with_one_caller_the_floor_is_their_machine() -> None:
    """Whatever the events: the same decisions as without a floor."""
    rng = Random(5)
    floor, machine = Floor(Turn(), streaming=False), TurnMachine(Turn(), streaming=False)
    now = 0.0
    for number in range(400):
        now += rng.uniform(0.01, 1.5)
        event: TurnEvent = rng.choice(
            [
                SpeechStarted(now), SpeechEnded(now, 0.5, recognizing=True), Recognized(f"word {number}", batch=True),
                ReplyStarted(interruptible=True), ReplyAudible(), ReplyEnded(), Tick(),
            ]
        )  # fmt: skip
        assert floor.step(event, now) == machine.step(event, now)
        assert (floor.deadline, floor.ending, floor.state) == (machine.deadline, machine.ending, machine.state)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_whatever_two_people_say_no_turn_mixes_them_no_word_is_lost_and_the_floor_gets_free(
    seed: int, streaming: bool
) -> None:
    rng = Random(seed)
    room = Room(Floor(Turn(), streaming=streaming, warm=True))
    said: dict[Voice, list[str]] = {ANNA: [], BEN: []}
    acts: list[tuple[float, Voice, TurnEvent]] = []
    for voice in said:
        at = rng.uniform(0, 3)
        for number in range(rng.randint(1, 8)):
            lasts_s, words = rng.uniform(0.2, 4.0), f"{voice.identity} speaks sentence {number}."
            text = words if rng.random() < 0.8 else ""
            acts.append((at, voice, SpeechStarted(at)))
            acts.append((at + lasts_s, voice, SpeechEnded(at + lasts_s, lasts_s, recognizing=not streaming)))
            acts.append((at + lasts_s + rng.uniform(0.0, 0.4), voice, Recognized(text, batch=not streaming)))
            said[voice] += [text] if text else []
            at += lasts_s + rng.uniform(0.5, 4.0)
    reply_ends: float | None = None
    for at, voice, event in sorted(acts, key=lambda act: act[0]):
        room.at(at)
        known = len(room.told)
        room.does(voice, event)
        if any(isinstance(d, Interrupt) for d in room.told[known:]):
            reply_ends = None
        if reply_ends is None and room.turns and not room.floor.caller_has_turn:
            room.agent_speaks()
            reply_ends = room.now + rng.uniform(0.5, 4.0)
        elif reply_ends is not None and room.now >= reply_ends:
            room.does(THE_CALLER, ReplyEnded())
            reply_ends = None
    room.does(THE_CALLER, ReplyEnded())
    room.at(room.now + 60.0)
    for voice in said:
        told = " ".join(text for identity, text in room.turns if identity == voice.identity)
        ignored = [d.text for d in room.told if isinstance(d, Ignore) and d.voice == voice]
        assert told.split() == " ".join(text for text in said[voice] if text not in ignored).split()
    assert not room.floor.caller_has_turn
    assert not room.floor.state.held
    assert room.floor.deadline is None
