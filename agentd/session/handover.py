"""A call on its way from one agent to another: asked for, made ready beside the conversation, done at a turn's end.

Make before break: the agent that has the call goes on with it until the other is ready, and keeps it when that one
cannot be had. Nothing is begun in between, so no words are lost and none are spoken by the wrong one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentd.aio import now
from agentd.config.handoff_lint import why_not
from agentd.errors import AgentdError, ProviderError
from agentd.providers.chat import is_pinned
from agentd.session.compaction import HEADING, NoSummary, summary_of
from agentd.session.conversation import Conversation
from agentd.session.edges import Edges
from agentd.session.entrance import NOT_POSSIBLE, before_last_turn, entrance, kept
from agentd.session.history_edit import edit_history
from agentd.session.hook_actions import literal
from agentd.session.inbox import HandoverReady
from agentd.session.plan import Plan
from agentd.session.setup import Equipment, Providers
from agentd.session.sides import Sides
from agentd.session.speech import HIGH
from agentd.session.speeches import Speeches
from agentd.tools.acts import EditHistory, HandOff
from agentd.tools.spec import Event

READY_S = 10.0
"""For the other agent to be ready, its summary included: then the call stays where it is."""

BY_CODE = frozenset({"model", "tool", "hook", "task_exhausted"})
"""Rules of handoffs that the agent that has the call may have promised to the caller."""


@dataclass(slots=True)
class _Pending:
    """`say`: the name of its last words. `equipment`: the other agent, once it is ready; `failed`: why it will not be.
    `summary`: of the first `summarized` items."""

    act: HandOff
    say: str = ""
    equipment: Equipment | None = None
    failed: tuple[str, str] | None = None
    summary: str = ""
    summarized: int = 0


class Handover:
    """One session's, for its own task. `post` puts an event before it; `become` makes all parts the other agent's.
    `sides`: which connects a realtime model before it has the call."""

    def __init__(
        self,
        conversation: Conversation,
        speeches: Speeches,
        post: Callable[[HandOff | HandoverReady], None],
        become: Callable[[Equipment], None],
        sides: Sides,
    ) -> None:
        self._conversation = conversation
        self._speeches = speeches
        self.tasks: asyncio.TaskGroup | None = None  # in which others are made ready, once the session has it
        self._post = post
        self._become = become
        self._sides = sides
        restored = conversation.setup.restored
        before = conversation.variables if restored is not None else None
        self._edges = Edges.of(conversation.definition.handoffs, now(), before)
        self._pending: _Pending | None = None
        self._asked = 0
        if restored is not None and restored.handoff is not None:
            post(restored.handoff)

    # What is asked.

    @property
    def under_way(self) -> bool:
        return self._pending is not None

    @property
    def holds(self) -> bool:
        """Nothing is to be begun by the agent that has the call: it has said its last words."""
        return self._pending is not None and not self._speeches.waits(self._pending.say)

    def ask(self, act: HandOff) -> None:
        """Somebody wants another agent to have the call."""
        conversation = self._conversation
        if self._pending is not None:
            self._refuse(act, "handoff_under_way", self._pending.act.agent)
            return
        objection = conversation.trail.objection(act.agent, conversation.definition.limits.max_handoffs)
        if objection is not None:
            self._refuse(act, objection.rule, objection.value, objection.why)
            return
        conversation.record("handoff.asked", **fields_of(act))
        self._pending = _Pending(act)
        text = conversation.render(act.say).strip() if act.template and act.say else act.say
        if text:
            self._asked += 1
            self._pending.say = f"handoff-{conversation.setup.incarnation}-{self._asked}"
            self._speeches.add(Plan(purpose="say", text=text, priority=HIGH, speech=self._pending.say))
        assert self.tasks is not None
        self.tasks.create_task(self._make_ready(self._pending))

    def follow(self, event: Event) -> None:
        """An event of the call; from anywhere on the loop."""
        act = self._edges.on_event(event, self._conversation.variables)
        if act is not None and self._pending is None:
            self._post(act)

    def follow_edit(self) -> None:
        """The agent's file has other handoffs, maybe; what is true already has been so."""
        conversation = self._conversation
        self._edges = Edges.of(conversation.definition.handoffs, now(), conversation.variables)

    def caller_spoke(self) -> None:
        self._conversation.trail.caller_spoke()

    # What is due.

    def deadline(self, last_heard: float, *, silent: bool) -> float | None:
        """When silence may hand the call over."""
        return self._edges.silence_ends(last_heard) if silent and self._pending is None else None

    def step(self, last_heard: float, *, boundary: bool, silent: bool) -> None:
        """Does what is due. `boundary`: nobody has the turn, and the agent says nothing."""
        if self._pending is None and boundary:
            act = self._edges.at_boundary(self._conversation.variables)
            if act is not None:
                self.ask(act)
        if not silent:
            self._edges.sounded()
        elif self._pending is None:
            act = self._edges.after_silence(last_heard, now(), self._conversation.variables)
            if act is not None:
                self.ask(act)
        pending = self._pending
        if pending is None or not boundary or not self.holds:
            return
        if pending.failed is not None:
            self._pending = None
            self._refuse(pending.act, *pending.failed)
        elif pending.equipment is not None:
            self._pending = None
            self._hand_over(pending, pending.equipment)

    async def _make_ready(self, pending: _Pending) -> None:
        conversation, act = self._conversation, pending.act
        try:
            async with asyncio.timeout(READY_S):
                equipment = await conversation.setup.agents.equip(act.agent)
                if reason := why_not(conversation.definition, equipment.definition):
                    pending.failed = ("handoff_impossible", reason)
                else:
                    if act.history == "summary":
                        await self._summarize(pending, equipment.providers)
                    await self._sides.make_ready(equipment)
            pending.equipment = equipment if pending.failed is None else None
        except (AgentdError, TimeoutError) as error:
            pending.failed = ("handoff_impossible", str(error) or f"{act.agent} was not ready within {READY_S:g} s")
        self._post(HandoverReady())

    async def _summarize(self, pending: _Pending, other: Providers) -> None:
        """Of all before the caller's last turn, where the agent that has the call has no model that writes one, by the
        other's. Without one the other agent knows all: that costs tokens, and loses nothing."""
        history = self._conversation.history
        items = before_last_turn(history.items()[: history.settled()])
        count, forgotten = sum(1 for item in items if not is_pinned(item)), history.forgotten
        if not count:
            return
        try:
            pending.summary = await summary_of(self._conversation, items, other=other)
            pending.summarized = max(0, count - (history.forgotten - forgotten))  # some were left out meanwhile
        except (ProviderError, NoSummary) as error:
            self._conversation.record("error", where="summary", message=str(error) or "no summary")

    # Doing it.

    def _hand_over(self, pending: _Pending, equipment: Equipment) -> None:
        conversation, act = self._conversation, pending.act
        before, definition = conversation.definition, equipment.definition
        if act.variables:
            conversation.set_variables(act.variables)
        first = definition.name not in conversation.trail.seen
        conversation.record(
            "handoff",
            **{"from": before.name, "to": definition.name},
            revision=definition.revision,
            history=act.history,
            rule=act.rule,
            value=act.value,
            place=before.places.get(act.value.partition("=")[0], ""),
            first=first,
            **({"connection": way} if (way := self._sides.way_to(equipment)) else {}),
        )
        answers = self._speeches.answers
        self._pass_history(pending, answers=answers)
        conversation.trail.passed_to(definition.name)
        self._become(equipment)
        self._edges = Edges.of(definition.handoffs, now(), conversation.variables)
        entering = entrance(conversation, act.enter, first=first, answers=answers, before=before.name)
        conversation.record(
            "agent.entered",
            agent=definition.name,
            revision=definition.revision,
            source=definition.source,
            places=dict(definition.places),
            previous=before.name,
            first=first,
            enters=entering.enters,
            language=conversation.language,
            variables=dict(conversation.variables),
            first_hook=conversation.first_hook,
        )
        if entering.plan is not None:
            self._speeches.add(entering.plan)

    def _pass_history(self, pending: _Pending, *, answers: bool) -> None:
        history = self._conversation.history
        if pending.summary:
            history.summarize(pending.summarized, HEADING + pending.summary)
            self._conversation.record(
                "context.summarized",
                items=pending.summarized,
                text=HEADING + pending.summary,
                rule="handoff",
                value=f"history={pending.act.history}",
            )
            return
        count = kept(pending.act.history, history.items(), history.settled(), answers=answers)
        if count is not None:
            edit_history(self._conversation, EditHistory(edit="keep", keep=count), "handoff")

    def _refuse(self, act: HandOff, rule: str, value: str, why: str = "") -> None:
        """The call stays where it is. Where the agent may have promised the handoff, it says that there is none."""
        conversation = self._conversation
        conversation.record("decision", rule=rule, action="RefuseHandoff", value=value, agent=act.agent, asked=act.rule)
        if act.rule in BY_CODE and rule != "handoff_under_way" and not self._speeches.answers:
            instruction = NOT_POSSIBLE.format(literal(why or value))
            self._speeches.add(Plan(purpose="reply", generate=True, instruction=instruction))


def fields_of(act: HandOff) -> Mapping[str, Any]:
    """Of the record of what was asked."""
    return {
        "agent": act.agent,
        "history": act.history,
        "say": act.say,
        "variables": dict(act.variables),
        "enter": act.enter,
        "template": act.template,
        "rule": act.rule,
        "value": act.value,
    }
