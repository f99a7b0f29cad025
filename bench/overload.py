"""Twice the capacity offered: python -m bench.overload [--calls 8] [--workers 2] [--turns 6]

The daemon has places for `--calls` calls. They talk in rooms of a real LiveKit server; their jobs are offered by a
stand-in for LiveKit's dispatcher, which notes how long each answer took, as the real one does not tell. First they talk
alone: the rated load. Then as many again are offered, over and over, ten a second, and over HTTP too.

Prints how long refusals took, by LiveKit's protocol and by HTTP, whether a call was taken that had no place, and how
long the callers waited for the agent's first sound at rated load and under twice of it. Exits with 1 when a promise was
broken: a refusal by LiveKit's protocol took over 50 ms in the 99th percentile, or a call was taken without a place.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from livekit.protocol import agent as wire
from livekit.protocol.models import Room

from agentd.loadtest.caller import Caller, Server
from agentd.loadtest.figures import ms, quantile
from agentd.transport.protocol import agent_identity
from agentd.transport.tokens import LiveKitCredentials, agent_token
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from bench.figures import livekit, run
from tests.transport.fake_server import FakeServer, fake_server

AGENT = "bench"
ANSWER_S = 5.0
OFFERS_PER_S = 10
PAUSE_S = 0.6
REFUSAL_P99_S = 0.05


@dataclass
class Dispatcher:
    """Offers jobs of rooms on `rooms` to whoever is registered with `front`."""

    front: FakeServer
    rooms: Server
    waiting: dict[str, asyncio.Future[bool]] = field(default_factory=dict)

    async def listen(self) -> None:
        while True:
            word = await self.front.received.get()
            if word.HasField("availability"):
                answer = self.waiting.get(word.availability.job_id)
                if answer is not None and not answer.done():
                    answer.set_result(word.availability.available)

    async def offer(self, room: str) -> tuple[bool, float]:
        """Whether the job was taken, and after how long; one that was is assigned."""
        job = wire.Job(id=f"AJ_{uuid.uuid4().hex[:12]}", agent_name=AGENT, room=Room(name=room))
        answer = self.waiting[job.id] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        await self.front.send(wire.ServerMessage(availability=wire.AvailabilityRequest(job=job)))
        async with asyncio.timeout(ANSWER_S):
            taken = await answer
        took_s = time.monotonic() - began
        del self.waiting[job.id]
        if taken:
            keys = LiveKitCredentials(url=self.rooms.url, api_key=self.rooms.api_key, api_secret=self.rooms.api_secret)
            token = agent_token(keys, room=room, identity=agent_identity(job.id), agent_name=AGENT)
            assignment = wire.JobAssignment(job=job, url=self.rooms.url, token=token)
            await self.front.send(wire.ServerMessage(assignment=assignment))
        return taken, took_s


@asynccontextmanager
async def dispatching(rooms: Server) -> AsyncIterator[Dispatcher]:
    async with fake_server() as front:
        dispatcher = Dispatcher(front, rooms)
        listening = asyncio.create_task(dispatcher.listen())
        try:
            yield dispatcher
        finally:
            listening.cancel()


async def talk(caller: Caller, turns: int) -> list[float]:
    """From each of the caller's texts to the first sound of the answer."""
    waited = []
    for _ in range(turns):
        await caller.agent_state("listening", 20)
        await asyncio.sleep(PAUSE_S)
        began = time.monotonic()
        await caller.chat("hello")
        waited.append(await caller.hears_after(began, 15) - began)
    await caller.agent_state("listening", 20)
    return waited


async def crowd(callers: list[Caller], turns: int) -> list[float]:
    return [each for waited in await asyncio.gather(*(talk(caller, turns) for caller in callers)) for each in waited]


