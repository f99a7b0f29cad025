"""Records of items to the rows of the turn-taking table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from agentd.loadtest.figures import quantile
from bench.turn_taking.corpus import TURNS, Item, Kind
from bench.turn_taking.judge import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    subject: str
    item: Item
    verdict: Verdict


Records = Sequence[Record]
STOPPED = ("resumed", "answered", "silent")


def _of(records: Records, kinds: Collection[Kind]) -> list[Record]:
    """Those of the kinds that could be measured."""
    return [record for record in records if record.item.kind in kinds and record.verdict.outcome != "not measured"]


def _share(records: Records, *outcomes: str) -> str:
    """How many of how many ended so."""
    if not records:
        return "–"
    hits = sum(1 for record in records if record.verdict.outcome in outcomes)
    return f"{hits} of {len(records)} ({100 * hits / len(records):.0f} %)"


def _ms(values: Sequence[float], *quantiles: float) -> str:
    if not values:
        return "–"
    return " / ".join(f"{1000 * quantile(values, q):,.0f}" for q in quantiles) + f" ms (n={len(values)})"


def _cut_ins(kind: Kind) -> Callable[[Records], str]:
    return lambda records: _share(_of(records, [kind]), "cut in")


def _delays(kinds: Collection[Kind], *quantiles: float) -> Callable[[Records], str]:
    def row(records: Records) -> str:
        delays = [record.verdict.delay_s for record in _of(records, kinds)]
        return _ms([delay for delay in delays if delay is not None], *quantiles)

    return row


def _missed(kind: Kind) -> Callable[[Records], str]:
    return lambda records: _share(_of(records, [kind]), "missed", "silent", "answered")


def _silences(records: Records) -> str:
    stopped = [record.verdict for record in _of(records, ["interruption"]) if record.verdict.outcome == "stopped"]
    return _ms([verdict.silence_s for verdict in stopped if verdict.silence_s is not None], 0.5)


def _stopped_by(*kinds: Kind) -> Callable[[Records], str]:
    """How often, and what followed."""

    def row(records: Records) -> str:
        found = _of(records, kinds)
        counts = Counter(record.verdict.outcome for record in found)
        after = ", ".join(f"{counts[outcome]} {outcome}" for outcome in STOPPED if counts[outcome])
        return _share(found, *STOPPED) + (f": {after}" if after else "")

    return row


def _unmeasured(records: Records) -> str:
    return str(sum(1 for record in records if record.verdict.outcome == "not measured"))


ROWS: dict[str, Callable[[Records], str]] = {
    "cut-ins on hesitations": _cut_ins("hesitation"),
    "cut-ins on dictated numbers": _cut_ins("number"),
    "response delay p50 / p95": _delays(TURNS, 0.5, 0.95),
    "of whole sentences in quiet p50 / p95": _delays(["clean"], 0.5, 0.95),
    "of whole sentences in noise p50 / p95": _delays(["noisy"], 0.5, 0.95),
    "turns unanswered": lambda records: _share(_of(records, TURNS), "unanswered"),
    "interruptions missed": _missed("interruption"),
    "time to silence p50": _silences,
    "interruptions missed over its own echo": _missed("echo-interruption"),
    "stopped by a backchannel": _stopped_by("backchannel"),
    "stopped by its own echo": _stopped_by("echo"),
    "stopped by noise, coughs, doors": _stopped_by("event", "noise-over"),
    "false turns in noise alone": lambda records: _share(_of(records, ["noise-alone"]), "spoke"),
    "items not measured": _unmeasured,
}


def table(records: Records, subjects: Sequence[str]) -> str:
    """Markdown: a row a figure, a column a subject."""
    lines = [["", *subjects]]
    for label, row in ROWS.items():
        lines.append([label, *(row([record for record in records if record.subject == who]) for who in subjects)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)
