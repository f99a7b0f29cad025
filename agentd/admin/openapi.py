"""The API's description, for clients and their generators: what is asked, what is answered, and by whom it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import agentd
from agentd.admin import answers, bodies, metrics
from agentd.admin.described import RETRY, Minting, Operation, Told
from agentd.admin.guards import CALLBACKS
from agentd.admin.problems import CONTENT_TYPE, NotReady, ProblemDetails
from agentd.admin.schemas import PLACE, Schemas
from agentd.admin.token_endpoint import PATHS as TOKEN_PATHS
from agentd.errors import Problem
from agentd.runtime.planning import Plan
from agentd.runtime.status import DrainStatus, ReloadOutcome, RolloutStatus, SessionStatus, SpeechStatus

_PLAIN = Told({"type": "string"}, content_type="text/plain")
_FIGURES = Told({"type": "string"}, "Text format 0.0.4", metrics.CONTENT_TYPE)
_UNREGISTERED = Told({"type": "string"}, "No agent is registered with LiveKit", "text/plain", headers={})
_STREAM = Told(
    {"type": "string"}, content_type="text/event-stream", more={"x-event-data": {"$ref": f"{PLACE}StreamedEvent"}}
)
_HTML = "text/html"
_PARTS = Told({"type": "string"}, "By its name's ending", "*/*")
_RELOAD_REFUSED = {"$ref": f"{PLACE}ReloadRefused"}
_TAG = {"ETag": "Of the agent's file, for If-Match"}
_YAML = ("application/json", "application/yaml")
_BETWEEN = "Between two workers"
_OF_A_JOURNAL = {404: "There is no such call", 500: "The call's journal cannot be read"}
_ACTED = {404: "There is no such call under way", 422: "A field is wrong, or not known", 503: _BETWEEN}
_NO_AGENT = {404: "There is no such agent"}
_NO_CALL = {404: "There is no such call"}
_NO_CANARY = {404: "It is no canary"}
_IS_OVER = {409: "It is no canary, or it is over"}
_CHANGED = {
    403: "Agents are not written over HTTP here, or the token has not the role",
    409: "The file cannot be written",
    412: "The file was changed meanwhile",
    422: "Refused, with problems",
    428: "If-Match is missing",
}
_HISTORY = answers.History | answers.LiveKitHistory | answers.OpenAIHistory
_FILE = {
    206: Told(text="A part of it"),
    304: Told(),
    412: Told(text="It is another than the client has"),
    416: Told(text="It has no such part"),
}
_SESSION = "/v1/sessions/{id}"


def _refused(text: str, **more: Any) -> Told:
    """That may last: nobody is told to ask again in a moment."""
    return Told(ProblemDetails, text, CONTENT_TYPE, headers={}, **more)


def _verb(summary: str, body: Mapping[str, Any] | None = None) -> Operation:
    return Operation(summary=summary, answers={**_ACTED, 202: answers.Acted}, body=body)


def _speech(summary: str, body: Mapping[str, Any]) -> Operation:
    spoken = {200: Told(answers.Spoken, "Done, for a client that waits"), 202: Told(answers.Spoken, "Taken")}
    parameters = [bodies.query("wait", bodies.FLAG)]
    return Operation(summary=summary, answers={**_ACTED, **spoken}, body=body, parameters=parameters)


def _token(summary: str) -> Operation:
    refused = {
        400: "A field is wrong, or not known",
        403: "It asks for what is not given: a room, another agent; or the page that asks is none of ours",
        503: "The agent takes no calls at the moment",
    }
    return Operation(summary=summary, answers={201: answers.Token, **refused}, body=bodies.TOKEN)


_PATHS: Mapping[str, Mapping[str, Operation]] = {
    "/livez": {"get": Operation(summary="Whether the event loop answers", answers={200: _PLAIN})},
    "/readyz": {
        "get": Operation(
            summary="Whether calls are taken",
            answers={200: answers.Ready, 503: Told(NotReady, "Not ready, with reasons", CONTENT_TYPE, headers={})},
        )
    },
    "/metrics": {"get": Operation(summary="Figures for Prometheus", answers={200: _FIGURES})},
    "/": {"get": Operation(summary="As livekit-agents' answers", answers={200: _PLAIN, 503: _UNREGISTERED})},
    "/worker": {"get": Operation(summary="As livekit-agents' answers", answers={200: answers.RegisteredWorker})},
    "/openapi.json": {"get": Operation(summary="This document", answers={200: Told({"type": "object"})})},
    "/v1/status": {"get": Operation(summary="The daemon in short", answers={200: answers.Status})},
    "/v1/agents": {"get": Operation(summary="Agents and their state", answers={200: answers.Agents})},
    "/v1/agents/validate": {
        "post": Operation(
            summary="Every problem of an agent's file, which is not kept",
            answers={
                200: answers.Validated,
                409: "No file has such a name",
                422: "Nothing was sent",
                503: _refused("No directory of agents is read here"),
            },
            body=bodies.AGENT_FILE,
            takes=_YAML,
            parameters=[bodies.query("name", {"type": "string"})],
        )
    },
    "/v1/agents/{name}": {
        "get": Operation(
            summary="One agent with its definition, secrets masked",
            answers={
                200: Told(answers.AgentDetail, "With an ETag where it has a file of its own", may_have=_TAG),
                **_NO_AGENT,
            },
        ),
        "put": Operation(
            summary="Create or change the agent's file",
            answers={
                200: Told(answers.Written, "It serves", headers=_TAG),
                201: Told(answers.Written, "Created, and it serves", headers=_TAG),
                **_CHANGED,
            },
            body=bodies.AGENT_FILE,
            takes=_YAML,
            parameters=[bodies.IF_MATCH, bodies.IF_NONE_MATCH],
        ),
        "delete": Operation(
            summary="Delete the agent's file; its calls go on",
            answers={200: answers.Deleted, **_CHANGED, 404: "There is no such file"},
            parameters=[bodies.IF_MATCH],
        ),
    },
    "/v1/agents/{name}/revisions": {
        "get": Operation(
            summary="Its revisions that served, newest first", answers={200: answers.Revisions, **_NO_AGENT}
        )
    },
    "/v1/agents/{name}/rollback": {
        "post": Operation(
            summary="Serve an earlier revision until the file is edited; a canary is taken out of its rollout",
            answers={
                200: answers.RolledBack,
                **_NO_AGENT,
                409: "There is nothing to go back to",
                422: "It asks wrongly",
            },
            body=bodies.ROLLBACK,
        )
    },
    "/v1/dispatches": {
        "post": Operation(
            summary="Call an agent into a room",
            answers={
                201: answers.Dispatched,
                422: "No such agent serves, or a field is wrong",
                503: _refused("Nobody would come now", may_have=RETRY),
            },
            body=bodies.DISPATCH,
        )
    },
    "/v1/plan": {"get": Operation(summary="What a reload would do now", answers={200: Plan})},
    "/v1/rollouts": {"get": Operation(summary="Canaries and how they do", answers={200: answers.Rollouts})},
    "/v1/rollouts/{name}": {"get": Operation(summary="One of them", answers={200: RolloutStatus, **_NO_CANARY})},
    "/v1/rollouts/{name}/promote": {
        "post": Operation(summary="Give it all calls of the other agent", answers={200: RolloutStatus, **_IS_OVER})
    },
    "/v1/rollouts/{name}/rollback": {
        "post": Operation(summary="Give it no calls any more", answers={200: RolloutStatus, **_IS_OVER})
    },
    "/v1/workers": {"get": Operation(summary="Session workers", answers={200: answers.Workers})},
    "/v1/tools": {"get": Operation(summary="Tools of the agents that serve", answers={200: answers.Tools})},
    "/v1/sinks": {"get": Operation(summary="Where events are sent, and how that goes", answers={200: answers.Sinks})},
    "/v1/budgets": {
        "get": Operation(summary="What agents have used today of their budgets", answers={200: answers.Budgets})
    },
    "/v1/sessions": {"get": Operation(summary="Calls under way", answers={200: answers.Sessions})},
    _SESSION: {"get": Operation(summary="One call", answers={200: SessionStatus, **_NO_CALL})},
    f"{_SESSION}/journal": {
        "get": Operation(
            summary="All that a call's journal holds",
            answers={200: answers.Journal, 403: "No token is set here, or this one has not the role", **_OF_A_JOURNAL},
        )
    },
    f"{_SESSION}/history": {
        "get": Operation(
            summary="What the model knows of a call",
            answers={200: _HISTORY, **_OF_A_JOURNAL, 422: "There is no such format"},
            parameters=[bodies.query("format", bodies.FORMAT)],
        ),
        "post": Operation(
            summary="Add to it, replace it, or cut it to its end",
            answers={**_ACTED, 202: answers.Edited},
            body=bodies.EDIT,
        ),
    },
    f"{_SESSION}/variables": {
        "get": Operation(summary="The variables of a call", answers={200: answers.Variables, **_OF_A_JOURNAL}),
        "post": _verb("Set some of them", bodies.VARIABLES),
    },
    f"{_SESSION}/approvals": {
        "get": Operation(
            summary="Calls of tools that wait for an operator", answers={200: answers.Approvals, **_OF_A_JOURNAL}
        )
    },
    f"{_SESSION}/approvals/{{approval}}": {
        "post": Operation(
            summary="Approve or decline one",
            answers={**_ACTED, **_OF_A_JOURNAL, 202: answers.Decided, 409: "It is decided already"},
            body=bodies.APPROVAL,
        )
    },
    f"{_SESSION}/say": {"post": _speech("Make the agent say a text", bodies.SAY)},
    f"{_SESSION}/generate_reply": {"post": _speech("Make the agent speak in the model's words", bodies.GENERATE)},
    f"{_SESSION}/interrupt": {"post": _verb("Stop what the agent says, and drop what waits", bodies.INTERRUPT)},
    f"{_SESSION}/commit_user_turn": {"post": _verb("End the caller's turn now")},
    f"{_SESSION}/clear_user_turn": {"post": _verb("Forget the caller's words of this turn")},
    f"{_SESSION}/transfer": {
        "post": _verb("Put the caller through to a destination of the agent's file", bodies.TRANSFER)
    },
    f"{_SESSION}/end": {"post": _verb("End the call, after `say` if it is given", bodies.END)},
    f"{_SESSION}/handoff": {
        "post": _verb("Have another agent go on with the call at the end of this turn", bodies.HANDOFF)
    },
    f"{_SESSION}/instructions": {"post": _verb("Tell the model more, or something else", bodies.INSTRUCTIONS)},
    f"{_SESSION}/tools": {"post": _verb("Keep tools from the model, or let it have them again", bodies.TOOLS)},
    f"{_SESSION}/mute": {"post": _verb("Let the agent not hear the callers, or say nothing", bodies.MUTE)},
    f"{_SESSION}/unmute": {"post": _verb("Take this back", bodies.MUTE)},
    f"{_SESSION}/speeches": {
        "get": Operation(summary="What was asked of the call by this API", answers={200: answers.Speeches, **_NO_CALL})
    },
    f"{_SESSION}/speeches/{{speech}}": {
        "get": Operation(
            summary="One of them",
            answers={200: SpeechStatus, 404: "There is no such speech", 422: "`wait` is no flag"},
            parameters=[bodies.query("wait", bodies.FLAG)],
        ),
        "delete": Operation(
            summary="Take it back",
            answers={202: SpeechStatus, 404: "There is no such speech", 422: "`force` is no flag", 503: _BETWEEN},
            takes=(),
            parameters=[bodies.query("force", bodies.FLAG)],
        ),
    },
    f"{CALLBACKS}{{session}}/{{key}}": {
        "post": Operation(
            summary="Bring the result of a tool's call that was answered with `pending`",
            answers={
                204: Told(text="Taken"),
                401: "Another token than that of this call",
                409: "It has its result",
                410: "It is too late",
                503: _BETWEEN,
            },
            takes=(),
        )
    },
    "/v1/events": {
        "get": Operation(
            summary="What happens in the calls; each `data` is a StreamedEvent",
            answers={
                200: _STREAM,
                422: "There is no such type, or a parameter is wrong",
                503: "It has too many readers",
            },
            parameters=[
                *(bodies.query(name, bodies.TEXT) for name in ("session", "type")),
                bodies.query("from", bodies.FROM),
                bodies.query("follow", bodies.FLAG),
                bodies.LAST_EVENT,
            ],
        )
    },
    "/v1/reload": {
        "post": Operation(
            summary="Read the files again",
            answers={200: ReloadOutcome, 422: Told(_RELOAD_REFUSED, "Refused, with problems", CONTENT_TYPE)},
        )
    },
    "/v1/drain": {
        "get": Operation(summary="How the drain goes, or went", answers={200: DrainStatus}),
        "post": Operation(summary="Take no more calls and end with the last", answers={202: answers.Draining}),
    },
    "/v1/upgrade": {
        "post": Operation(
            summary="Let what is installed now take the daemon's place; calls go on",
            answers={202: answers.Upgrading, 409: "It is refused"},
        )
    },
    **{
        path: {
            "post": _token("A caller's token (LiveKit's standard token endpoint)"),
            "options": Operation(summary="Whether a page may ask", answers={204: Told(text="It may")}),
        }
        for path in TOKEN_PATHS
    },
    "/talk": {"get": Operation(summary="The talk page", answers={200: Told({"type": "string"}, "", _HTML), **_FILE})},
    "/talk/agents": {
        "get": Operation(summary="Whom callers may ask for", answers={200: answers.CallableAgents}),
    },
    "/talk/{file}": {
        "get": Operation(
            summary="A part of the page", answers={200: _PARTS, **_FILE, 404: "The page has no such part"}
        ),
    },
}


def openapi(*, guarded: bool = True, minting: Minting = "public", talk: bool = True) -> dict[str, Any]:
    """As a daemon serves it. `guarded`: operators have tokens; `talk`: there is the talk page."""
    schemas = Schemas()
    shown = {path: item for path, item in _PATHS.items() if _is_served(path, minting, talk)}
    paths = {
        path: {
            **_parameters(path),
            **{
                method: operation.described(method, path, schemas, guarded=guarded, minting=minting)
                for method, operation in item.items()
                if method != "options" or minting == "public"
            },
        }
        for path, item in shown.items()
    }
    _join_components(schemas)
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "agentd", "version": agentd.__version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(schemas.responses.items())),
            "securitySchemes": {
                "bearer": {**bearer, "description": "An operator's token, with the role that is named"},
                "callback": {**bearer, "description": "The one-use token of the tool's call"},
            },
        },
    }


def _is_served(path: str, minting: Minting, talk: bool) -> bool:
    if path in TOKEN_PATHS:
        return minting != "off"
    return not path.startswith("/talk") or (talk and minting == "public")


def _parameters(path: str) -> dict[str, Any]:
    """Those in a path."""
    names = re.findall(r"{(\w+)}", path)
    schema = {"type": "string", "minLength": 1}
    found = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
    return {"parameters": found} if found else {}


def _join_components(schemas: Schemas) -> None:
    """What is answered as more than one class, or told only in what an answer holds."""
    for kind in (ProblemDetails, ReloadOutcome, answers.StreamedEvent):
        schemas.of(kind)
    found = schemas.components
    refusal, outcome = found["ProblemDetails"], found["ReloadOutcome"]
    found["ReloadRefused"] = {
        "type": "object",
        "properties": {**outcome["properties"], **refusal["properties"]},
        "required": [*refusal["required"], *outcome["required"]],
    }
    near = {"type": "array", "items": {"type": "string"}, "description": "Names there are, like the one that was sent"}
    refusal["properties"] |= {"near": near, "problems": schemas.of(tuple[Problem, ...])}


OPENAPI = openapi()
"""All that any daemon serves."""
