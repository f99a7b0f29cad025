"""Operations of the API's description: what is said of each, and what follows from its method, path and guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from agentd.admin.guards import CALLBACKS, is_open
from agentd.admin.problems import CONTENT_TYPE, ProblemDetails
from agentd.admin.roles import needed
from agentd.admin.schemas import Schemas
from agentd.admin.token_endpoint import PATHS as TOKEN_PATHS

Minting = Literal["public", "operators", "off"]
"""Who is given a caller's token: whoever comes, operators who may mint, or nobody here."""
JSON = "application/json"
RETRY = {"Retry-After": "Seconds after which to ask again"}
_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_HEADERS: Mapping[int, Mapping[str, str]] = {401: _CHALLENGE, 429: RETRY, 503: RETRY}
_HEADER_TYPES = {"Retry-After": "integer"}
_TEXTS = {
    400: "The body is not JSON, or not UTF-8",
    401: "Without a token that is known",
    413: "The body has more than 256 KiB",
    415: "The body is of another type",
    429: "Too often",
}
_FOREIGN = "The page that asks is none of ours, or the Host is not"
_NOT_ALLOWED = f"The token has not the role; or: {_FOREIGN[0].lower()}{_FOREIGN[1:]}"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer. `kind`: of what it is, as a JSON schema or a class whose schema is derived; None: nothing."""

    kind: Any = None
    text: str = ""
    content_type: str = JSON
    headers: Mapping[str, str] | None = None  # None: those of its status
    may_have: Mapping[str, str] = field(default_factory=dict)  # other headers
    more: Mapping[str, Any] = field(default_factory=dict)  # of its media type


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`answers`: by status, a class or what is `Told`; of refusals when they happen. Those that any request of its
    kind may get are added. `takes`: the content types that its body may be of."""

    summary: str
    answers: Mapping[int, Any]
    body: Mapping[str, Any] | None = None
    takes: Sequence[str] = (JSON,)
    parameters: Sequence[Mapping[str, Any]] = ()

    def described(self, method: str, path: str, schemas: Schemas, *, guarded: bool, minting: Minting) -> dict[str, Any]:
        """`guarded`: operators have tokens."""
        security = _security(method, path, guarded=guarded, minting=minting)
        common = self._common(method, path, asks_token=bool(security) and {} not in security)
        answers = sorted({**common, **self.answers}.items())
        told: dict[str, Any] = {
            "summary": self.summary,
            "responses": {str(status): _response(status, answer, schemas) for status, answer in answers},
            "security": security,
        }
        if self.parameters:
            told["parameters"] = list(self.parameters)
        if self.body is not None:
            told["requestBody"] = {"content": {kind: {"schema": _body(kind, self.body)} for kind in self.takes}}
        return told

    def _common(self, method: str, path: str, *, asks_token: bool) -> dict[int, Any]:
        """What the guards of the server refuse, and the reading of a body."""
        common = {403: _NOT_ALLOWED if asks_token else _FOREIGN}
        if method in ("post", "put", "delete"):
            common[413] = ""
        if method in ("post", "put", "delete") and self.takes:
            common |= {400: "", 415: ""}
        if not is_open(path):
            common |= {429: ""} if method != "options" else {}
        if asks_token:
            common[401] = ""
        return common


def _security(method: str, path: str, *, guarded: bool, minting: Minting) -> list[dict[str, list[str]]]:
    """One of these is asked for; nothing: whoever reaches the address may ask. The role that a token needs is told as
    OpenAPI 3.1 has it, in the place of scopes."""
    if path.startswith(CALLBACKS):
        return [{"callback": []}]
    if is_open(path) or not guarded or method == "options":
        return []
    for_all: list[dict[str, list[str]]] = [{}] if minting == "public" and path in TOKEN_PATHS else []
    return [*for_all, {"bearer": [needed(method.upper(), path)]}]


def _response(status: int, answer: Any, schemas: Schemas) -> dict[str, Any]:
    """A refusal is told by when it happens, all else by what it is. One that is everywhere the same is told once."""
    if answer == "":
        name = HTTPStatus(status).phrase.title().replace(" ", "")
        if name not in schemas.responses:
            schemas.responses[name] = _response(status, _TEXTS[status], schemas)
        return {"$ref": f"#/components/responses/{name}"}
    if isinstance(answer, str):
        answer = Told(ProblemDetails, text=answer, content_type=CONTENT_TYPE)
    elif not isinstance(answer, Told):
        answer = Told(answer)
    headers = _HEADERS.get(status, {}) if answer.headers is None else answer.headers
    response: dict[str, Any] = {"description": answer.text or HTTPStatus(status).phrase}
    if headers or answer.may_have:
        response["headers"] = {
            name: {
                "description": text,
                "required": name in headers,
                "schema": {"type": _HEADER_TYPES.get(name, "string")},
            }
            for name, text in {**headers, **answer.may_have}.items()
        }
    if answer.kind is not None:
        schema = answer.kind if isinstance(answer.kind, dict) else schemas.of(answer.kind)
        response["content"] = {answer.content_type: {"schema": schema, **answer.more}}
    return response


def _body(content_type: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is written in JSON; of another type is a text."""
    return schema if content_type == JSON else {"type": "string"}
