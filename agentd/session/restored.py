"""What an incarnation of a session is told of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.providers.llm import ChatItem
from agentd.providers.speakers import Speaker
from agentd.session.adjustments import Adjustments
from agentd.session.known_calls import KnownCall
from agentd.session.question import Question
from agentd.session.waiting import WaitingTurn
from agentd.tools.acts import HandOff, Muted


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A speech that was asked for; see `agentd.session.plan.Plan`."""

    speech: str
    priority: int
    interruptible: bool = True
    in_history: bool = True
    text: str = ""
    generate: bool = False
    instruction: str | None = None
    user_input: str = ""
    end_call: str | None = None
    causes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A conversation as its journal tells it.

    `unsaid`: sentences of the reply under way that the caller has not heard to their end.
    `caller_was_speaking`: words may have been lost with the process.
    `reply_owed`: the model is to be asked: it had not answered the caller's last turn, or not to the end.
    `reply_begun`: then it is to go on after what was heard and `unsaid`, instead of answering anew.
    `entered`: which hooks (by their key) were given which of the events that a call begins with.
    `waiting`: what was asked to be said and had not begun. `warned`: the caller knows that time is running out.
    `agents`: who had the call, in order, the last of whom has it, as of `revision`. `assigned`: variables that are no
    agent file's. `first_hook`: the number of its first hook. `adjustments`: what was changed of it. `handoff`: that was
    asked for and not made. `tools`: what tools and hooks have changed in what the model may call. `question`: a
    call that waits for consent, or (`granted`) has it and was not made.
    `calls`: of tools, as far as they matter to later ones; those without an outcome were under way. `result_owed`: the
    agent was to speak of a result that came late.
    `callbacks`: functions to call at the end, by reference, with the number of the hook that wants it. `attributes`:
    that hooks have given the agent's participant.
    `task`: the state of the task that runs (agentd.session.task_state), `tasks`: how many there were.
    `labels`: of several people, by identity. `speaker`: whose turn was answered last. `unanswered`: turns that waited
    for the floor.
    """

    items: tuple[ChatItem, ...] = ()
    ids: tuple[str, ...] = ()  # of the items
    variables: Mapping[str, Any] = field(default_factory=dict)
    turns: int = 0
    replies: int = 0
    unsaid: tuple[str, ...] = ()
    caller_was_speaking: bool = False
    reply_owed: bool = False
    reply_begun: bool = False
    waiting: tuple[Waiting, ...] = ()
    end_call: str = ""  # the reason for which the call was to end with the reply under way
    calls: tuple[KnownCall, ...] = ()
    result_owed: bool = False
    warned: bool = False
    usage: Mapping[str, int] = field(default_factory=dict)
    last_record_at: float = 0.0
    started_at: float = 0.0
    ended: bool = False
    end_reason: str = ""
    language: str = ""  # "": the agent's own
    entered: frozenset[tuple[str, str]] = frozenset()
    transfer: str = ""  # the destination that the caller was being put through to
    muted: frozenset[Muted] = frozenset()  # what an operator has muted
    labels: Mapping[str, str] = field(default_factory=dict)
    speaker: Speaker | None = None
    unanswered: tuple[WaitingTurn, ...] = ()
    agents: tuple[str, ...] = ()
    revision: str = ""
    assigned: Mapping[str, Any] = field(default_factory=dict)
    first_hook: int = 0
    adjustments: Adjustments = field(default_factory=Adjustments)
    handoff: HandOff | None = None
    tools: Mapping[str, Any] = field(default_factory=dict)
    instructions_append: str = ""  # of whoever was asked about the call
    question: Question | None = None
    granted: bool = False
    callbacks: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] | None = None
    tasks: int = 0
