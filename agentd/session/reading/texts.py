"""Names, addresses, choices, yes and no: answers that are words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from agentd.session.affirmation import affirmation
from agentd.session.reading.answer import NOTHING, Heard, Read, Unread, Value
from agentd.session.reading.lexicon import Lexicon
from agentd.session.reading.numerals import cardinal, is_numeral
from agentd.session.reading.spelling import clearly_spelled, spelled_run
from agentd.session.reading.tokens import Token, longest, texts, words

LONGEST_NAME = 5
LIKE = 0.82
"""From here on a misheard word stands for an option, to be confirmed."""


def read_name(heard: Heard) -> Read:
    """A person's name. A spelled part stands for the word before it that begins alike: "Jayne, J A Y N E"."""
    parts: list[str] = []
    spelled = False
    said = heard.words
    at = 0
    while at < len(said):
        if skip := longest(said, at, heard.lexicon.spelled):
            at += skip
            continue
        letters, end = spelled_run(said, at, heard.lexicon)
        if len(letters) > 1 and clearly_spelled(said, at, end, heard.lexicon):
            spelled = True
            word = letters.capitalize()
            if parts and parts[-1][:1].lower() == letters[:1]:
                parts.pop()
            parts.append(word)
            at = end
            continue
        token = said[at]
        at += 1
        if not token.is_word:
            if token.text == "-" and parts and at < len(said) and said[at].glued:
                parts[-1] += "-" + _capital(said[at].written)
                at += 1
            continue
        if _is_no_name(token.text, heard.lexicon):
            if parts:  # what follows the name is something else
                return _name(parts, sure=False)
            continue
        parts.append(_capital(token.written))
    beside = len(words(heard.words)) > LONGEST_NAME and not spelled
    return _name(parts, sure=not beside) if 0 < len(parts) <= LONGEST_NAME else NOTHING


def _is_no_name(word: str, lexicon: Lexicon) -> bool:
    """ "don't" and "I'm" are none, "O'Neill" is one."""
    bare = word.partition("'")[0]
    return bare in lexicon.no_name or word.endswith("n't") or is_numeral(word, lexicon)


def _name(parts: Sequence[str], *, sure: bool) -> Value:
    name = " ".join(parts)
    return Value(name, name, sure)


def _capital(word: str) -> str:
    return word if any(map(str.isupper, word)) else word[:1].upper() + word[1:]


def read_address(heard: Heard) -> Read:
    """A house number and at least two words; numbers in words become figures."""
    parts: list[str] = []
    said, at = heard.words, 0
    while at < len(said):
        number = cardinal(said, at, heard.lexicon) if is_numeral(said[at].text, heard.lexicon) else None
        if number is not None and not said[at].text.isdecimal():
            parts.append(str(number[0]))
            at = number[1]
        else:
            parts.append(said[at].written)
            at += 1
    text = _joined(parts, said) if len(parts) == len(said) else " ".join(part for part in parts if part.isalnum())
    has_number = any(any(map(str.isdecimal, part)) for part in parts)
    count = sum(part[0].isalpha() for part in parts)
    if not has_number:
        return Unread("incomplete") if count >= 2 else NOTHING
    return Value(text, text, sure=False) if count >= 1 else Unread("incomplete")


def _joined(parts: Sequence[str], said: Sequence[Token]) -> str:
    """As it was written, but for spaces and what opens and closes it."""
    text = ""
    for part, token in zip(parts, said, strict=True):
        text += part if token.glued or not text else f" {part}"
    return re.sub(r"\s+", " ", text).strip(" .")


def read_choice(heard: Heard, options: Mapping[str, Sequence[str]]) -> Read:
    """The only option that is said; one that is nearly said is not sure."""
    said = texts(words(heard.whole))
    found = {value for value, also in options.items() if any(_says(said, name) for name in (value, *also))}
    if len(found) == 1:
        value = found.pop()
        return Value(value, value)
    if found:
        longest_said = max(found, key=len)  # "red wine" is not "red"
        if all(option in longest_said for option in found):
            return Value(longest_said, longest_said)
        return Unread("incomplete")
    near = sorted(((_likeness(heard, value, also), value) for value, also in options.items()), reverse=True)
    if near and near[0][0] >= LIKE and (len(near) == 1 or near[0][0] > near[1][0] + 0.1):
        return Value(near[0][1], near[0][1], sure=False)
    return Unread("not_offered") if 0 < len(words(heard.words)) <= 3 else NOTHING


def _says(said: Sequence[str], name: str) -> bool:
    phrase = tuple(re.findall(r"\w+(?:'\w+)*", name.casefold()))
    return bool(phrase) and any(tuple(said[n : n + len(phrase)]) == phrase for n in range(len(said)))


def _likeness(heard: Heard, value: str, also: Sequence[str]) -> float:
    said = " ".join(texts(words(heard.words)))
    return max(SequenceMatcher(a=said, b=name.casefold()).ratio() for name in (value, *also))


def read_yes_no(heard: Heard) -> Read:
    answer = affirmation(heard.text, heard.lexicon.tag)
    if answer == "unclear":
        return NOTHING
    return Value(answer == "yes", heard.lexicon.say[answer])
