"""The native library is started without log capture, in a process of its own, as it is started once a process; what
it tells is lost to nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from agentd.transport.sdk import SteadyQueue

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
print(started, type(_ffi_client.FfiClient.instance.queue).__name__)
"""


@pytest.mark.parametrize(("debug", "capture"), [("", "False"), ("1", "True")])
def test_log_capture_is_off_unless_it_was_asked_for(debug: str, capture: str) -> None:
    environment = {**os.environ, "LIVEKIT_RTC_DEBUG": debug}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"[({capture}, b'python')] SteadyQueue", done.stderr


async def test_an_event_is_brought_to_all_also_when_one_goes_meanwhile() -> None:
    """As when the collector finds a stream that is garbage while the event is brought to others."""
    queue = SteadyQueue[str]()
    garbage = [queue.subscribe()]

    def collects(event: str) -> bool:
        if garbage:
            queue.unsubscribe(garbage.pop())
        return event == "second"

    collecting, waiting = queue.subscribe(filter_fn=collects), queue.subscribe()
    for event in ("first", "second"):
        queue.put(event)
    assert [await waiting.get(), await waiting.get()] == ["first", "second"]
    assert await collecting.get() == "second"
    assert collecting.empty()


def test_a_loop_that_has_ended_keeps_nobody_else_from_an_event() -> None:
    queue = SteadyQueue[str]()

    async def left() -> None:
        queue.subscribe()

    async def waits() -> str:
        waiting = queue.subscribe()
        queue.put("event")
        return await waiting.get()

    asyncio.run(left())
    assert asyncio.run(waits()) == "event"
