"""Words that no caller said: the agent's own that came back, and what recognisers make of noise. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from agentd.session.events import Sound
from agentd.session.phrasebook import Phrasebook
from agentd.session.words import bare_words, count_words, leading_phrases

ECHO_LATE_S = 1.0
"""How long after it was sent a word may come back: the way to the caller and here again, with their buffers."""

ECHO_SHORT_LATE_S = 0.6
"""The same for one or two words, which a caller may well have taken from the agent's mouth: "Friday?" "Friday."."""

ECHO_SHARE = 0.7
"""Of an utterance's words that must be the agent's; recognisers mishear an echo more than a voice."""

FOREIGN_RUN = 4
"""So many other words before or after the agent's are somebody's who spoke over them: an echo that is misheard has its
wrong words here and there."""

WORDS_PER_S = 8.0
SPARE_WORDS = 3  # the detector misses the quiet ends of an utterance
"""Nobody speaks faster; recognisers that make words up do not care."""

SHORT_SPEECH_S = 0.2
FAINT_SPEECH_S = 0.4
FAINT = 0.7
"""Speech windows that the VAD is less sure of, in an utterance of less than `FAINT_SPEECH_S`, are mostly noise."""

MEMORY_S = 15.0


@dataclass(frozen=True, slots=True)
class Said:
    """Words of the agent that began to sound at `at`."""

    at: float
    words: tuple[str, ...]


def remember(said: tuple[Said, ...], text: str, now: float) -> tuple[Said, ...]:
    """The agent's last words, with these."""
    return (*(each for each in said if each.at > now - MEMORY_S), Said(now, bare_words(text)))


def is_own_echo(text: str, since: float, until: float, said: Sequence[Said], book: Phrasebook) -> bool:
    """Whether what was heard from `since` to `until` is what the agent was saying then."""
    words = bare_words(text)
    late_s = ECHO_LATE_S if len(words) > 2 else ECHO_SHORT_LATE_S
    sounding = tuple(word for each in said if since - late_s <= each.at <= until for word in each.words)
    if not words or not sounding:
        return False
    matcher = SequenceMatcher(a=words, b=sounding, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size]
    matched = sum(block.size for block in blocks)
    if len(words) <= 2:
        return matched == len(words) and len(blocks) == 1
    own = {index for block in blocks for index in range(block.a, block.a + block.size)}
    if min(own, default=0) >= FOREIGN_RUN or len(words) - 1 - max(own, default=0) >= FOREIGN_RUN:
        return False
    foreign = tuple(word for index, word in enumerate(words) if index not in own)
    stops = any(leading_phrases(foreign[start:], book.interruptions) for start in range(len(foreign)))
    return matched / len(words) >= ECHO_SHARE and not stops


def is_made_up(text: str, sound: Sound | None, book: Phrasebook) -> bool:
    """Whether a recogniser made these words of something that is no speech."""
    words = bare_words(text)
    if words in book.made_up_never:
        return True
    if sound is None:
        return False
    if count_words(text) > SPARE_WORDS + WORDS_PER_S * sound.speech_s:
        return True
    faint = sound.speech_s < FAINT_SPEECH_S and sound.probability < FAINT
    return words in book.made_up_when_short and (sound.speech_s < SHORT_SPEECH_S or faint)
