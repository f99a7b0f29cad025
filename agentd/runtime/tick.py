"""The supervisor's own turn, once a second: what falls due with time, rather than when somebody says something."""

from __future__ import annotations

from contextlib import suppress

from agentd.aio import now
from agentd.runtime.budgets import REASON
from agentd.runtime.memory import used_share
from agentd.runtime.parts import Parts
from agentd.runtime.status import BetweenWorkers
from agentd.tools.acts import EndSession

TICK_S = 1.0


def tick(parts: Parts) -> None:
    parts.calls.table.lapse(now())
    parts.calls.rescue()
    parts.calls.memory = used_share()
    parts.canaries.lapsed(parts.calls.table.promised_jobs)
    parts.canaries.tick()
    parts.busy.tick(tuple(parts.rollout.agents), parts.calls.table)
    for ending in parts.budgets.tick(parts.calls.table.placed()):
        with suppress(BetweenWorkers):  # at the next tick, then
            parts.calls.control(ending.session, EndSession(reason=REASON, goodbye=ending.goodbye))
    parts.pool.recycle(parts.settings.recycle)
    if not parts.drain.asked and not parts.upgrade.under_way:
        parts.scaling.tick()
    parts.pool.retire()
    if parts.replacement is not None:
        parts.replacement.tick()
    parts.calls_changed()
    parts.watchdog.tick()
