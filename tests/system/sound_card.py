"""A sound card without a card: a PulseAudio daemon of our own, with a microphone that we speak into and a loudspeaker
that we listen to. Programs reach it as they reach any: through ALSA's default device."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agentd.audio import OUTPUT_HZ, AudioFrame

INSTALL = "apt-get install --no-install-recommends pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
ALSA = """\
</usr/share/alsa/alsa.conf>
pcm.!default {type pulse}
ctl.!default {type pulse}
"""
MODULES = (
    "module-native-protocol-unix socket={socket} auth-anonymous=1",
    "module-null-sink sink_name=loudspeaker",
    "module-null-sink sink_name=mouth",
    "module-remap-source master=mouth.monitor source_name=microphone",
)
ECHO = ("module-loopback", "source=loudspeaker.monitor", "sink=mouth", "latency_msec=60")


class SoundCardMissing(Exception):
    """PulseAudio is not on this machine; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class SoundCard:
    """`environment`: what makes a program use it."""

    environment: Mapping[str, str]
    daemon: asyncio.subprocess.Process

    async def say(self, sound: AudioFrame) -> None:
        """Into the microphone, until it is said."""
        rate = f"--rate={sound.sample_rate_hz}"
        player = await self._run("pacat", "--device=mouth", "--raw", "--format=s16le", "--channels=1", rate)
        await player.communicate(sound.data)
        assert player.returncode == 0

    @asynccontextmanager
    async def heard(self) -> AsyncIterator[bytearray]:
        """What the loudspeaker plays during the block, at OUTPUT_HZ."""
        rate = f"--rate={OUTPUT_HZ}"
        command = ("parec", "--device=loudspeaker.monitor", "--raw", "--format=s16le", "--channels=1", rate)
        recorder = await self._run(*command)
        sound = bytearray()

        async def read() -> None:
            assert recorder.stdout is not None
            while data := await recorder.stdout.read(4096):
                sound.extend(data)

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            try:
                yield sound
            finally:
                with suppress(ProcessLookupError):
                    recorder.terminate()
                await recorder.wait()

    async def echo(self, volume: float) -> None:
        """From now on the microphone hears the loudspeaker too, at this part of its loudness."""
        index = await self.control("load-module", *ECHO)
        inputs = (await self.control("list", "short", "sink-inputs")).splitlines()
        assert index
        (stream,) = (line.split()[0] for line in inputs if "module-loopback" in line)
        await self.control("set-sink-input-volume", stream, str(round(65536 * volume)))

    async def control(self, *words: str) -> str:
        process = await self._run("pactl", *words)
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told.decode().strip()

    async def _run(self, *command: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*command, env=self.environment, stdin=pipe, stdout=pipe)


@asynccontextmanager
async def sound_card() -> AsyncIterator[SoundCard]:
    """Raises SoundCardMissing."""
    if shutil.which("pulseaudio") is None or shutil.which("pacat") is None:
        raise SoundCardMissing(f"there is no pulseaudio: {INSTALL}")
    with tempfile.TemporaryDirectory(prefix="sound-") as folder:  # short: a socket's path is limited
        place = Path(folder)
        (place / "asound.conf").write_text(ALSA)
        own = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "PULSE_RUNTIME_PATH": folder}
        reach = {"PULSE_SERVER": f"unix:{place / 'native'}", "ALSA_CONFIG_PATH": str(place / "asound.conf")}
        environment = {**os.environ, **own, **reach}
        loads = [f"--load={module.format(socket=place / 'native')}" for module in MODULES]
        flags = ("-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--use-pid-file=no")
        with (place / "log").open("wb") as log:
            daemon = await asyncio.create_subprocess_exec(
                "pulseaudio", *flags, *loads, env=environment, stdout=log, stderr=log
            )
        try:
            card = SoundCard(environment, daemon)
            await _answers(card, place / "native")
            await card.control("set-default-sink", "loudspeaker")
            await card.control("set-default-source", "microphone")
            yield card
        finally:
            with suppress(ProcessLookupError):
                daemon.kill()
            await daemon.wait()


async def _answers(card: SoundCard, socket: Path) -> None:
    async with asyncio.timeout(20):
        while not socket.exists():
            assert card.daemon.returncode is None
            await asyncio.sleep(0.05)
