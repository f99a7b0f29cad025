"""What a call has changed of what the agent that has it tells its model. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentd.tools.acts import UpdateInstructions

APPENDED = 50  # texts; of more the oldest go


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustments:
    """`replaced`: instead of the agent's own instructions; `appended`: behind them."""

    replaced: str | None = None
    appended: tuple[str, ...] = ()

    def instructions(self, own: str) -> str:
        """What the model is told, where the agent's own instructions read so."""
        parts = (own if self.replaced is None else self.replaced, *self.appended)
        return "\n\n".join(part for part in parts if part)

    def with_(self, act: UpdateInstructions) -> Adjustments:
        if act.edit == "replace":
            return replace(self, replaced=act.text, appended=())
        return replace(self, appended=(*self.appended, act.text)[-APPENDED:])
