"""What calls use, as their worker tells the supervisor: read from their records. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agentd.session.records import Record

_MODELS = ("llm", "realtime")
"""Kinds whose tokens are counted: whichever answered last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What one provider was asked for; "" when no record has named it. `input_tokens` holds `cached_tokens`."""

    provider: str
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUsed:
    """Worker -> supervisor: what a call has used since it was last told. `caller`: the linked one's identity."""

    session: str
    amounts: tuple[Amount, ...] = ()
    caller: str = ""


@dataclass(slots=True)
class _Open:
    caller: str = ""
    answering: dict[str, str] = field(default_factory=dict)  # kind -> who answered last
    amounts: list[Amount] = field(default_factory=list)
    told: bool = True

    def answered(self, kind: str, provider: str) -> None:
        """A call that is handed over may have a realtime model first, and a language model then, or both in turn."""
        for other in _MODELS if kind in _MODELS else ():
            self.answering.pop(other, None)
        self.answering[kind] = provider


class UsageMeter:
    """For all calls of a worker. A usage record does not name its provider: the record of the request that was
    answered, which comes before it, does."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def take(self, session: str, record: Record) -> None:
        data = record.data
        match record.kind:
            case "provider" if data["outcome"] == "ok" and data["kind"] in ("llm", "tts", "realtime"):
                self._of(session).answered(data["kind"], str(data["provider"]))
            case "caller.linked" if not self._of(session).caller:
                self._of(session).caller, self._of(session).told = str(data["identity"]), False
            case "usage":
                entry = self._of(session)
                entry.amounts.append(amount(record, entry.answering))
                entry.told = False

    def drain(self) -> Iterable[SessionUsed]:
        """What was not told yet."""
        for session, entry in self._open.items():
            if not entry.told:
                amounts, entry.amounts, entry.told = tuple(entry.amounts), [], True
                yield SessionUsed(session=session, amounts=amounts, caller=entry.caller)

    def forget(self, session: str) -> None:
        self._open.pop(session, None)

    def _of(self, session: str) -> _Open:
        return self._open.setdefault(session, _Open())


def amount(record: Record, answering: dict[str, str]) -> Amount:
    """Of a usage record."""
    data = record.data
    kinds = ("tts",) if data.get("characters") else _MODELS
    return Amount(
        provider=next((answering[kind] for kind in kinds if kind in answering), ""),
        input_tokens=int(data.get("prompt_tokens") or 0),
        cached_tokens=int(data.get("cached_tokens") or 0),
        output_tokens=int(data.get("completion_tokens") or 0),
        characters=int(data.get("characters") or 0),
    )
