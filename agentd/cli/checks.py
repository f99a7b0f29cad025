"""What `agentd doctor` finds: one line a check, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`found`: what is there; `todo`: how to mend it, "" where it is ok."""

    check: str
    state: State
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    return Finding(check=check, state="ok", found=found)


def warn(check: str, found: str, todo: str) -> Finding:
    return Finding(check=check, state="warn", found=found, todo=todo)


def fail(check: str, found: str, todo: str) -> Finding:
    return Finding(check=check, state="fail", found=found, todo=todo)
