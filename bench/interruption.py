"""What an interruption detector is worth: python -m bench.interruption [--detector prosody] [--seed 1] [--verbose]

Callers' interruptions, backchannels, coughs and noises are laid over an agent's speech, in whole sessions with the
real voice activity detector, in virtual time: with and without the detector. No server; the recogniser is one that
hears everything right, `--words` after the end of an utterance. Sentences that were meant as turns are interruptions
too, so that there are more than a dozen of them.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any, cast

from agentd.aio import now
from agentd.audio import INPUT_HZ, AudioFrame, resample
from agentd.loadtest.microphone import MIC_HZ
from agentd.providers.interruption_detector import InterruptionDetector
from agentd.providers.stt import Transcript
from agentd.providers.vad import VAD
from agentd.registry import Kind, installed
from agentd.session.records import Record
from bench.turn_taking.corpus import CALLERS, Item, Spoken, Voice, chosen, corpus
from bench.turn_taking.recordings import missing
from bench.turn_taking.sounds import Take, render
from tests.fakes.call import Call, calling, definition
from tests.fakes.clock import run_virtual
from tests.fakes.providers import FakeSTT, says

SENTENCES = ("clean", "hesitation", "number", "noisy")
NOTHING = ("backchannel", "event", "noise-over")
KINDS = ("interruption", *SENTENCES, *NOTHING)
COMMANDS = ("Stop.", "Wait.", "No.", "Hello?")  # interruptions as short as a backchannel: words alone tell them
STORY = "The house was built by a merchant from the north because he wanted his children to grow up. " * 12
SPEAKS_AT_S = 2.0  # the caller asked before, and the agent is in mid-sentence
AFTER_S = 4.0
FRAME_SAMPLES = 1024  # 64 ms, as a room's


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Seconds from the true beginning of the sound. `over_s`: the agent was heard after it had been held, until it was
    cut, or while the caller made the sound where it was not; `paused_s`: it was silent for what was no interruption, or
    until it was cut."""

    kind: str  # of the corpus's, or "command"
    id: str
    held: float | None
    cut: float | None
    ignored: float | None
    again: float | None
    paused_s: float
    over_s: float

    @property
    def interrupts(self) -> bool:
        return self.kind not in NOTHING


class KnownWords(FakeSTT):
    """Hears what was said, whatever the sound."""

    def __init__(self, text: str, delay_s: float) -> None:
        super().__init__(delay_s=delay_s)
        self.text = text

    async def recognize(self, audio: AudioFrame, *, language: str | None) -> Transcript:
        await asyncio.sleep(self.delay_s)
        return Transcript(text=self.text)


def commands() -> list[Item]:
    """Each by two of the corpus's callers."""
    voices = [Voice(pitch=pitch, speed=speed, seed=7) for pitch, speed in (CALLERS[0], CALLERS[-1])]
    return [
        Item(id=f"command-{number:02}", kind="interruption", parts=(Spoken(text, voice),))
        for number, (text, voice) in enumerate(product(COMMANDS, voices), start=1)
    ]


def words_of(item: Item) -> str:
    if item.kind == "event" or item.kind.startswith("noise"):
        return ""
    return " ".join(part.text for part in item.parts if isinstance(part, Spoken)) or "something that was recorded"


async def overlap(item: Item, take: Take, vad: VAD, detector: InterruptionDetector | None, words_s: float) -> Outcome:
    """One call: the agent is told to speak at length, and the caller makes this sound over it."""
    seen: list[tuple[float, Record]] = []
    async with calling(
        agent=definition(),
        script=says("Fine."),
        stt=KnownWords(words_of(item), words_s),
        vad=vad,
        interruption_detector=detector,
        observe=lambda record: seen.append((now(), record)),
    ) as call:
        call.session.say(STORY)
        await _play(call, take)
        return _outcome(item, take, seen, call)


async def _play(call: Call, take: Take) -> None:
    sound = resample(AudioFrame(take.samples.tobytes(), MIC_HZ), INPUT_HZ).data
    lead = bytes(2 * round(SPEAKS_AT_S * INPUT_HZ))
    data = lead + sound + bytes(2 * round(AFTER_S * INPUT_HZ))
    size = 2 * FRAME_SAMPLES
    for at in range(0, len(data) - size + 1, size):
        await asyncio.sleep(FRAME_SAMPLES / INPUT_HZ)
        call.room.hear(AudioFrame(data[at : at + size], INPUT_HZ))


