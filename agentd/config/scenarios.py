"""An agent's own tests, as its file says them: text conversations, and what must be true of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.config.provider_choice import ProviderChoice
from agentd.providers.fields import Duration, JsonObject, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenResult:
    """What a tool answers in a test; the tool itself is not called. One of the two."""

    result: Any = setting("Text, or JSON.", default=None)
    error: str | None = setting("The tool fails, and the model is told this.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCall:
    """A call of a tool that is wanted."""

    name: str = setting("The tool.", pattern=TOOL_NAME_PATTERN)
    arguments: JsonObject = setting(
        "Arguments that it must be called with; others may be there too.", default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must be true from the caller's words to the next: everything that is given."""

    contains: tuple[str, ...] = setting("Each of these is said, in upper or lower case.", default=())
    lacks: tuple[str, ...] = setting("None of these is said.", default=())
    matches: str | None = setting(
        "A regular expression (Python's) that is found in what is said.", default=None, interpolate=False
    )
    calls: tuple[ExpectedCall, ...] = setting("Each of these calls is made.", default=())
    calls_nothing: bool = setting("No tool is called.", default=False)
    ends: bool | None = setting("Whether the agent has ended the call.", default=None)
    hands_off_to: str | None = setting("The agent that the call is handed to.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTurn:
    """The caller says something, or nothing, until the agent has nothing more to say."""

    say: str | None = setting("The caller's words, typed. Without them: what the agent says by itself.", default=None)
    wait: Duration = setting("The caller says nothing for so long first.", default=Duration(0.0), minimum=0)
    expect: Expectation = setting("What must be true then.", default_factory=Expectation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One conversation."""

    name: str = setting("For reports, and to pick it by.", min_length=1)
    llm: ProviderChoice | None = setting("The model of this conversation.", default=None)
    variables: Mapping[str, Any] = setting("Over the agent's, as of a dispatch.", default_factory=dict)
    tools: Mapping[str, GivenResult] = setting("Tools that are not called, and what they answer.", default_factory=dict)
    turns: tuple[ScenarioTurn, ...] = setting("One after the other.", min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTests:
    """`llm` and `tools` hold in every conversation that says nothing else."""

    gate: bool = setting("A reload runs them first: a new revision that fails one does not serve.", default=False)
    llm: ProviderChoice | None = setting(
        "The model in tests, instead of the agent's: a scripted one, for answers that are known.", default=None
    )
    tools: Mapping[str, GivenResult] = setting("Tools that are not called, and what they answer.", default_factory=dict)
    scenarios: tuple[Scenario, ...] = setting("The conversations.", min_length=1)
