"""What a session is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from agentd.config.definition import AgentDefinition
from agentd.errors import AgentdError
from agentd.providers.interruption_detector import InterruptionDetector
from agentd.providers.language_id import LanguageIdentifier
from agentd.providers.llm import LLM
from agentd.providers.realtime import Realtime
from agentd.providers.stt import STT
from agentd.providers.tts import TTS
from agentd.providers.turn_detector import TurnDetector
from agentd.providers.vad import VAD
from agentd.session.journal import Journal
from agentd.session.rates import Rates
from agentd.session.records import Record
from agentd.session.restore import Restored
from agentd.session.room import Room
from agentd.session.standing import Standing
from agentd.tools.acts import GiveUp
from agentd.tools.spec import Event, ToolRunner

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Candidate(Generic[P]):
    """A provider under the name that metrics and records call it by. `standing`: how it did lately, which all
    candidates that are this provider have in common."""

    name: str
    provider: P
    standing: Standing = field(default_factory=Standing, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """The providers of a session, shared with others. The first of each tuple is the one that was asked for;
    the rest are its fallbacks, in order. Never empty, but for `summary`; with a `realtime` model `stt` and `llm` are,
    and `tts` may be.

    `languages`: the same for each language in which something else is asked for, so that a change opens nothing.
    """

    vad: VAD
    stt: tuple[Candidate[STT], ...]
    llm: tuple[Candidate[LLM], ...]
    tts: tuple[Candidate[TTS], ...]
    summary: tuple[Candidate[LLM], ...] = ()  # who summarises; the models of the conversation where it is empty
    language_id: LanguageIdentifier | None = None
    turn_detector: TurnDetector | None = None
    interruption_detector: InterruptionDetector | None = None
    realtime: tuple[Candidate[Realtime], ...] = ()
    languages: Mapping[str, Providers] = field(default_factory=dict)
    steps: Mapping[int, tuple[Candidate[LLM], ...]] = field(default_factory=dict)  # models by step of `when_busy`

    def on_step(self, step: int | None) -> Providers:
        """With the model of this step, in all languages."""
        models = self.steps.get(step) if step is not None else None
        if models is None:
            return self
        languages = {tag: replace(each, llm=models) for tag, each in self.languages.items()}
        return replace(self, llm=models, languages=languages)

    def in_language(self, tag: str) -> Providers:
        return self.languages.get(tag, self)


Audit = Callable[[str, Mapping[str, Any]], None]
"""Is given a record's kind and data."""


def unaudited(kind: str, data: Mapping[str, Any]) -> None:
    """Nobody keeps an audit log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """All that makes a session one agent or another, ready."""

    definition: AgentDefinition
    providers: Providers
    tools: ToolRunner


class Agents(Protocol):
    """The other agents that a call may be handed to."""

    async def equip(self, name: str) -> Equipment:
        """The one of the generation that the call began with, or the newest where it says `reload: live`, ready to go
        on with it; it stays ready until the call is over. Raises AgentdError."""
        ...

    def newest(self, name: str) -> AgentDefinition | None:
        """What serves under this name now; None: nothing, or it is not known here."""
        ...

    async def equip_edited(self, definition: AgentDefinition) -> Equipment:
        """What a call goes on with after an edit; it stays ready until `let_go`. Raises AgentdError."""
        ...

    def runs(self, definition: AgentDefinition) -> None:
        """The call goes on by this, from now on and after the death of its process."""
        ...

    async def let_go(self, definition: AgentDefinition) -> None:
        """The call uses it no more."""
        ...


class NoAgents:
    """Where there is one agent only."""

    async def equip(self, name: str) -> Equipment:
        raise AgentdError(f"there is no agent {name} here")

    def newest(self, name: str) -> AgentDefinition | None:
        return None

    async def equip_edited(self, definition: AgentDefinition) -> Equipment:
        raise AgentdError("there are no edits here")

    def runs(self, definition: AgentDefinition) -> None:
        """Nobody asks."""

    async def let_go(self, definition: AgentDefinition) -> None:
        """There is nothing to let go."""


class Trials(Protocol):
    """Whether providers that an edit brings can be opened; `agentd.session.trials.Trials`."""

    async def make(self, before: AgentDefinition, equipment: Equipment, language: str) -> None:
        """Raises ProviderError."""
        ...


class Untried:
    """Nothing is tried beforehand."""

    async def make(self, before: AgentDefinition, equipment: Equipment, language: str) -> None:
        """It will be seen."""


def _ignore(what: Record | Event) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSetup:
    """One call. `observe` sees every record right after it was journaled, `publish` the events that it makes; neither
    may block. `audit` is given the same before it is journaled, also when it cannot be; it never raises.

    `agents`: whom the call may be handed to. `restored`: what an earlier incarnation's journal says, when the call
    outlived its process. `requested`: the data of the record session.requested, where somebody was asked about it.
    """

    id: str
    definition: AgentDefinition
    providers: Providers
    tools: ToolRunner
    room: Room
    journal: Journal
    room_name: str = ""
    job_id: str = ""
    metadata: str = ""  # of the dispatch
    variables: Mapping[str, Any] = field(default_factory=dict)  # over the definition's
    requested: Mapping[str, Any] | None = None
    observe: Callable[[Record], None] = _ignore
    publish: Callable[[Event], None] = _ignore
    audit: Audit = unaudited
    agents: Agents = field(default_factory=NoAgents)
    restored: Restored | None = None
    incarnation: int = 1
    rates: Rates = field(default_factory=Rates)  # of all sessions of this process
    busy: GiveUp = field(default_factory=GiveUp)  # what is given up at the beginning
    llm_step: int | None = None  # the step of `when_busy` whose model the call has
    waited_s: float | None = None  # for a place; None: it had one at once
    trials: Trials = field(default_factory=Untried)  # of all sessions of this process
    callback_url: str = ""  # how the world reaches the daemon's callbacks; "": not at all
