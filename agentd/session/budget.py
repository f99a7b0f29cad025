"""What of a conversation the model is shown, when it has grown beyond its budget. Pure.

Tokens are estimated, because a vocabulary is a provider's own, and megabytes of memory. The estimate errs to the high
side for every script (docs/decisions/context-budget.md has the figures), so what fits here fits the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from agentd.providers.chat import ChatContext, Entry, is_pinned, units
from agentd.providers.llm import ChatItem, Message, ToolCall, ToolResult

CUT_TO = 0.8
"""What is cut is cut to this share of the budget, so that the beginning of the request stays the same for some turns
and the provider's prompt cache holds."""

_ITEM_TOKENS = 4  # role and separators around an item, as OpenAI counts them
_ALPHABETIC = re.compile("[\u0080-\u058f\u1e00-\u1fff]")  # Latin with marks, Greek, Cyrillic, Armenian
_ASCII = re.compile(r"[A-Za-z]+|[^A-Za-z\s\u0080-\U0010ffff]|\n+| {2,}")


def estimate_tokens(text: str) -> int:
    """Tokens of a text, high rather than low: 4 ASCII letters each (3 where the text has others too), digits and marks
    one each, a letter of another alphabet one, anything else (Chinese, Korean, Thai, Hindi, emoji) two."""
    per_token = 4 if text.isascii() else 3
    tokens = sum(ceil(len(piece) / per_token) if piece.isalpha() else 1 for piece in _ASCII.findall(text))
    if not text.isascii():
        alphabetic = len(_ALPHABETIC.findall(text))
        others = sum(1 for c in text if c > "\x7f") - alphabetic
        tokens += alphabetic + 2 * others
    return tokens


def item_tokens(item: ChatItem) -> int:
    match item:
        case Message(text=text):
            return _ITEM_TOKENS + estimate_tokens(text)
        case ToolCall(id=call_id, name=name, arguments=arguments):
            return _ITEM_TOKENS + estimate_tokens(f"{call_id} {name} {arguments}")
        case ToolResult(call_id=call_id, content=content):
            return _ITEM_TOKENS + estimate_tokens(f"{call_id} {content}")


def total_tokens(items: Iterable[ChatItem]) -> int:
    return sum(map(item_tokens, items))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """`items` are shown. `oldest`: how many of the oldest were left out, system messages not counted; they are past and
    may be forgotten. `later`: how many of the caller's current turn, for this request only.
    `tokens` may exceed the budget: system messages, the caller's last turn and the last results are always shown."""

    items: tuple[ChatItem, ...]
    tokens_before: int
    tokens: int
    oldest: int = 0
    later: int = 0


def fit(items: Sequence[ChatItem], budget_tokens: int, settled: int | None = None) -> Fitted:
    """The newest part of the conversation that the budget holds. Left out, oldest first and each tool call with its
    results: of the first `settled` items those before the caller's last turn, up to where a turn of the caller begins
    and down to `CUT_TO`; where that is not enough, of the caller's last turn all but their words and the last results.
    """
    before = total_tokens(items)
    if before <= budget_tokens:
        return Fitted(items=tuple(items), tokens_before=before, tokens=before)
    groups = list(units(ChatContext.of(items).entries))
    turn = max((n for n, group in enumerate(groups) if _is_user(group)), default=len(groups))
    left_out = _oldest(groups[:turn], len(items) if settled is None else settled, before - CUT_TO * budget_tokens)
    tokens = before - _weight(groups, left_out)
    later: set[int] = set()
    for number in range(turn + 1, len(groups) - 1):
        if tokens > budget_tokens and not is_pinned(groups[number][0].item):
            later.add(number)
            tokens -= _weight(groups, {number})
    kept = [group for number, group in enumerate(groups) if number not in left_out | later]
    return Fitted(
        items=tuple(entry.item for group in kept for entry in group),
        tokens_before=before,
        tokens=tokens,
        oldest=sum(len(groups[number]) for number in left_out),
        later=sum(len(groups[number]) for number in later),
    )


def _oldest(groups: Sequence[tuple[Entry, ...]], settled: int, excess: float) -> set[int]:
    """The first groups that weigh the excess or more, and the rest of the exchange in which that ends."""
    left_out: set[int] = set()
    at = 0
    for number, group in enumerate(groups):
        at += len(group)
        if at > settled or (excess <= 0 and _is_user(group)):
            break
        if not is_pinned(group[0].item):
            left_out.add(number)
            excess -= _weight(groups, {number})
    return left_out


def _weight(groups: Sequence[tuple[Entry, ...]], numbers: set[int]) -> int:
    return sum(item_tokens(entry.item) for number in numbers for entry in groups[number])


def _is_user(group: tuple[Entry, ...]) -> bool:
    item = group[0].item
    return isinstance(item, Message) and item.role == "user"
