"""What a real LiveKit server does with namespaces: each that has an agent of the name gets a job of its own."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from livekit.api import CreateAgentDispatchRequest, LiveKitAPI

from agentd.aio import cancel_and_wait
from agentd.transport.protocol import Decline, JobOffer, LoadReport
from agentd.transport.registration import Registration
from agentd.transport.tokens import LiveKitCredentials

pytestmark = pytest.mark.system


@asynccontextmanager
async def registered(
    credentials: LiveKitCredentials, name: str, namespace: str, offers: asyncio.Queue[tuple[str, str]]
) -> AsyncIterator[None]:
    """An agent that tells each offer, with its own namespace, and takes none."""
    there = asyncio.Event()

    async def offered(offer: JobOffer) -> Decline:
        offers.put_nowait((namespace, offer.job.namespace))
        return Decline()

    registration = Registration(
        name,
        credentials,
        offered=offered,
        assigned=lambda assignment: None,
        terminated=lambda job: None,
        load=lambda: LoadReport(load=0.0, full=False, job_count=0),
        changed=lambda now: there.set(),
        namespace=namespace,
    )
    running = asyncio.ensure_future(registration.run())
    try:
        async with asyncio.timeout(15):
            await there.wait()
        yield
    finally:
        await cancel_and_wait(running)


async def test_each_namespace_is_offered_a_job_of_its_own_which_names_it(credentials: LiveKitCredentials) -> None:
    name, offers = f"desk-{secrets.token_hex(4)}", asyncio.Queue[tuple[str, str]]()
    async with registered(credentials, name, "clinic", offers), registered(credentials, name, "", offers):
        async with LiveKitAPI(credentials.http_url, credentials.api_key, credentials.api_secret) as api:
            asked = CreateAgentDispatchRequest(room=f"room-{name}", agent_name=name)
            await api.agent_dispatch.create_dispatch(asked)
        async with asyncio.timeout(15):
            seen = {await offers.get()}
            while len(seen) < 2:
                seen.add(await offers.get())
    assert seen == {("clinic", "clinic"), ("", "")}
