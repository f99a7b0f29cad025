"""Who said something, and whether it may count as the answer to a question that was put to somebody. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_LIKE_A_LABEL = re.compile("^([^\\S\n]*)[\\[\uff3b\u3010\u3014\u27e6]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """One of several people in a conversation. `identity`: the participant's; `label`: what models read, unique in the
    call and safe to read. `other_voice`: somebody else at that participant's microphone."""

    identity: str
    label: str
    other_voice: bool = False

    @property
    def prefix(self) -> str:
        return f"[{self.label}] "


def labelled(speaker: Speaker | None, text: str) -> str:
    """The text as models read it: behind its speaker's label, and with no line that looks as if it bore another."""
    if speaker is None:
        return text
    return speaker.prefix + _LIKE_A_LABEL.sub(r"\1(", _LINE_ENDS.sub("\n", text))


def may_answer(speaker: Speaker | None, addressee: Speaker | None) -> bool:
    """Whether a turn of `speaker` may count as the answer to a question that was put to `addressee`.

    `speaker` None: the only caller. `addressee` None: the question was put to whoever is there, and any participant may
    answer it. Another voice at somebody's microphone answers nothing that was not put to it.
    """
    if speaker is not None and speaker.other_voice:
        return addressee is not None and addressee.other_voice and addressee.identity == speaker.identity
    if addressee is None:
        return True
    return speaker is not None and not addressee.other_voice and speaker.identity == addressee.identity
