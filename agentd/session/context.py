"""The conversation within its budget: what is too old for it is forgotten, and the journal says so."""

from __future__ import annotations

from agentd.providers.llm import ChatItem
from agentd.session.attempts import Recorder
from agentd.session.budget import fit
from agentd.session.history import History


def fitted(
    history: History, following: tuple[ChatItem, ...], budget_tokens: int | None, record: Recorder
) -> tuple[ChatItem, ...]:
    """What a request holds of the history and of what follows it."""
    items = (*history.items(), *following)
    if budget_tokens is None:
        return items
    found = fit(items, budget_tokens, history.settled())
    if found.oldest or found.later:
        history.forget(found.oldest)
        record(
            "context.truncated",
            items=found.oldest,
            later=found.later,
            tokens_before=found.tokens_before,
            tokens=found.tokens,
            rule="history_tokens",
            value=f"limits.history_tokens={budget_tokens}",
        )
    return found.items
