"""New revisions on probation, and the agents that are held at another revision than their files say.

Owns how the calls of each revision went and who is held; both outlive the daemon in its state directory. A reload asks
`revise` what to serve of what the files say. Going back waits for no reload: it may be needed while one goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded
from agentd.errors import AgentdError, Problem
from agentd.runtime.daemon_events import held, released
from agentd.runtime.holds import Hold, hold_problem, is_lifted, must_wait, replaced, wait_problem
from agentd.runtime.outcome import Verdict
from agentd.runtime.revisions import KEPT, Revision, RevisionLost, Revisions
from agentd.runtime.state_file import StateFile
from agentd.runtime.status import Measure, MeasureSink
from agentd.runtime.trial import UNTRIED, Trial, after, last_known_good
from agentd.tools.event import Event

logger = logging.getLogger(__name__)

FILE = "probation.json"


class RollbackRefused(AgentdError):
    """There is nothing to go back to, or it cannot be served; the message says what there is."""


PutInPlace = Callable[[AgentDefinition, Hold | None], Awaitable[tuple[str, ...]]]
"""`agentd.runtime.rollout.Rollout.put_in_place`."""


class Probation:
    """`serving`: what an agent's next call gets; `in_use`: the revisions of an agent by which calls run; `put_in_place`
    has it go by another; `request`: has the files read again. `run` takes back what fails."""

    def __init__(
        self,
        *,
        state_dir: Path,
        revisions: Revisions,
        serving: Callable[[str], AgentDefinition | None],
        in_use: Callable[[str], Collection[str]],
        put_in_place: PutInPlace,
        request: Callable[[], None],
        measures: MeasureSink,
        told: Callable[[Event], None],
    ) -> None:
        """`told` is called when an agent is held, or held no more."""
        self._revisions = revisions
        self._serving = serving
        self._in_use = in_use
        self._put_in_place = put_in_place
        self._request = request
        self._measures = measures
        self._told = told
        self._trials: dict[str, dict[str, Trial]] = {}
        self._known: dict[str, dict[str, AgentDefinition]] = {}  # that have served in this process, newest last
        self._failing: dict[str, str] = {}  # agents whose revision has failed, until that was looked at
        self._failed = asyncio.Event()  # there are some
        self._waiting: dict[str, str] = {}  # agents whose edit waits, and its revision
        self._codes: dict[tuple[str, str], Path] = {}  # by agent and revision, where its tools' code is kept
        self._named: frozenset[str] = frozenset()  # every agent that a file names, broken ones too
        self._keeping = asyncio.Lock()
        self._first = True  # nothing was kept by this daemon yet
        self.holds: dict[str, Hold] = {}
        self.written: Mapping[str, str] = {}  # by agent, the revision that its file says
        self.file = StateFile(state_dir / FILE, self._saying)

    def load(self) -> None:
        """What an earlier daemon knew. Blocks."""
        self.file.read(self._take)

    def _take(self, kept: Mapping[str, Any]) -> None:
        self.holds = {name: Hold(**hold) for name, hold in kept["holds"].items()}
        self._trials = {
            agent: {revision: Trial(**trial) for revision, trial in trials.items()}
            for agent, trials in kept["trials"].items()
        }

    # What a reload asks

    async def revise(self, loaded: Loaded) -> Loaded:
        """What to serve of what the files say: held agents at their revisions, edits that must wait left out."""
        self.written = {name: definition.digest for name, definition in loaded.agents.items()}
        self._named = frozenset((*loaded.agents, *(name for names in loaded.broken.values() for name in names)))
        for lifted in [hold for hold in self.holds.values() if is_lifted(hold, loaded)]:
            self._lift(lifted, "its file was edited")
        others: dict[str, AgentDefinition] = {}
        problems: dict[str, Problem] = {}
        self._waiting.clear()
        for name, definition in loaded.agents.items():
            if hold := self.holds.get(name):
                if (kept := await self._definition(hold)) is not None:
                    others[name], problems[name] = kept, hold_problem(hold, definition.source)
                continue
            serving = self._serving(name)
            if serving is not None and self._must_wait(name, definition.digest, serving):
                self._waiting[name] = definition.digest
                others[name], problems[name] = serving, wait_problem(name, definition.source)
        return replaced(loaded, others, problems)

    def _must_wait(self, name: str, revision: str, serving: AgentDefinition) -> bool:
        return revision != serving.digest and must_wait(revision, self._in_use(name))

    async def keep(self, definitions: Iterable[AgentDefinition], texts: Mapping[str, str]) -> None:
        """These serve from now on: they can be gone back to."""
        served = tuple(definitions)
        for each in served:
            known = self._known.setdefault(each.name, {})
            known.pop(each.digest, None)
            known[each.digest] = each
            while len(known) > KEPT:
                known.pop(next(iter(known)))
        async with self._keeping:
            try:
                await asyncio.to_thread(self._keep, served, texts, time.time())
            except OSError as error:
                logger.error("revisions could not be kept", extra={"reason": str(error)})  # noqa: TRY400 -- no fault of ours

    def _keep(self, served: tuple[AgentDefinition, ...], texts: Mapping[str, str], at: float) -> None:
        self._codes.update(self._revisions.keep(served, texts, at))
        if self._first:
            self._first = False
            self._revisions.forget(self._named, at)
        self._revisions.prune({each.name: self._needed(each.name) for each in served})

    def _needed(self, agent: str) -> list[str]:
        hold, serving = self.holds.get(agent), self._serving(agent)
        needed = [hold.refused, hold.serving] if hold else []
        return [*needed, *([serving.digest] if serving else []), *self._in_use(agent)]

    # How calls went

    def ended(self, agent: str, revision: str, verdict: Verdict) -> None:
        """A call by this revision is over."""
        trials = self._trials.setdefault(agent, {})
        trial = after(trials.pop(revision, UNTRIED), verdict)
        trials[revision] = trial  # the last that is forgotten
        while len(trials) > 2 * KEPT:
            trials.pop(next(iter(trials)))
        if verdict.result != "neutral":
            self.file.changed()
        serving = self._serving(agent)
        if verdict.result == "failed" and trial.fails and serving is not None and serving.digest == revision:
            self._failing[agent] = revision
            self._failed.set()
        self.look_again(agent)

    def look_again(self, agent: str) -> None:
        """Fewer revisions of it may be in use: an edit that waits for that may apply."""
        waits = self._waiting.get(agent)
        if waits is not None and not must_wait(waits, self._in_use(agent)):
            self._request()

    def with_code(self, definition: AgentDefinition) -> AgentDefinition:
        """The definition with the tools' code of its time, where that is kept."""
        code = self._codes.get((definition.name, definition.revision))
        return replace(definition, root=str(code)) if code else definition

    def trial(self, agent: str, revision: str) -> Trial:
        return self._trials.get(agent, {}).get(revision, UNTRIED)

    def failing(self, agent: str, revision: str) -> str | None:
        """Why it failed in its probation; None: it did not."""
        trial = self.trial(agent, revision)
        return trial.why if trial.fails else None

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._failed.wait()
            self._failed.clear()
            failing, self._failing = self._failing, {}
            for agent, revision in failing.items():
                await self._fall_back(agent, revision)

    async def _fall_back(self, agent: str, revision: str) -> None:
        serving, written = self._serving(agent), self.written.get(agent)
        if serving is None or serving.digest != revision or written is None:
            return
        trials = self._trials.get(agent, {})
        history = [one.digest for one in await self.history(agent) if one.digest != written]
        good = last_known_good(history, trials, revision)
        trial = trials[revision]
        extra = {"agent": agent, "revision": revision, "reason": trial.why}
        if good is None:
            logger.error("definition failed, and there was no known good one", extra=extra)
            return
        definition = await self._made(agent, good)
        serving = self._serving(agent)
        if definition is None or serving is None or serving.digest != revision:
            return  # or something else serves by now
        refused = written if agent in self.holds else revision  # an edit that waits may still serve
        hold = Hold(agent=agent, refused=refused, serving=good, reason="quarantined", at=time.time(), why=trial.why)
        self._hold(hold)
        self._measures.apply(Measure(name="definitions_quarantined_total", labels={"agent": agent}))
        logger.error("definition quarantined", extra={**extra, "serving": good})
        if await self._put_in_place(definition, hold):
            self._request()  # which says why it cannot be made

    # What an operator asks

    async def history(self, agent: str) -> tuple[Revision, ...]:
        """The revisions that have served, newest first, with what serves now."""
        async with self._keeping:
            return await asyncio.to_thread(self._revisions.of, agent)

    async def roll_back(self, agent: str, to: str | None, reload: Callable[[], Awaitable[object]]) -> str:
        """Serves an earlier revision until the file is edited; the one that the file says lifts what holds the agent.
        Answers the revision. `reload`: for one that has never served. Raises KeyError for an unknown agent,
        RollbackRefused."""
        written = self.written.get(agent)
        serving = self._serving(agent)
        if written is None or serving is None:
            raise KeyError(agent)
        history = await self.history(agent)
        target = self._target(agent, to, written, serving.digest, history)
        definition = None
        if target in [one.digest for one in history] and (definition := await self._made(agent, target)) is None:
            raise RollbackRefused(f"revision {target[:8]} of {agent} can no longer be made; the log says why")
        why, before = "an operator asked for it", self.holds.get(agent)
        hold = None
        if target != written:
            hold = Hold(agent=agent, refused=written, serving=target, reason="rolled_back", at=time.time(), why=why)
            self._hold(hold)
        else:
            self._trials.get(agent, {}).pop(target, None)
            if before is not None:
                self._lift(before, why)
        refusals = await self._put_in_place(definition, hold) if definition else await self._read(agent, target, reload)
        if refusals:
            if self.holds.get(agent) is hold:  # nobody has decided something else meanwhile
                self.holds.pop(agent, None)
                if before is not None:
                    self._hold(before)
            raise RollbackRefused(f"no worker can serve revision {target[:8]} of {agent}: {'; '.join(refusals)}")
        logger.warning("agent rolled back", extra={"agent": agent, "revision": target, "refused": written})
        return target

    async def _read(self, agent: str, target: str, reload: Callable[[], Awaitable[object]]) -> tuple[str, ...]:
        await reload()
        serving = self._serving(agent)
        return () if serving is not None and serving.digest == target else ("agentd get agents says why",)

    def _target(self, agent: str, to: str | None, written: str, serving: str, history: Collection[Revision]) -> str:
        refused = self.holds[agent].refused if agent in self.holds else ""
        kept = [one.digest for one in history]
        if to is None:
            earlier = [each for each in kept if each not in (serving, refused)]
            if not earlier:
                raise RollbackRefused(f"{agent} has served no other revision")
            return earlier[0]
        found = [each for each in dict.fromkeys((written, *kept)) if each.startswith(to)]
        if len(found) != 1:
            known = ", ".join(each[:8] for each in kept)
            raise RollbackRefused(f'{"no" if not found else "more than one"} revision of {agent} begins with "{to}"; '
                                  f"kept: {known}")  # fmt: skip
        return found[0]

    # Within

    async def _definition(self, hold: Hold) -> AgentDefinition | None:
        """What a held agent serves; when it cannot be made any more, the hold is over."""
        made = await self._made(hold.agent, hold.serving)
        if made is None:
            self.holds.pop(hold.agent, None)
            self.file.changed()
        return made

    async def _made(self, agent: str, revision: str) -> AgentDefinition | None:
        """A revision that has served; None: it cannot be made any more."""
        known = self._known.get(agent, {}).get(revision)
        if known is not None:
            return self.with_code(known)
        try:
            return await asyncio.to_thread(self._revisions.restore, agent, revision)
        except RevisionLost as error:
            logger.error("revision lost", extra={"agent": agent, "reason": str(error)})  # noqa: TRY400 -- it says all
            return None

    def _hold(self, hold: Hold) -> None:
        self.holds[hold.agent] = hold
        self._told(held(hold))
        self.file.changed()

    def _lift(self, hold: Hold, why: str) -> None:
        self.holds.pop(hold.agent, None)
        self.file.changed()
        self._told(released(hold, why))
        logger.info("hold lifted", extra={"agent": hold.agent, "refused": hold.refused, "reason": why})

    def _saying(self) -> Mapping[str, Any]:
        return {
            "holds": {name: asdict(hold) for name, hold in self.holds.items()},
            "trials": {
                agent: {revision: asdict(trial) for revision, trial in trials.items()}
                for agent, trials in self._trials.items()
            },
        }
