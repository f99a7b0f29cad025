"""What stands around a conversation, as the call's journal tells it: its people's labels, its task, its hooks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentd.tools.acts import Muted


@dataclass(slots=True)
class CallFold:
    """The fold over the records of these. Its fields are those of `agentd.session.restored.Restored`."""

    ended: bool = False
    end_reason: str = ""
    transfer: str = ""
    muted: set[Muted] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    entered: set[tuple[str, str]] = field(default_factory=set)
    callbacks: dict[str, int] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    task: Mapping[str, Any] | None = None
    tasks: int = 0
    usage: dict[str, int] = field(default_factory=dict)

    def on_session_ended(self, data: Mapping[str, Any]) -> None:
        self.ended = True
        self.end_reason = data.get("reason", "")

    def on_transfer(self, data: Mapping[str, Any]) -> None:
        self.transfer = data["destination"] if data["state"] in ("started", "answered") else ""

    def on_mute(self, data: Mapping[str, Any]) -> None:
        (self.muted.add if data["muted"] else self.muted.discard)(data["what"])

    def on_usage(self, data: Mapping[str, Any]) -> None:
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "characters"):
            self.usage[name] = self.usage.get(name, 0) + int(data[name] or 0)

    def on_caller_linked(self, data: Mapping[str, Any]) -> None:
        if "label" in data:
            self.labels[data["identity"]] = data["label"]

    def on_task_started(self, data: Mapping[str, Any]) -> None:
        self.task, self.tasks = data["state"], data["run"]

    def on_task_step(self, data: Mapping[str, Any]) -> None:
        self.task = data["state"]

    def on_task_ended(self, data: Mapping[str, Any]) -> None:
        self.task = None

    def on_hook_entered(self, data: Mapping[str, Any]) -> None:
        self.entered.add((data["hook"], data["event"]))

    def on_shutdown_added(self, data: Mapping[str, Any]) -> None:
        self.callbacks[data["ref"]] = data["hook"]

    def on_agent_attributes(self, data: Mapping[str, Any]) -> None:
        self.attributes.update(data["attributes"])
