"""An agent for tests of front ends: real registration, room, sound and captions; no recognition, model or synthesis.

It greets with a tone and words that appear one by one, captions a caller's beep, and answers chat with an echo.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from agentd import aio
from agentd.audio import AudioFrame
from agentd.session.room import AgentState, TextReceived
from agentd.transport.protocol import Accept, Assignment, Decline, JobOffer, LoadReport
from agentd.transport.registration import Registration
from agentd.transport.room import LiveKitRoom, RoomJoin
from agentd.transport.tokens import LiveKitCredentials

HZ = 24_000
GREETING = "Hello, this is a stand-in. How can I help you?"
LOUD = 2_000  # of 32,767


@dataclass(slots=True, kw_only=True)
class StandIn:
    """`ready` False: joins, and never gets ready. `silent_exit`: leaves after the greeting without ending the call."""

    ready: bool = True
    silent_exit: bool = False
    heard: list[str] = field(default_factory=list)
    states: list[AgentState] = field(default_factory=list)

    async def talk(self, room: LiveKitRoom) -> None:
        await self._be(room, "initializing")
        if not self.ready:
            async for _ in room.events():
                pass
            return
        await self._be(room, "listening")
        await self._say(room, "greeting", GREETING)
        if self.silent_exit:
            return
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._caption_beeps(room))
            await self._answer_chat(room)
            listening.cancel()

    async def _answer_chat(self, room: LiveKitRoom) -> None:
        async for event in room.events():
            if not isinstance(event, TextReceived):
                continue
            self.heard.append(event.text)
            await self._be(room, "thinking")
            if event.text == "bye":
                await self._say(room, "goodbye", "Goodbye.")
                await room.end(delete=True)
            else:
                await self._say(room, f"echo-{len(self.heard)}", f"You wrote: {event.text}")

    async def _say(self, room: LiveKitRoom, segment: str, text: str) -> None:
        caption = await room.open_caption(segment)
        words = text.split(" ")
        for count, word in enumerate(words):
            await room.audio_out.write(_tone(0.12))
            if count == 0:
                await self._be(room, "speaking")
            await caption.write(word if count == 0 else f" {word}")
        await room.audio_out.drained()
        await caption.close()
        await self._be(room, "listening")

    async def _caption_beeps(self, room: LiveKitRoom) -> None:
        count, loud = 0, False
        async for frame in room.audio_in():
            now_loud = int(np.abs(np.frombuffer(frame.data, np.int16)).max(initial=0)) > LOUD
            if now_loud and not loud:
                count += 1
                await room.user_caption(f"user-{count}", "a be", final=False)
            if loud and not now_loud:
                await room.user_caption(f"user-{count}", "a beep", final=True)
            loud = now_loud

    async def _be(self, room: LiveKitRoom, state: AgentState) -> None:
        self.states.append(state)
        await room.set_state(state)


def _tone(duration_s: float) -> AudioFrame:
    n = np.arange(int(duration_s * HZ))
    samples = (6_000 * np.sin(2 * np.pi * 330 * n / HZ)).astype(np.int16)
    return AudioFrame(data=samples.tobytes(), sample_rate_hz=HZ)


@asynccontextmanager
async def registered_standin(
    credentials: LiveKitCredentials, agent_name: str, stand_in: StandIn
) -> AsyncIterator[Registration]:
    """Answers dispatches of `agent_name` inside the block."""
    registered = asyncio.Event()
    jobs: aio.Channel[Assignment] = aio.Channel(16)

    async def offered(_: JobOffer) -> Accept | Decline:
        return Accept(participant_attributes={"lk.agent.name": agent_name})

    registration = Registration(
        agent_name,
        credentials,
        offered=offered,
        assigned=jobs.force,
        terminated=lambda job_id: None,
        load=lambda: LoadReport(load=0.0, full=False, job_count=0),
        changed=lambda up: registered.set() if up else None,
    )

    async def work() -> None:
        async for job in jobs:
            options = RoomJoin(credentials=credentials)
            async with LiveKitRoom.join(job.url or credentials.websocket_url, job.token, options) as room:
                await stand_in.talk(room)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(registration.run()), group.create_task(work())]
        async with asyncio.timeout(10):
            await registered.wait()
        try:
            yield registration
        finally:
            for task in tasks:
                task.cancel()
