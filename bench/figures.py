"""How benchmarks run, speak and compare."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentd.aio import end_with_sigterm
from agentd.cli.devserver import ensure_livekit_server, running_livekit_server
from agentd.loadtest.caller import Server
from agentd.loadtest.figures import quantile


def ratio(ours: Sequence[float], peers: Sequence[float]) -> str:
    """Of medians: below 1 is in our favour where less is better."""
    return f"{quantile(ours, 0.5) / quantile(peers, 0.5):.2f}"


@asynccontextmanager
async def livekit() -> AsyncIterator[Server]:
    """A LiveKit server of our own."""
    binary = ensure_livekit_server(print)
    if binary is None:
        raise SystemExit("a benchmark needs livekit-server")
    async with running_livekit_server(binary) as server:
        yield Server(server.url, server.api_key, server.api_secret)


def run(main: Callable[[argparse.Namespace], Awaitable[None]], parser: argparse.ArgumentParser) -> None:
    """A termination signal ends what the benchmark has started, as the interrupt key does."""

    async def supervised() -> None:
        end_with_sigterm()
        await main(parser.parse_args())

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(supervised())


def speech(text: str, *, seed: int = 0) -> tuple[Path, float]:
    """Synthesised speech without silence at its ends, as a WAV file at 16 kHz, and its length in seconds."""
    import numpy as np

    from agentd.audio import AudioFrame, write_wav
    from tests.speech import utterance

    frame = utterance(text, seed=seed)
    samples = frame.array()
    loud = np.flatnonzero(np.abs(samples) > 300)
    trimmed = AudioFrame(samples[loud[0] : loud[-1] + 1].tobytes(), frame.sample_rate_hz)
    folder = Path(".cache/speech")
    folder.mkdir(parents=True, exist_ok=True)
    key = zlib.crc32(f"{seed} {text}".encode())
    path = folder / f"bench-{key}.wav"
    write_wav(path, trimmed)
    return path, trimmed.duration_s
