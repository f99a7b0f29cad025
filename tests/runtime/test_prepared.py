"""A worker's prepared agents: providers of every language are ready before the first call, and go with the agent."""

from __future__ import annotations

from dataclasses import replace

from agentd.config.definition import LanguageOverride
from agentd.errors import ProviderUnavailable
from agentd.runtime.prepared import PreparedAgents
from tests.runtime.parts import FakeProvider, FakeSettings, FakeToolKit, choice, definition, registry


async def test_the_providers_of_every_language_are_ready_before_the_first_call() -> None:
    anna, claude = FakeSettings(label="Anna"), FakeSettings(label="Claude")
    german = LanguageOverride(tts=choice("tts", anna))
    french = LanguageOverride(tts=choice("tts", claude), stt=choice("stt", FakeSettings(label="écoute")))
    agent = replace(definition("polyglot"), languages={"de-DE": german, "fr": french})
    before = FakeProvider.alive.copy()
    agents = PreparedAgents(registry(), FakeToolKit)
    assert await agents.prepare(1, [agent]) == ()
    made = FakeProvider.alive - before
    assert {label: made[label] for label in ("stt", "tts", "llm", "Anna", "Claude", "écoute")} == {
        "stt": 1, "tts": 1, "llm": 1, "Anna": 1, "Claude": 1, "écoute": 1,
    }  # fmt: skip
    providers = (await agents.lease(agent.name, agent.digest, None, 1)).providers
    spoken = [providers.in_language(tag).tts[0].provider.label for tag in ("en", "de-DE", "fr")]  # type: ignore[attr-defined]
    heard = [providers.in_language(tag).stt[0].provider.label for tag in ("en", "de-DE", "fr")]  # type: ignore[attr-defined]
    assert (spoken, heard) == (["tts", "Anna", "Claude"], ["stt", "stt", "écoute"])
    assert providers.in_language("fr").llm is providers.llm
    await agents.aclose()
    assert FakeProvider.alive - before == {}


async def test_a_language_whose_voice_cannot_be_made_rejects_its_agent() -> None:
    german = LanguageOverride(tts=choice("tts", FakeSettings(refuse="no such voice")))
    before = FakeProvider.alive.copy()
    agents = PreparedAgents(registry(), FakeToolKit)
    (rejection,) = await agents.prepare(1, [replace(definition("polyglot"), languages={"de": german})])
    assert "no such voice" in rejection.problems[0]
    assert FakeProvider.alive - before == {}
    await agents.aclose()


async def test_f12_what_failed_in_a_call_of_one_agent_is_known_in_those_of_all_that_share_it() -> None:
    first, second = definition("first"), definition("second")
    other = replace(definition("other"), llm=choice("llm", FakeSettings(label="another model")))
    agents = PreparedAgents(registry(), FakeToolKit)
    assert await agents.prepare(1, [first, second, other]) == ()
    models = [(await agents.lease(each.name, each.digest, None, 1)).providers.llm[0] for each in (first, second, other)]
    models[0].standing.failed(ProviderUnavailable("fake", "HTTP 503"), 10.0, at_once=True)
    assert [model.standing.is_well(11.0) for model in models] == [False, False, True]
    await agents.aclose()
