"""A call that waits for somebody's consent, as the session, its journal and the admin API know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentd.config.consent import ConsentBy
from agentd.providers.llm import ToolCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`digest`: of the tool and its arguments, to which the answer is bound. `identity`: of the caller whose turn led
    to the call, and whose answer counts. `turn`: the last one when it was asked."""

    id: str
    call: ToolCall
    digest: str
    identity: str
    by: ConsentBy
    text: str
    turn: int
    expires_s: float

    @property
    def granted_call(self) -> ToolCall:
        """The call as it is made once it was agreed to."""
        return replace(self.call, id=self.id)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Question:
        """From the record that it was asked."""
        return cls(
            id=data["id"],
            call=ToolCall(id="", name=data["tool"], arguments=data["arguments"]),
            digest=data["digest"],
            identity=data["identity"],
            by=data["by"],
            text=data["text"],
            turn=data["turn"],
            expires_s=data["expires_s"],
        )
