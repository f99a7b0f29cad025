"""The description is of what is served: each path and method, and each field that an act takes."""

from __future__ import annotations

from agentd.admin.acts import _VERBS
from agentd.admin.metrics import Metrics
from agentd.admin.openapi import OPENAPI
from agentd.admin.server import admin_application
from agentd.admin.settings import AdminSettings
from tests.admin.conftest import ENDPOINT
from tests.fakes.daemon import FakeDaemon

METHODS = ("get", "post", "put", "delete")


def served() -> set[tuple[str, str]]:
    application = admin_application(FakeDaemon(), AdminSettings(talk_page=True), Metrics(), ENDPOINT)
    routes = {
        (route.method.lower(), route.resource.canonical) for route in application.router.routes() if route.resource
    }
    of_pages = {"/api/token"}  # the same as /v1/token, for those who know LiveKit's path
    return {(m, path) for m, path in routes if m in METHODS and not path.startswith("/talk") and path not in of_pages}


def test_every_path_and_method_that_is_served_is_described_and_no_other() -> None:
    described = {(method, path) for path, item in OPENAPI["paths"].items() for method in item if method in METHODS}
    assert described == served()


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
