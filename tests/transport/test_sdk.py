"""The native library is started without log capture; in a process of its own, as it is started once a process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from livekit.rtc import _ffi_client
from agentd.transport import sdk

started = []
load = _ffi_client.get_ffi_lib

def watched():
    library = load()
    native = library.livekit_ffi_initialize

    class Spy:
        argtypes = None
        def __call__(self, callback, capture, name, version):
            started.append((capture, name))
            native.argtypes = self.argtypes
            return native(callback, capture, name, version)

    library.livekit_ffi_initialize = Spy()
    return library

_ffi_client.get_ffi_lib = watched
sdk.quiet()
_ffi_client.FfiClient.instance
print(started)
"""


@pytest.mark.parametrize(("debug", "capture"), [("", "False"), ("1", "True")])
def test_log_capture_is_off_unless_it_was_asked_for(debug: str, capture: str) -> None:
    environment = {**os.environ, "LIVEKIT_RTC_DEBUG": debug}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"[({capture}, b'python')]", done.stderr
