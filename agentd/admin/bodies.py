"""What requests to the API hold, as JSON schemas: bodies and parameters."""

from __future__ import annotations

from typing import Any

from agentd.admin.acts import ENTERS, MAX_CHARACTERS, MAX_VARIABLES, MUTED, PRIORITIES
from agentd.admin.dispatches import MAX_METADATA, MAX_NAME
from agentd.admin.history import FORMATS, MAX_ITEMS, ROLES
from agentd.config.handoffs import HISTORY_PATTERN


def closed(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


TEXT = {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS}
FLAG = {"type": "boolean"}
PRIORITY = {"type": "string", "enum": list(PRIORITIES), "default": "normal"}
FROM = {"type": "string", "enum": ["kept", "now"], "default": "kept"}
SAY = closed("text", text=TEXT, priority=PRIORITY, interruptible=FLAG, add_to_history=FLAG)
GENERATE = closed(instructions=TEXT, user_input=TEXT, priority=PRIORITY, interruptible=FLAG)
HISTORY = {"type": "string", "pattern": f"^({HISTORY_PATTERN})$", "default": "full"}
ENTER = {"type": "string", "enum": list(ENTERS), "default": "auto"}
HANDOFF = closed("agent", agent=TEXT, history=HISTORY, say=TEXT, variables={"type": "object"}, enter=ENTER)
INSTRUCTIONS = {"oneOf": [closed("append", append=TEXT), closed("replace", replace=TEXT)]}
NAMES = {"type": "array", "items": {"type": "string"}}
TOOLS = closed(enable=NAMES, disable=NAMES)
MUTE = closed("what", what={"type": "string", "enum": list(MUTED)})
INTERRUPT = closed(force=FLAG)
TRANSFER = closed("destination", destination=TEXT, summary=TEXT)
END = closed(say=TEXT)
APPROVAL = closed("approve", approve=FLAG)
ROLLBACK = closed(to=TEXT)
VARIABLES = closed("set", set={"type": "object", "minProperties": 1, "maxProperties": MAX_VARIABLES})
DISPATCH = closed(
    "agent",
    agent=TEXT,
    room={"type": "string", "maxLength": MAX_NAME},
    metadata={"type": "string", "maxLength": MAX_METADATA},
    variables={"type": "object", "description": "In the place of metadata"},
)
AGENT_FILE = {"type": "object", "description": "An agent's file, schemas/agent.schema.json"}
IF_MATCH = {"name": "If-Match", "in": "header", "schema": {"type": "string"}}
IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": {"type": "string", "enum": ["*"]}}
FORMAT = {"type": "string", "enum": list(FORMATS), "default": "agentd"}
EDIT = {
    "oneOf": [
        closed("add", add=closed("role", "text", role={"type": "string", "enum": list(ROLES)}, text=TEXT)),
        closed("replace", replace={"type": ["object", "array"], "description": "A conversation in any of the formats"}),
        closed("keep", keep={"type": "integer", "minimum": 0, "maximum": MAX_ITEMS}),
    ]
}
TOKEN = {
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
LAST_EVENT = {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}
