"""`/v1`: what operators and tools ask of the daemon."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from aiohttp import web

from agentd.admin.acts import VERBS, act_of
from agentd.admin.answers import (
    Acted,
    AgentDetail,
    Agents,
    Budgets,
    Draining,
    Journal,
    Sessions,
    Sinks,
    Speeches,
    Spoken,
    Status,
    Upgrading,
    Workers,
    fields_of,
    told,
)
from agentd.admin.deeds import note
from agentd.admin.documents import document
from agentd.admin.kept import made_of_journal
from agentd.admin.problems import BETWEEN_WORKERS_RETRY_S, Overloaded, Refused, json_body
from agentd.config.render import rendered
from agentd.runtime.status import AgentStatus, BetweenWorkers, Daemon, SessionStatus, SpeechStatus
from agentd.runtime.upgrade import UpgradeRefused
from agentd.session.records import Record
from agentd.tools.acts import Act, CancelSpeech, HandOff, MuteCall, SetCallVariables

WAIT_S = 120.0  # then a client that waits gets the state as it is


class Api:
    """`tells_content`: whether what callers said may be asked for. `tag`: the ETag of an agent's own file.
    `description`: of all that is served."""

    def __init__(
        self,
        daemon: Daemon,
        tag: Callable[[str], Awaitable[str | None]],
        description: Mapping[str, Any],
        *,
        tells_content: bool,
    ) -> None:
        self._daemon = daemon
        self._tag = tag
        self._description = description
        self._tells_content = tells_content

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/openapi.json", self.openapi),
            web.get("/v1/status", self.status),
            web.get("/v1/agents", self.agents),
            web.get("/v1/agents/{name}", self.agent),
            web.get("/v1/workers", self.workers),
            web.get("/v1/sinks", self.sinks),
            web.get("/v1/budgets", self.budgets),
            web.get("/v1/sessions", self.sessions),
            web.get("/v1/sessions/{id}", self.session),
            web.get("/v1/sessions/{id}/journal", self.journal),
            *(web.post(f"/v1/sessions/{{id}}/{verb}", self.act) for verb in VERBS),
            web.get("/v1/sessions/{id}/speeches", self.speeches),
            web.get("/v1/sessions/{id}/speeches/{speech}", self.speech),
            web.delete("/v1/sessions/{id}/speeches/{speech}", self.cancel),
            web.post("/v1/reload", self.reload),
            web.post("/v1/drain", self.drain),
            web.get("/v1/drain", self.drain_status),
            web.post("/v1/upgrade", self.upgrade),
        ]

    async def openapi(self, _: web.Request) -> web.Response:
        return web.json_response(self._description)

    async def status(self, _: web.Request) -> web.Response:
        facts, readiness = self._daemon.facts(), self._daemon.readiness()
        return told(Status(**fields_of(facts), generation=self._daemon.generation(), readiness=readiness))

    async def agents(self, _: web.Request) -> web.Response:
        return told(Agents(generation=self._daemon.generation(), agents=self._daemon.agents()))

    async def agent(self, request: web.Request) -> web.Response:
        found = _agent(self._daemon, request.match_info["name"])
        definition = self._daemon.definition(found.name)
        answer = told(AgentDetail(**fields_of(found), definition=rendered(definition) if definition else None))
        if tag := await self._tag(found.name):
            answer.headers["ETag"] = tag
        return answer

    async def workers(self, _: web.Request) -> web.Response:
        return told(Workers(workers=self._daemon.workers()))

    async def sinks(self, _: web.Request) -> web.Response:
        return told(Sinks(sinks=self._daemon.sinks()))

    async def budgets(self, _: web.Request) -> web.Response:
        return told(Budgets(budgets=self._daemon.budgets()))

    async def sessions(self, _: web.Request) -> web.Response:
        return told(Sessions(sessions=self._daemon.sessions()))

    async def session(self, request: web.Request) -> web.Response:
        return told(_session(self._daemon, request.match_info["id"]))

    async def journal(self, request: web.Request) -> web.Response:
        """Every record, also of a call that has ended. Its file is for its owner's eyes only: so is this."""
        if not self._tells_content:
            raise Refused(403, "a journal holds what callers said: it is told only where an admin token is set")
        session_id, directory = request.match_info["id"], self._daemon.state_directory()
        text = await asyncio.to_thread(made_of_journal, directory, session_id, partial(_journal_text, session_id))
        return web.json_response(text=text)

    async def act(self, request: web.Request) -> web.Response:
        """One of `VERBS`; what makes a speech answers it, with `?wait=true` once it is done."""
        session_id, verb = request.match_info["id"], request.path.rpartition("/")[2]
        waits = _asks_for(request, "wait")
        act = act_of(verb, await json_body(request))
        note(request, **_named(act))
        if isinstance(act, HandOff):
            _known_agent(self._daemon, act.agent)
        speech = await self._control(session_id, act)
        if speech is not None and waits:
            speech = await self._daemon.speech(session_id, speech.id, wait_s=WAIT_S)
        if speech is None:
            return told(Acted(session=session_id, verb=verb), status=202)
        status = 200 if speech.state == "done" else 202
        return told(Spoken(session=session_id, verb=verb, speech=speech), status=status)

    async def speeches(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        speeches = self._daemon.speeches(session_id)
        if not speeches:
            _session(self._daemon, session_id)
        return told(Speeches(session=session_id, speeches=speeches))

    async def speech(self, request: web.Request) -> web.Response:
        wait_s = WAIT_S if _asks_for(request, "wait") else 0.0
        speech = await self._daemon.speech(request.match_info["id"], request.match_info["speech"], wait_s=wait_s)
        if speech is None:
            raise _no_speech(request)
        return told(speech)

    async def cancel(self, request: web.Request) -> web.Response:
        session_id, speech_id = request.match_info["id"], request.match_info["speech"]
        force = _asks_for(request, "force")
        if await self._daemon.speech(session_id, speech_id) is None:
            raise _no_speech(request)
        await self._control(session_id, CancelSpeech(speech=speech_id, force=force))
        return told(await self._daemon.speech(session_id, speech_id), status=202)

    async def _control(self, session_id: str, act: Act) -> SpeechStatus | None:
        try:
            return await self._daemon.control(session_id, act)
        except KeyError as error:
            raise _no_session(session_id) from error
        except BetweenWorkers as error:
            raise Overloaded(str(error), retry_after_s=BETWEEN_WORKERS_RETRY_S) from error

    async def reload(self, request: web.Request) -> web.Response:
        """200 when every file was applied or nothing changed; 422 with the problems when one was not."""
        await json_body(request)
        outcome = await self._daemon.reload()
        note(request, generation=outcome.generation)
        if outcome.applied:
            return told(outcome)
        errors = sum(problem.severity == "error" for problem in outcome.problems)
        detail = f"{errors} error{'s' if errors != 1 else ''}: the last good versions go on serving"
        raise Refused(422, detail, **document(outcome))

    async def drain(self, request: web.Request) -> web.Response:
        await json_body(request)
        self._daemon.drain()
        return told(Draining(draining=True, sessions=len(self._daemon.sessions())), status=202)

    async def drain_status(self, _: web.Request) -> web.Response:
        return told(self._daemon.drain_status())

    async def upgrade(self, request: web.Request) -> web.Response:
        """202: another `instance` answers here in a moment, and the calls go on."""
        await json_body(request)
        try:
            await self._daemon.upgrade()
        except UpgradeRefused as error:
            raise Refused(409, str(error)) from error
        facts = self._daemon.facts()
        calls = len(self._daemon.sessions())
        return told(Upgrading(sessions=calls, version=facts.version, instance=facts.instance), status=202)


def _agent(daemon: Daemon, name: str) -> AgentStatus:
    for status in daemon.agents():
        if status.name == name:
            return status
    raise Refused(404, f"there is no agent {name!r}; GET /v1/agents lists them")


def _named(act: Act) -> dict[str, Any]:
    """What the audit log says of it."""
    match act:
        case HandOff(agent=agent):
            return {"to": agent}
        case MuteCall(what=what):
            return {"what": what}
        case SetCallVariables(values=values):
            return {"variables": list(values)}
    return {}


def _known_agent(daemon: Daemon, name: str) -> None:
    known = [status.name for status in daemon.agents()]
    if name not in known:
        near = get_close_matches(name, known, 1)
        raise Refused(422, f"there is no agent {name!r}; GET /v1/agents lists them", near=near)


def _session(daemon: Daemon, session_id: str) -> SessionStatus:
    for status in daemon.sessions():
        if status.id == session_id:
            return status
    raise _no_session(session_id)


def _journal_text(session_id: str, records: Iterable[Record]) -> str:
    return json.dumps(document(Journal(session=session_id, records=tuple(records))), ensure_ascii=False)


def _no_session(session_id: str) -> Refused:
    return Refused(404, f"there is no session {session_id!r} under way; GET /v1/sessions lists them")


def _no_speech(request: web.Request) -> Refused:
    session_id, speech_id = request.match_info["id"], request.match_info["speech"]
    return Refused(404, f"no speech {speech_id!r} was asked of {session_id!r}, or it is long done")


def _asks_for(request: web.Request, flag: str) -> bool:
    """`?flag=true`. Raises Refused."""
    value = request.query.get(flag, "false")
    if value not in ("true", "false"):
        raise Refused(422, f"{flag} is true or false")
    return value == "true"
