"""Calls on a real LiveKit server while everything is done to the agents' files that can be: they notice nothing; but
under `reload: live` they take each edit at a turn's boundary, on the same track and without a gap."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from agentd.loadtest.caller import Caller, Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon, zero_cost_agent
from bench.reload import add_and_delete, break_and_mend, measure_edits, replace_many, revision_of
from bench.upgrade import longest_gap_s
from tests.system.caller import ended_journal, server_of, spoken
from tests.system.test_daemon import asked
from tests.system.test_handoff import pitch_hz

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


AT_LENGTH = ", and this takes so long that the end of what was said before does not count in its pitch."


def live(version: str, pitch: int, *more: str) -> str:
    """The pitch of its tone is its voice."""
    answer = f"{version}, {{text}}{AT_LENGTH}"
    text = zero_cost_agent("live", [LONG, *[answer] * 4], character="25ms", extra="reload: live")
    return text.replace("sound: tone", f"sound: tone, frequency_hz: {pitch}") + "".join(more)


async def test_under_reload_live_the_next_turn_is_by_the_new_file_on_the_same_track_and_without_a_gap(
    server: Server, tmp_path: Path
) -> None:
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, {"live.yaml": live("old", 300)}, workers=2, environment=environment) as daemon:
        file = daemon.agents_dir / "live.yaml"

        async def revised(text: str) -> str:
            """Writes the file, and waits until the call runs by it."""
            before = await revision_of(daemon, "live")
            file.write_text(text)

            async def applied() -> bool:
                serving = await revision_of(daemon, "live")
                [session] = await daemon.sessions()
                return serving not in ("", before) and session["revision"] == serving

            await daemon.until(applied, 60)
            return await revision_of(daemon, "live")

        async with Caller.join(server, agent="live", microphone=False) as caller:
            await caller.agent_state("listening", 30)
            first = await revision_of(daemon, "live")
            begun = time.monotonic()
            await caller.chat("go")
            await caller.agent_state("speaking", 30)
            second = await revised(live("new", 700, "greeting: {say: Welcome.}\n"))  # waits for the end of the answer
            ended = time.monotonic()
            await caller.agent_state("listening", 15)
            said = lambda: any(each.text.strip().endswith("done.") for each in caller.agent_captions())  # noqa: E731
            await caller.until(said, 15)  # it was not cut
            assert pitch_hz(caller, begun) == pytest.approx(300, abs=15)
            speaking = next(state.at for state in caller.states if state.state == "speaking" and state.at > begun)
            silent = next(state.at for state in caller.states if state.state == "listening" and state.at > speaking)
            gap_s = longest_gap_s(caller.heard, speaking + 0.5, min(silent, ended) - 0.5)
            since = time.monotonic()
            assert await asked(caller, "and now") == f"new, and now{AT_LENGTH}"
            await spoken(caller, since)
            assert pitch_hz(caller, since) == pytest.approx(700, abs=15)

            tracks = [
                each.detail for each in caller.happened if each.what == "track"
            ]  # before there is another process

            (session,) = await daemon.sessions()
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            os.kill(int(worker["pid"]), signal.SIGKILL)

            async def resumed() -> bool:
                [session] = await daemon.sessions()
                return bool(session["incarnation"] == 2 and session["state"] == "listening")

            await daemon.until(resumed, 60)
            since = time.monotonic()
            assert await asked(caller, "still there") == f"new, still there{AT_LENGTH}"
            await spoken(caller, since)
            assert pitch_hz(caller, since) == pytest.approx(700, abs=15), "it goes on by the edit that it had taken"
            (session,) = await daemon.sessions()
            assert session["revision"] == second
            third = await revised(live("newest", 500))
            assert await asked(caller, "once more") == f"newest, once more{AT_LENGTH}"
            metrics = await daemon.metrics()
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    assert gap_s < 0.3, "a stall of a busy machine is shorter, and speech that is cut does not come back"
    assert len(tracks) == 1
    assert 'agentd_live_edits_total{agent="live",outcome="taken_in_part"} 1.0' in metrics
    turns = [record.data for record in records if record.kind == "turn.user"]
    assert [(turn["text"], turn["revision"]) for turn in turns] == [
        ("go", first),
        ("and now", second),
        ("still there", second),
        ("once more", third),
    ]
    answers = [record.data for record in records if record.kind == "turn.agent" and record.data["purpose"] == "answer"]
    assert [answer["revision"] for answer in answers] == [first, second, second, third]
    edits = [record.data for record in records if record.kind == "agent.edited"]
    assert [edit["revision"] for edit in edits] == [second, third]
    assert [each["setting"] for each in edits[0]["kept"]] == ["greeting"]
    resumed = next(record.data for record in records if record.kind == "session.resumed")
    assert resumed["revision"] == second
