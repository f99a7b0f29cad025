"""How a call went, from its records: what decides whether its definition is any good. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.session.records import Record
from agentd.session.timing import TOTAL

GAPS_KEPT = 500  # of one call: two hours at one answer each 15 s
FAULTS_KEPT = 5
_AT_START = frozenset({"session_started", "participant_linked"})
_BROKEN = frozenset({"crashed", "timeout"})
_FAILED_TOOL = frozenset({"error", "timeout", "crashed"})
_SPOKEN_BY = ("llm", "tts", "realtime")
NOT_JOURNALED = "error_JournalError"
_NOT_ITS_DOING = frozenset(
    {"error_RoomLost", "error_RegistrationRefused", "error_TransportError", NOT_JOURNALED, "cancelled"}
)
"""Reasons of a failed call that say nothing of its definition: LiveKit's, the network's, and the disk's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOutcome:
    """`answers`: replies to the caller that were heard and that no failure of a provider marred. `replies`: all that
    was heard of the agent. `gaps`: the silence before each answer, in seconds. `faults`: what went wrong before the
    first answer."""

    answers: int = 0
    replies: int = 0
    interrupted: int = 0
    tools: int = 0
    tools_failed: int = 0
    gaps: tuple[float, ...] = ()
    faults: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


NOTHING_KNOWN = SessionOutcome()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one call says of its definition; `neutral`: the caller left before anything could be told."""

    result: Literal["good", "failed", "neutral"]
    fault: str = ""


def verdict(outcome: SessionOutcome, reason: str, *, failed: bool) -> Verdict:
    """`reason`: why the call ended; `failed`: it did not end by itself."""
    if failed and reason not in _NOT_ITS_DOING:
        return Verdict("failed", reason)
    if outcome.faults:
        return Verdict("failed", outcome.faults[0])
    if outcome.answers:
        return Verdict("good")
    if outcome.refused:
        return Verdict("failed", f"{outcome.refused[0]} refused")
    return Verdict("failed", "nothing but errors") if reason == "error" else Verdict("neutral")


@dataclass(slots=True)
class Tally:
    """The fold over one session's records. A later incarnation's has no beginning: what fails in it is not `faults`."""

    beginning: bool = True
    answers: int = 0
    replies: int = 0
    interrupted: int = 0
    tools: int = 0
    tools_failed: int = 0
    gaps: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    marred: bool = False  # a provider has failed since the last reply began

    def take(self, record: Record) -> None:
        data = record.data
        match record.kind:
            case "reply.started":
                self.marred = False
            case "error" if str(data.get("where", "")).startswith(_SPOKEN_BY):
                self.marred = True
            case "turn.agent":
                self._reply(data)
            case "tool.completed":
                self._tool(str(data.get("name", "")), str(data.get("outcome", "ok")))
            case "hook.completed" if data.get("event") in _AT_START and data.get("outcome") not in ("ok", "cancelled"):
                self._fault(f"hook on {data.get('on')}: {data.get('outcome')}")
            case "provider" if data.get("outcome") == "refused":
                self.refused = [*self.refused, f"{data.get('kind')} {data.get('provider')}"][:FAULTS_KEPT]

    def _reply(self, data: Mapping[str, Any]) -> None:
        latencies = data.get("latencies") or {}
        if not data.get("text"):
            return
        self.replies += 1
        self.interrupted += bool(data.get("interrupted"))
        self.answers += data.get("purpose") in ("answer", "reply") and not self.marred
        if TOTAL in latencies and len(self.gaps) < GAPS_KEPT:
            self.gaps.append(float(latencies[TOTAL]))

    def _tool(self, name: str, outcome: str) -> None:
        """A tool that answers with an error may well be right; one that crashes or hangs is not."""
        self.tools += outcome != "cancelled"
        self.tools_failed += outcome in _FAILED_TOOL
        if outcome in _BROKEN:
            self._fault(f"tool {name}: {outcome}")

    def _fault(self, fault: str) -> None:
        if self.beginning and not self.answers and len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    def outcome(self) -> SessionOutcome:
        return SessionOutcome(
            answers=self.answers,
            replies=self.replies,
            interrupted=self.interrupted,
            tools=self.tools,
            tools_failed=self.tools_failed,
            gaps=tuple(self.gaps),
            faults=tuple(self.faults),
            refused=tuple(self.refused),
        )
