"""Several daemons behind a LiveKit of two nodes: calls spread over them, and one that ends takes no other's with it."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentd.aio import cancel_and_wait
from agentd.loadtest.caller import Caller, Server
from agentd.runtime.probe import Probes
from agentd.transport.probe_rooms import LiveKitProbeRooms
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon, zero_cost_agent
from tests.runtime.parts import Counted
from tests.system.caller import server_of
from tests.system.cluster import two_nodes

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

AGENTS = {"desk.yaml": zero_cost_agent("desk", character="5ms")}
CALLS = 4
CALLS_AT_MOST = 16
KILL_NOTICED_S = 30.0  # a worker whose socket has closed is gone at once; one that has vanished, after its pings


async def called(stack: AsyncExitStack, server: Server) -> Caller:
    caller = await stack.enter_async_context(Caller.join(server, agent="desk", microphone=False))
    await caller.agent_state("listening", 20)
    return caller


async def rooms(daemon: Daemon) -> set[str]:
    return {session["room"] for session in await daemon.sessions()}


async def answered(caller: Caller, words: str) -> None:
    count = len(caller.agent_captions())
    await caller.chat(words)
    await caller.until(lambda: len(caller.agent_captions()) > count, 15)


async def test_calls_spread_over_daemons_and_nodes_and_a_lost_or_drained_one_takes_no_more(
    livekit_binary: Path, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(two_nodes(livekit_binary, tmp_path))
        # Two on the first node, one on the second.
        daemons = [
            await stack.enter_async_context(running_daemon(node, AGENTS, workers=0))
            for node in (nodes[0], nodes[0], nodes[1])
        ]
        callers = [await called(stack, nodes[number % 2]) for number in range(CALLS)]
        held = [await rooms(daemon) for daemon in daemons]
        while sum(map(bool, held)) < 2 and len(callers) < CALLS_AT_MOST:  # the server draws by lot
            callers.append(await called(stack, nodes[len(callers) % 2]))
            held = [await rooms(daemon) for daemon in daemons]
        assert set.union(*held) == {caller.room for caller in callers}
        assert sum(map(len, held)) == len(callers), "a call that two daemons know"
        assert sum(map(bool, held)) >= 2, f"all calls went to one daemon: {held}"

        lost = next(index for index, each in enumerate(held) if each)
        killed_at = time.monotonic()
        await daemons[lost].kill()
        left = [daemon for index, daemon in enumerate(daemons) if index != lost]
        others = [caller for caller in callers if caller.room not in held[lost]]
        for caller in others:
            await answered(caller, "still there?")
        new = [await called(stack, nodes[number % 2]) for number in range(2)]
        assert time.monotonic() - killed_at < KILL_NOTICED_S
        known = [await rooms(daemon) for daemon in left]
        assert set.union(*known) == {caller.room for caller in (*others, *new)}

        drained, last = left
        before = await rooms(drained)
        drained.process.send_signal(signal.SIGTERM)
        await drained.until(lambda: draining(drained))
        after = [await called(stack, nodes[number % 2]) for number in range(2)]
        assert await rooms(drained) == before, "a drained daemon took a call"
        assert {caller.room for caller in after} <= await rooms(last)
        for caller in (*others, *new, *after):
            await answered(caller, "and now?")
        for caller in (*others, *new, *after):
            await caller.leave()
        async with asyncio.timeout(20):
            assert await drained.process.wait() == 0


async def draining(daemon: Daemon) -> bool:
    async with daemon.http.get(daemon.admin_url + "/readyz") as reply:
        return reply.status == 503 and "draining" in await reply.text()


async def test_a_probe_finds_a_registration_that_receives_and_one_that_does_not(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    """The second is what a node that is cut off looks like: the name is registered, and not with this server."""
    server = server_of(credentials)
    config = tmp_path / "agentd.yaml"
    config.write_text("livekit: {probe: 10s}\n")
    measures = Counted()
    renewed: list[str] = []
    async with running_daemon(server, AGENTS, workers=0, flags=("-c", str(config))) as daemon:
        probes = Probes(
            LiveKitProbeRooms(credentials),
            interval_s=1.0,
            known=lambda: ["desk", "nobody"],  # "desk" is the daemon's, and so elsewhere
            registered=lambda: ["desk", "nobody"],
            full=lambda name: False,
            renew=renewed.append,
            measures=measures,
        )
        probing = asyncio.ensure_future(probes.run())
        try:
            await daemon.until(lambda: received(daemon), 30)
            await daemon.until(lambda: found(renewed, measures), 30)
        finally:
            await cancel_and_wait(probing)
        assert await daemon.sessions() == []
        assert 'agentd_worker_probe_ok{agent="desk"} 1.0' in await daemon.metrics()
    assert probes.stale == {"nobody"}
    assert set(renewed) == {"nobody"}
    assert measures.of("worker_probes_total", agent="desk", outcome="missed") == 0


async def received(daemon: Daemon) -> bool:
    return 'agentd_worker_probes_total{agent="desk",outcome="received"} 1.0' in await daemon.metrics()


async def found(renewed: list[str], measures: Counted) -> bool:
    return bool(renewed) and measures.of("worker_probes_total", agent="desk", outcome="elsewhere") > 0
