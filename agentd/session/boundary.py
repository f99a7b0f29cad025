"""Where providers' code is called: whatever it raises is a ProviderError from here on.

A plugin is foreign code. A fault of its own (a KeyError over an answer of an unknown form, an error of its SDK) is a
failure of that provider, to which there are fallbacks and retries; it is no end of the call.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from agentd.errors import ProviderError, ProviderTimeout, ProviderUnavailable, innermost, reason_of

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Closable(Protocol):
    async def aclose(self) -> None: ...


@contextmanager
def plugin_code(provider: str) -> Iterator[None]:
    """Around calls of it, within any time-out of the caller's own. Raises ProviderError and nothing else, but for what
    is no Exception: a cancelled task stays cancelled."""
    try:
        yield
    except Exception as error:  # whatever foreign code raises
        raise _as_provider_error(provider, error) from error


def _as_provider_error(provider: str, error: Exception) -> ProviderError:
    found = innermost(error)
    if isinstance(found, ProviderError):
        return found
    logger.error("provider_broken", extra={"provider": provider}, exc_info=error)
    message = f"{type(found).__name__}: {reason_of(found)}"
    if isinstance(found, TimeoutError):
        return ProviderTimeout(provider, message)
    return ProviderUnavailable(provider, message)


async def stream_of(provider: str, begin: Callable[[], AsyncIterable[T]]) -> AsyncGenerator[T, None]:
    """What comes of it, in order. Raises ProviderError."""
    with plugin_code(provider):
        items = aiter(begin())
    try:
        while True:
            with plugin_code(provider):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            await closed(provider, items)


async def closed(provider: str, resource: Closable) -> None:
    """Closes; a failure is logged, for nobody waits for anything of it any more."""
    try:
        await resource.aclose()
    except Exception:  # foreign code, as above
        logger.exception("provider_not_closed", extra={"provider": provider})
