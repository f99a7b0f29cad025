"""The agent that has a call, as the call's journal tells it: who, as of which revision, changed how. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.session.adjustments import Adjustments
from agentd.tools.acts import HandOff, UpdateInstructions


@dataclass(slots=True)
class AgentFold:
    """The fold over the records of it. Its fields are those of `agentd.session.restored.Restored`."""

    agents: list[str] = field(default_factory=list)
    revision: str = ""
    instructions_append: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    assigned: dict[str, Any] = field(default_factory=dict)
    language: str = ""
    first_hook: int = 0
    adjustments: Adjustments = field(default_factory=Adjustments)
    tools: dict[str, Any] = field(default_factory=dict)
    handoff: HandOff | None = None

    def on_session_started(self, data: Mapping[str, Any]) -> None:
        self.variables.update(data.get("variables", {}))
        self.agents = [data["agent"]] if "agent" in data else []
        self.revision = data.get("revision", "")

    def on_session_requested(self, data: Mapping[str, Any]) -> None:
        self.instructions_append = data["instructions_append"]

    def on_variables(self, data: Mapping[str, Any]) -> None:
        self.variables.update(data["values"])
        self.assigned.update(data["values"])

    def on_language(self, data: Mapping[str, Any]) -> None:
        self.language = data["language"]

    def on_tools_changed(self, data: Mapping[str, Any]) -> None:
        self.tools |= data["changes"]

    def on_handoff_asked(self, data: Mapping[str, Any]) -> None:
        self.handoff = HandOff(**data)

    def on_decision(self, data: Mapping[str, Any]) -> None:
        if data["action"] == "RefuseHandoff" and data["rule"] != "handoff_under_way":
            self.handoff = None

    def on_agent_entered(self, data: Mapping[str, Any]) -> None:
        self.handoff = None
        self.agents.append(data["agent"])
        self.revision = data["revision"]
        self.variables = dict(data["variables"])
        self.language = data["language"]
        self.first_hook = data["first_hook"]
        self.adjustments = Adjustments()
        self.tools = {}

    def on_agent_edited(self, data: Mapping[str, Any]) -> None:
        self.revision = data["revision"]
        self.variables = dict(data["variables"])
        self.language = data["language"]
        self.first_hook = data["first_hook"]

    def on_agent_adjusted(self, data: Mapping[str, Any]) -> None:
        self.adjustments = self.adjustments.with_(UpdateInstructions(text=data["text"], edit=data["edit"]))
