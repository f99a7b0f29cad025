"""The description is of what is served: each path and method, each field, and who may ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from agentd.admin.acts import _VERBS
from agentd.admin.described import Minting
from agentd.admin.documents import document
from agentd.admin.metrics import Metrics
from agentd.admin.openapi import OPENAPI, openapi
from agentd.admin.roles import Role, operator
from agentd.admin.schemas import Schemas
from agentd.admin.server import admin_application
from agentd.admin.settings import AdminSettings, TokenEndpointSettings
from tests.admin.conformance import EVERY
from tests.admin.conftest import ENDPOINT, Serve
from tests.fakes.daemon import FakeDaemon, agent

METHODS = ("get", "post", "put", "delete", "options")
OPERATORS_ONLY = replace(ENDPOINT, public=False)


def of_paths(description: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, item in description["paths"].items() for method in item if method in METHODS}


@pytest.mark.parametrize(
    ("endpoint", "minting", "talk"),
    [
        (ENDPOINT, "public", True),
        (ENDPOINT, "public", False),
        (OPERATORS_ONLY, "operators", True),
        (None, "off", True),
    ],
)
def test_every_path_and_method_that_is_served_is_described_and_no_other(
    endpoint: TokenEndpointSettings | None, minting: Minting, talk: bool
) -> None:
    application = admin_application(FakeDaemon(), AdminSettings(talk_page=talk), Metrics(), endpoint)
    routes = [(route.method.lower(), route.resource) for route in application.router.routes()]
    served = {(method, resource.canonical) for method, resource in routes if resource and method != "head"}
    assert of_paths(openapi(minting=minting, talk=talk)) == served


def test_a_path_that_is_not_described_would_be_found() -> None:
    assert EVERY.faults("GET", "/v1/agents", 418, {}, b"") == ["GET /v1/agents: 418 is not described"]
    wrong = EVERY.faults("GET", "/livez", 200, {"Content-Type": "application/json"}, b"{}")
    assert wrong == ["GET /livez: 200: application/json instead of text/plain"]
    more = b'{"ready": true, "since": 1}'
    (found,) = EVERY.faults("GET", "/readyz", 200, {"Content-Type": "application/json"}, more)
    assert "'since' was unexpected" in found
    (found,) = EVERY.faults("GET", "/readyz", 200, {"Content-Type": "application/json"}, b"{}")
    assert "'ready' is a required property" in found
    (found,) = EVERY.faults("GET", "/v1/sinks", 429, {"Content-Type": "application/problem+json"}, PROBLEM)
    assert found == "GET /v1/sinks: 429: no Retry-After"


PROBLEM = b'{"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "too many"}'


def test_the_description_is_of_openapi_3_1_and_its_references_lead_somewhere() -> None:
    OPENAPI_31_VALIDATOR.validate(OPENAPI)
    for reference in references(OPENAPI):
        place: Any = OPENAPI
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
    unused = {f"#/components/schemas/{name}" for name in OPENAPI["components"]["schemas"]} - set(references(OPENAPI))
    assert unused == set()


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for each in value.values() for found in references(each)]
    return [found for each in value for found in references(each)] if isinstance(value, list) else []


def test_every_act_takes_the_fields_that_are_described() -> None:
    for verb, (fields, _) in _VERBS.items():
        body = OPENAPI["paths"][f"/v1/sessions/{{id}}/{verb}"]["post"].get("requestBody")
        schema = body["content"]["application/json"]["schema"] if body else {}
        kinds = schema.get("oneOf", [schema])
        assert {name for kind in kinds for name in kind.get("properties", {})} == set(fields), verb


def test_every_parameter_of_a_path_is_described() -> None:
    for path, item in OPENAPI["paths"].items():
        given = {each["name"] for each in item.get("parameters", ()) if each["in"] == "path"}
        assert given == {part[1:-1] for part in path.split("/") if part.startswith("{")}, path


# Who may ask


def token(role: str) -> str:
    return f"token-of-{role}-0123456789"


ROLES: tuple[Role, ...] = ("read", "mint", "operate")
GUARDED = AdminSettings(
    addr="127.0.0.1:0",
    operators=tuple(operator(role, role, token(role)) for role in ROLES),
    rate_limit=0,
    talk_page=True,
)


@pytest.mark.parametrize("endpoint", [ENDPOINT, OPERATORS_ONLY], ids=["public", "operators"])
async def test_who_may_ask_is_described_as_it_is(
    serve: Serve, daemon: FakeDaemon, endpoint: TokenEndpointSettings
) -> None:
    """By asking, with each token and without: who is not let in gets 401, or 403 that names the role."""
    client = await serve(GUARDED, endpoint)
    described = await (await client.get("/openapi.json", headers=bearer("read"))).json()
    assert of_paths(described) == of_paths(openapi(minting="public" if endpoint.public else "operators"))
    for method, path in sorted(of_paths(described)):
        security = described["paths"][path][method]["security"]
        if security == [{"callback": []}]:
            continue
        roles = [role for each in security for role in each.get("bearer", [])]
        address = path.replace("{", "").replace("}", "")
        if path == "/v1/events":
            address += "?follow=false"
        for role in (None, *ROLES):
            headers = bearer(role) if role else {}
            async with client.request(method, address, headers=headers) as answer:
                lets_in = not roles or {} in security or role == "operate" or role in roles
                if role is None:
                    assert (answer.status not in (401, 429)) == lets_in, (method, path)
                else:
                    said = await answer.text() if answer.status == 403 else ""
                    assert ("this asks for" not in said) == lets_in, (method, path, role)


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role)}"}


async def test_a_daemon_without_tokens_says_that_none_is_asked_for(serve: Serve) -> None:
    client = await serve()
    described = await (await client.get("/openapi.json")).json()
    asked = {
        path: item[method]["security"]
        for path, item in described["paths"].items()
        for method in item
        if method in METHODS
    }
    (callback,) = [path for path in asked if path.startswith("/v1/callbacks/")]
    assert asked.pop(callback) == [{"callback": []}]
    assert not any(asked.values())
    assert "/v1/token" not in asked


# Schemas of dataclasses


@dataclass(frozen=True, kw_only=True)
class Inner:
    """What is in it."""

    state: Literal["on", "off"]


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: tuple[Inner, ...]
    last: float | None


def test_a_dataclass_is_described_by_its_fields() -> None:
    schemas = Schemas()
    assert schemas.of(Outer) == {"$ref": "#/components/schemas/Outer"}
    assert schemas.components == {
        "Outer": {
            "type": "object",
            "properties": {
                "inner": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                "last": {"anyOf": [{"type": "number"}, {"type": "null"}]},
            },
            "required": ["inner", "last"],
        },
        "Inner": {
            "description": "What is in it.",
            "type": "object",
            "properties": {"state": {"type": "string", "enum": ["on", "off"]}},
            "required": ["state"],
        },
    }


def test_what_would_be_told_as_something_else_has_no_schema() -> None:
    for kind in (set[str], bytes, dict[int, str], tuple[int, str]):
        with pytest.raises(TypeError):
            Schemas().of(kind)


def test_two_classes_of_one_name_are_not_taken_for_one() -> None:
    schemas = Schemas()
    schemas.of(Inner)
    with pytest.raises(TypeError, match="two answers hold a Inner"):
        schemas.of(type("Inner", (Outer,), {}))


def test_every_field_of_a_snapshot_is_told() -> None:
    told = document(agent())
    assert told.keys() == OPENAPI["components"]["schemas"]["AgentStatus"]["properties"].keys()
