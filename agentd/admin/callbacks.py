"""`POST /v1/callbacks/{session}/{key}`: tools that were slow bring their results. The one-use token is all that they
need: this path is for the public."""

from __future__ import annotations

from aiohttp import web

from agentd.admin.guards import CALLBACKS
from agentd.admin.problems import BETWEEN_WORKERS_RETRY_S, Overloaded, problem
from agentd.runtime.status import BetweenWorkers, Daemon, Measure, MeasureSink
from agentd.session.callbacks import Delivery
from agentd.tools.spec import LateAnswer

_REFUSALS: dict[Delivery, tuple[int, str]] = {
    "used": (409, "the call has its result already"),
    "late": (410, "the time for this result is over"),
    "refused": (401, "send Authorization: Bearer and the token of this callback"),
}


class Callbacks:
    def __init__(self, daemon: Daemon, measures: MeasureSink) -> None:
        self._daemon = daemon
        self._measures = measures

    def routes(self) -> list[web.RouteDef]:
        return [web.post(f"{CALLBACKS}{{session}}/{{key}}", self.deliver)]

    async def deliver(self, request: web.Request) -> web.Response:
        """204 once the result is on record."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        content = await request.read()
        answer = LateAnswer(content_type=request.content_type, text=content.decode("utf-8", "replace"))
        token = token.strip() if scheme.lower() == "bearer" else ""
        session, key = request.match_info["session"], request.match_info["key"]
        try:
            delivery = await self._daemon.deliver(session, key, token, answer)
        except KeyError:
            self._count("late")
            return problem(410, "the conversation is over")
        except BetweenWorkers as error:
            raise Overloaded(str(error), retry_after_s=BETWEEN_WORKERS_RETRY_S) from error
        self._count(delivery)
        if delivery == "taken":
            return web.Response(status=204)
        status, detail = _REFUSALS[delivery]
        challenge = {"WWW-Authenticate": 'Bearer realm="agentd callback"'} if status == 401 else None
        return problem(status, detail, headers=challenge)

    def _count(self, delivery: Delivery) -> None:
        self._measures.apply(Measure(name="tool_callbacks_total", labels={"outcome": delivery}))
