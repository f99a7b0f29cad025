"""Random conversations of every kind of turn-taking, and what must hold of each of them. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

from agentd.aio import now
from agentd.config.tools import ToolOptions
from agentd.config.turns import (
    Endpointing,
    Interruption,
    InterruptionProfile,
    InterruptionProfiles,
    MaxSpeech,
    Preemptive,
    Turn,
    WakePhrase,
)
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, TextDelta, ToolCall, ToolResult
from agentd.session.listening import SILENT_TRACK_S
from agentd.session.records import Record
from agentd.tools.spec import ToolContext
from tests.fakes.call import Call, FakeTools, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.overlaps import FakeInterruptionDetector
from tests.fakes.providers import Answer, FakeStreamingSTT, FakeSTT
from tests.session.test_judging import FakeDetector

DETECTIONS = ("auto", "vad", "stt", "model", "manual")
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "deaf": {"interruption": Interruption(enabled=False)},
    "keeps": {"interruption": Interruption(enabled=False, uninterruptible="keep")},
    "by words": {"interruption": Interruption(detection="words", min_words=3, acknowledgements=("uh-huh",))},
    "by duration": {"interruption": Interruption(detection="duration", min_duration=Duration(0.4))},
    "not resumed": {"interruption": Interruption(resume_false=False, min_duration=Duration(0.4))},
    "by detector": {"interruption": Interruption(detection="detector")},
    "tools run on": {
        "interruption": Interruption(while_=InterruptionProfiles(tool=InterruptionProfile(enabled=False)))
    },
    "limited": {"max_speech": MaxSpeech(after=Duration(1.5))},
    "told to be brief": {"max_speech": MaxSpeech(after=Duration(1.5), say="One moment, please.")},
    "early voice": {"preemptive": Preemptive(tts=True), "endpointing": Endpointing(mode="dynamic")},
    "woken": {"wake_phrase": WakePhrase(phrases=("hey clinic",), awake=Duration(8.0))},
}
STT_S = 0.14
ONSET_S = 0.15  # until the detector is sure, in windows, and the agent's sound is taken back
WORDS_S = 0.256 + 0.032 + STT_S + 0.05  # after the end of an utterance: its words are known
GAP_S = 0.35  # of silence while "speaking" is shown, where the agent is not held: the seam of two sentences
NOISE_S = 10.0
SETTLED_S = 30.0


@dataclass(frozen=True, slots=True)
class Said:
    """Sound of the caller's; `text` "" for none that is words."""

    begin: float
    end: float
    text: str
    muted: bool = False


