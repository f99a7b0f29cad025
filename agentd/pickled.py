"""Objects between processes of ours that may run different versions of it: a daemon that was upgraded talks with the
workers of the one before. Dataclasses travel by the names of their fields: a field that the reader does not know is
left out, one that the writer did not know has its default.

Pickle runs what it reads: only for links whose other end is known to be ours.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
from functools import cache
from typing import Any


class Unreadable(ValueError):
    """The other version speaks of what this one does not know. Nothing is wrong with the link."""


def dumps(value: object) -> bytes:
    written = io.BytesIO()
    _Pickler(written, pickle.HIGHEST_PROTOCOL).dump(value)
    return written.getvalue()


def loads(data: bytes) -> Any:
    """Raises Unreadable."""
    try:
        return pickle.loads(data)
    except (AttributeError, ImportError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        cls: Any = type(value)
        if isinstance(value, type) or not dataclasses.is_dataclass(value) or not _plain(cls):
            return NotImplemented
        names = [each.name for each in dataclasses.fields(value)]
        state = {name: getattr(value, name) for name in names if hasattr(value, name)}
        return _blank, (cls,), state, None, None, _fill


@cache
def _plain(cls: Any) -> bool:
    """Whether it is pickled by its fields alone, as dataclasses are that say nothing else."""
    own_state = cls.__getstate__ is not object.__getstate__ and cls.__getstate__.__module__ != "dataclasses"
    return not own_state and cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__


def _blank(cls: type) -> object:
    return object.__new__(cls)


def _fill(value: Any, state: dict[str, Any]) -> None:
    for each in dataclasses.fields(value):
        if each.name in state:
            object.__setattr__(value, each.name, state[each.name])
        elif each.default is not dataclasses.MISSING:
            object.__setattr__(value, each.name, each.default)
        elif each.default_factory is not dataclasses.MISSING:
            object.__setattr__(value, each.name, each.default_factory())
        else:
            raise TypeError(f"{type(value).__name__} has no {each.name}")
