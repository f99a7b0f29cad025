"""A worker process of stand-ins whose provider and session are a plugin's code on disk: the modules `owl_llm`, which is
imported when an agent is prepared, and `owl`, which is imported when the process begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import owl  # type: ignore[import-not-found]

from agentd import logs
from agentd.ipc import FrameLink, parent_link, receive_object
from agentd.registry import Component, Plugin, Registry
from agentd.runtime.alone import run_alone
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.prepared import PreparedAgents
from agentd.runtime.worker import Worker
from tests.runtime.parts import FakeSession, FakeToolKit, fake_rooms, registry


class OwlSession(FakeSession):
    """The caller's name tells whose code holds the call."""

    def record(self, kind: str, /, **data: Any) -> None:
        super().record(kind, **{**data, **({"name": owl.VERSION} if kind == "caller.linked" else {})})


def owl_registry() -> Registry:
    owl_llm = Component(
        kind="llm",
        provider="fake",
        settings="tests.runtime.parts:FakeSettings",
        factory="owl_llm:make_provider",
        summary="An owl.",
    )
    return Registry([Plugin(name="owl", version="0", components=(owl_llm,)), *registry().plugins])


def made(settings: WorkerSettings, link: FrameLink, orphaned: Callable[[], None]) -> Worker:
    return Worker(link, PreparedAgents(owl_registry(), FakeToolKit), fake_rooms, OwlSession, orphaned)


async def main() -> None:
    link = await parent_link()
    settings: WorkerSettings = await receive_object(link)
    logs.configure("text", "CRITICAL")
    await run_alone(link, settings, made)
