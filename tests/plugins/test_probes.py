"""Whether a provider would serve, found out before a call needs it: right and wrong keys, nobody there, no answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from agentd.config.provider_choice import ProviderChoice
from agentd.providers.fields import Secret
from agentd.providers.probe import Probed
from agentd.registry import Component, Kind, Plugin, Registry, installed
from agentd.runtime.provider_probes import Probe, probe_all, probed
from tests.fakes import deepgram_server, elevenlabs_server, openai_realtime_server, openai_server
from tests.fakes.mute_server import mute_server
from tests.fakes.openai_server import OpenAIServer

KEYS = {"openai": openai_server.KEY, "deepgram": deepgram_server.KEY, "elevenlabs": elevenlabs_server.KEY}
SERVERS: dict[tuple[Kind, str], Callable[[], Any]] = {
    ("llm", "openai"): openai_server.openai_server,
    ("stt", "openai"): openai_server.openai_server,
    ("tts", "openai"): openai_server.openai_server,
    ("realtime", "openai"): openai_realtime_server.realtime_server,
    ("stt", "deepgram"): deepgram_server.deepgram_server,
    ("tts", "deepgram"): deepgram_server.deepgram_server,
    ("stt", "elevenlabs"): elevenlabs_server.elevenlabs_server,
    ("tts", "elevenlabs"): elevenlabs_server.elevenlabs_server,
}
REASONS = {  # of a wrong key, in the provider's words
    "openai": "Incorrect API key provided",
    "deepgram": "HTTP 401",
    "elevenlabs": "",
}
every = pytest.mark.parametrize(("kind", "provider"), SERVERS)


def choice(kind: Kind, provider: str, base_url: str, key: str, **changes: Any) -> ProviderChoice:
    registry = installed()
    settings_class = registry.settings_class(registry.find(kind, provider))
    settings = settings_class(api_key=Secret("literal", key), base_url=base_url, **changes)
    return ProviderChoice(kind=kind, provider=provider, settings=settings, digest=f"{base_url} {key}")


async def asked(kind: Kind, provider: str, base_url: str, key: str, *, limit_s: float = 10.0, **changes: Any) -> Probe:
    return await probed(installed(), choice(kind, provider, base_url, key, **changes), limit_s=limit_s)


@every
async def test_a_right_key_serves(kind: Kind, provider: str) -> None:
    async with SERVERS[kind, provider]() as server:
        probe = await asked(kind, provider, server.url, KEYS[provider])
    assert (probe.kind, probe.provider, probe.reason) == (kind, provider, "")
    assert probe.seconds > 0


@every
async def test_a_wrong_key_is_told_in_the_providers_words_and_without_the_key(kind: Kind, provider: str) -> None:
    async with SERVERS[kind, provider]() as server:
        probe = await asked(kind, provider, server.url, "a-wrong-key-1234567")
    assert probe.reason
    assert REASONS[provider] in probe.reason
    assert "a-wrong-key" not in probe.reason


@every
async def test_where_nobody_is_there_that_is_told(kind: Kind, provider: str) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    probe = await asked(kind, provider, f"http://{host}:{port}", KEYS[provider])
    assert "no connection" in probe.reason


@every
async def test_who_says_nothing_is_not_waited_for(kind: Kind, provider: str) -> None:
    async with mute_server() as address:
        probe = await asked(kind, provider, f"http://{address}", KEYS[provider], limit_s=0.2)
    assert probe.reason == "no answer within 0.2 s"


# openai: a list of models first


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
async def test_a_model_in_the_list_costs_nothing(kind: Kind) -> None:
    async with openai_server.openai_server() as server:
        assert (await asked(kind, "openai", server.url, KEYS["openai"])).reason == ""
        assert [request.path for request in server.requests] == ["/v1/models"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [("llm", "/v1/chat/completions"), ("stt", "/v1/audio/transcriptions"), ("tts", "/v1/audio/speech")],
)
async def test_a_server_without_a_list_is_asked_for_little(kind: Kind, path: str) -> None:
    async with openai_server.openai_server() as server:
        server.lists_models = False
        assert (await asked(kind, "openai", server.url, KEYS["openai"])).reason == ""
        assert [request.path for request in server.requests] == ["/v1/models", path]
        await until_left(server)


async def until_left(server: OpenAIServer) -> None:
    async with asyncio.timeout(5):
        while server.open_streams:
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["llm", "stt", "tts"])
async def test_a_model_that_is_not_there_is_told(kind: Kind) -> None:
    async with openai_server.openai_server() as server:
        probe = await asked(kind, "openai", server.url, KEYS["openai"], model="gpt-none")
    assert "The model `gpt-none` does not exist" in probe.reason


async def test_a_model_or_language_that_deepgram_does_not_have_is_told() -> None:
    async with deepgram_server.deepgram_server() as server:
        assert "400" in (await asked("stt", "deepgram", server.url, KEYS["deepgram"], model="nova-9")).reason
        assert "400" in (await asked("tts", "deepgram", server.url, KEYS["deepgram"], model="aura-9")).reason


async def test_a_voice_that_elevenlabs_does_not_have_is_told() -> None:
    async with elevenlabs_server.elevenlabs_server() as server:
        probe = await asked("tts", "elevenlabs", server.url, KEYS["elevenlabs"], voice="Nobody")
    assert 'no voice "Nobody"' in probe.reason


# Plugins of others


class Quiet:
    """No probe of its own."""

    closed = 0

    async def aclose(self) -> None:
        Quiet.closed += 1


class Loud(Quiet):
    async def probe(self) -> None:
        raise ValueError("the key hunter2-hunter2 is odd")


async def make_quiet(settings: Any) -> Quiet:
    return Quiet()


async def make_loud(settings: Any) -> Loud:
    return Loud()


async def make_none(settings: Any) -> Loud:
    raise OSError("no such file: model.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    key: Secret | None = None


def registry() -> Registry:
    makers = {"quiet": "make_quiet", "loud": "make_loud", "none": "make_none"}
    here, settings = __name__, f"{__name__}:NoSettings"
    components = [
        Component(kind="vad", provider=name, settings=settings, factory=f"{here}:{make}", summary="")
        for name, make in makers.items()
    ]
    return Registry([Plugin(name="odd", version="1", components=tuple(components))])


async def test_where_there_is_no_probe_making_it_is_one_and_all_is_closed() -> None:
    Quiet.closed = 0
    settings = NoSettings(key=Secret("literal", "hunter2-hunter2"))
    wanted = [ProviderChoice(kind="vad", provider=name, settings=settings, digest=name) for name in ("quiet", "loud")]
    probes = await probe_all(registry(), [*wanted, *wanted])
    assert [probe.reason for probe in probes.values()] == ["", "ValueError: the key *** is odd"]
    assert Quiet.closed == 2
    assert (isinstance(Quiet(), Probed), isinstance(Loud(), Probed)) == (False, True)


async def test_what_cannot_be_made_is_told() -> None:
    probe = await probed(registry(), ProviderChoice(kind="vad", provider="none", settings=NoSettings(), digest="d"))
    assert probe.reason == "vad none: OSError: no such file: model.bin"
