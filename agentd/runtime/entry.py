"""Where a worker process begins: what keeps it from beginning is written down for its supervisor.

Nothing else of agentd is imported before something can be said of its failure.
`python -m agentd.runtime.entry agentd.runtime.worker` is started by the pool.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path

LAST_WORDS = "last-words"
"""The file, in the worker's scratch directory."""


def main(module: str) -> None:
    """Runs the module's `main`."""
    try:
        asyncio.run(importlib.import_module(module).main())
    except Exception as error:  # code that cannot be run fails with anything
        leave(error, os.environ.get("AGENTD_SCRATCH", ""))
        raise


def leave(error: BaseException, scratch: str) -> None:
    while isinstance(error, BaseExceptionGroup):  # `innermost` may be in the code that cannot be run
        error = error.exceptions[0]
    if scratch:
        with suppress(OSError):
            (Path(scratch) / LAST_WORDS).write_text(in_words(error), encoding="utf-8")


def in_words(error: BaseException) -> str:
    """One line: what failed, and where."""
    words = f"{type(error).__name__}: {error}".splitlines()[0]
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not each.filename.startswith("<frozen")]
    if not frames or isinstance(error, SyntaxError):  # which says where by itself
        return words
    return f"{words} ({frames[-1].filename}:{frames[-1].lineno})"


def last_words(scratch: Path) -> str:
    """Of a worker that has ended; "": it left none."""
    try:
        return (scratch / LAST_WORDS).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


if __name__ == "__main__":
    main(*sys.argv[1:])
