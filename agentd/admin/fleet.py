"""`/v1` of edits: what a reload would do, which revisions there were, going back, and rollouts."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from agentd.admin.answers import Revisions, RolledBack, Rollouts, told
from agentd.admin.deeds import note
from agentd.admin.problems import Refused, json_body
from agentd.runtime.canaries import NoRollout
from agentd.runtime.probation import RollbackRefused
from agentd.runtime.status import Daemon


class FleetApi:
    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/plan", self.plan),
            web.get("/v1/agents/{name}/revisions", self.revisions),
            web.post("/v1/agents/{name}/rollback", self.roll_back),
            web.get("/v1/rollouts", self.rollouts),
            web.get("/v1/rollouts/{name}", self.rollout),
            web.post("/v1/rollouts/{name}/promote", self.promote),
            web.post("/v1/rollouts/{name}/rollback", self.take_back),
        ]

    async def plan(self, _: web.Request) -> web.Response:
        return told(await self._daemon.plan())

    async def revisions(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = await self._daemon.revisions(name)
        if not found and self._daemon.definition(name) is None:
            raise _no_agent(name)
        return told(Revisions(agent=name, revisions=found))

    async def roll_back(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await json_body(request)
        to = body.get("to")
        if body.keys() - {"to"} or not (to is None or (isinstance(to, str) and to)):
            raise Refused(422, 'send {"to": "..."}: how a revision begins; or nothing, for the one before')
        try:
            revision = await self._daemon.roll_back(name, to)
        except KeyError as error:
            raise _no_agent(name) from error
        except RollbackRefused as error:
            raise Refused(409, str(error)) from error
        note(request, revision=revision)
        return told(RolledBack(agent=name, revision=revision))

    async def rollouts(self, _: web.Request) -> web.Response:
        return told(Rollouts(rollouts=self._daemon.rollouts()))

    async def rollout(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for status in self._daemon.rollouts():
            if status.agent == name:
                return told(status)
        raise Refused(404, f"{name!r} is no canary; GET /v1/rollouts lists them")

    async def promote(self, request: web.Request) -> web.Response:
        return await self._decide(request, "promoted")

    async def take_back(self, request: web.Request) -> web.Response:
        return await self._decide(request, "rolled_back")

    async def _decide(self, request: web.Request, state: Literal["promoted", "rolled_back"]) -> web.Response:
        await json_body(request)
        try:
            self._daemon.decide_rollout(request.match_info["name"], state)
        except NoRollout as error:
            raise Refused(409, str(error)) from error
        return await self.rollout(request)


def _no_agent(name: str) -> Refused:
    return Refused(404, f"no file that can be used says agent {name!r}; GET /v1/agents lists them")
