"""The API's description, for clients and their generators."""

from __future__ import annotations

from typing import Any

import agentd


def _operation(summary: str, answers: dict[str, str], *, body: dict[str, Any] | None = None) -> dict[str, Any]:
    responses = {status: {"description": text} for status, text in answers.items()}
    responses["default"] = {"description": "application/problem+json"}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if body:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


_SAY = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
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
        },
        "/v1/workers": {"get": _operation("Session workers", {"200": "Workers"})},
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
        "/v1/sessions/{id}/say": {
            "parameters": _SESSION_ID,
            "post": _operation("Make the agent say a text", {"202": "Taken", "404": "Unknown"}, body=_SAY),
        },
        "/v1/sessions/{id}/interrupt": {
            "parameters": _SESSION_ID,
            "post": _operation("Stop what the agent says", {"202": "Taken", "404": "Unknown"}),
        },
        "/v1/sessions/{id}/end": {
            "parameters": _SESSION_ID,
            "post": _operation("End the call", {"202": "Taken", "404": "Unknown"}),
        },
        "/v1/reload": {"post": _operation("Read the files again", {"200": "Applied", "422": "Refused, with problems"})},
        "/v1/drain": {"post": _operation("Take no more calls and end with the last", {"202": "Draining"})},
        "/v1/token": {
            "post": _operation("A caller's token (LiveKit's standard token endpoint)", {"201": "Token"}, body=_TOKEN)
        },
    },
}
