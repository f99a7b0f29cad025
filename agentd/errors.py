"""The error tree. A class exists here because some caller acts on it.

AgentdError
├── ConfigError(problems)             a definition that may not run
├── PluginError                       a provider plugin cannot be used
│   ├── PluginNotFound
│   └── PluginBroken
├── ProviderError(provider, retryable)
│   ├── ProviderTimeout               retryable: no useful answer in time
│   ├── ProviderUnavailable           retryable: refused, reset, 429, 5xx
│   └── ProviderRefused               not retryable: bad key, bad request
├── ToolError                         told to the model; the call goes on
│   ├── ToolTimeout
│   ├── ToolCrashed
│   ├── ToolUnreachable
│   │   └── ToolBlocked               where no tool may go
│   └── ToolArgumentsInvalid
├── RpcRefused                        told to the front end that called; the call goes on
├── TransportError
│   ├── RegistrationRefused
│   ├── RoomLost
│   └── TransferFailed            told to the model; the call goes on
├── JournalError                      the journal cannot be written or read
└── WorkerError
    ├── WorkerDied
    ├── WorkerUnresponsive
    └── GenerationRejected(agent, problems)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentd.revealed import without_secrets

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file: where it stands, what it is and how to mend it."""

    file: str
    line: int  # 1-based
    column: int  # 1-based
    pointer: str  # JSON pointer into the document, "" for the whole of it
    code: str  # stable and kebab-case, for suppression and for search
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class AgentdError(Exception):
    """Everything that agentd raises on purpose."""


class ConfigError(AgentdError):
    """Definitions were refused; `problems` holds every reason, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)) or "invalid configuration")


class PluginError(AgentdError):
    """A provider plugin cannot be used."""


class PluginNotFound(PluginError):
    """No installed plugin offers the provider that was asked for."""


class PluginBroken(PluginError):
    """A plugin was found, but importing or calling it failed."""


class ProviderError(AgentdError):
    """A provider failed. `retryable` says whether the same request may succeed later.

    `retry_after_s` is the provider's own word on when, if it gave one. Of its message, secrets are taken out.
    """

    retryable = False

    def __init__(self, provider: str, message: str, *, retry_after_s: float | None = None) -> None:
        self.provider = provider
        self.message = without_secrets(message)
        self.retry_after_s = retry_after_s
        super().__init__(f"{provider}: {self.message}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_provider_error, (type(self), self.provider, self.message, self.retry_after_s))


def _provider_error(
    kind: type[ProviderError], provider: str, message: str, retry_after_s: float | None
) -> ProviderError:
    return kind(provider, message, retry_after_s=retry_after_s)


class ProviderTimeout(ProviderError):
    """No useful answer within the deadline."""

    retryable = True


class ProviderUnavailable(ProviderError):
    """The provider refused the connection, reset it, or answered 429 or 5xx."""

    retryable = True


class ProviderRefused(ProviderError):
    """The provider will never take this request: bad key, bad model, bad input."""


class ToolError(AgentdError):
    """A tool failed; the message is written for the model."""


class ToolTimeout(ToolError):
    """The tool did not answer by its deadline."""


class ToolCrashed(ToolError):
    """The tool's process died while it ran."""


class ToolUnreachable(ToolError):
    """Whatever does the work did not answer; the reason is for the log."""


class ToolBlocked(ToolUnreachable):
    """An address where no tool may go."""


class ToolArgumentsInvalid(ToolError):
    """The model's arguments do not fit the tool's schema."""


class RpcRefused(AgentdError):
    """A front end may not call this, or not so; the message is for its author."""


class TransportError(AgentdError):
    """The link with LiveKit failed."""


class RegistrationRefused(TransportError):
    """The LiveKit server does not take our registration: wrong key or URL."""


class RoomLost(TransportError):
    """The room is gone, or cannot be reached any more."""


class TransferFailed(TransportError):
    """A caller was not put through; the message says why in words for the model."""


class JournalError(AgentdError):
    """A session's journal cannot be written, or what it holds cannot be read."""


class WorkerError(AgentdError):
    """A session worker failed."""


class WorkerDied(WorkerError):
    """The worker's process ended, or its pipe closed."""


class WorkerUnresponsive(WorkerError):
    """The worker's event loop stopped answering heartbeats."""


class GenerationRejected(WorkerError):
    """A worker could not prepare an agent of a new generation."""

    def __init__(self, agent: str, problems: Sequence[str]) -> None:
        self.agent = agent
        self.problems = tuple(problems)
        super().__init__(f"{agent}: {'; '.join(self.problems)}")

    def __reduce__(self) -> tuple[object, ...]:
        return (GenerationRejected, (self.agent, self.problems))


def innermost(error: BaseException) -> BaseException:
    """Of several tasks' errors the first; itself, if it is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def reason_of(error: BaseException) -> str:
    """What it says, or else what it is."""
    error = innermost(error)
    return str(error) or type(error).__name__
