"""What an HTTP answer means, and which key goes where."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agentd.errors import ProviderError, ProviderRefused, ProviderTimeout, ProviderUnavailable
from agentd.providers.faults import http_fault, retry_after_s
from agentd.providers.fields import Secret
from agentd.providers.keys import key_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, ProviderRefused),
        (401, ProviderRefused),
        (402, ProviderRefused),
        (404, ProviderRefused),
        (408, ProviderTimeout),
        (409, ProviderUnavailable),
        (425, ProviderUnavailable),
        (429, ProviderUnavailable),
        (500, ProviderUnavailable),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderTimeout),
        (529, ProviderUnavailable),
    ],
)
def test_statuses_are_told_apart_by_whether_a_later_try_may_succeed(status: int, error: type[ProviderError]) -> None:
    fault = http_fault("acme", status, "because", {})
    assert type(fault) is error
    assert str(fault) == f"acme: HTTP {status}: because"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:35 GMT"}, 30.0),
        ({"retry-after": "Fri, 02 Jan 2026 03:03:35 GMT"}, 0.0),
    ],
)
def test_the_providers_word_on_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds


@pytest.mark.parametrize(
    "url", ["https://api.acme.com/v1", "wss://acme.com", "https://eu.api.acme.com:443", "https://API.ACME.com"]
)
def test_the_environments_key_goes_to_the_providers_own_hosts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "k")
    assert key_for("acme", None, variable="ACME_KEY", base_url=url, domain="acme.com") == "k"


@pytest.mark.parametrize(
    "url",
    [
        "http://api.acme.com",
        "https://acme.com.evil.example",
        "https://notacme.com",
        "http://127.0.0.1:8000/v1",
        "https://api.acme.com@evil.example/v1",
    ],
)
def test_and_nowhere_else(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "k")
    assert key_for("acme", None, variable="ACME_KEY", base_url=url, domain="acme.com") is None


def test_a_key_that_the_settings_name_goes_where_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "m")
    where = {"variable": "ACME_KEY", "base_url": "http://127.0.0.1:8000", "domain": "acme.com"}
    assert key_for("acme", Secret("env", "MINE"), **where) == "m"
    monkeypatch.delenv("MINE")
    with pytest.raises(ProviderRefused, match="no API key: the environment variable MINE is not set"):
        key_for("acme", Secret("env", "MINE"), **where)
