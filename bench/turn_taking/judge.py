"""What an agent made of an item: pure, from what the caller noticed.

A turn is answered, cut in on, or unanswered. Over the agent's speech something is gone on over, or it stops the agent,
which then resumes, answers as if it were a new turn, or stays silent. Only what the caller hears counts: a hold that
is shorter than a breath is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from bench.turn_taking.corpus import TURNS, Item
from bench.turn_taking.timeline import Timeline

PAUSE_S = 0.5
"""Silence by which a listener knows that the agent has stopped. Between two sentences the voice rests for 0.25 s."""
STALL_S = 0.3
"""When the caller itself hears nothing for so long, not even silence, the machine was too busy: nothing is judged."""
CUT_IN_S = 0.05  # of the agent's sound before the caller has ended
STOP_WITHIN_S = 2.5  # of an interruption's beginning, else it was missed

Outcome = Literal[
    "answered",  # a turn: after its end. Over the agent's speech: as a new turn, though there was none
    "cut in",
    "unanswered",
    "went on",
    "resumed",
    "silent",
    "stopped",
    "missed",
    "quiet",
    "spoke",
    "not measured",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`ok`: the agent did what was right. Seconds where there are any."""

    outcome: Outcome
    ok: bool
    why: str
    delay_s: float | None = None  # from the true end of a turn to the first sound of the answer
    silence_s: float | None = None  # from the beginning of an interruption to silence
    pause_s: float | None = None  # that the agent made over what should not stop it


def judge(item: Item, seen: Timeline) -> Verdict:
    if seen.stalled_s > STALL_S:
        return not_measured(f"the machine stood still for {seen.stalled_s:.1f} s")
    match item.kind:
        case "echo":
            return _echo(seen)
        case "noise-alone":
            return _alone(seen)
        case "interruption":
            return _interruption(seen)
        case "echo-interruption":
            return _echo_interruption(seen)
        case kind if kind in TURNS:
            return _turn(seen)
        case _:
            return _over_speech(seen)


def not_measured(why: str) -> Verdict:
    return Verdict(outcome="not measured", ok=False, why=why)


def _turn(seen: Timeline) -> Verdict:
    if seen.doing is None:
        return not_measured("the agent was not ready to listen")
    began, ended = seen.doing
    early_s = seen.audible_s(began, ended)
    if early_s > CUT_IN_S:
        first = seen.sound_after(began)
        before_s = ended - (first if first is not None else began)
        return Verdict(outcome="cut in", ok=False, why=f"spoke {before_s:.2f} s before the caller had ended")
    answered = seen.sound_after(ended)
    if answered is None:
        return Verdict(outcome="unanswered", ok=False, why=f"no answer in {seen.until - ended:.1f} s")
    return Verdict(outcome="answered", ok=True, why="", delay_s=answered - ended)


def _alone(seen: Timeline) -> Verdict:
    if seen.doing is None:
        return not_measured("the agent was not ready to listen")
    began, _ = seen.doing
    spoke = seen.sound_after(began)
    thought = next((at for at, state in seen.states if at > began and state in ("thinking", "speaking")), None)
    if spoke is None and thought is None:
        return Verdict(outcome="quiet", ok=True, why="")
    when = min(at for at in (spoke, thought) if at is not None) - began
    return Verdict(outcome="spoke", ok=False, why=f"took noise for a turn after {when:.1f} s")


def _interruption(seen: Timeline) -> Verdict:
    if seen.doing is None:
        return not_measured("there was no reply to interrupt")
    began, _ = seen.doing
    pause = seen.pause_after(began, PAUSE_S)
    if pause is None or pause[0] - began > STOP_WITHIN_S:
        if _told_anew(seen, began):
            return Verdict(outcome="stopped", ok=True, why="answered without a rest")
        return Verdict(outcome="missed", ok=False, why="talked on")
    silence_s = pause[0] - began
    if pause[1] < math.inf and not _told_anew(seen, began):
        why = f"stopped after {silence_s:.2f} s and went on with the same answer"
        return Verdict(outcome="missed", ok=False, why=why, silence_s=silence_s)
    answered = "" if pause[1] < math.inf else "stopped and never answered"
    return Verdict(outcome="stopped", ok=True, why=answered, silence_s=silence_s)


def _echo_interruption(seen: Timeline) -> Verdict:
    """Whom its own echo has stopped before cannot be interrupted."""
    if seen.doing is None:
        return _echo(seen) if seen.replied is None else not_measured("there was no reply to interrupt")
    before = _echo(seen.before(seen.doing[0]))
    if not before.ok:
        return Verdict(outcome="missed", ok=False, why=f"its own echo had stopped it: {before.why}")
    return _interruption(seen)


def _over_speech(seen: Timeline) -> Verdict:
    """A backchannel, a cough, noise: the agent should go on."""
    if seen.doing is None:
        return not_measured("there was no reply")
    return _kept_on(seen, seen.doing[0])


def _echo(seen: Timeline) -> Verdict:
    """Nobody speaks but the agent; until the question has ended there is nothing to answer."""
    asked_s = seen.asked[1] if seen.asked else math.inf
    if seen.stories(0.0, asked_s) or any(at < asked_s and state == "thinking" for at, state in seen.states):
        return Verdict(outcome="answered", ok=False, why="answered its own greeting")
    if seen.replied is None:
        return Verdict(outcome="silent", ok=False, why="did not answer the question")
    verdict = _kept_on(seen, seen.replied)
    if verdict.ok or not any(said.at > seen.replied for said in seen.caller_heard_as):
        return verdict
    return replace(verdict, outcome="answered", why=f"{verdict.why}; took its own words for the caller's")


def _kept_on(seen: Timeline, since: float) -> Verdict:
    pause = seen.pause_after(since, PAUSE_S)
    anew = _told_anew(seen, since)
    if pause is None:
        if anew:
            return Verdict(outcome="answered", ok=False, why="began another answer without a rest")
        return Verdict(outcome="went on", ok=True, why="")
    pause_s = min(pause[1], seen.until) - pause[0]
    stopped = f"stopped after {pause[0] - since:.2f} s"
    if anew:
        return Verdict(outcome="answered", ok=False, why=f"{stopped}, then gave another answer", pause_s=pause_s)
    if pause[1] == math.inf:
        return Verdict(outcome="silent", ok=False, why=f"{stopped}, and stayed silent", pause_s=pause_s)
    return Verdict(outcome="resumed", ok=False, why=f"{stopped}, resumed {pause_s:.2f} s later", pause_s=pause_s)


def _told_anew(seen: Timeline, since: float) -> bool:
    """Whether the agent began another answer than the one that it was giving."""
    told = [*seen.stories(0.0, since)[-1:], *seen.stories(since)]
    return len(set(told)) > 1
