"""Virtual time for tests: the loop of `agentd.virtual_time`.

A test asks for it with the fixture `virtual_time` (see tests/conftest.py) or runs `run_virtual(coroutine)`.
"""

from __future__ import annotations

import asyncio

from agentd.virtual_time import VirtualTimeLoop, run_virtual

__all__ = ["VirtualTimeLoop", "VirtualTimePolicy", "run_virtual"]


class VirtualTimePolicy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualTimeLoop()
