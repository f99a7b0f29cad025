"""Is it alive, is it ready, and what does it do: for load balancers, LiveKit's tools and Prometheus."""

from __future__ import annotations

from aiohttp import web

from agentd.admin import metrics
from agentd.admin.answers import Ready, RegisteredWorker, told
from agentd.admin.problems import problem
from agentd.runtime.status import Daemon

WORKER_PROTOCOL_VERSION = 1


class Health:
    """`/` and `/worker` answer as livekit-agents' do, for whoever watches a fleet of both."""

    def __init__(self, daemon: Daemon, figures: metrics.Metrics) -> None:
        self._daemon = daemon
        self._figures = figures

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.root),
            web.get("/worker", self.worker),
            web.get("/livez", self.livez),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
        ]

    async def root(self, _: web.Request) -> web.Response:
        agents = self._daemon.agents()
        if agents and not any(agent.registered for agent in agents):
            return web.Response(status=503, text="failed to connect to livekit")
        return web.Response(text="OK")

    async def worker(self, _: web.Request) -> web.Response:
        facts = self._daemon.facts()
        names = [agent.name for agent in self._daemon.agents() if agent.state != "rejected"]
        return told(
            RegisteredWorker(
                agent_name=",".join(names),
                agent_names=tuple(names),
                worker_type="JT_ROOM",
                worker_load=facts.worker_load,
                active_jobs=len(self._daemon.sessions()),
                sdk_version=facts.sdk_version,
                protocol_version=WORKER_PROTOCOL_VERSION,
                project_type="python",
            )
        )

    async def livez(self, _: web.Request) -> web.Response:
        """An answer at all says that the loop turns."""
        return web.Response(text="OK")

    async def readyz(self, _: web.Request) -> web.Response:
        readiness = self._daemon.readiness()
        if readiness.ready:
            return told(Ready(ready=True))
        return problem(503, "; ".join(readiness.reasons), ready=False, reasons=list(readiness.reasons))

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._figures.text(), headers={"Content-Type": metrics.CONTENT_TYPE})
