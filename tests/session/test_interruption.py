"""What of the caller's speech stops the agent's, and what nobody said."""

from __future__ import annotations

import pytest

from agentd.config.turns import Interruption, InterruptionProfile, InterruptionProfiles, Turn, WakePhrase
from agentd.session.events import Sound
from agentd.session.false_words import Said, is_made_up, is_own_echo, remember
from agentd.session.interruption import policy, verdict
from agentd.session.phrasebook import phrasebook
from agentd.session.waking import Woken, listen

ENGLISH = phrasebook("en")


@pytest.mark.parametrize(
    "text", ["Uh-huh.", "Mm-hmm", "Right, right.", "Yeah.", "Okay, I see.", "Oh, really?", "Sure!"]
)
def test_who_backs_the_agent_up_does_not_interrupt(text: str) -> None:
    assert verdict(text, policy(Interruption(), "speaking", "en")) == "acknowledgement"


@pytest.mark.parametrize(
    "text", ["Okay, but not today.", "Yes, I have a question", "No.", "Right now please", "Okay stop"]
)
def test_an_acknowledgement_with_more_behind_it_interrupts(text: str) -> None:
    assert verdict(text, policy(Interruption(), "speaking", "en")) == "words"


@pytest.mark.parametrize(
    ("language", "text"), [("de", "Mhm, genau."), ("fr", "D'accord, oui."), ("es", "Sí, claro."), ("en-US", "Uh huh")]
)
def test_every_language_backs_up_in_its_own_words(language: str, text: str) -> None:
    assert verdict(text, policy(Interruption(), "speaking", language)) == "acknowledgement"


def test_phrases_interrupt_whatever_min_words_says() -> None:
    few = policy(Interruption(min_words=4), "speaking", "en")
    assert verdict("Hold on.", few) == "phrase"
    assert verdict("Okay, wait", few) == "phrase"
    assert verdict("the blue one", few) == "too_few"
    assert verdict("the blue one over there", few) == "words"
    assert verdict("Hold on.", policy(Interruption(min_words=4, phrases=()), "speaking", "en")) == "too_few"
    assert verdict("Basta ya", policy(Interruption(min_words=4, phrases=("basta",)), "speaking", "en")) == "phrase"


def test_the_files_acknowledgements_replace_the_languages() -> None:
    own = policy(Interruption(acknowledgements=("roger",)), "speaking", "en")
    assert verdict("Roger, roger.", own) == "acknowledgement"
    assert verdict("Uh-huh.", own) == "words"
    assert verdict("Uh-huh.", policy(Interruption(acknowledgements=()), "speaking", "en")) == "words"


def test_a_profile_overrides_for_its_phase_alone() -> None:
    tool = InterruptionProfile(enabled=False)
    thinking = InterruptionProfile(min_words=2)
    settings = Interruption(min_words=1, while_=InterruptionProfiles(tool=tool, thinking=thinking))
    assert policy(settings, "tool", "en").settings.enabled is False
    assert policy(settings, "tool", "en").where == "turn.interruption.while.tool"
    assert policy(settings, "thinking", "en").settings.min_words == 2
    assert policy(settings, "speaking", "en").settings == settings
    assert policy(settings, "speaking", "en").where == "turn.interruption"


SAID = (Said(10.0, ("the", "clinic", "is")), Said(10.5, ("open", "from", "nine")), Said(11.2, ("to", "five")))


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [("The clinic is open.", 10.2, 11.0), ("clinic is opened from nine", 10.3, 11.4), ("five", 11.4, 11.7)],
)
def test_the_agents_words_that_come_back_while_they_sound_are_its_own(text: str, since: float, until: float) -> None:
    assert is_own_echo(text, since, until, SAID, ENGLISH)


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("Are you open on Sunday?", 10.2, 11.0),
        ("The clinic is open.", 15.0, 16.0),  # too late to be an echo: it is repeated
        ("five", 12.2, 12.5),
        ("the clinic stop is open", 10.2, 11.0),
        ("nine open", 10.5, 11.5),
        ("the clinic is open from nine to five I have another question", 10.2, 11.9),
    ],
)
def test_a_callers_words_are_no_echo(text: str, since: float, until: float) -> None:
    assert not is_own_echo(text, since, until, SAID, ENGLISH)


def test_what_the_agent_said_is_forgotten_after_a_while() -> None:
    assert len(remember(SAID, "and so on", 12.0)) == 4
    assert len(remember(SAID, "and so on", 60.0)) == 1


def sound(speech_s: float, probability: float = 0.95) -> Sound:
    return Sound(since=1.0, until=1.0 + speech_s, speech_s=speech_s, probability=probability)


@pytest.mark.parametrize(
    ("text", "heard"),
    [("you", sound(1.5)), ("Thank you.", sound(0.16)), ("Thank you.", sound(0.35, 0.6)), ("Thanks for watching!", None),
     ("I will be right back with you in a moment", sound(0.3))],
)  # fmt: skip
def test_recognisers_make_words_up(text: str, heard: Sound | None) -> None:
    assert is_made_up(text, heard, ENGLISH)


@pytest.mark.parametrize(
    ("text", "heard"),
    [("Thank you.", sound(0.5)), ("No.", sound(0.25)), ("Stop.", sound(0.16)), ("Yes please", sound(0.3, 0.6)),
     ("Thank you.", None), ("Are you there?", sound(0.5, 0.6))],
)  # fmt: skip
def test_short_words_of_a_caller_are_taken(text: str, heard: Sound | None) -> None:
    assert not is_made_up(text, heard, ENGLISH)


def test_what_follows_the_wake_phrase_is_the_turn() -> None:
    turn = Turn(wake_phrase=WakePhrase(phrases=("hey clinic", "computer")))
    assert listen("What time is it?", turn, awake=False) == Woken(text="", rule="asleep")
    assert listen("Hey, Clinic! What time is it?", turn, awake=False).text == "What time is it?"
    assert listen("Oh, hey clinic.", turn, awake=False) == Woken(text="", rule="wake_phrase", wakes=True)
    assert listen("My computers are slow", turn, awake=False).rule == "asleep"
    assert listen("What time is it?", turn, awake=True).text == "What time is it?"
    assert listen("What time is it?", Turn(), awake=False).text == "What time is it?"
