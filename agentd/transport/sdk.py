"""The rtc SDK's native library, without a cost that nobody asked for, and without losing what it tells. See
docs/decisions/sdk-logs.md and sdk-events.md."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Generic, TypeVar

from livekit.rtc import _ffi_client  # it has no public door for this

DEBUG_VARIABLE = "LIVEKIT_RTC_DEBUG"  # the SDK's own

T = TypeVar("T")


class SteadyQueue(_ffi_client.FfiQueue[T], Generic[T]):
    """Brings an event to all who wait for it, in the order in which they came.

    The SDK's own goes through the list of them while it may get shorter: a stream or a room that is garbage takes
    itself off it whenever the collector runs, in the middle as well, and then the next one misses the event. It may be
    the answer for which somebody waits.
    """

    def put(self, item: T) -> None:
        """On any thread."""
        with self._lock:
            for queue, loop, wants in tuple(self._subscribers):
                if wants is None or wants(item):
                    with contextlib.suppress(RuntimeError):  # its loop has ended
                        loop.call_soon_threadsafe(queue.put_nowait, item)


def quiet() -> None:
    """Keeps the native library's log records, down to its traces, from being sent to Python one by one, and what it
    tells from being lost.

    Must come before the SDK's first use. With LIVEKIT_RTC_DEBUG log records come as the SDK means it.
    """
    _ffi_client.FfiQueue = SteadyQueue  # type: ignore[misc]
    if os.environ.get(DEBUG_VARIABLE, "").strip().lower() in ("1", "true"):
        return
    os.environ.setdefault("RUST_LOG", "off")  # else the library writes to stderr what it does not send
    load = _ffi_client.get_ffi_lib

    def load_quiet() -> Any:
        library: Any = load()
        native = library.livekit_ffi_initialize

        def initialize(callback: Any, _capture_logs: bool, sdk: bytes, version: bytes) -> Any:
            native.argtypes = getattr(initialize, "argtypes", None)  # as the SDK declared them, on us
            return native(callback, False, sdk, version)

        library.livekit_ffi_initialize = initialize
        return library

    _ffi_client.get_ffi_lib = load_quiet
