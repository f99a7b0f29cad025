"""Ten calls on a real LiveKit server while everything is done to the agents' files that can be: they notice nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentd.transport.tokens import LiveKitCredentials
from bench.caller import Caller, Server
from bench.daemon import running_daemon, zero_cost_agent
from bench.reload import add_and_delete, break_and_mend, measure_edits, replace_many, revision_of
from tests.system.caller import ended_journal, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

CALLS = 10
EDITS = 3
MASS = 60
LONG = " ".join(f"number {number}," for number in range(60)) + " done."


@pytest.fixture
def server(credentials: LiveKitCredentials) -> Server:
    return server_of(credentials)


def agent(name: str, version: str) -> str:
    """Its first answer is long enough to be still spoken when the files change."""
    return zero_cost_agent(name, [LONG, f"{version}, turn {{turn}}, {{text}}."], character="25ms")


async def answer(caller: Caller, words: str) -> str:
    """What is said to these words, once they have ended whatever is being said."""
    await caller.chat(words)
    await caller.until(lambda: any(words in caption.text for caption in caller.agent_captions()), 30)
    return caller.agent_captions()[-1].text.strip()


async def test_ten_calls_notice_nothing_of_what_happens_to_the_files(server: Server, tmp_path: Path) -> None:
    files = {"steady.yaml": agent("steady", "old"), "edited.yaml": zero_cost_agent("edited")}
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, files, workers=2, environment=environment) as daemon:
        async with AsyncExitStack() as stack:
            callers = [
                await stack.enter_async_context(Caller.join(server, agent="steady", microphone=False))
                for _ in range(CALLS)
            ]
            for caller in callers:
                await caller.agent_state("listening", 30)
                await caller.chat("go")
            for caller in callers:
                await caller.agent_state("speaking", 30)
            before = {session["id"]: session["worker"] for session in await daemon.sessions()}
            await measure_edits(daemon, EDITS)
            await break_and_mend(daemon, EDITS)
            await add_and_delete(daemon)
            await replace_many(daemon, MASS)
            served = await revision_of(daemon, "steady")
            (daemon.agents_dir / "steady.yaml").write_text(agent("steady", "new"))

            async def applied() -> bool:
                return await revision_of(daemon, "steady") not in ("", served)

            await daemon.until(applied, 30)
            (daemon.agents_dir / "edited.yaml").unlink()
            answers = [await answer(caller, f"caller {number}") for number, caller in enumerate(callers)]
            after = {session["id"]: session["worker"] for session in await daemon.sessions()}
            lost = [event for caller in callers for event in caller.happened if event.what in ("left", "track_gone")]
            async with Caller.join(server, agent="steady", microphone=False) as late:
                await late.agent_state("listening", 30)
                await late.chat("go")
                await late.agent_state("speaking", 30)
                assert await answer(late, "late caller") == "new, turn 2, late caller."
            for caller in callers:
                await caller.leave()
        journals = [await ended_journal(tmp_path, caller.room) for caller in callers]
    assert answers == [f"old, turn 2, caller {number}." for number in range(CALLS)]
    assert after == before, "every call is where it was"
    assert not lost
    for records in journals:
        kinds = [record.kind for record in records]
        assert "session.resumed" not in kinds
        assert "error" not in kinds
        assert records[-1].data["reason"] == "caller_left"
