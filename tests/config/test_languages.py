"""The languages of an agent file: what each says differently, and what it takes over."""

from __future__ import annotations

from pathlib import Path

from agentd_local.config import SmartTurnSettings

from agentd.config.daemon import load_daemon
from agentd.config.definition import AgentDefinition
from agentd.config.load import load
from agentd.registry import installed
from tests.config.files import loaded, write

PROVIDERS = "llm: {provider: parrot, model: m}\nvad: {provider: mouse}\n"


def read(folder: Path, text: str) -> AgentDefinition:
    write(folder, {"a.yaml": PROVIDERS + text})
    result = loaded(folder)
    assert result.problems == ()
    return result.agents["a"]


def test_a_language_takes_over_what_it_does_not_say(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
language: en-GB
stt: {provider: owl, keyterms: [Ozempic], beams: 3}
tts: {provider: wren, voice: rachel, speed: 1.2, pronunciations: {GP: gee pee}, fallback: [{provider: wren}]}
languages:
  de-DE: {tts: {voice: bob}, greeting: {say: Guten Tag.}}
  fr: {stt: {keyterms: []}, fillers: [Un instant.]}
""",
    )
    assert found.declared_languages == ("en-GB", "de-DE", "fr")
    german, french = found.in_language("de-DE"), found.in_language("fr")
    assert german.stt is None
    assert german.tts is not None
    assert (german.tts.settings.voice, german.tts.settings.speed) == ("bob", 1.2)
    assert german.tts.settings.pronunciations == {"GP": "gee pee"}
    assert german.tts.fallback == found.tts.fallback
    assert french.stt is not None
    assert (french.stt.settings.keyterms, french.stt.settings.beams) == ((), 3)
    assert found.in_language("en-GB").tts is None
    assert found.tts.settings.voice == "rachel"


def test_another_provider_takes_nothing_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.yaml": "tts: {provider: hibari, speed: 1.5}\nstt: {provider: whisper}\n"
            "llm: {provider: scripted, replies: [a]}\n"
            "languages: {de: {tts: {provider: scripted}, stt: {provider: scripted, texts: [x]}}}\n"
        },
    )
    result = load(tmp_path, load_daemon(None, {}).config, installed(), {})
    assert result.problems == ()
    found = result.agents["a"]
    assert found.languages["de"].tts is not None
    assert found.languages["de"].tts.provider == "scripted"
    assert found.language_id is not None
    assert found.language_id.provider == "fasttext"


def test_a_texts_language_is_asked_for_only_where_it_can_matter(tmp_path: Path) -> None:
    def identifier(text: str) -> object:
        write(tmp_path, {"a.yaml": "stt: {provider: scripted}\ntts: {provider: scripted}\n"
                                   "llm: {provider: scripted, replies: [a]}\n" + text})  # fmt: skip
        return load(tmp_path, load_daemon(None, {}).config, installed(), {}).agents["a"].language_id

    assert identifier("") is None
    assert identifier("languages: {de: {}}") is not None
    assert identifier("languages: {de: {}}\nlanguage_detection: {by: recognizer}") is None
    assert identifier("languages: {de: {}}\nlanguage_detection: {by: none}") is None


def test_a_languages_settings_are_in_the_digest(tmp_path: Path) -> None:
    base = "stt: {provider: owl}\ntts: {provider: wren}\n"
    one = read(tmp_path, base + "languages: {de: {tts: {voice: bob}}}")
    same = read(tmp_path, base + "languages:\n  de:\n    tts: {voice: bob}  # a comment")
    other = read(tmp_path, base + "languages: {de: {tts: {voice: eve}}}")
    assert one.digest == same.digest != other.digest


def test_a_turn_detector_that_does_not_know_a_language_is_warned_of(tmp_path: Path) -> None:
    text = "stt: {provider: owl}\nllm: {provider: parrot, model: m}\ntts: {provider: wren}\nlanguages: {fr-FR: {}}\n"
    write(tmp_path, {"a.yaml": f"{text}turn_detector: {{provider: bat}}\n"})
    [problem] = loaded(tmp_path).problems
    assert (problem.code, problem.line, problem.severity) == ("language-not-shared", 4, "warning")
    assert problem.message == '"bat" does not judge turns in fr-FR'
    write(tmp_path, {"a.yaml": f"{text}turn_detector: {{provider: bat, model_path: m}}\n"})
    assert loaded(tmp_path).problems == ()


def test_smart_turn_tells_the_languages_that_it_knows_unless_it_is_another_file() -> None:
    assert {"en", "de", "nb"} <= (SmartTurnSettings().languages_known() or set())
    assert "el" not in (SmartTurnSettings().languages_known() or set())
    assert SmartTurnSettings(model_path="m.onnx").languages_known() is None
