"""Which hooks brought about what happens now: so that no hook is given what it has caused itself.

Set where a hook does something and wherever that is carried out later; tasks that are begun there inherit it. A chain
holds all hooks in it: what a second hook does because of a first is caused by both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Causes = frozenset[int]
"""Numbers of hooks in the agent file, from 0."""

NOBODY: Causes = frozenset()
_present: ContextVar[Causes] = ContextVar("causes", default=NOBODY)


def causes() -> Causes:
    return _present.get()


@contextmanager
def caused_by(hooks: Causes) -> Iterator[None]:
    """What is done within, and by tasks begun within, is the doing of these hooks and of no others."""
    token = _present.set(hooks)
    try:
        yield
    finally:
        _present.reset(token)
