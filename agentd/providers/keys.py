"""Which API key goes to which address."""

from __future__ import annotations

from urllib.parse import urlsplit

from agentd.errors import ProviderRefused
from agentd.providers.fields import Secret, SecretMissing, env_secret


def key_for(provider: str, given: Secret | None, *, variable: str, base_url: str, domain: str) -> str | None:
    """The key that the settings name, or else the environment's `variable`.

    The environment's goes over TLS to the provider's own hosts only: a `base_url` elsewhere must be given a key of
    its own, and gets none (None) without. Raises ProviderRefused, which says what to set.
    """
    if given is None and not _is_at(base_url, domain):
        return None
    try:
        return (given or env_secret(variable)).reveal()
    except SecretMissing as error:
        raise ProviderRefused(provider, f"no API key: {error}") from error


def _is_at(base_url: str, domain: str) -> bool:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return parts.scheme in {"https", "wss"} and (host == domain or host.endswith(f".{domain}"))
