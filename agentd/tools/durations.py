"""ISO 8601 durations ("PT1H30M", "P2D"), which `datetime` writes no code for."""

from __future__ import annotations

import datetime
import re

_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


def duration_of(text: str) -> datetime.timedelta:
    """Raises ValueError; years and months, which have no fixed length, are no duration here."""
    found = _DURATION.fullmatch(text)
    named = found.groupdict() if found else {}
    parts = {name: float(value) for name, value in named.items() if name != "sign" and value}
    if not found or not parts:
        raise ValueError(f"{text!r} is no duration: write PT90M, or P2D")
    length = datetime.timedelta(**parts)
    return -length if found["sign"] else length
