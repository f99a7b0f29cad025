"""What the journals tell of a call, also of one that has ended, for as long as they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from agentd.admin.problems import Refused
from agentd.errors import JournalError
from agentd.runtime.journals import journal_path, sessions_in
from agentd.session.journal import read_journal
from agentd.session.records import Record

_Made = TypeVar("_Made")


def made_of_journal(directory: Path, session_id: str, made: Callable[[Iterable[Record]], _Made]) -> _Made:
    """For a thread: there may be many, and each may be long. Raises Refused 404 with a name that is near, or 500."""
    known = sessions_in(directory)
    if session_id not in known:
        near = get_close_matches(session_id, known, 1)
        raise Refused(404, f"there is no journal of a session {session_id!r}", near=near)
    try:
        return made(read_journal(journal_path(directory, session_id)))
    except JournalError as error:
        raise Refused(500, str(error)) from error
