"""Snapshots of the daemon as JSON. Pure. Definitions go through agentd.config.render, which masks secrets."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


def document(value: Any) -> Any:
    """JSON data of a snapshot: dataclasses become objects, and credentials in a URL "***"."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: document(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): document(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [document(item) for item in value]
    if isinstance(value, str):
        return _USER_INFO.sub("***@", value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
