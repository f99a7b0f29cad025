"""A realtime model that tells by itself when the caller speaks, and a caller with a loudspeaker: its own voice does not
stop it, and a caller who speaks over it is heard. Synthetic voices in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from agentd.aio import every, now
from agentd.audio import INPUT_HZ, AudioFrame
from agentd.config.turns import Turn
from agentd.providers.llm import Message, ToolCall
from agentd.providers.realtime import Configuration, ItemBegun, Respond, SoundMade, WordsMade
from tests.fakes.call import Call
from tests.fakes.providers import FakeVAD
from tests.fakes.realtime import FakeConnection, FakeRealtime, answers, realtime_agent
from tests.fakes.room import FakeAudioOut, FakeRoom
from tests.session.test_echo import AGENT, CALLER, frame, voice
from tests.session.test_realtime import talking
from tests.session.test_session import story

SLOT_S = 0.032
SLOT = round(SLOT_S * INPUT_HZ)
LOUD = 150.0  # root mean square, of what a detector takes for speech
ANSWER = f"{AGENT} {AGENT}"
LEARNT_S = 6.0  # of the answer, after which its echo is known
SECONDS = 60


class Ears(FakeConnection):
    """Takes what is loud for speech, speaks with a voice, and keeps what it was given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.given: list[tuple[float, AudioFrame]] = []

    async def hear(self, frame: AudioFrame) -> None:
        self.given.append((now(), frame))
        loud = _loudness(frame.array()) > LOUD
        self._detect(int(loud), frame.duration_s)
        if loud:
            self._values[1] = None
        self._heard_s += frame.duration_s

    async def _say(self, command: Respond, step: str | ToolCall | float) -> None:
        assert isinstance(step, str)
        item, about = self._name(), {"response": command.response}
        self.items[item] = Message(role="assistant", text=step)
        self._events.force(ItemBegun(**about, item=item))
        self._events.force(WordsMade(**about, item=item, text=step))
        sound = frame(voice(step))
        self.sounds[item] = sound.duration_s
        self._events.force(SoundMade(**about, item=item, frame=sound))


@dataclass
class Model(FakeRealtime):
    sample_rate_hz: int = INPUT_HZ

    async def connect(self, configuration: Configuration) -> Ears:
        self.connections.append(Ears(self, configuration))
        return self.connections[-1]  # type: ignore[return-value]


class LoudVAD(FakeVAD):
    async def push(self, frame: AudioFrame) -> list[float]:
        return [float(_loudness(frame.array()) > LOUD)]

    def stream(self) -> LoudVAD:  # type: ignore[override]
        return self


@dataclass
class Loudspeaker(FakeAudioOut):
    """What it plays, on the session's clock from `began` on."""

    sample_rate_hz: int = INPUT_HZ
    began: float = field(default_factory=now)
    sound: np.ndarray = field(default_factory=lambda: np.zeros(SECONDS * INPUT_HZ))

    def at(self, moment: float) -> int:
        return round((moment - self.began) * INPUT_HZ)

    async def write(self, frame: AudioFrame) -> None:
        await super().write(frame)
        end = self.at(self.ends_at)
        self.sound[end - frame.samples : end] = frame.array()

    def clear(self) -> None:
        super().clear()
        self.sound[self.at(now()) :] = 0


@dataclass
class Place:
    """A call in which what the agent says comes back, `delay_s` later and `loss_db` quieter, beside `caller`."""

    call: Call
    model: Model
    out: Loudspeaker
    delay_s: float
    loss_db: float
    caller: np.ndarray = field(default_factory=lambda: np.zeros(SECONDS * INPUT_HZ))
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def listen(self) -> None:
        """The microphone's last slot."""
        end = self.out.at(now())
        if end < SLOT + round(self.delay_s * INPUT_HZ):
            return
        late = end - round(self.delay_s * INPUT_HZ)
        echo = self.out.sound[late - SLOT : late] * 10 ** (-self.loss_db / 20)
        self.call.room.hear(frame(echo + self.caller[end - SLOT : end] + self.rng.normal(0, 20, SLOT)), "")

    def says(self, sound: np.ndarray) -> None:
        at = self.out.at(now())
        self.caller[at : at + len(sound)] = sound

    def given(self, since: float, until: float) -> list[AudioFrame]:
        ears = self.model.now
        assert isinstance(ears, Ears)
        return [frame for at, frame in ears.given if since < at <= until]


