"""Whether an answer of the admin API is what its description says, to the last field."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from jsonschema import Draft202012Validator

from agentd.admin.openapi import OPENAPI

STREAM = "text/event-stream"


class Description:
    """A field that is not named in it is a fault here, while clients must bear one, for what comes later."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = copy.deepcopy(dict(document))
        for schema in self.document["components"]["schemas"].values():
            schema["additionalProperties"] = False

    def faults(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
        """Nothing, of what no operation is asked for. The `body` of a stream is not looked at."""
        route = self._route_of(path)
        if route is None or method.lower() not in self.document["paths"][route]:
            return []
        response = self._response_of(method, route, status)
        if response is None:
            return [f"{method} {route}: {status} is not described"]
        found = [
            f"no {name}"
            for name, told in response.get("headers", {}).items()
            if told["required"] and name not in headers
        ]
        kind, content = headers.get("Content-Type", "").partition(";")[0], response.get("content", {})
        described = {name.partition(";")[0]: each["schema"] for name, each in content.items()}
        if kind not in described and "*/*" not in described and (described or body):
            found.append(f"{kind or 'no type'} instead of {', '.join(described) or 'nothing'}")
        elif kind.endswith("json"):
            schema = {"components": self.document["components"], **described[kind]}
            errors = Draft202012Validator(schema).iter_errors(json.loads(body))
            found += [f"{error.json_path}: {error.message[:300]}" for error in errors]
        return [f"{method} {route}: {status}: {fault}" for fault in found]

    def _route_of(self, path: str) -> str | None:
        """That without names in it comes first. None: there is none."""
        fitting = [each for each in self.document["paths"] if re.fullmatch(re.sub(r"{\w+}", "[^/]+", each), path)]
        return min(fitting, key=lambda each: each.count("{"), default=None)

    def _response_of(self, method: str, route: str, status: int) -> dict[str, Any] | None:
        response: dict[str, Any] | None
        response = self.document["paths"][route][method.lower()]["responses"].get(str(status))
        if response and "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return response


EVERY = Description(OPENAPI)


@asynccontextmanager
async def conforming(
    address: str, description: Description = EVERY, **options: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the server at HOST:PORT; at its end, all that it was answered is as described."""
    found: list[str] = []

    async def check(_: aiohttp.ClientSession, __: object, end: aiohttp.TraceRequestEndParams) -> None:
        answer = end.response
        if end.method == "HEAD":
            return
        body = b"" if answer.content_type == STREAM else await answer.read()
        found.extend(description.faults(end.method, end.url.raw_path, answer.status, answer.headers, body))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_end.append(check)
    async with aiohttp.ClientSession(f"http://{address}", trace_configs=[tracing], **options) as client:
        yield client
    assert not found, found
