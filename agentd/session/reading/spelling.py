"""Letters that are spelled: "J A N E", "b as in bravo", "double l", "Berta Anton"."""

from __future__ import annotations

from collections.abc import Sequence

from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.tokens import Token, longest


def spelled_run(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[str, int]:
    """The letters from there on and where they end, case as one writes a word in small letters. A single letter or
    letter word counts; whether it is a word of its own is for the caller to judge."""
    found = ""
    end = at
    while at < len(said):
        if said[at].text in ("-", ".") and found:  # J-A-N-E, J.A.N.E.
            at += 1
            continue
        repeat = lexicon.repeats.get(said[at].text, 1)
        here = at + 1 if repeat > 1 else at
        letter, taken = _letter(said, here, lexicon)
        if not letter:
            break
        found += letter * repeat
        at = here + taken
        end = at
    return found, end


def _letter(said: Sequence[Token], at: int, lexicon: Lexicon) -> tuple[str, int]:
    if at >= len(said):
        return "", 0
    word = said[at].text
    if word in lexicon.letters:
        return lexicon.letters[word], 1
    if len(word) != 1 or not word.isalpha():
        return "", 0
    link = longest(said, at + 1, lexicon.spelled_as)
    example = at + 1 + link
    if link and example < len(said) and said[example].text.startswith(word) and len(said[example].text) > 1:
        return word, link + 2
    return word, 1


def clearly_spelled(said: Sequence[Token], at: int, end: int, lexicon: Lexicon) -> bool:
    """Whether the words there are letters beyond doubt: none is a name or a word of its own, or there are many."""
    words = [token for token in said[at:end] if token.is_word]
    return len(words) >= 2 and (not any(token.text in lexicon.ambiguous_letters for token in words) or len(words) >= 4)
