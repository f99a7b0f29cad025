"""The SDK's client, and its errors as agentd's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.faults import http_fault
from agentd.providers.fields import Secret
from agentd.providers.keys import key_for

try:
    import httpx2 as httpx
except ImportError:  # openai before 3
    import httpx  # type: ignore[no-redef]

PROVIDER = "openai"

# Turns are seconds apart, and httpx drops an idle connection after 5 s: each turn would pay for a TLS handshake.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100, keepalive_expiry=120)

_NO_LIST = frozenset({404, 405, 501})  # what a server without a list of models answers

# Of the codes that come in an error's body: what no later try can mend, whatever the HTTP status says.
HOPELESS = frozenset({"insufficient_quota", "invalid_api_key", "model_not_found", "billing_hard_limit_reached"})


def connected(api_key: Secret | None, base_url: str) -> AsyncOpenAI:
    """A client with its own connection pool and no retries. Raises ProviderRefused without a key at OpenAI itself."""
    key = key_for(PROVIDER, api_key, variable="OPENAI_API_KEY", base_url=base_url, domain="openai.com")
    # Reading is bounded by each provider's own deadlines, which know what is useful.
    timeout = httpx.Timeout(300, connect=5)
    http_client = DefaultAsyncHttpxClient(limits=_LIMITS, timeout=timeout)
    return AsyncOpenAI(
        api_key=key or "none", base_url=base_url, max_retries=0, timeout=timeout, http_client=http_client
    )


async def listed(client: AsyncOpenAI, model: str) -> bool:
    """Whether the server's list of models, which costs nothing, has this one. Raises ProviderError.

    False says nothing yet: servers other than OpenAI's keep no list, or know a model by more names than are in it.
    """
    with faults():
        try:
            page = await client.models.list()
        except openai.APIStatusError as error:
            if error.status_code in _NO_LIST:
                return False
            raise
        return model in {each.id for each in page.data}


@contextmanager
def faults() -> Iterator[None]:
    """Turns what the SDK raises inside into ProviderErrors."""
    try:
        yield
    except openai.OpenAIError as error:
        raise fault(error) from error
    except httpx.HTTPError as error:
        raise ProviderUnavailable(PROVIDER, f"the connection was lost: {error or type(error).__name__}") from error
    except ValueError as error:  # the stream's JSON or UTF-8 is broken: the SDK lets the decoder's errors out
        raise ProviderUnavailable(PROVIDER, f"malformed answer: {error}") from error


def fault(error: openai.OpenAIError) -> ProviderError:
    match error:
        case openai.APIStatusError():
            return _status_fault(error)
        case openai.APITimeoutError():
            return ProviderTimeout(PROVIDER, "the connection timed out")
        case openai.APIConnectionError():
            return ProviderUnavailable(PROVIDER, f"no connection: {error.__cause__ or error}")
        case openai.APIError() if error.code in HOPELESS or error.type == "invalid_request_error":
            return ProviderRefused(PROVIDER, error.message)
        case openai.APIError():  # an error event in mid-stream
            return ProviderUnavailable(PROVIDER, error.message)
    return ProviderRefused(PROVIDER, str(error))


def _status_fault(error: openai.APIStatusError) -> ProviderError:
    message = _said(error)
    if error.code in HOPELESS:
        return ProviderRefused(PROVIDER, f"HTTP {error.status_code}: {message}")
    return http_fault(PROVIDER, error.status_code, message, error.response.headers)


def _said(error: openai.APIStatusError) -> str:
    """The provider's own words, without the SDK's dump of the whole body."""
    if isinstance(error.body, dict) and isinstance(error.body.get("message"), str):
        return str(error.body["message"])
    return error.message[:300]
