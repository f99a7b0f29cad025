"""`/v1/sessions/{id}/approvals`: calls of tools that wait for an operator, told and decided."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

from aiohttp import web

from agentd.admin.answers import Approvals, Decided, told
from agentd.admin.deeds import note
from agentd.admin.kept import made_of_journal
from agentd.admin.problems import BETWEEN_WORKERS_RETRY_S, Overloaded, Refused, json_body
from agentd.runtime.approvals import Approval, approvals_in
from agentd.runtime.status import BetweenWorkers, Daemon
from agentd.tools.acts import DecideApproval


class ApprovalsApi:
    """`tells_content`: readers are known by a token; to others, what is to be called is told without its arguments."""

    def __init__(self, daemon: Daemon, *, tells_content: bool) -> None:
        self._daemon = daemon
        self._tells_content = tells_content

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/sessions/{id}/approvals", self.approvals),
            web.post("/v1/sessions/{id}/approvals/{approval}", self.decide),
        ]

    async def approvals(self, request: web.Request) -> web.Response:
        """As the journal has them, so also those of a call that has ended."""
        session_id = request.match_info["id"]
        found = await self._read(session_id)
        if not self._tells_content:
            found = [replace(each, arguments=None, question=None) for each in found]
        return told(Approvals(session=session_id, approvals=tuple(found)))

    async def decide(self, request: web.Request) -> web.Response:
        """`{"approve": true}` or false. 202: the session does it in its turn; the first answer counts."""
        session_id, name = request.match_info["id"], request.match_info["approval"]
        body = await json_body(request)
        if body.keys() != {"approve"} or not isinstance(body["approve"], bool):
            raise Refused(422, 'send {"approve": true} or {"approve": false}')
        note(request, approval=name, approve=body["approve"])
        approval = next((each for each in await self._read(session_id) if each.id == name), None)
        if approval is None:
            raise Refused(404, f"no approval {name!r} was asked for in {session_id!r}; GET .../approvals lists them")
        if approval.state != "open":
            raise Refused(409, f"{name!r} is {approval.state} already")
        try:
            await self._daemon.control(session_id, DecideApproval(approval=name, approve=body["approve"]))
        except KeyError as error:
            raise Refused(404, f"there is no session {session_id!r} under way; GET /v1/sessions lists them") from error
        except BetweenWorkers as error:
            raise Overloaded(str(error), retry_after_s=BETWEEN_WORKERS_RETRY_S) from error
        return told(Decided(session=session_id, approval=name, approve=body["approve"]), status=202)

    async def _read(self, session_id: str) -> list[Approval]:
        made = partial(approvals_in, now=time.time())
        return await asyncio.to_thread(made_of_journal, self._daemon.state_directory(), session_id, made)
