"""Results that are brought to the daemon find the worker that holds the call, also the next one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agentd.runtime.status import BetweenWorkers
from agentd.session.journal import read_journal
from agentd.tools.spec import LateAnswer
from tests.runtime.daemon import Daemon, running, until
from tests.runtime.parts import Files, definition

ANSWER = LateAnswer(content_type="text/plain", text="table 9")


async def deliver(daemon: Daemon, session_id: str, token: str = "right") -> str:
    return await daemon.supervisor.deliver(session_id, "tc_1", token, ANSWER)


async def test_a_result_reaches_its_call_and_is_answered_with_what_became_of_it(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        session_id = await daemon.call("desk")
        other = await daemon.call("desk")
        assert await deliver(daemon, session_id) == "taken"
        assert await deliver(daemon, session_id, "wrong") == "refused"
        journals = [read_journal(daemon.session(each).journal) for each in (session_id, other)]  # type: ignore[union-attr]
        assert [sum(record.kind == "delivered" for record in journal) for journal in journals] == [2, 0]
        with pytest.raises(KeyError):
            await deliver(daemon, "s-none")
        await daemon.hang_up(session_id)
        with pytest.raises(KeyError):
            await deliver(daemon, session_id)


async def test_between_two_workers_it_is_to_be_brought_again_and_the_next_one_takes_it(tmp_path: Path) -> None:
    async with running(tmp_path, Files({"desk": definition("desk")}), processes=True) as daemon:
        session_id = await daemon.call("desk")
        first = daemon.session(session_id)
        assert first is not None
        daemon.kill(first.worker)
        with pytest.raises(BetweenWorkers):  # it was on its way to a worker that is dead
            await deliver(daemon, session_id)
        await until(lambda: daemon.talks(session_id) and daemon.session(session_id).incarnation == 2)  # type: ignore[union-attr]
        assert await deliver(daemon, session_id) == "taken"
        assert not daemon.supervisor.late_results._awaited


async def test_a_worker_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from agentd.runtime import late_results

    monkeypatch.setattr(late_results, "ANSWER_S", 0.05)
    async with running(tmp_path, Files({"desk": definition("desk")})) as daemon:
        session_id = await daemon.call("desk")
        worker = daemon.supervisor.pool.workers[daemon.session(session_id).worker]  # type: ignore[union-attr]
        monkeypatch.setattr(worker, "post", lambda message: None)
        with pytest.raises(BetweenWorkers):
            await asyncio.wait_for(deliver(daemon, session_id), 5)
        monkeypatch.undo()
