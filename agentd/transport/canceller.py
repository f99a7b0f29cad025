"""Echo cancellation for a microphone beside a loudspeaker: WebRTC's, which the SDK carries."""

from __future__ import annotations

import threading

from livekit import rtc

from agentd.audio import AudioFrame, Rechunker

FRAMES_A_S = 100  # it takes exactly 10 ms at a time


class EchoCanceller:
    """Takes what the loudspeaker plays out of what the microphone hears. `played` and `heard` may be called from two
    threads; each keeps to one sample rate, and finds the delay between them by itself."""

    def __init__(self, *, heard_hz: int, played_hz: int) -> None:
        self._canceller = rtc.AudioProcessingModule(echo_cancellation=True)
        self._heard = Rechunker(heard_hz // FRAMES_A_S, heard_hz)
        self._played = Rechunker(played_hz // FRAMES_A_S, played_hz)
        self._lock = threading.Lock()

    def played(self, frame: AudioFrame) -> None:
        for each in self._played.push(frame):
            with self._lock:
                self._canceller.process_reverse_stream(_sdk_frame(each))

    def heard(self, frame: AudioFrame) -> AudioFrame:
        """What is heard without the echo: of the whole 10 ms that have come until now."""
        clean = bytearray()
        for each in self._heard.push(frame):
            sound = _sdk_frame(each)
            with self._lock:
                self._canceller.process_stream(sound)
            clean += bytes(sound.data)
        return AudioFrame(bytes(clean), frame.sample_rate_hz)


def _sdk_frame(frame: AudioFrame) -> rtc.AudioFrame:
    return rtc.AudioFrame(bytearray(frame.data), frame.sample_rate_hz, 1, frame.samples)