def _outcome(item: Item, take: Take, seen: Sequence[tuple[float, Record]], call: Call) -> Outcome:
    began, ended = SPEAKS_AT_S + take.began_s, SPEAKS_AT_S + take.ended_s
    decided = [(at - began, r.data["action"], r.data["rule"]) for at, r in seen if r.kind == "decision"]

    def first(action: str, rule: str = "") -> float | None:
        return next((at for at, made, why in decided if made == action and rule in ("", why)), None)

    held, cut = first("PauseSpeech"), first("Interrupt")
    until = ended if cut is None else began + cut
    heard = sum(
        max(0.0, min(end, until) - max(begin, began + held)) if held is not None else 0.0
        for begin, end, _ in call.room.audio_out.played
    )
    return Outcome(
        kind="command" if item.id.startswith("command") else item.kind,
        id=item.id,
        held=held,
        cut=cut,
        ignored=first("ResumeSpeech", "no_interruption_heard"),
        again=first("PauseSpeech", "speech_goes_on"),
        paused_s=_paused_s(decided),
        over_s=heard,
    )


def _paused_s(decided: Sequence[tuple[float, str, str]]) -> float:
    total, since = 0.0, None
    for at, action, _ in decided:
        if action == "PauseSpeech":
            since = at
        elif action in ("ResumeSpeech", "Interrupt") and since is not None:
            total, since = total + at - since, None
    return total


def provider(kind: Kind, name: str) -> Any:
    """Made in real time: a thread may load its model."""
    component = installed().find(kind, name)
    settings = installed().settings_class(component)()
    return asyncio.run(cast("Coroutine[Any, Any, Any]", installed().factory(component)(settings)))


def table(without: Sequence[Outcome], using: Sequence[Outcome]) -> str:
    head = (
        f"{'':13}{'':>4}{'held':>6}{'paused s, median and longest':>32}{'ignored':>10}{'after s':>9}{'again':>7}"
        f"{'not cut':>9}{'heard on s':>15}"
    )
    lines = [head, f"{'':23}{'without':>16}{'with':>16}"]
    for kind in ("command", *KINDS):
        before, after = ([o for o in each if o.kind == kind] for each in (without, using))
        if not after:
            continue
        held = [o for o in after if o.held is not None]
        ignored = [o for o in after if o.ignored is not None]
        lines.append(
            f"{kind:13}{len(after):4}{len(held):6}{_two([o.paused_s for o in before if o.held is not None]):>16}"
            f"{_two([o.paused_s for o in held]):>16}{len(ignored):10}"
            f"{median(o.ignored or 0.0 for o in ignored) if ignored else 0.0:9.2f}"
            f"{sum(o.again is not None for o in after):7}{f'{_uncut(before)} {_uncut(after)}':>9}"
            f"{_two([o.over_s for o in ignored]):>15}"
        )
    return "\n".join(lines)


def _uncut(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.cut is None for outcome in outcomes)


def _two(values: Sequence[float]) -> str:
    return f"{median(values):.2f}  {max(values):.2f}" if values else "-"


def measure(items: Sequence[Item], vad: VAD, detector: InterruptionDetector | None, words_s: float) -> list[Outcome]:
    return [run_virtual(overlap(item, render(item), vad, detector, words_s)) for item in items]


def main(arguments: argparse.Namespace) -> None:
    if packages := missing():
        raise SystemExit(f"recordings are missing: apt-get install --no-install-recommends {' '.join(packages)}")
    wanted = chosen(corpus(arguments.seed), arguments.kinds or KINDS, arguments.limit)
    items = [*commands(), *wanted]
    vad, detector = provider("vad", "silero"), provider("interruption_detector", arguments.detector)
    without, using = (measure(items, vad, each, arguments.words) for each in (None, detector))
    print(f"{len(items)} sounds, seed {arguments.seed}; words {arguments.words:g} s after the end of an utterance")
    print(table(without, using))
    if arguments.verbose:
        for outcome in sorted(using, key=lambda each: each.id):
            print(outcome)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="bench.interruption", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--detector", default="prosody", help="an installed interruption_detector")
    parser.add_argument("--seed", type=int, default=0, help="of the voices, pauses and noises")
    parser.add_argument("--words", type=float, default=0.35, help="what the recogniser takes for an utterance, seconds")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="of the corpus; all by default")
    parser.add_argument("--limit", type=int, help="so many items, of all kinds in proportion")
    parser.add_argument("--verbose", action="store_true", help="each outcome")
    main(parser.parse_args())
