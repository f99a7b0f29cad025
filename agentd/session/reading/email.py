"""E-mail addresses: written, said ("jane dot doe at example dot com") and spelled."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.numerals import digit_run, is_numeral
from agentd.session.reading.spelling import clearly_spelled, spelled_run
from agentd.session.reading.tokens import Token, longest

SPELLED_WORDS = 3
_LOCAL = re.compile(r"[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9])?|[a-z0-9]")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TOP = re.compile(r"[a-z]{2,24}")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def read_email(heard: Heard) -> Read:
    """Sure where it was spelled or written, and its domain is no near miss of a common one."""
    text, spelled = _assembled(heard.words, heard.lexicon)
    local, at, domain = text.rpartition("@")
    if not at:
        said_one = any(longest(heard.words, n, heard.lexicon.at) for n in range(len(heard.words)))
        return Unread("incomplete") if said_one or "." in text else NOTHING
    if not local or "." not in domain:
        return Unread("incomplete")
    if not _good(local, domain):
        return Unread("not_valid")
    near = get_close_matches(domain, heard.lexicon.domains, 1, cutoff=0.85)
    odd = bool(near) and domain not in heard.lexicon.domains
    return Value(f"{local}@{domain}", read_out(f"{local}@{domain}", heard.lexicon), sure=spelled and not odd)


def _good(local: str, domain: str) -> bool:
    labels = domain.split(".")
    return (
        len(local) <= 64
        and len(domain) <= 253
        and ".." not in local
        and _LOCAL.fullmatch(local) is not None
        and all(_LABEL.fullmatch(label) for label in labels)
        and _TOP.fullmatch(labels[-1]) is not None
    )


def _assembled(said: Sequence[Token], lexicon: Lexicon) -> tuple[str, bool]:
    """The address without spaces, and whether the part before the @ was spelled or written."""
    signs = (
        (lexicon.at, "@"),
        (lexicon.dot, "."),
        (lexicon.dash, "-"),
        (lexicon.underscore, "_"),
        (lexicon.plus, "+"),
    )
    text, at, before = "", 0, list[bool]()
    while at < len(said):
        token = said[at]
        found = next(((sign, taken) for known, sign in signs if (taken := longest(said, at, known))), None)
        letters, end = spelled_run(said, at, lexicon)
        if found and found[0] == "@" and text.endswith("@"):  # said twice
            at += found[1]
        elif found and not (found[0] == "@" and "@" in text):
            text, at = text + found[0], at + found[1]
        elif letters and (end - at > 1 or len(token.text) == 1) and _is_spelled(said, at, end, lexicon):
            text, at = text + letters, end
            before += [True] if "@" not in text else []
        elif is_numeral(token.text, lexicon) and (run := digit_run(said, at, lexicon))[0]:
            text, at = text + run[0], run[1]
        elif token.is_word or token.text in "@._+-":
            text, at = text + token.text.replace("'", ""), at + 1
            before += [bool(token.glued)] if "@" not in text and token.is_word and len(token.text) > 1 else []
        else:
            at += 1
    written = any(t.text == "@" for t in said)
    return text.translate(_UMLAUTS).strip("."), written or (bool(before) and all(before))


def _is_spelled(said: Sequence[Token], at: int, end: int, lexicon: Lexicon) -> bool:
    """Beside the signs of an address three letter words are letters: "bravo oscar bravo" is nobody's name."""
    return end - at == 1 or end - at >= SPELLED_WORDS or clearly_spelled(said, at, end, lexicon)


def read_out(address: str, lexicon: Lexicon) -> str:
    """As it is said."""
    signs = {"@": lexicon.at, ".": lexicon.dot, "-": lexicon.dash, "_": lexicon.underscore, "+": lexicon.plus}
    words = {sign: min(known, key=lambda p: (len(p), p)) for sign, known in signs.items()}
    return re.sub(r"[@._+-]", lambda match: f" {' '.join(words[match.group()])} ", address).strip()
