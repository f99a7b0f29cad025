"""One agent name's registration with the LiveKit server: a WebSocket that is kept open for ever.

Runs in the supervisor, so that the death of a worker drops no registration; imports neither the rtc SDK
nor numpy. Offers are answered at once; everything slow happens after the assignment, elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import aiohttp

from agentd import __version__, aio
from agentd.errors import RegistrationRefused, TransportError
from agentd.transport import protocol
from agentd.transport.protocol import Accept, Assigned, Assignment, Decline, Job, JobOffer, JobStatus, LoadReport
from agentd.transport.tokens import LiveKitCredentials, registration_token

STATUS_INTERVAL_S = 2.5  # the reference worker's cadence
LOAD_INTERVAL_S = 0.5
HEARTBEAT_S = 30.0
ASSIGNMENT_WAIT_S = 7.5
ANSWER_DEADLINE_S = 2.3  # the server gives up after 2.5 to 2.9 s, and then the dispatch is lost; a question takes 2
CONNECT_TIMEOUT_S = 10.0
REFUSED_RETRY_S = 30.0
_ACCEPTED_KEPT_S = 60.0
_OUTBOX_CAPACITY = 1_024

log = logging.getLogger(__name__)


class _LinkLost(TransportError):
    """The WebSocket ended; the reason is the message."""


class Registration:
    """Keeps `agent_name` registered while `run` runs.

    `offered` decides on a job and must answer at once: after 2.3 s the job is declined for it.
    `assigned` gets each accepted job once. `terminated` gets the id of a job that the server ends.
    `load` is asked every 0.5 s; a change of `full` is reported at once, the rest every 2.5 s.
    `changed` gets True and False as the registration comes and goes.
    `failed` gets the reason of every failed attempt (a RegistrationRefused when the key is wrong).
    """

    def __init__(
        self,
        agent_name: str,
        credentials: LiveKitCredentials,
        *,
        offered: Callable[[JobOffer], Awaitable[Accept | Decline]],
        assigned: Callable[[Assignment], Awaitable[None] | None],
        terminated: Callable[[str], Awaitable[None] | None],
        load: Callable[[], LoadReport],
        changed: Callable[[bool], None] = lambda registered: None,
        failed: Callable[[TransportError], None] = lambda error: None,
        namespace: str = "",
        deployment: str = "",
        rng: random.Random | None = None,
    ) -> None:
        self.agent_name = agent_name
        self._credentials = credentials
        self._offered, self._assigned, self._terminated, self._load = offered, assigned, terminated, load
        self._changed, self._failed = changed, failed
        self._namespace, self._deployment = namespace, deployment
        self._rng = rng or random.Random()
        self._registered = False
        self._worker_id = ""
        self._draining = False
        self._accepted: dict[str, float] = {}  # job id -> when we said yes
        self._active: dict[str, None] = {}  # jobs under way, in order
        self._untold: dict[str, bytes] = {}  # how jobs ended while there was no link
        self._outbox: aio.Channel[bytes] | None = None
        self._load_changed = asyncio.Event()
        self._renewal = asyncio.Event()
        self._worked_at = aio.now()

    @property
    def registered(self) -> bool:
        return self._registered

    @property
    def worked_at(self) -> float:
        """When it last reported its load, or tried to register, by the loop's clock."""
        return self._worked_at

    @property
    def worker_id(self) -> str:
        """The server's name for this registration; empty before the first."""
        return self._worker_id

    async def run(self) -> None:
        """Registers, and again whenever the link is lost, until cancelled. Never gives up."""
        attempt = 0
        async with aiohttp.ClientSession() as http:
            while True:
                started_at = self._worked_at = aio.now()
                try:
                    await self._serve(http)
                except TransportError as error:
                    self._worked_at = aio.now()
                    self._failed(error)
                    delay_s = self._delay_s(error, attempt)
                    log.warning(
                        "registration lost",
                        extra={"agent": self.agent_name, "reason": str(error), "retry_s": round(delay_s, 2)},
                    )
                attempt = 0 if aio.now() - started_at > CONNECT_TIMEOUT_S else attempt + 1
                await asyncio.sleep(delay_s)

    def drain(self) -> None:
        """Takes no more jobs, and says so; jobs under way and the registration stay."""
        self._draining = True
        self._load_changed.set()

    def renew(self) -> None:
        """Registers anew: the connection is open, and nothing comes by it. Jobs under way stay."""
        self._renewal.set()

    def load_changed(self) -> None:
        """Has `load` asked and reported now."""
        self._load_changed.set()

    def job_running(self, job_id: str) -> None:
        """Tells the server that the agent of this job has joined."""
        self._active[job_id] = None
        self._tell_job(job_id, "running")

    def job_ended(self, job_id: str, *, error: str = "") -> None:
        """Tells the server that the job is over; `error` says why it failed, if it did."""
        self._active.pop(job_id, None)
        self._accepted.pop(job_id, None)
        self._tell_job(job_id, "failed" if error else "success", error)

    def _tell_job(self, job_id: str, status: JobStatus, error: str = "") -> None:
        message = protocol.job_status(job_id, status, error)
        if self._registered:
            self._send(message)
        else:
            self._untold[job_id] = message

    def _delay_s(self, error: TransportError, attempt: int) -> float:
        if isinstance(error, RegistrationRefused):
            return REFUSED_RETRY_S / 2 + self._rng.uniform(0, REFUSED_RETRY_S / 2)
        return protocol.backoff_s(attempt, rng=self._rng)

    async def _serve(self, http: aiohttp.ClientSession) -> None:
        """One connection from its opening to its end. Always raises: TransportError, or CancelledError."""
        websocket = await self._connect(http)
        self._outbox = aio.Channel(_OUTBOX_CAPACITY)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._register(websocket)
            lost = await self._hold(websocket)
        except TimeoutError as error:
            raise TransportError("the LiveKit server did not answer the registration") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _LinkLost(f"the connection broke: {error}") from error
        finally:
            self._set_registered(False)
            self._outbox.close()
            self._outbox = None
            await websocket.close()
        raise lost

    async def _connect(self, http: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        url = f"{self._credentials.websocket_url}/agent"
        headers = {"Authorization": f"Bearer {registration_token(self._credentials)}"}
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await http.ws_connect(url, headers=headers, heartbeat=HEARTBEAT_S, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                raise RegistrationRefused(
                    f"{self._credentials.url} refused the API key ({error.status}): "
                    "check LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
                ) from error
            raise TransportError(f"{self._credentials.url} answered {error.status} to the registration") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise TransportError(f"{self._credentials.url} cannot be reached: {reason}") from error

    async def _register(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        await websocket.send_bytes(
            protocol.register(
                self.agent_name, version=__version__, namespace=self._namespace, deployment=self._deployment
            )
        )
        while True:
            match protocol.decode(await _receive(websocket)):
                case protocol.Registered() as reply:
                    break
        self._worker_id = reply.worker_id
        await websocket.send_bytes(protocol.worker_status(self._load(), draining=self._draining))
        if self._active:
            await websocket.send_bytes(protocol.jobs_under_way(self._active))
        untold, self._untold = self._untold, {}
        for message in untold.values():
            await websocket.send_bytes(message)
        self._set_registered(True)
        log.info(
            "agent registered",
            extra={"agent": self.agent_name, "worker_id": reply.worker_id, "server_version": reply.server_version},
        )

    async def _hold(self, websocket: aiohttp.ClientWebSocketResponse) -> TransportError:
        """Serves the connection until the server ends it, or it is to be renewed; returns why."""
        self._renewal.clear()
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(self._write(websocket)),
                group.create_task(self._report_load()),
                group.create_task(self._close_for_renewal(websocket)),
            ]
            try:
                while True:
                    self._take(await _receive(websocket), group)
            except TransportError as error:
                return _LinkLost("it received no offers") if self._renewal.is_set() else error
            finally:
                for task in background:
                    task.cancel()

    async def _close_for_renewal(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        await self._renewal.wait()
        await websocket.close()

    def _take(self, data: bytes, group: asyncio.TaskGroup) -> None:
        match protocol.decode(data):
            case JobOffer() as offer:
                group.create_task(self._answer(offer))
            case Assigned() as given:
                self._take_assignment(given, group)
            case protocol.Terminated(job_id=job_id):
                _run(self._terminated(job_id), group)
            case protocol.GoAway():
                raise _LinkLost("the server asked us to connect anew")

    async def _answer(self, offer: JobOffer) -> None:
        answer: Accept | Decline = Decline()
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                if not self._draining:
                    answer = await self._offered(offer)
        except TimeoutError:
            log.warning("job declined: no decision in time", extra=self._named(offer.job))
        if isinstance(answer, Accept):
            self._accepted[offer.job.id] = aio.now()
        self._send(protocol.availability(offer, answer))

    def _named(self, job: Job) -> dict[str, str]:
        """The fields of every line of the log that is about it."""
        return {"agent": self.agent_name, "room": job.room_name, "job": job.id}

    def _take_assignment(self, given: Assigned, group: asyncio.TaskGroup) -> None:
        now = aio.now()
        job = given.job
        if job.id in self._active:
            log.warning("job assigned twice", extra=self._named(job))
            return
        accepted_at = self._accepted.pop(job.id, None)
        self._accepted = {id: at for id, at in self._accepted.items() if now - at < _ACCEPTED_KEPT_S}
        if accepted_at is None:
            log.warning("job refused: it was never accepted here", extra=self._named(job))
            self._tell_job(job.id, "failed", "this worker did not accept the job")
            return
        self._active[job.id] = None
        assignment = Assignment(
            job=job,
            url=given.url or self._credentials.websocket_url,
            token=given.token,
            identity=protocol.agent_identity(job.id),
            late=now - accepted_at > ASSIGNMENT_WAIT_S,
        )
        _run(self._assigned(assignment), group)

    async def _report_load(self) -> None:
        """Status every 2.5 s, and as soon as we become full or free."""
        full, reported_at = None, -STATUS_INTERVAL_S
        while True:
            self._worked_at = aio.now()
            report = self._load()
            if (report.full or self._draining) != full or aio.now() - reported_at >= STATUS_INTERVAL_S - 0.01:
                full, reported_at = report.full or self._draining, aio.now()
                self._send(protocol.worker_status(report, draining=self._draining))
            self._load_changed.clear()
            try:
                async with asyncio.timeout(LOAD_INTERVAL_S):
                    await self._load_changed.wait()
            except TimeoutError:
                continue

    def _send(self, message: bytes) -> None:
        if self._outbox is not None:
            self._outbox.force(message)

    async def _write(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        """Ends quietly when the connection breaks: the reader sees it too, and says why."""
        assert self._outbox is not None
        try:
            async for message in self._outbox:
                await websocket.send_bytes(message)
        except (aiohttp.ClientError, ConnectionError):
            return

    def _set_registered(self, registered: bool) -> None:
        if registered != self._registered:
            self._registered = registered
            self._changed(registered)


async def _receive(websocket: aiohttp.ClientWebSocketResponse) -> bytes:
    """The next binary message. Raises TransportError when the connection has ended."""
    while True:
        message = await websocket.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)
        if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
            raise _LinkLost(f"the server closed the connection ({websocket.close_code})")
        if message.type is aiohttp.WSMsgType.ERROR:
            raise _LinkLost(f"the connection broke: {websocket.exception()}")


def _run(result: Awaitable[None] | None, group: asyncio.TaskGroup) -> None:
    if result is not None:
        group.create_task(_awaited(result))


async def _awaited(result: Awaitable[None]) -> None:
    await result
