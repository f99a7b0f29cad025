"""A session's records as spans, under OpenTelemetry's conventions for generative AI. Pure.

    invoke_agent AGENT         the session, for each process that held it
      turn                     from the end of what the caller said to the end of the answer
        chat PROVIDER          a request to a language model; stt, tts and others by their kind
        execute_tool TOOL

Names and attributes are those of the semantic conventions where there are any; what is agentd's own begins with
`agentd.`. What people said is only under `lk.pii.`, and only where it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.session.records import Record

Value = str | int | float | bool
_OPERATIONS = {"llm": "chat"}
_TOKENS = {"prompt_tokens": "gen_ai.usage.input_tokens", "completion_tokens": "gen_ai.usage.output_tokens"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`key`: unique in its session; `parent`: another's key, "" for the root. Times are unix seconds. `error`: the kind
    of failure, "" for none."""

    name: str
    kind: Literal["internal", "client"] = "internal"
    key: str
    parent: str = ""
    start: float
    end: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class _Open:
    """A span that has not ended."""

    key: str
    start: float
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Spans:
    """The fold over one session's records. `models`: what is asked of each provider, by kind and provider, where it is
    known. `content`: whether what was said is told."""

    session: str
    agent: str
    content: bool = False
    models: Mapping[tuple[str, str], str] = field(default_factory=dict)
    _root: _Open | None = None
    _turn: _Open | None = None
    _tools: dict[str, _Open] = field(default_factory=dict)
    _number: int = 0

    def take(self, record: Record) -> list[Span]:
        """The spans that end with this record."""
        data, at = record.data, record.at
        match record.kind:
            case "session.started" | "session.resumed":
                self._began(at, data)
            case "turn.user":
                ended = self._end_turn(at)
                self._begin_turn(at, data)
                return ended
            case "turn.agent":
                return self._answered(at, data)
            case "provider":
                return [self._provider(at, data)]
            case "usage":
                self._used(data)
            case "tool.called":
                told = {"lk.pii.tool.arguments": str(data["arguments"])} if self.content else {}
                self._tools[data["id"]] = _Open(self._key("tool"), at, dict(told))
            case "tool.completed":
                return self._tool(at, data)
            case "session.ended":
                return [*self._end_turn(at), *self._end(at, data)]
        return []

    def _began(self, at: float, data: Mapping[str, Any]) -> None:
        incarnation = int(data.get("incarnation", 1))
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self.agent,
            "gen_ai.conversation.id": self.session,
            "agentd.incarnation": incarnation,
        }
        if data.get("revision"):
            attributes["agentd.revision"] = str(data["revision"])
        self._root = _Open(f"session {incarnation}", at, attributes)

    def _begin_turn(self, at: float, data: Mapping[str, Any]) -> None:
        attributes: dict[str, Value] = {"agentd.turn": int(data["turn"]), "agentd.turn.rule": str(data["rule"])}
        if data.get("language"):
            attributes["agentd.language"] = str(data["language"])
        if self.content:
            attributes["lk.pii.user.text"] = str(data["text"])
        self._turn = _Open(self._key("turn"), at - float(data.get("delay_s") or 0.0), attributes)

    def _answered(self, at: float, data: Mapping[str, Any]) -> list[Span]:
        """What nobody asked for (a greeting) is no turn of the caller's."""
        turn = self._turn
        if turn is None or data.get("purpose") != "answer":
            return []
        turn.attributes |= {f"agentd.latency.{stage}": float(s) for stage, s in (data.get("latencies") or {}).items()}
        turn.attributes["agentd.interrupted"] = bool(data.get("interrupted"))
        if self.content:
            turn.attributes["lk.pii.agent.text"] = str(data["text"])
        return self._end_turn(at)

    def _provider(self, at: float, data: Mapping[str, Any]) -> Span:
        kind, provider, outcome = str(data["kind"]), str(data["provider"]), str(data["outcome"])
        operation = _OPERATIONS.get(kind, kind)
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": provider,
            "agentd.provider.kind": kind,
            "agentd.outcome": outcome,
        }
        model = self.models.get((kind, provider), "")
        if model:
            attributes["gen_ai.request.model"] = model
        return Span(
            name=f"{operation} {model or provider}",
            kind="client",
            key=self._key("provider"),
            parent=self._parent,
            start=at - float(data.get("duration_s") or 0.0),
            end=at,
            attributes=attributes,
            error="" if outcome in ("ok", "aside") else outcome,
        )

    def _used(self, data: Mapping[str, Any]) -> None:
        for each in (self._turn, self._root):
            for name, attribute in _TOKENS.items():
                if each is not None and data.get(name):
                    each.attributes[attribute] = int(each.attributes.get(attribute, 0)) + int(data[name])

    def _tool(self, at: float, data: Mapping[str, Any]) -> list[Span]:
        opened = self._tools.pop(data["id"], None)
        if opened is None:
            return []
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": str(data["name"]),
            "gen_ai.tool.call.id": str(data["id"]),
            "agentd.outcome": str(data.get("outcome", "ok")),
            **opened.attributes,
        }
        if self.content:
            attributes["lk.pii.tool.result"] = str(data["content"])
        error = str(data.get("outcome") or "error") if data.get("is_error") else ""
        name = f"execute_tool {data['name']}"
        span = Span(
            name=name,
            key=opened.key,
            parent=self._parent,
            start=opened.start,
            end=at,
            attributes=attributes,
            error=error,
        )
        return [span]

    def _end_turn(self, at: float) -> list[Span]:
        turn, self._turn = self._turn, None
        if turn is None:
            return []
        parent = self._root.key if self._root else ""
        return [Span(name="turn", key=turn.key, parent=parent, start=turn.start, end=at, attributes=turn.attributes)]

    def _end(self, at: float, data: Mapping[str, Any]) -> list[Span]:
        root, self._root = self._root, None
        if root is None:
            return []
        reason = str(data.get("reason", ""))
        return [
            Span(
                name=f"invoke_agent {self.agent}",
                key=root.key,
                start=root.start,
                end=at,
                attributes={**root.attributes, "agentd.reason": reason},
                error=reason if reason.startswith("error") else "",
            )
        ]

    @property
    def _parent(self) -> str:
        opened = self._turn or self._root
        return opened.key if opened else ""

    def _key(self, what: str) -> str:
        self._number += 1
        root = self._root.key if self._root else ""
        return f"{root} {what} {self._number}"


def trace_id(session: str) -> int:
    """The same for every process that holds the call."""
    return int.from_bytes(hashlib.sha256(session.encode()).digest()[:16], "big")


def span_id(session: str, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{session} {key}".encode()).digest()[:8], "big")
