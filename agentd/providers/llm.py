"""Language models: chat items in, deltas out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from agentd.providers.speakers import Speaker


@dataclass(frozen=True, slots=True)
class NamedTool:
    """The model is to call this tool."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMSettings:
    """Common to every model; a plugin's own settings extend it. `provider_tools`: what it can do on its own side, by
    the names that agent files use."""

    provider_tools: ClassVar[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`interrupted`: an assistant message that was cut; `text` is then what the caller heard.

    `speaker`: which of several people said it; None: the only caller. `text` then begins with their label.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    interrupted: bool = False
    speaker: Speaker | None = None

    @property
    def words(self) -> str:
        """The text without its speaker's label."""
        return self.text.removeprefix(self.speaker.prefix) if self.speaker else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """`arguments`: the JSON text that the model wrote, unchecked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """The answer to the ToolCall with id `call_id`, as the model reads it."""

    call_id: str
    name: str
    content: str
    is_error: bool = False


ChatItem = Message | ToolCall | ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSchema:
    """A tool as the model sees it; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSideTool:
    """What the model's provider does by itself: nobody here is asked. `settings`: the provider's own."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """`items`: the conversation, instructions first. Parallel ToolCalls stand side by side, then their results."""

    items: tuple[ChatItem, ...]
    tools: tuple[ToolSchema, ...] = ()
    tool_choice: ToolChoice = "auto"
    provider_tools: tuple[ProviderSideTool, ...] = ()
    session_id: str = ""  # for providers that cache or bill by conversation; never needed for an answer
    language: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer's text, to be spoken."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request, as the provider counts them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


LLMDelta = TextDelta | ToolCall | Usage


class LLM(Protocol):
    """A provider client, shared by all calls of a worker."""

    def chat(self, request: ChatRequest) -> AsyncIterator[LLMDelta]:
        """An async generator of the answer's deltas; each ToolCall comes whole.

        Raises ProviderError, also in mid-answer. Closing the generator aborts the request.
        No retries inside: they are the session's.
        """
        ...

    async def aclose(self) -> None: ...
