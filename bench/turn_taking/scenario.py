"""One item in one call: what the caller does and when, and what is noticed. Neutral of the agent."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from agentd.aio import now
from agentd.loadtest.caller import Caller, Server
from bench.subject import AGENT_NAME
from bench.turn_taking.corpus import TURNS, Item
from bench.turn_taking.sounds import Take
from bench.turn_taking.timeline import Timeline, noticed

if TYPE_CHECKING:
    from bench.turn_taking.offline import OfflineCaller

    Listener = Caller | OfflineCaller

QUIET_S = 0.8  # after the agent's last sound it has ended
ANSWER_WITHIN_S = 7.0
AFTERWARDS_S = 6.0  # a false interruption may be resumed 2 s after the sound, and is to be heard then
ECHO_S = 9.0  # of a reply that comes back to its speaker
GREETING_WITHIN_S = 20.0


async def play(server: Server, item: Item, take: Take, question: Take | None) -> Timeline:
    """Calls the agent and does what the item says. Raises TimeoutError when there is no agent."""
    async with Caller.join(server, agent=AGENT_NAME) as caller:
        return await follow(caller, item, take, question)


async def follow(caller: Listener, item: Item, take: Take, question: Take | None) -> Timeline:
    """Does what the item says, in a call that is under way."""
    call = _Call(caller, item, take, question)
    await call.make()
    return call.timeline()


class _Call:
    def __init__(self, caller: Listener, item: Item, take: Take, question: Take | None) -> None:
        self._caller, self._item, self._take, self._question = caller, item, take, question
        self._zero = now()
        self._asked: tuple[float, float] | None = None
        self._replied: float | None = None
        self._doing: tuple[float, float] | None = None

    async def make(self) -> None:
        self._caller.echo(self._item.echo)
        await self._caller.hears_after(0.0, GREETING_WITHIN_S)
        if not await self._at_rest():
            return
        if self._question is None:
            await self._do()
            return
        self._asked = await self._caller.say(self._question.samples)
        with contextlib.suppress(TimeoutError):
            self._replied = await self._caller.hears_after(self._asked[1], ANSWER_WITHIN_S)
            await self._over_the_reply(self._replied)

    def timeline(self) -> Timeline:
        times = {"asked": self._asked, "replied": self._replied, "doing": self._doing}
        return noticed(self._caller, self._zero, now(), **times)

    async def _over_the_reply(self, replied: float) -> None:
        if self._item.kind == "echo":
            await asyncio.sleep(ECHO_S)
            return
        await asyncio.sleep(max(0.0, replied + self._item.into_reply_s - now()))
        await self._do()

    async def _do(self) -> None:
        """Plays the take; noise around its words goes on until the call ends."""
        take, began = self._take, now()
        playing = asyncio.ensure_future(self._caller.say(take.samples))
        try:
            await asyncio.sleep(take.ended_s)
            await self._await_answer(began + take.ended_s)
        finally:
            self._caller.hush()
            began, ended = await playing
            within = take.length_s - take.ended_s > 0.1  # noise goes on
            self._doing = (began + take.began_s, began + take.ended_s if within else ended)

    async def _await_answer(self, ended: float) -> None:
        """A turn is over when its answer has begun; for all else the caller listens for what follows."""
        if self._item.kind not in TURNS:
            await asyncio.sleep(AFTERWARDS_S)
            return
        with contextlib.suppress(TimeoutError):
            await self._caller.hears_after(ended, ANSWER_WITHIN_S)

    async def _at_rest(self) -> bool:
        """Waits until the agent has ended its greeting and listens; False when it does not."""
        with contextlib.suppress(TimeoutError):
            await self._caller.until(self._is_at_rest, GREETING_WITHIN_S)
            return True
        return False

    def _is_at_rest(self) -> bool:
        states, heard = self._caller.states, self._caller.heard
        if not states or states[-1].state != "listening":
            return False
        return heard.sound_after(now() - QUIET_S) is None
