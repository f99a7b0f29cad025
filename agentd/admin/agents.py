"""`/v1/agents/{name}` changed: agents created, updated and deleted as files, and checked before they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import yaml
from aiohttp import web

from agentd.admin.answers import Deleted, Validated, Written, told
from agentd.admin.deeds import note
from agentd.admin.documents import document
from agentd.admin.problems import Refused, json_body
from agentd.config.agent_files import AgentFiles, Checked, NotWritable, name_in, tag_of
from agentd.errors import Problem
from agentd.runtime.status import Daemon

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


class AgentsApi:
    """`writable`: whether agentd.yaml lets agents be changed; checked they may be in any case. `files` None: there is
    no directory."""

    def __init__(self, daemon: Daemon, files: AgentFiles | None, *, writable: bool) -> None:
        self._daemon = daemon
        self._files = files
        self._writable = writable
        self._one = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/agents/validate", self.validate),
            web.put("/v1/agents/{name}", self.put),
            web.delete("/v1/agents/{name}", self.delete),
        ]

    async def tag(self, name: str) -> str | None:
        """Of the agent's own file; None: it has none."""
        if self._files is None:
            return None
        try:
            text = await asyncio.to_thread(self._files.text, name)
        except NotWritable:
            return None
        return None if text is None else tag_of(text)

    async def validate(self, request: web.Request) -> web.Response:
        """As the file of the agent that the text names, or `?name=`, and without keeping anything."""
        text = await _text(request)
        name = request.query.get("name") or name_in(text) or "draft"
        checked = await self._checked(name, text)
        valid = checked.definition is not None
        revision = checked.definition.digest if checked.definition else ""
        return told(Validated(valid=valid, name=name, revision=revision, problems=checked.problems))

    async def put(self, request: web.Request) -> web.Response:
        """201 or 200 with the ETag, when every worker serves it; 422 with the problems, and everything as it was."""
        files, name = self._allowed(), request.match_info["name"]
        text = await _text(request)
        async with self._one:
            before = await _blocking(files.text, name)
            _expect(request, before)
            checked = await self._checked(name, text)
            if checked.definition is None:
                raise _invalid(checked.problems)
            note(request, revision=checked.definition.digest, file_before=before and tag_of(before), file=tag_of(text))
            await _blocking(files.write, name, text)
            await self._serve_or_put_back(files, name, before, checked)
        agent = next((each for each in self._daemon.agents() if each.name == name), None)
        body = Written(created=before is None, agent=agent, problems=checked.problems)
        return told(body, status=201 if before is None else 200, headers={"ETag": tag_of(text)})

    async def delete(self, request: web.Request) -> web.Response:
        """Its calls go on to their end."""
        files, name = self._allowed(), request.match_info["name"]
        await json_body(request)
        async with self._one:
            before = await _blocking(files.text, name)
            if before is None:
                raise Refused(404, f"there is no file {name}.yaml; GET /v1/agents says where agents come from")
            _expect(request, before)
            note(request, file_before=tag_of(before))
            await _blocking(files.delete, name)
            await self._daemon.reload()
        calls = sum(status.agent == name for status in self._daemon.sessions())
        return told(Deleted(deleted=name, sessions=calls))

    async def _serve_or_put_back(self, files: AgentFiles, name: str, before: str | None, checked: Checked) -> None:
        """What no worker can make (a model that does not load, a tool that is not there) is not left behind."""
        assert checked.definition is not None
        source = checked.definition.source
        outcome = await self._daemon.reload()
        refused = tuple(each for each in outcome.problems if each.file == source and each.severity == "error")
        if refused:
            await _blocking(files.put_back, name, before)
            await self._daemon.reload()
            raise _invalid(refused)

    async def _checked(self, name: str, text: str) -> Checked:
        if self._files is None:
            raise Refused(503, "this daemon reads no directory of agents")
        return await _blocking(self._files.check, name, text)

    def _allowed(self) -> AgentFiles:
        if self._files is None or not self._writable:
            raise Refused(403, "agents are not written over HTTP here: admin.write_agents of agentd.yaml allows it")
        return self._files


async def _blocking(call: Callable[_Given, _Answer], *arguments: _Given.args, **options: _Given.kwargs) -> _Answer:
    try:
        return await asyncio.to_thread(call, *arguments, **options)
    except NotWritable as error:
        raise Refused(409, str(error)) from error


async def _text(request: web.Request) -> str:
    """The body as YAML, in which JSON is written, too. Raises Refused."""
    if request.content_type in YAML_TYPES:
        try:
            return (await request.read()).decode()
        except UnicodeDecodeError as error:
            raise Refused(400, "the body is not UTF-8") from error
    body = await json_body(request)
    if not body:
        raise Refused(422, "send the agent's file, as application/yaml or application/json")
    return str(yaml.safe_dump(body, sort_keys=False, allow_unicode=True))


def _expect(request: web.Request, before: str | None) -> None:
    """Nobody overwrites what they have not seen. Raises Refused."""
    match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if none_match is not None and none_match != "*":
        raise Refused(422, "If-None-Match is *, or not sent")
    if before is not None and none_match == "*":
        raise Refused(412, "the agent's file is there already")
    if before is None and match is not None:
        raise Refused(412, "the agent's file is not there (any more)")
    if before is not None and match is None:
        raise Refused(428, "send If-Match with the ETag of GET /v1/agents/{name}, or * whatever it is now")
    if before is not None and match not in ("*", tag_of(before)):
        raise Refused(412, "the agent's file has changed since it was read: GET /v1/agents/{name} has its ETag")


def _invalid(problems: tuple[Problem, ...]) -> Refused:
    errors = sum(problem.severity == "error" for problem in problems)
    detail = f"{errors} error{'s' if errors != 1 else ''}: nothing was changed"
    return Refused(422, detail, problems=document(problems))