@asynccontextmanager
async def place(delay_s: float = 0.2, loss_db: float = 12.0) -> AsyncIterator[Place]:
    """Where the agent has begun to say ANSWER."""
    room, model = FakeRoom(), Model(script=answers(ANSWER, "Sorry."))
    room.audio_out = out = Loudspeaker()
    agent = realtime_agent(turn=Turn(detection="realtime"))
    async with talking(model=model, agent=agent, room=room, vad=LoudVAD(), outbound=False) as (call, _):
        here = Place(call, model, out, delay_s, loss_db)
        model.texts[1] = "The clinic is open"  # what is made of its echo, as long as that is heard
        async with asyncio.TaskGroup() as group:
            microphone = group.create_task(every(SLOT_S, here.listen))
            call.room.type("When do you open?")
            yield here
            microphone.cancel()


def _loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples.astype(np.float64)))))


@pytest.mark.parametrize("delay_s", [0.1, 0.4])
@pytest.mark.parametrize("loss_db", [6.0, 20.0])
def test_once_it_is_known_the_model_is_not_stopped_by_its_own_voice(delay_s: float, loss_db: float) -> None:
    @story
    async def told() -> None:
        async with place(delay_s, loss_db) as here:
            await asyncio.sleep(LEARNT_S)
            (echo,) = here.call.of("echo")
            assert echo["delay_s"] == pytest.approx(delay_s, abs=0.1)
            before, since = len(here.call.of("speech.started")), now()
            await asyncio.sleep(20)
            assert len(here.call.of("speech.started")) == before
            (answer,) = here.call.of("turn.agent")
            assert (answer["interrupted"], answer["text"]) == (False, ANSWER)
            assert here.call.user_texts == ["When do you open?"]
            heard = [each for each in here.given(since, since + 8) if _loudness(each.array()) > LOUD]
            assert len(heard) <= 2  # of 250 slots: the ends of sounds

    told()


@story
async def test_until_then_its_words_show_what_it_was_and_nothing_of_it_stays_with_the_model() -> None:
    async with place(loss_db=3.0) as here:
        await asyncio.sleep(30)
        ignored = [each for each in here.call.of("decision") if each["action"] == "Ignore"]
        assert {each["rule"] for each in ignored} <= {"own_echo", "echo_warmup"}
        assert here.call.user_texts == ["When do you open?"]
        here.call.room.type("Thank you.")
        await asyncio.sleep(3)
        roles = [role for role, _ in here.model.now.told]
        assert roles == ["user", "assistant", "user", "assistant"]
        assert here.model.now.refused == []


@story
async def test_a_caller_who_speaks_over_the_echo_interrupts_and_is_heard_in_their_quiet_sounds_too() -> None:
    async with place() as here:
        await asyncio.sleep(LEARNT_S)
        assert here.call.of("echo")
        here.model.texts[1] = "I was wondering whether you could tell me something"
        spoken, since = voice(CALLER, seed=3)[: 3 * INPUT_HZ], now()
        here.says(spoken)
        await asyncio.sleep(8)
        answer = here.call.of("turn.agent")[0]
        assert answer["interrupted"]
        assert here.call.user_texts[1:] == ["I was wondering whether you could tell me something"]
        heard = here.given(since, since + 3.0)
        silent = [not any(each.data) for each in heard]
        assert not any(silent[round(0.6 / SLOT_S) :])


@story
async def test_without_an_echo_nobody_is_asked_whether_somebody_speaks() -> None:
    async with place(loss_db=90.0) as here:
        here.call.session._conversation.setup = replace(
            here.call.session._conversation.setup,
            providers=replace(here.call.session._conversation.setup.providers, vad=None),  # type: ignore[arg-type]
        )
        await asyncio.sleep(20)
        assert not here.call.of("echo")
        assert not here.call.task.done()
