"""Chat completions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from agentd.aio import now
from agentd.errors import ProviderTimeout, ProviderUnavailable
from agentd.providers.llm import ChatRequest, LLMDelta, Message
from agentd_openai.assembly import Assembly
from agentd_openai.config import OpenAILLMSettings
from agentd_openai.messages import chat_arguments
from agentd_openai.wire import PROVIDER, connected, faults, listed


async def create_llm(settings: OpenAILLMSettings) -> OpenAILLM:
    return OpenAILLM(settings, connected(settings.api_key, settings.base_url))


class OpenAILLM:
    """A client with one connection pool, shared by all calls."""

    def __init__(self, settings: OpenAILLMSettings, client: AsyncOpenAI) -> None:
        self._settings = settings
        self._client = client

    async def chat(self, request: ChatRequest) -> AsyncGenerator[LLMDelta]:
        """See LLM.chat. Bytes prove nothing: the deadlines look at useful deltas, so keep-alives do not extend them."""
        deadline = now() + self._settings.first_token_timeout
        late = f"no useful token within {self._settings.first_token_timeout:g} s"
        assembly = Assembly()
        stream = await self._open(request, deadline, late)
        try:
            while (chunk := await _next(stream, deadline, late, finished=assembly.finished)) is not None:
                for delta in assembly.push(chunk):
                    yield delta
                if assembly.useful:  # the time that the reader took is not the provider's
                    deadline = now() + self._settings.stall_timeout
                    late = f"the answer stalled for {self._settings.stall_timeout:g} s"
        finally:
            await stream.close()
        if not assembly.finished:
            raise ProviderUnavailable(PROVIDER, "the answer ended before it was complete")

    async def probe(self) -> None:
        """Looks for the model in the server's list, and else asks it for the beginning of an answer."""
        if await listed(self._client, self._settings.model):
            return
        hello = ChatRequest(items=(Message(role="user", text="Hello."),))
        async with aclosing(self.chat(hello)) as deltas:
            await anext(deltas, None)

    async def aclose(self) -> None:
        await self._client.close()

    async def _open(self, request: ChatRequest, deadline: float, late: str) -> AsyncStream[ChatCompletionChunk]:
        arguments = chat_arguments(self._settings, request)
        try:
            with faults():
                async with asyncio.timeout_at(deadline):
                    stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
                        **arguments, stream=True, stream_options={"include_usage": True}
                    )
                    return stream
        except TimeoutError as error:
            raise ProviderTimeout(PROVIDER, late) from error


async def _next(
    stream: AsyncStream[ChatCompletionChunk], deadline: float, late: str, *, finished: bool
) -> ChatCompletionChunk | None:
    """The next chunk, or None at the end. Once the answer is complete, losing the rest of the stream is no fault."""
    try:
        with faults():
            async with asyncio.timeout_at(deadline):
                return await anext(stream)
    except StopAsyncIteration:
        return None
    except TimeoutError as error:
        if finished:
            return None
        raise ProviderTimeout(PROVIDER, late) from error
    except (ProviderTimeout, ProviderUnavailable):
        if finished:
            return None
        raise
