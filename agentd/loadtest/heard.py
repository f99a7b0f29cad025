"""What a caller heard of agents: each 10 ms with its time of arrival and its level, and questions about it."""

from __future__ import annotations

import array
import contextlib
import math
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from livekit import rtc

from agentd.loadtest.microphone import EAR_HZ

EAR_PIECE = EAR_HZ // 100  # 10 ms: levels and times are noted for pieces of this size, whatever the frames' size
AUDIBLE_DBFS = -45.0
GAP_S = 0.06  # a shorter silence within speech is not noticed: the closure of a p is as long


class Heard:
    """What one track brought: every 10 ms with their time of arrival and their level.

    Of a longer frame, earlier pieces came earlier: by what lies between them and the frame's end.
    """

    def __init__(self) -> None:
        self.at = array.array("d")
        self.dbfs = array.array("d")
        self._samples: list[bytes] = []

    def add(self, at: float, samples: np.ndarray) -> None:
        pieces = samples.reshape(-1, EAR_PIECE).astype(np.float32)
        for index, power in enumerate(np.einsum("ij,ij->i", pieces, pieces) / EAR_PIECE):
            self.at.append(at - (len(pieces) - 1 - index) * EAR_PIECE / EAR_HZ)
            self.dbfs.append(10 * math.log10(power / 32768**2) if power > 0 else -math.inf)
        data = samples.tobytes()
        self._samples += [data[start : start + 2 * EAR_PIECE] for start in range(0, len(data), 2 * EAR_PIECE)]

    def sound_after(self, at: float, threshold_dbfs: float = AUDIBLE_DBFS) -> float | None:
        """When the first audible frame after `at` had arrived."""
        for index in range(self._first(at), len(self.at)):
            if self.dbfs[index] > threshold_dbfs:
                return self.at[index]
        return None

    def silent_from(self, at: float, quiet_s: float = 0.3, threshold_dbfs: float = AUDIBLE_DBFS) -> float | None:
        """When silence of `quiet_s` began, at or after `at`; None while there was none so long."""
        since = None
        for index in range(self._first(at), len(self.at)):
            if self.dbfs[index] > threshold_dbfs:
                since = None
                continue
            since = self.at[index] if since is None else since
            if self.at[index] - since >= quiet_s:
                return since
        return None

    def audible_s(self, since: float, until: float = math.inf, threshold_dbfs: float = AUDIBLE_DBFS) -> float:
        """Seconds of audible sound that arrived in the span."""
        frames = range(self._first(since), len(self.at))
        return EAR_PIECE / EAR_HZ * sum(1 for i in frames if self.at[i] <= until and self.dbfs[i] > threshold_dbfs)

    def gaps_s(self, since: float, until: float, longer_s: float = GAP_S) -> list[float]:
        """Stretches of silence of at least `longer_s` within the span, in seconds."""
        found, at = [], since
        while (silent := self.silent_from(at, longer_s)) is not None and silent < until:
            again = self.sound_after(silent)
            at = until if again is None else again
            found.append(min(at, until) - silent)
        return found

    def samples(self, since: float = 0.0, until: float = math.inf) -> np.ndarray:
        """int16 at EAR_HZ, of the frames that arrived in the span."""
        chosen = [self._samples[i] for i in range(self._first(since), len(self.at)) if self.at[i] <= until]
        return np.frombuffer(b"".join(chosen), dtype=np.int16)

    def write_wav(self, path: Path, since: float = 0.0, until: float = math.inf) -> None:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(EAR_HZ)
            file.writeframes(self.samples(since, until).tobytes())

    def _first(self, at: float) -> int:
        low, high = 0, len(self.at)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.at[middle] < at else (low, middle)
        return low


async def made_up(agents: Iterable[rtc.RemoteParticipant]) -> tuple[int, int]:
    """Samples of their voices that the SDK made up, audibly, where sound had not come in time, and all that it has
    played, silence included; of the tracks that are here now."""
    audible = total = 0
    tracks = [each.track for agent in agents for each in agent.track_publications.values()]
    for track in tracks:
        if not isinstance(track, rtc.RemoteAudioTrack):
            continue
        with contextlib.suppress(Exception):  # the SDK raises nothing narrower for a track that has just gone
            for stats in await track.get_stats():
                if stats.HasField("inbound_rtp"):
                    inbound = stats.inbound_rtp.inbound
                    audible += inbound.concealed_samples - inbound.silent_concealed_samples
                    total += inbound.total_samples_received
    return audible, total
