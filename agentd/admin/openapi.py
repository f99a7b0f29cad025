"""The API's description, for clients and their generators."""

from __future__ import annotations

from typing import Any

import agentd
from agentd.admin.acts import ENTERS, MAX_CHARACTERS, MAX_VARIABLES, MUTED, PRIORITIES
from agentd.admin.dispatches import MAX_METADATA, MAX_NAME
from agentd.admin.history import FORMATS, MAX_ITEMS, ROLES
from agentd.config.handoffs import HISTORY_PATTERN


def _operation(summary: str, answers: dict[str, str], *, body: dict[str, Any] | None = None) -> dict[str, Any]:
    responses = {status: {"description": text} for status, text in answers.items()}
    responses["default"] = {"description": "application/problem+json"}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if body:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _of_file(summary: str, answers: dict[str, str]) -> dict[str, Any]:
    operation = _operation(summary, answers, body=_AGENT_FILE)
    operation["requestBody"]["content"]["application/yaml"] = {"schema": {"type": "string"}}
    return operation


def _object(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


_TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}
_FLAG = {"type": "boolean"}
_PRIORITY = {"type": "string", "enum": list(PRIORITIES), "default": "normal"}
_WAIT = {"name": "wait", "in": "query", "schema": _FLAG}
_FROM = {"type": "string", "enum": ["kept", "now"], "default": "kept"}
_TAKEN = {"202": "Taken", "404": "Unknown", "503": "Between two workers"}
_SPOKEN = {**_TAKEN, "200": "Done, for a client that waits"}
_SAY = _object("text", text=_TEXT, priority=_PRIORITY, interruptible=_FLAG, add_to_history=_FLAG)
_GENERATE = _object(instructions=_TEXT, user_input=_TEXT, priority=_PRIORITY, interruptible=_FLAG)
_HISTORY = {"type": "string", "pattern": f"^({HISTORY_PATTERN})$", "default": "full"}
_ENTER = {"type": "string", "enum": list(ENTERS), "default": "auto"}
_HANDOFF = _object("agent", agent=_TEXT, history=_HISTORY, say=_TEXT, variables={"type": "object"}, enter=_ENTER)
_INSTRUCTIONS = {"oneOf": [_object("append", append=_TEXT), _object("replace", replace=_TEXT)]}
_NAMES = {"type": "array", "items": {"type": "string"}}
_TOOLS = _object(enable=_NAMES, disable=_NAMES)
_MUTE = _object("what", what={"type": "string", "enum": list(MUTED)})
_VARIABLES = _object("set", set={"type": "object", "minProperties": 1, "maxProperties": MAX_VARIABLES})
_DISPATCH = _object(
    "agent",
    agent=_TEXT,
    room={"type": "string", "maxLength": MAX_NAME},
    metadata={"type": "string", "maxLength": MAX_METADATA},
    variables={"type": "object", "description": "In the place of metadata"},
)
_AGENT_FILE = {"type": "object", "description": "An agent's file, schemas/agent.schema.json"}
_IF_MATCH = {"name": "If-Match", "in": "header", "schema": {"type": "string"}}
_IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": {"type": "string", "enum": ["*"]}}
_CHANGED = {
    "403": "Not allowed here",
    "404": "Unknown",
    "409": "Cannot be written",
    "412": "Changed meanwhile",
    "422": "Refused, with problems",
    "428": "Send If-Match",
}
_FORMAT = {"type": "string", "enum": list(FORMATS), "default": "agentd"}
_EDIT = {
    "oneOf": [
        _object("add", add=_object("role", "text", role={"type": "string", "enum": list(ROLES)}, text=_TEXT)),
        _object(
            "replace", replace={"type": ["object", "array"], "description": "A conversation in any of the formats"}
        ),
        _object("keep", keep={"type": "integer", "minimum": 0, "maximum": MAX_ITEMS}),
    ]
}
_TOKEN = {
    "type": "object",
    "properties": {
        "room_name": {"type": "string"},
        "participant_name": {"type": "string"},
        "participant_identity": {"type": "string"},
        "participant_metadata": {"type": "string"},
        "participant_attributes": {"type": "object", "additionalProperties": {"type": "string"}},
        "room_config": {"type": "object", "description": "RoomConfiguration; only agents is taken"},
    },
}
_SESSION_ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
_AGENT_NAME = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]

OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "agentd", "version": agentd.__version__, "license": {"name": "Apache-2.0"}},
    "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    "security": [{"bearer": []}, {}],
    "paths": {
        "/livez": {"get": _operation("Whether the event loop answers", {"200": "Alive"})},
        "/readyz": {"get": _operation("Whether calls are taken", {"200": "Ready", "503": "Not ready, with reasons"})},
        "/metrics": {"get": _operation("Figures for Prometheus", {"200": "Text format 0.0.4"})},
        "/v1/status": {"get": _operation("The daemon in short", {"200": "Facts"})},
        "/v1/agents": {"get": _operation("Agents and their state", {"200": "Agents"})},
        "/v1/agents/{name}": {
            "parameters": _AGENT_NAME,
            "get": _operation("One agent with its definition, secrets masked", {"200": "Agent", "404": "Unknown"}),
            "put": {
                **_of_file("Create or change the agent's file", {"200": "Serves", "201": "Created", **_CHANGED}),
                "parameters": [_IF_MATCH, _IF_NONE_MATCH],
            },
            "delete": {
                **_operation("Delete the agent's file; its calls go on", {"200": "Deleted", **_CHANGED}),
                "parameters": [_IF_MATCH],
            },
        },
        "/v1/agents/validate": {
            "post": {
                **_of_file("Every problem of an agent's file, which is not kept", {"200": "Checked"}),
                "parameters": [{"name": "name", "in": "query", "schema": {"type": "string"}}],
            },
        },
        "/v1/dispatches": {
            "post": _operation(
                "Call an agent into a room",
                {"201": "Dispatched", "422": "No such agent", "503": "Nobody would come now"},
                body=_DISPATCH,
            ),
        },
        "/v1/agents/{name}/revisions": {
            "parameters": _AGENT_NAME,
            "get": _operation("Its revisions that served, newest first", {"200": "Revisions", "404": "Unknown"}),
        },
        "/v1/agents/{name}/rollback": {
            "parameters": _AGENT_NAME,
            "post": _operation(
                "Serve an earlier revision until the file is edited; a canary is taken out of its rollout",
                {"200": "Serving", "404": "Unknown", "409": "Nothing to go back to"},
                body=_object(to=_TEXT),
            ),
        },
        "/v1/plan": {"get": _operation("What a reload would do now", {"200": "The plan"})},
        "/v1/rollouts": {"get": _operation("Canaries and how they do", {"200": "Rollouts"})},
        "/v1/rollouts/{name}": {
            "parameters": _AGENT_NAME,
            "get": _operation("One of them", {"200": "Rollout", "404": "No canary"}),
        },
        "/v1/rollouts/{name}/promote": {
            "parameters": _AGENT_NAME,
            "post": _operation("Give it all calls of the other agent", {"200": "Rollout", "409": "It is over"}),
        },
        "/v1/rollouts/{name}/rollback": {
            "parameters": _AGENT_NAME,
            "post": _operation("Give it no calls any more", {"200": "Rollout", "409": "It is over"}),
        },
        "/v1/workers": {"get": _operation("Session workers", {"200": "Workers"})},
        "/v1/tools": {"get": _operation("Tools of the agents that serve", {"200": "Tools"})},
        "/v1/sinks": {"get": _operation("Where events are sent, and how that goes", {"200": "Event sinks"})},
        "/v1/budgets": {"get": _operation("What agents have used today of their budgets", {"200": "Budgets"})},
        "/v1/sessions": {"get": _operation("Calls under way", {"200": "Sessions"})},
        "/v1/sessions/{id}": {
            "parameters": _SESSION_ID,
            "get": _operation("One call", {"200": "Session", "404": "Unknown"}),
        },
        "/v1/sessions/{id}/journal": {
            "parameters": _SESSION_ID,
            "get": _operation(
                "All that a call's journal holds", {"200": "Records", "403": "No token", "404": "Unknown"}
            ),
        },
        "/v1/sessions/{id}/history": {
            "parameters": _SESSION_ID,
            "get": {
                **_operation("What the model knows of a call", {"200": "Items", "404": "Unknown"}),
                "parameters": [{"name": "format", "in": "query", "schema": _FORMAT}],
            },
            "post": _operation("Add to it, replace it, or cut it to its end", _TAKEN, body=_EDIT),
        },
        "/v1/sessions/{id}/approvals": {
            "parameters": _SESSION_ID,
            "get": _operation("Calls of tools that wait for an operator", {"200": "Approvals", "404": "Unknown"}),
        },
        "/v1/sessions/{id}/approvals/{approval}": {
            "parameters": [*_SESSION_ID, {"name": "approval", "in": "path", "required": True, "schema": _TEXT}],
            "post": _operation(
                "Approve or decline one", {**_TAKEN, "409": "Decided already"}, body=_object("approve", approve=_FLAG)
            ),
        },
        "/v1/sessions/{id}/say": {
            "parameters": [*_SESSION_ID, _WAIT],
            "post": _operation("Make the agent say a text", _SPOKEN, body=_SAY),
        },
        "/v1/sessions/{id}/generate_reply": {
            "parameters": [*_SESSION_ID, _WAIT],
            "post": _operation("Make the agent speak in the model's words", _SPOKEN, body=_GENERATE),
        },
        "/v1/sessions/{id}/interrupt": {
            "parameters": _SESSION_ID,
            "post": _operation("Stop what the agent says, and drop what waits", _TAKEN, body=_object(force=_FLAG)),
        },
        "/v1/sessions/{id}/commit_user_turn": {
            "parameters": _SESSION_ID,
            "post": _operation("End the caller's turn now", _TAKEN),
        },
        "/v1/sessions/{id}/clear_user_turn": {
            "parameters": _SESSION_ID,
            "post": _operation("Forget the caller's words of this turn", _TAKEN),
        },
        "/v1/sessions/{id}/transfer": {
            "parameters": _SESSION_ID,
            "post": _operation(
                "Put the caller through to a destination of the agent's file",
                _TAKEN,
                body=_object("destination", destination=_TEXT, summary=_TEXT),
            ),
        },
        "/v1/sessions/{id}/end": {
            "parameters": _SESSION_ID,
            "post": _operation("End the call, after `say` if it is given", _TAKEN, body=_object(say=_TEXT)),
        },
        "/v1/sessions/{id}/handoff": {
            "parameters": _SESSION_ID,
            "post": _operation(
                "Have another agent go on with the call at the end of this turn",
                {**_TAKEN, "422": "No such agent"},
                body=_HANDOFF,
            ),
        },
        "/v1/sessions/{id}/instructions": {
            "parameters": _SESSION_ID,
            "post": _operation("Tell the model more, or something else", _TAKEN, body=_INSTRUCTIONS),
        },
        "/v1/sessions/{id}/tools": {
            "parameters": _SESSION_ID,
            "post": _operation("Keep tools from the model, or let it have them again", _TAKEN, body=_TOOLS),
        },
        "/v1/sessions/{id}/mute": {
            "parameters": _SESSION_ID,
            "post": _operation("Let the agent not hear the callers, or say nothing", _TAKEN, body=_MUTE),
        },
        "/v1/sessions/{id}/unmute": {
            "parameters": _SESSION_ID,
            "post": _operation("Take this back", _TAKEN, body=_MUTE),
        },
        "/v1/sessions/{id}/variables": {
            "parameters": _SESSION_ID,
            "get": _operation("The variables of a call", {"200": "Variables", "404": "Unknown"}),
            "post": _operation("Set some of them", _TAKEN, body=_VARIABLES),
        },
        "/v1/sessions/{id}/speeches": {
            "parameters": _SESSION_ID,
            "get": _operation("What was asked of the call by this API", {"200": "Speeches", "404": "Unknown"}),
        },
        "/v1/sessions/{id}/speeches/{speech}": {
            "parameters": [*_SESSION_ID, {"name": "speech", "in": "path", "required": True, "schema": _TEXT}],
            "get": {**_operation("One of them", {"200": "Speech", "404": "Unknown"}), "parameters": [_WAIT]},
            "delete": {
                **_operation("Take it back", _TAKEN),
                "parameters": [{"name": "force", "in": "query", "schema": _FLAG}],
            },
        },
        "/v1/callbacks/{session}/{key}": {
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in ("session", "key")
            ],
            "post": _operation(
                "Bring the result of a tool's call that was answered with `pending`, with its own bearer token",
                {"204": "Taken", "401": "Another token", "409": "It has one", "410": "Too late", "503": "Again soon"},
            ),
        },
        "/v1/events": {
            "parameters": [
                {"name": name, "in": "query", "schema": schema}
                for name, schema in (("session", _TEXT), ("type", _TEXT), ("from", _FROM), ("follow", _FLAG))
            ],
            "get": _operation("What happens in the calls", {"200": "text/event-stream", "422": "No such type"}),
        },
        "/v1/reload": {"post": _operation("Read the files again", {"200": "Applied", "422": "Refused, with problems"})},
        "/v1/drain": {
            "get": _operation("How the drain goes, or went", {"200": "Its state, and calls that were cut"}),
            "post": _operation("Take no more calls and end with the last", {"202": "Draining"}),
        },
        "/v1/upgrade": {
            "post": _operation(
                "Let what is installed now take the daemon's place; calls go on", {"202": "Begun", "409": "Refused"}
            )
        },
        "/openapi.json": {"get": _operation("This document", {"200": "OpenAPI 3.1"})},
        "/": {"get": _operation("As livekit-agents' answers", {"200": "OK", "503": "Not registered"})},
        "/worker": {"get": _operation("As livekit-agents' answers", {"200": "The worker"})},
        "/v1/token": {
            "post": _operation("A caller's token (LiveKit's standard token endpoint)", {"201": "Token"}, body=_TOKEN)
        },
    },
}
