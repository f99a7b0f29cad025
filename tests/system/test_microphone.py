"""`agentd console` by microphone and loudspeaker, on a sound card that is none."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agentd.audio import INPUT_HZ, OUTPUT_HZ, AudioFrame, resample
from agentd.registry import installed
from tests.documents import ROOT
from tests.speech import human, with_silence, word_error_rate
from tests.system.sound_card import SoundCard, SoundCardMissing, sound_card

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PARROT = """\
version: 1
name: parrot
greeting: {say: "Hello, I am the parrot, and I repeat everything that you say to me."}
stt: {provider: whisper}
llm: {provider: scripted, replies: ["You said: {text}"]}
tts: {provider: hibari}
"""
GREETING = "hello i am the parrot and i repeat everything that you say to me"
PATIENCE_S = 90.0


class Console:
    """`agentd console parrot`, and its lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self, start: str) -> str:
        """What follows `start` in the first line that begins so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for line in self.lines:
                    if line.strip().startswith(start):
                        return line.strip().removeprefix(start).strip()
                assert self.process.returncode is None, self.lines
                await asyncio.sleep(0.02)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def console(place: Path, environment: Mapping[str, str], *options: str) -> AsyncIterator[Console]:
    (place / "agents.d").mkdir(exist_ok=True)
    (place / "agents.d" / "parrot.yaml").write_text(PARROT)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agentd", "console", "parrot", *options,
        cwd=place, env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    running = Console(process)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            running.lines.append(line.decode().rstrip())

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@pytest.fixture
async def card() -> AsyncIterator[SoundCard]:
    try:
        async with sound_card() as card:
            yield card
    except SoundCardMissing as reason:
        pytest.fail(str(reason))


async def transcribed(sound: AudioFrame) -> str:
    registry = installed()
    component = registry.find("stt", "whisper")
    stt = await registry.factory(component)(registry.settings_class(component)())
    try:
        return str((await stt.recognize(resample(sound, INPUT_HZ), language="en")).text)
    finally:
        await stt.aclose()


async def test_it_hears_the_microphone_answers_aloud_and_ends_by_ctrl_c(card: SoundCard, tmp_path: Path) -> None:
    sound, transcript = human("go-forward")
    async with card.heard() as heard, console(tmp_path, card.environment, "--record", "agent.wav") as parrot:
        await parrot.line("Speak")
        await parrot.line("agent: Hello")
        await card.say(with_silence(sound, 1.0, 0.0))  # the greeting still comes out of the card for a moment
        mine = await parrot.line("you:")
        shown = await parrot.line("agent: You said:")
        await asyncio.sleep(0.5)
        parrot.process.send_signal(signal.SIGINT)
        assert await parrot.ended() == 0
    assert word_error_rate(transcript, mine) <= 0.25
    assert shown == mine
    loud = await transcribed(AudioFrame(bytes(heard), OUTPUT_HZ))
    assert word_error_rate(f"{GREETING} you said {transcript}", loud) <= 0.25
    assert "The call ended: caller_left." in parrot.lines
    assert "Wrote agent.wav." in parrot.lines
    assert (tmp_path / "agent.wav").stat().st_size > 3 * OUTPUT_HZ


async def test_it_does_not_answer_its_own_echo(card: SoundCard, tmp_path: Path) -> None:
    sound, transcript = human("go-forward")
    await card.echo(0.3)
    async with console(tmp_path, card.environment) as parrot:
        await parrot.line("agent: Hello")
        await asyncio.sleep(3)
        assert not [line for line in parrot.lines if line.strip().startswith("you:")]
        await card.say(sound)
        await parrot.line("agent: You said:")
        await asyncio.sleep(3)
        said = [line for line in parrot.lines if line.strip().startswith("you:")]
    assert len(said) == 1
    assert word_error_rate(transcript, said[0].strip().removeprefix("you:")) <= 0.25


async def test_it_ends_when_its_devices_are_gone(card: SoundCard, tmp_path: Path) -> None:
    async with console(tmp_path, card.environment) as parrot:
        await parrot.line("agent: Hello")
        card.daemon.kill()
        assert await parrot.ended() == 0
    assert [line for line in parrot.lines if line.endswith("is gone")]
    assert "Traceback" not in "\n".join(parrot.lines)


async def test_without_a_device_it_says_so_and_one_types(card: SoundCard, tmp_path: Path) -> None:
    card.daemon.kill()
    await card.daemon.wait()
    async with console(tmp_path, card.environment) as parrot:
        assert parrot.process.stdin is not None
        parrot.process.stdin.write(b"good day\n")
        parrot.process.stdin.close()
        await parrot.line("agent: You said: good day")
        assert await parrot.ended() == 0
    assert [line for line in parrot.lines if line.startswith("No talking aloud here: this machine has no microphone")]