@dataclass
class Wild:
    """One conversation: what the caller did, and what followed."""

    detection: str
    policy: str
    seed: int
    said: list[Said] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)
    dropped_at: list[float] = field(default_factory=list)  # a button threw a turn away, or began another
    seen: list[tuple[float, Record]] = field(default_factory=list)
    asked: int = 0

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.detection} {self.policy} {self.seed}")
        self.turn = Turn(detection=self.detection, **POLICIES[self.policy])  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        return f"{self.detection}, {self.policy}, {self.seed}"

    async def run(self) -> None:
        rng = self.rng
        streaming = self.detection == "stt" or rng.random() < 0.4
        stt = FakeStreamingSTT(delay_s=STT_S, end_of_turn=True) if streaming else FakeSTT(delay_s=STT_S)
        judge = FakeInterruptionDetector(lambda value: stt.texts.get(value, ""), _Opinions(rng))
        before = asyncio.all_tasks()
        async with calling(
            agent=definition(turn=self.turn),
            script=self._answer,
            stt=stt,
            tools=FakeTools(
                {"look_up": self._look_up}, {"look_up": ToolOptions(cancel_on_interrupt=rng.random() < 0.5)}
            ),
            turn_detector=FakeDetector([0.9, 0.1, 0.6, 0.9]) if self.detection in ("auto", "model") else None,
            interruption_detector=judge if self.policy == "by detector" else None,
            outbound=rng.random() < 0.8,
            observe=lambda record: self.seen.append((now(), record)),
        ) as call:
            for step in range(rng.randint(8, 16)):
                await self._act(call, step)
            await call.room.silent(SETTLED_S)
            await self._still_answers(call)
            self.check(call)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before, "tasks are left"

    # What happens.

    async def _act(self, call: Call, step: int) -> None:
        rng = self.rng
        match rng.choice(["ask", "ask", "ask", "long", "uh-huh", "cough", "hum", "type", "tell", "mute", "wait"]):
            case "ask":
                await self._say(call, f"Hey clinic, what is question number {step}?", rng.uniform(0.6, 1.6))
            case "long":
                await self._say(call, f"This is a long story of number {step}, as you will see.", rng.uniform(2.0, 4.0))
            case "uh-huh":
                await self._say(call, "Uh-huh.", rng.uniform(0.2, 0.5))
            case "cough":
                await self._say(call, "", rng.uniform(0.05, 0.6))
            case "hum":
                await self._say(call, "", rng.uniform(1.0, 14.0))
            case "type":
                self.typed.append(f"Typed {step}.")
                call.room.type(self.typed[-1])
            case "tell":
                call.session.say(
                    f"An operator tells you of number {step}, at length.", interruptible=rng.random() < 0.6
                )
            case "mute":
                await self._say(call, f"Then number {step} was muted.", 0.8)
                self.said[-1] = replace(self.said[-1], muted=True)
                await asyncio.sleep(rng.uniform(0.6, 2.0))
        await call.room.silent(rng.choice([0.05, 0.2, 0.4, 0.7, 1.5, 3.0, 6.0]))

    async def _say(self, call: Call, text: str, seconds: float) -> None:
        button = self.detection == "manual" or self.rng.random() < 0.1
        if button:
            self.dropped_at.append(now())
            call.room.press("begin")
        begin = now()
        await call.room.speak(call.learn(text), seconds)
        self.said.append(Said(begin, now(), text))
        if button and self.rng.random() < 0.2:
            self.dropped_at.append(now())
            call.room.press("cancel")
        elif button:
            call.room.press("end")

    def _answer(self, request: ChatRequest) -> Answer:
        last, rng = request.items[-1], self.rng
        self.asked += 1
        if not isinstance(last, ToolResult) and request.tool_choice != "none" and rng.random() < 0.3:
            words = [TextDelta("One moment. ")] if rng.random() < 0.5 else []
            return [*words, ToolCall(id=f"call-{self.asked}", name="look_up", arguments="{}")]
        text = rng.choice(["Fine.", "We open at nine. We close at five. On Saturdays we do not open at all."])
        return [TextDelta(word + " ") for word in text.split(" ")]

    async def _look_up(self, call: ToolCall, context: ToolContext) -> str:
        await asyncio.sleep(self.rng.choice([0.05, 0.5, 2.5]))
        return "found"

    async def _still_answers(self, call: Call) -> None:
        assert call.session.state == "listening", "it did not come to rest"
        heard = len(call.of("turn.agent"))
        self.rng = Random(1)  # no tool
        await self._say_at_last(call)
        assert call.user_texts[-1].lower().endswith("the last question?"), call.user_texts[-1]
        assert len(call.of("turn.agent")) > heard, "the last question was not answered"
        assert call.session.state == "listening"

    async def _say_at_last(self, call: Call) -> None:
        if self.detection == "manual":
            call.room.press("begin")
        begin = now()
        await call.room.speak(call.learn("Hey clinic, what is the last question?"), 1.2)
        self.said.append(Said(begin, now(), "Hey clinic, what is the last question?"))
        if self.detection == "manual":
            call.room.press("end")
        await call.room.silent(20.0)

    # What must hold.

    def check(self, call: Call) -> None:
        self._no_turn_is_lost(call)
        self._no_words_are_lost(call)
        self._words_silence_the_agent(call)
        self._the_onset_silences_the_agent(call)
        self._who_is_shown_speaking_is_heard(call)

    def _no_turn_is_lost(self, call: Call) -> None:
        """Every turn of the caller's gets an answer of its own, which is begun."""
        turns = len(call.of("turn.user"))
        answers = [started for started in call.of("reply.started") if started["purpose"] == "answer"]
        assert len(answers) == turns, f"{turns} turns, {len(answers)} answers"
        texts = call.user_texts
        assert [text for text in texts if text.startswith("Typed")] == self.typed

    def _no_words_are_lost(self, call: Call) -> None:
        """What was said is in a turn, or the journal says when it was ignored."""
        if self.detection == "manual" or self.policy == "woken":
            return  # where nobody listens there is nothing to lose
        turns = plain(" ".join(call.user_texts))
        ignored = [at for at, r in self.seen if r.kind == "decision" and r.data["action"] == "Ignore"]
        for said in self.said:
            if "number" not in said.text or plain(said.text.removeprefix("Hey clinic, ")) in turns:
                continue
            told = any(said.begin <= at <= said.end + 3.0 for at in ignored)
            assert told or self._near_button(said), f"{said} is in no turn: {call.user_texts}"

    def _near_button(self, said: Said) -> bool:
        """A button threw it away, while it waited for the end of what must not be interrupted."""
        return any(said.begin - 1.0 <= at <= said.end + 20.0 for at in self.dropped_at)

    def _words_silence_the_agent(self, call: Call) -> None:
        """A reply that may be interrupted does not outlast words that do."""
        if self.policy in ("deaf", "keeps", "tools run on", "woken") or self.detection == "manual":
            return
        for reply in self._replies():
            for said in self.said:
                known = said.end + WORDS_S + (SILENT_TRACK_S + 0.1 if said.muted else 0.0)
                if (
                    "number" in said.text
                    and reply.interruptible
                    and reply.began < said.begin
                    and not self._queued(said)
                ):
                    assert reply.ended <= known, f"{said} did not cut {reply}"

    def _queued(self, said: Said) -> bool:
        """It ran into what was said before it: its words are known when those are."""
        near = [other for other in self.said if other is not said]
        return any(other.end > said.begin - 0.9 and other.begin < said.end + 0.9 for other in near)

    def _the_onset_silences_the_agent(self, call: Call) -> None:
        """Where sound is held at its onset, hardly any of the agent's is heard after it."""
        settings = self.turn.interruption
        held = settings.enabled and settings.resume_false and not settings.min_words
        if not held or self.detection == "manual" or self.policy in ("by detector", "woken", "tools run on"):
            return
        for reply in self._replies():
            if not reply.interruptible or reply.false_pauses or reply.warms_up:
                continue
            for said in self.said:
                if said.end - said.begin < 0.2 or not reply.began < said.begin or self._noisy(said):
                    continue
                until = min(said.end, reply.ended, said.begin + NOISE_S)
                over = sum(max(0.0, min(e, until) - max(b, said.begin)) for b, e, _ in call.room.audio_out.played)
                assert over <= ONSET_S, f"{over:.2f} s over {said} in {reply}"

    def _noisy(self, said: Said) -> bool:
        """The detector heard it as part of a noise that had gone on too long."""
        return any(other.end - other.begin > 5.0 and other.begin < said.begin for other in self.said)

    def _who_is_shown_speaking_is_heard(self, call: Call) -> None:
        states = [*call.room.states, (now(), "over")]
        paused = self._paused()
        for (since, state), (until, _) in pairwise(states):
            if state != "speaking":
                continue
            sound = sorted((b, e) for b, e, _ in call.room.audio_out.played if e > since and b < until)
            quiet_since = since
            for begin, end in [*sound, (until, until)]:
                silent_s = begin - quiet_since - _within(paused, quiet_since, begin)
                assert silent_s <= GAP_S, f"speaking without sound from {quiet_since:.2f} to {begin:.2f}"
                quiet_since = max(quiet_since, end)

    def _paused(self) -> list[tuple[float, float]]:
        spans: list[tuple[float, float]] = []
        since: float | None = None
        for at, record in self.seen:
            action = record.data.get("action") if record.kind == "decision" else record.kind
            if action == "PauseSpeech":
                since = at if since is None else since
            elif since is not None and action in ("ResumeSpeech", "Interrupt", "turn.agent"):
                assert at - since <= NOISE_S + 0.5, f"held for {at - since:.1f} s"
                spans.append((since, at))
                since = None
        return spans if since is None else [*spans, (since, now())]

    def _replies(self) -> list[Spoke]:
        created = {r.data["speech"]: r.data["interruptible"] for _, r in self.seen if r.kind == "speech.created"}
        replies: dict[int, Spoke] = {}
        open_reply: int | None = None
        first_sound: float | None = None
        for at, record in self.seen:
            match record.kind:
                case "reply.started":
                    open_reply = record.data["reply"]
                    replies[open_reply] = Spoke(at, at, created[record.data["speech"]])
                case "state" if record.data["state"] == "speaking":
                    first_sound = at if first_sound is None else first_sound
                case "decision" if open_reply is not None:
                    reply = replies[open_reply]
                    wrong = record.data["rule"] in WRONG
                    reply.false_pauses += record.data["action"] == "ResumeSpeech" and wrong
                case "turn.agent":
                    replies[record.data["reply"]].ended = at
        for reply in replies.values():
            reply.warms_up = first_sound is not None and reply.began < first_sound + 3.0
        return list(replies.values())


WRONG = frozenset({"no_words", "short_sound", "false_interruption", "noise", "own_echo", "made_up"})
"""Rules by which a pause was for nothing."""


@dataclass(slots=True)
class Spoke:
    """One reply of the agent's."""

    began: float
    ended: float
    interruptible: bool
    false_pauses: int = 0
    warms_up: bool = False


class _Opinions(dict[str, float]):
    """Of an interruption detector that errs now and then."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def get(self, text: str, default: Any = None) -> float:
        right = 0.1 if text in ("", "Uh-huh.") else 0.95
        return right if self._rng.random() < 0.7 else self._rng.random()


def plain(text: str) -> str:
    """Where a limit cut a sentence in two, its words are still those."""
    return " ".join(text.lower().split())


def _within(spans: list[tuple[float, float]], since: float, until: float) -> float:
    return sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in spans)


def live(detection: str, policy: str, seed: int) -> None:
    run_virtual(Wild(detection, policy, seed).run())
