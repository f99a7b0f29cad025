"""Silero: speech is heard, silence and noise are not, streams do not mix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agentd_local import silero
from agentd_local.config import SileroSettings

from agentd.audio import AudioFrame, silence
from agentd.errors import ProviderRefused
from agentd.registry import installed
from tests.speech import frames, human, human_speech_installed, noise, utterance, with_noise, with_silence

pytest.importorskip("onnxruntime")
SENTENCE = "I would like a table for two people, tomorrow evening at half past seven."


@pytest.fixture(scope="module")
def vad() -> silero.SileroVAD:
    return silero.load(SileroSettings())


async def probabilities(vad: silero.SileroVAD, audio: AudioFrame, frame_s: float = 0.032) -> np.ndarray:
    stream = vad.stream()
    found: list[float] = []
    for frame in frames(audio, frame_s):
        found += await stream.push(frame)
    return np.array(found)


async def test_speech_is_heard_and_the_silence_around_it_is_not(vad: silero.SileroVAD) -> None:
    speech = utterance(SENTENCE)
    heard = await probabilities(vad, with_silence(speech, 1.0, 1.0)) > 0.5
    second = 16_000 // silero.WINDOW_SAMPLES
    assert not heard[: second - 3].any()
    assert heard[second + 3 : -second - 15].mean() > 0.7
    assert not heard[-second + 8 :].any()


@pytest.mark.parametrize(
    "sound",
    [silence(3.0, 16_000), noise(3.0, amplitude=100), noise(3.0, amplitude=3000)],
    ids=["silence", "quiet noise", "loud noise"],
)
async def test_silence_and_noise_are_no_speech(vad: silero.SileroVAD, sound: AudioFrame) -> None:
    assert (await probabilities(vad, sound)).max() < 0.5


async def test_speech_is_heard_through_noise(vad: silero.SileroVAD) -> None:
    speech = utterance(SENTENCE)
    clean = await probabilities(vad, speech) > 0.5
    noisy = await probabilities(vad, with_noise(speech, 10)) > 0.5
    assert noisy[clean].mean() > 0.85


@pytest.mark.skipif(not human_speech_installed(), reason="Debian packages pocketsphinx-testdata, alsa-utils")
async def test_people_are_heard_and_recorded_noise_is_not(vad: silero.SileroVAD) -> None:
    assert (await probabilities(vad, human("married")[0]) > 0.5).mean() > 0.8
    assert (await probabilities(vad, human("noise")[0])).max() < 0.5


async def test_frames_of_any_length_give_the_same_probabilities(vad: silero.SileroVAD) -> None:
    speech = utterance(SENTENCE)
    by_window = await probabilities(vad, speech)
    for frame_s in (0.010, 0.0425, 60.0):
        assert await probabilities(vad, speech, frame_s) == pytest.approx(by_window, abs=1e-4)


async def test_our_chaining_of_windows_equals_the_authors(
    vad: silero.SileroVAD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is the loop of faster-whisper's SileroVADModel, over the whole sound at once."""
    monkeypatch.setattr(silero, "SILENCE_PEAK", -1.0)
    samples = utterance(SENTENCE).array().astype(np.float32) / 32768
    windows = samples[: len(samples) // 512 * 512].reshape(-1, 512)
    context = np.roll(np.where(np.arange(len(windows))[:, None] == len(windows) - 1, 0, windows[:, -64:]), 1, 0)
    zeros = np.zeros((1, 1, 128), np.float32)
    inputs = {"input": np.concatenate([context, windows], 1).astype(np.float32), "h": zeros, "c": zeros}
    expected = vad._session.run(None, inputs)[0].reshape(-1)
    assert await probabilities(vad, utterance(SENTENCE)) == pytest.approx(expected, abs=1e-4)


async def test_streams_of_one_model_do_not_mix(vad: silero.SileroVAD) -> None:
    speech, hum = utterance(SENTENCE), noise(4.0)
    alone = await probabilities(vad, speech)
    first, second = vad.stream(), vad.stream()
    together: list[float] = []
    for ours, theirs in zip(frames(speech, 0.032), frames(hum, 0.032), strict=False):
        together += await first.push(ours)
        await second.push(theirs)
    assert together == pytest.approx(list(alone[: len(together)]), abs=1e-4)


async def test_another_rate_is_refused(vad: silero.SileroVAD) -> None:
    with pytest.raises(ProviderRefused, match="wants 16000 Hz, got 24000 Hz"):
        await vad.stream().push(silence(0.1, 24_000))


async def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "assets" / "silero_vad_v6.onnx"
    file.parent.mkdir()
    file.write_bytes(b"something else")
    monkeypatch.setattr(silero, "package_file", lambda *args, **kwargs: file)
    with pytest.raises(ProviderRefused, match=r"has sha256 .* expected 4cbf549b"):
        await silero.create_vad(SileroSettings())


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ProviderRefused, match="cannot load"):
        await silero.create_vad(SileroSettings(model_path=str(tmp_path / "model.onnx")))
    with pytest.raises(ProviderRefused, match="does not exist"):
        await silero.create_vad(SileroSettings(model_path=str(tmp_path / "none.onnx")))


async def test_it_is_the_default_of_its_kind_and_made_through_the_registry() -> None:
    component = installed().default("vad")
    assert component is not None
    assert component.provider == "silero"
    settings = installed().settings_class(component)()
    made = await installed().factory(component)(settings)
    assert made.window_samples == 512
    await made.aclose()


async def test_lasting_silence_is_not_looked_at_and_the_words_after_it_are_heard_as_they_were(
    vad: silero.SileroVAD, monkeypatch: pytest.MonkeyPatch
) -> None:
    speech = utterance(SENTENCE)
    twice = AudioFrame(2 * with_silence(speech, 0.5, 2.0).data, speech.sample_rate_hz)
    counting = Counting(vad)
    spared = await probabilities(silero.SileroVAD(counting), twice)
    monkeypatch.setattr(silero, "SILENCE_PEAK", -1.0)
    looked_at = await probabilities(vad, twice)
    silent_windows = 5 * 16_000 // silero.WINDOW_SAMPLES
    assert counting.windows < len(spared) - 0.6 * silent_windows
    edges = 4  # two utterances, which begin and end: each may be found a window sooner or later
    assert ((spared > 0.5) != (looked_at > 0.5)).sum() <= edges


class Counting:
    """A model's session that counts the windows that it is given."""

    def __init__(self, vad: silero.SileroVAD) -> None:
        self._session = vad._session
        self.windows = 0

    def run(self, outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.windows += len(inputs["input"])
        found: list[np.ndarray] = self._session.run(outputs, inputs)
        return found


def test_nothing_is_told_to_others_of_who_runs_a_model(tmp_path: Path) -> None:
    """onnxruntime keeps what it is about to tell in the user's cache, and a session's number with the temporary
    files."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    program = "from agentd_local import silero, config; silero.load(config.SileroSettings())"
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert [path for path in (*home.rglob("*"), *temporary.rglob("*")) if path.is_file()] == []