@dataclass
class Refusals:
    by_livekit_s: list[float] = field(default_factory=list)
    by_http_s: list[float] = field(default_factory=list)
    taken: int = 0

    def broken(self) -> list[str]:
        """The promises that were not kept; one that nothing was measured of is not."""
        found = []
        p99_s = quantile(self.by_livekit_s, 0.99)
        if not self.by_livekit_s:
            found.append("no refusal by LiveKit's protocol was measured")
        elif p99_s > REFUSAL_P99_S:
            found.append(f"p99 of {len(self.by_livekit_s)} refusals by LiveKit's protocol is {1000 * p99_s:.0f} ms")
        if self.taken:
            found.append(f"calls that were taken without a place: {self.taken}")
        return found


async def press(dispatcher: Dispatcher, daemon: Daemon, refusals: Refusals) -> None:
    """Until cancelled."""
    asked = {"room_config": {"agents": [{"agent_name": AGENT}]}}
    while True:
        taken, took_s = await dispatcher.offer(f"over-{uuid.uuid4().hex[:8]}")
        refusals.taken += taken
        if not taken:
            refusals.by_livekit_s.append(took_s)
        began = time.monotonic()
        async with daemon.http.post(daemon.admin_url + "/v1/token", json=asked) as reply:
            assert reply.status in (201, 503), reply.status
            if reply.status == 503:
                assert reply.headers["Retry-After"]
                refusals.by_http_s.append(time.monotonic() - began)
        await asyncio.sleep(1 / OFFERS_PER_S)


async def main(arguments: argparse.Namespace) -> None:
    places = arguments.calls // arguments.workers
    agents = {"bench.yaml": zero_cost_agent(AGENT, ["This is the answer."], character="20ms")}
    environment = {"AGENTD_SESSIONS_PER_WORKER": str(places), "AGENTD_TOKEN_ENDPOINT_ENABLED": "true"}
    async with livekit() as rooms, dispatching(rooms) as dispatcher:
        front = Server(dispatcher.front.url, rooms.api_key, rooms.api_secret)
        async with running_daemon(front, agents, workers=arguments.workers, environment=environment) as daemon:
            refusals = await measure(dispatcher, daemon, places * arguments.workers, arguments.turns)
    if broken := refusals.broken():
        raise SystemExit("\n".join(broken))


async def measure(dispatcher: Dispatcher, daemon: Daemon, calls: int, turns: int) -> Refusals:
    refusals = Refusals()
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()
        callers = [await _called(dispatcher, group, done) for _ in range(calls)]
        rated = await crowd(callers, turns)
        pressing = group.create_task(press(dispatcher, daemon, refusals))
        pressed = await crowd(callers, turns)
        pressing.cancel()
        left = len(await daemon.sessions())
        done.set()
    print(f"{calls} places, {calls} calls in them, and {OFFERS_PER_S} more offered a second")
    print(f"  refused by LiveKit's protocol  {ms(refusals.by_livekit_s)}")
    print(f"  refused over HTTP              {ms(refusals.by_http_s)}")
    print(f"  taken without a place          {refusals.taken}")
    print(f"  calls that were lost           {calls - left}")
    print(f"  answers at rated load          {ms(rated)}")
    print(f"  answers under twice of it      {ms(pressed)}", flush=True)
    return refusals


async def _called(dispatcher: Dispatcher, group: asyncio.TaskGroup, done: asyncio.Event) -> Caller:
    """A caller whose agent has come; they leave when it is `done`."""
    here: asyncio.Future[Caller] = asyncio.get_running_loop().create_future()

    async def stay() -> None:
        async with Caller.join(dispatcher.rooms, microphone=False, ear_frame_ms=50) as caller:
            taken, _ = await dispatcher.offer(caller.room)
            assert taken, "a call was refused below capacity"
            await caller.agent_state("listening", 20)
            here.set_result(caller)
            await done.wait()

    group.create_task(stay())
    return await here


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=8, help="places, and calls that take them")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--turns", type=int, default=6, help="of each call, at rated load and under twice of it")
    run(main, parser)
