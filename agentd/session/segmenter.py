"""A model's text, as it streams, cut into sentences to be spoken. Pure.

Sentences, because synthesis needs them whole for their melody; the first may be cut at a clause, because the
caller waits for it. Markdown, emoji and other things that are written but not said are taken out here, so that
captions and history hold the words that were spoken. Expressive markup (`agentd.session.markup`) stays: it is for
synthesis, which is why a segment is a marked text.
"""

from __future__ import annotations

import re

from agentd.session.markup import TAG, plain

FIRST_CLAUSE_CHARS = 40
"""From this length on, the first segment may end at a comma: about 2.5 s of speech, enough to make the rest in."""

LONGEST_SEGMENT_CHARS = 240
"""A run without any end of sentence is cut at a space: synthesisers refuse or garble much longer input."""

_ABBREVIATIONS = frozenset(
    {
        *(
            "mr",
            "mrs",
            "ms",
            "dr",
            "prof",
            "sr",
            "jr",
            "st",
            "rev",
            "hon",
            "gen",
            "gov",
            "sen",
            "rep",
            "capt",
            "col",
            "sgt",
        ),
        *("vs", "etc", "inc", "ltd", "co", "no", "approx", "dept", "est", "fig"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
        *("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        *("e.g", "i.e", "a.m", "p.m", "ph.d", "u.s", "u.k", "u.a", "z.b", "d.h"),
        *("bzw", "usw", "ca", "nr", "str", "mme", "mlle", "sra", "dra"),
    }
)
_CJK_ENDS = "。！？｡"
_END = re.compile(
    rf"(?:[.!?…]+[\"'”’)\]]*(?=\s)|[{_CJK_ENDS}][」』”’)]*(?=[^」』”’)])|\n\s*\n|\n(?=\s*(?:[-*•]|\d+[.)])\s))"
)
_CLAUSE = re.compile(r"[,;:](?=\s)|[，、；：]|\s[–—](?=\s)")
_LAST_WORD = re.compile(r"(\S+?)[.]+[\"'”’)\]]*$")


class Segmenter:
    """Takes deltas, answers finished segments, spoken form, markup in it. One reply each."""

    def __init__(self) -> None:
        self._text = ""
        self._first = True
        self._markup = ""  # of a segment without words: it goes to the next one

    def push(self, delta: str) -> list[str]:
        self._text += delta
        segments = []
        while (end := self._end()) is not None:
            segments.append(self._text[:end])
            self._text = self._text[end:]
        return self._spoken(segments)

    def flush(self) -> list[str]:
        """The rest, at the end of the model's answer."""
        rest, self._text = self._text, ""
        return self._spoken([rest])

    def _spoken(self, segments: list[str]) -> list[str]:
        spoken = []
        for segment in segments:
            text = speakable(self._markup + segment)
            self._markup = "" if text else "".join(tag.group() for tag in TAG.finditer(self._markup + segment))
            spoken += [text] if text else []
        self._first = self._first and not spoken
        return spoken

    def _end(self) -> int | None:
        if "```" in self._text and self._text.count("```") % 2:
            return None  # inside a code block: wait for its end, then it is dropped as a whole
        for match in _END.finditer(self._text):
            if self._ends_sentence(match):
                return match.end()
        if self._first:
            for match in _CLAUSE.finditer(self._text):
                if match.end() >= FIRST_CLAUSE_CHARS:
                    return match.end()
        if len(self._text) > LONGEST_SEGMENT_CHARS:
            space = self._text.rfind(" ", 0, LONGEST_SEGMENT_CHARS)
            tag = self._text.rfind("<", 0, max(space, 0))
            if tag > 0 and self._text.find(">", tag) > space:  # not within a tag
                return tag
            return space + 1 if space > 0 else LONGEST_SEGMENT_CHARS
        return None

    def _ends_sentence(self, match: re.Match[str]) -> bool:
        """A full stop after an abbreviation, an initial or a list number ends nothing."""
        mark = match.group()
        if not mark.startswith(".") or mark.startswith(".."):
            return True
        last = _LAST_WORD.search(self._text[: match.end()])
        if last is None:
            return True
        word = last.group(1).lstrip("\"'“‘([").casefold()
        if word in ("a.m", "p.m", "etc"):
            return self._text[match.end() :].lstrip()[:1].isupper()
        initial = len(word) == 1 and word.isalpha() and word != "i"
        number = word.isdigit() and not self._text[: match.end() - len(mark) - len(word)].strip()
        return not (word in _ABBREVIATIONS or initial or number)


_KEPT = "\ue000"  # a private character: stands for a tag while the rest is taken out
_DROPPED = re.compile(r"```.*?```|<[^<>\n]{1,80}>|!\[[^\]]*\]\([^)]*\)", re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_LINE_START = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|\|)", re.MULTILINE)
_RULE = re.compile(r"^[ \t]*(?:[-*_=][ \t]*){3,}$|^[ \t]*\|?[-:| ]{4,}\|?[ \t]*$", re.MULTILINE)
_EMPHASIS = re.compile(r"(\*{1,3}|_{1,3}|~~|`)(?=\S)(.+?)(?<=\S)\1(?![A-Za-z0-9])", re.DOTALL)
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\U00002600-\U000027bf\U0001f1e6-\U0001f1ff\u2190-\u21ff\u2b00-\u2bff\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+"
)


def speakable(text: str) -> str:
    """The text as it is said: without markdown, emoji, links' addresses and code; markup stays. Empty without words."""
    if not any(c.isalnum() for c in plain(text)):
        return ""
    tags = [match.group() for match in TAG.finditer(text)]
    text = TAG.sub(_KEPT, text.replace(_KEPT, " "))
    text = _said(text)
    for tag in tags:
        text = text.replace(_KEPT, tag, 1)
    return text if any(c.isalnum() for c in plain(text)) else ""


def _said(text: str) -> str:
    text = _DROPPED.sub(" ", text)
    text = _LINK.sub(r"\1", text)
    text = _RULE.sub(" ", text)
    text = _LINE_START.sub("", text)
    for _ in range(3):  # emphasis nests: ***bold and italic***
        text = _EMPHASIS.sub(r"\2", text)
    text = _EMOJI.sub(" ", text).replace("|", " ")
    text = re.sub(r"\s+", " ", text).strip()
    return re.sub(r"\s+([,.!?;:])(?=\s|$)", r"\1", text)
