"""A caller who waits for a place: what they hear, and what the session that follows learns. In virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentd.aio import now
from agentd.audio import AudioFrame, write_wav
from agentd.config.busy import CallQueue
from agentd.config.folder import FileRefused, Folder
from agentd.errors import ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.session.foyer import Foyer, Host, soft_tone
from agentd.session.queue_turn import ADMITTED, Waiting
from agentd.session.room import CallerLeft, CallerLinked, TextReceived
from agentd.session.setup import Candidate, Providers
from agentd.tools.acts import GiveUp
from tests.fakes.call import calling, definition
from tests.fakes.providers import FakeTTS, FakeVAD, says
from tests.fakes.room import FakeRoom
from tests.session.test_session import story


class BrokenTTS(FakeTTS):
    async def synthesize(self, segments, *, language):  # type: ignore[no-untyped-def]
        raise ProviderUnavailable("fake", "it is down")
        yield


def host(tts: FakeTTS | None = None, hold: AudioFrame | None = None, **options: object) -> Host:
    def read(file: str) -> AudioFrame:
        if hold is None:
            raise FileRefused("file-not-found", f'there is no file "{file}"')
        return hold

    voices = (Candidate("fake", tts or FakeTTS()),)
    return Host(
        definition=definition(variables={"clinic": "Hill Street"}),
        providers=Providers(vad=FakeVAD(), stt=(), llm=(), tts=voices),
        variables={"clinic": "Mill Lane"},
        options=CallQueue(**options),  # type: ignore[arg-type]
        hold=read,
    )


def texts(room: FakeRoom) -> list[str]:
    return [caption.text for caption in room.captions.values()]


@story
async def test_the_caller_hears_their_position_and_a_hold_sound_by_turns() -> None:
    room, waiting = FakeRoom(), Waiting(2, 100.0)
    wait = asyncio.ensure_future(
        Foyer(room, host(say="{{ clinic }}: number {{ position }}.", every=Duration(20.0)), waiting).wait()
    )
    await asyncio.sleep(5)
    assert texts(room) == [], "nobody is there yet"
    room.link()
    await asyncio.sleep(10)
    assert texts(room) == ["Mill Lane: number 2."]
    assert room.audio_out.heard_s() > 9.5, "there is sound all the time"
    waiting.position = 1
    await asyncio.sleep(20)
    assert texts(room) == ["Mill Lane: number 2.", "Mill Lane: number 1."]
    waiting.admit()
    assert await wait == ADMITTED
    assert room.audio_out.queued_s == 0, "the hold sound stops at once"


@story
async def test_the_session_learns_what_happened_meanwhile_and_not_what_was_said() -> None:
    room, waiting = FakeRoom(), Waiting(1, 100.0)
    foyer = Foyer(room, host(), waiting)
    wait = asyncio.ensure_future(foyer.wait())
    room.link()
    room.type("Is anybody there?")
    await room.speak(7, 3.0)
    await asyncio.sleep(1)
    waiting.admit()
    await wait
    events = foyer.room.events()
    room.leave()
    seen = [type(await anext(events)) for _ in range(3)]
    assert seen == [CallerLinked, TextReceived, CallerLeft]
    room.hear(AudioFrame(b"\x09\x00" * 512, 16_000))
    assert (await anext(foyer.room.audio_in())).data[:1] == b"\x09", "what was said before is not heard later"


@story
async def test_when_the_time_is_over_there_is_an_apology() -> None:
    room, began = FakeRoom(), now()
    room.link()
    foyer = Foyer(room, host(apology="Sorry, {{ clinic }} is busy."), Waiting(1, 30.0))
    assert await foyer.wait() == "queue_timeout"
    assert texts(room)[-1] == "Sorry, Mill Lane is busy."
    assert 30.5 < now() - began < 40


@story
async def test_a_caller_who_leaves_waits_no_longer_and_one_whose_connection_fails_may_come_back() -> None:
    room = FakeRoom()
    room.link()
    wait = asyncio.ensure_future(Foyer(room, host(), Waiting(1, 100.0)).wait())
    await asyncio.sleep(1)
    room.leave(final=False)
    await asyncio.sleep(1)
    assert not wait.done()
    room.link(returned=True)
    await asyncio.sleep(1)
    room.leave()
    assert await wait == "caller_left"


@story
async def test_without_a_voice_the_position_is_shown_and_the_hold_sound_goes_on() -> None:
    room, waiting = FakeRoom(), Waiting(3, 600.0)
    room.link()
    wait = asyncio.ensure_future(Foyer(room, host(BrokenTTS()), waiting).wait())
    await asyncio.sleep(60)
    assert "number 3" in texts(room)[0]
    assert room.audio_out.heard_s() > 20
    waiting.end("ended_by_operator")
    assert await wait == "ended_by_operator"


def test_the_hold_sound_is_the_files_or_a_soft_tone(tmp_path: Path) -> None:
    async def first_sample(hold: AudioFrame | None) -> int:
        room = FakeRoom()
        foyer = Foyer(room, host(hold=hold, audio="hold.wav"), Waiting(1, 5.0))
        sound = await foyer._hold_sound()
        return max(sound.array())

    write_wav(tmp_path / "hold.wav", AudioFrame(b"\x00\x10" * 2400, 24_000))
    assert asyncio.run(first_sample(Folder(tmp_path).sound("hold.wav"))) == 0x1000
    assert asyncio.run(first_sample(None)) == max(soft_tone(24_000).array())
    assert 1000 < max(soft_tone(24_000).array()) < 7000, "audible, and soft"


@story
async def test_no_answer_is_begun_early_while_that_is_given_up() -> None:
    async with calling(script=says("Nine.", "Nine.", "Nine.")) as call:
        await call.say("When do you open?")
        assert len(call.of("preemption")) == 1
        call.session.do(GiveUp(step=1, load=0.9, early=False))
        await call.say("And when do you close?")
        assert len(call.of("preemption")) == 1
        call.session.do(GiveUp())
        await call.say("And on Sundays then?")
        assert len(call.of("preemption")) == 2
        assert [(e["rule"], e["step"], e["early"]) for e in call.of("busy")] == [
            ("entered", 1, False),
            ("left", 0, True),
        ]
