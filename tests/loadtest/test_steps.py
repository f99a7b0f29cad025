"""A step of a load test ends, also where a caller's line has died."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agentd.loadtest.steps import Step, Talk, _bounded
from tests.fakes.clock import run_virtual


class Dead:
    """A caller who hears nothing any more, and whose microphone takes nothing."""

    async def made_up(self) -> tuple[int, int]:
        await asyncio.Event().wait()
        raise AssertionError


def test_a_caller_whose_line_has_died_is_unanswered_and_holds_up_nobody() -> None:
    step, dead, talk = Step(1), Dead(), Talk(agent="desk", question=Path("question.wav"), seconds=20.0)

    async def talks() -> float:
        caller: Any = dead
        await _bounded(caller, talk, step, 2.0)
        return asyncio.get_running_loop().time()

    assert run_virtual(talks()) < 200
    assert (step.unanswered, step.v2v_s) == (1, [])
