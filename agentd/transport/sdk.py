"""The rtc SDK's native library, without a cost that nobody asked for. See docs/decisions/sdk-logs.md."""

from __future__ import annotations

import os
from typing import Any

from livekit.rtc import _ffi_client  # it has no public door for this

DEBUG_VARIABLE = "LIVEKIT_RTC_DEBUG"  # the SDK's own


def quiet() -> None:
    """Keeps the native library's log records, down to its traces, from being sent to Python one by one.

    Must come before the SDK's first use. With LIVEKIT_RTC_DEBUG they come as the SDK means it.
    """
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
