"""Who speaks when: python -m bench.turn_taking [--subjects agentd:vad ...] [--items hesitation ...] [--limit 30]

A corpus of human and synthesised speech, coughs, noise and echo is played in real time, through a real LiveKit server,
to each subject; all hear with the same recogniser and speak with the same voice. Prints one table, a column a subject.
With --offline agentd alone hears it in virtual time, without a server: the whole corpus in a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agentd.loadtest.caller import Server
from agentd.loadtest.steps import settled
from bench.figures import livekit, run
from bench.turn_taking.corpus import KINDS, Item, Recorded, chosen, corpus, held_out
from bench.turn_taking.judge import judge, not_measured
from bench.turn_taking.kept import KeptModels
from bench.turn_taking.offline import Outcome as Offline
from bench.turn_taking.offline import measure as virtual
from bench.turn_taking.recordings import missing
from bench.turn_taking.scenario import play
from bench.turn_taking.sounds import Take, question, render
from bench.turn_taking.subjects import DEFAULT_SUBJECTS, Agentd, TurnTaker, subject
from bench.turn_taking.table import Record, table
from bench.turn_taking.timeline import Timeline

WARM_UP = Item(id="warm-up", kind="clean", parts=(Recorded("go-forward"),))

Takes = dict[str, tuple[Take, Take | None]]
Outcome = tuple[Record, Timeline]


async def measure(server: Server, who: TurnTaker, items: Sequence[Item], takes: Takes, at_once: int) -> list[Outcome]:
    """So many calls at once, each with the next item. What could not be measured is tried once more."""
    waiting, tried = deque(items), set[str]()
    found: dict[str, Outcome] = {}

    async def work() -> None:
        while waiting:
            item = waiting.popleft()
            found[item.id] = outcome = await _one(server, who, item, takes)
            if outcome[0].verdict.outcome == "not measured" and item.id not in tried:
                tried.add(item.id)
                waiting.append(item)

    async with who.serving(server) as serving:
        await asyncio.gather(*(_one(server, who, WARM_UP, takes) for _ in range(at_once)))  # first turns are slower
        await settled(serving)
        await asyncio.gather(*(work() for _ in range(at_once)))
    return list(found.values())


async def _one(server: Server, who: TurnTaker, item: Item, takes: Takes) -> Outcome:
    try:
        seen = await play(server, item, *takes[item.id])
    except TimeoutError:
        return Record(subject=who.name, item=item, verdict=not_measured("no agent was heard")), Timeline()
    return Record(subject=who.name, item=item, verdict=judge(item, seen)), seen


def rounds(items: Sequence[Item], count: int) -> Iterator[Sequence[Item]]:
    """The items in so many parts, in which kinds are mixed alike."""
    yield from (items[number::count] for number in range(count))


def line(outcome: Outcome) -> dict[str, Any]:
    """One record as JSON."""
    record, seen = outcome
    shown = {"subject": record.subject, "id": record.item.id, "kind": record.item.kind, **asdict(record.verdict)}
    return {**shown, "item": asdict(record.item), "seen": asdict(seen)}


def story(outcome: Outcome) -> str:
    """What happened in an item that went wrong."""
    record, seen = outcome
    understood = "; ".join(f"{said.at:.1f} s {said.text!r}" for said in seen.caller_heard_as)
    doing = f" (caller {seen.doing[0]:.1f} to {seen.doing[1]:.1f} s)" if seen.doing else ""
    return f"  {record.item.id}: {record.verdict.outcome}: {record.verdict.why}{doing}; understood: {understood or '-'}"


def rendered(items: Sequence[Item]) -> Takes:
    return {item.id: (render(item), question(item)) for item in (WARM_UP, *items)}


def wanted(arguments: argparse.Namespace, seed: int) -> tuple[list[TurnTaker], list[Item]]:
    """Who is to be measured on what. Raises SystemExit, saying why, where that cannot be."""
    drawn = held_out(seed) if arguments.held_out else corpus(seed)
    try:
        compared = [subject(text) for text in arguments.subjects]
        items = chosen(drawn, arguments.items, arguments.limit)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if packages := missing():
        raise SystemExit(f"recordings are missing: apt-get install --no-install-recommends {' '.join(packages)}")
    return compared, items


async def main(arguments: argparse.Namespace) -> None:
    if len(arguments.seed) > 1:
        raise SystemExit("several seeds only --offline")
    compared, items = wanted(arguments, arguments.seed[0])
    print(f"{len(items)} items, seed {arguments.seed[0]}, {arguments.at_once} at once", flush=True)
    takes = rendered(items)
    outcomes: list[Outcome] = []
    async with livekit() as server:
        for number, part in enumerate(rounds(items, arguments.rounds)):
            for who in compared[:: -1 if number % 2 else 1]:
                began = time.monotonic()
                outcomes += await measure(server, who, part, takes, arguments.at_once)
                took_s, load = time.monotonic() - began, os.getloadavg()[1]
                print(f"  {who.name}: {len(part)} items in {took_s:.0f} s, load of the machine {load:.1f}", flush=True)
    report(outcomes, compared, arguments)


def offline(arguments: argparse.Namespace) -> None:
    """All seeds, one subject after the other."""
    models, outcomes = KeptModels(arguments.words), list[Offline]()
    for seed in arguments.seed:
        compared, items = wanted(arguments, seed)
        takes = rendered(items)
        for who in compared:
            if not isinstance(who, Agentd):
                raise SystemExit(f"{who.name} needs a server; offline there is agentd alone")
            began, asked = time.monotonic(), models.recognised
            found = virtual(who, items, takes, models)
            took_s, asked = time.monotonic() - began, models.recognised - asked
            outcomes += found
            a_second = asked / sum(outcome.spoken_s for outcome in found)
            print(f"  {who.name}: {len(items)} items of seed {seed} in {took_s:.0f} s; ", end="")
            print(f"the recogniser was asked {asked} times, {a_second:.2f} a second of speech", flush=True)
    if arguments.verbose:
        print("\n".join(str(outcome) for outcome in outcomes if not outcome.judged.verdict.ok))
    print(table([outcome.judged for outcome in outcomes], list(dict.fromkeys(o.judged.subject for o in outcomes))))


def report(outcomes: Sequence[Outcome], compared: Sequence[TurnTaker], arguments: argparse.Namespace) -> None:
    if arguments.json:
        Path(arguments.json).write_text("".join(json.dumps(line(outcome)) + "\n" for outcome in outcomes))
    for who in compared:
        wrong = [outcome for outcome in outcomes if outcome[0].subject == who.name and not outcome[0].verdict.ok]
        if arguments.verbose and wrong:
            print("\n".join([f"{who.name}, what went wrong", *sorted(map(story, wrong))]))
    print(table([record for record, _ in outcomes], [who.name for who in compared]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="bench.turn_taking", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--subjects", nargs="+", default=DEFAULT_SUBJECTS, help="SUBJECT:DETECTOR; see docs/performance.md"
    )
    parser.add_argument("--items", nargs="+", default=(), metavar="KIND_OR_ID", help=", ".join(KINDS))
    parser.add_argument("--limit", type=int, help="so many items, of all kinds in proportion; 30 is the short form")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="of the voices, pauses and noises; --offline several"
    )
    parser.add_argument("--at-once", type=int, default=3, help="calls side by side: 3 is what two cores bear")
    parser.add_argument("--rounds", type=int, default=2, help="parts of the corpus, in which the subjects take turns")
    parser.add_argument("--json", metavar="FILE", help="one record an item, with all that was noticed")
    parser.add_argument("--verbose", action="store_true", help="what happened in each item that went wrong")
    parser.add_argument("--offline", action="store_true", help="in virtual time, without a server; agentd alone")
    parser.add_argument(
        "--words", type=float, default=0.5, help="seconds that the recogniser takes for an utterance --offline"
    )
    parser.add_argument("--held-out", action="store_true", help="sentences that no rule was tuned on")
    if parser.parse_args().offline:
        offline(parser.parse_args())
    else:
        run(main, parser)
