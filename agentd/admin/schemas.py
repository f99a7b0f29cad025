"""JSON schemas of what `agentd.admin.documents` tells: of dataclasses, by their fields' types. Pure."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

PLACE = "#/components/schemas/"
_PLAIN: Mapping[Any, str] = {str: "string", Path: "string", bool: "boolean", int: "integer", float: "number"}


class Schemas:
    """`components`: the schema of each dataclass that was asked for, and of those in it, by name. `responses`: answers
    that many operations share."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}
        self.responses: dict[str, dict[str, Any]] = {}
        self._classes: dict[str, type] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type; of a dataclass, a reference to it. Raises TypeError for one that is not told."""
        if kind is Any:
            return {}
        if kind in _PLAIN:
            return {"type": _PLAIN[kind]}
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._reference(kind)
        origin, parts = get_origin(kind), get_args(kind)
        if origin is Literal:
            return {"type": "string", "enum": list(parts)}
        if origin in (types.UnionType, Union):
            return {"anyOf": [{"type": "null"} if part is types.NoneType else self.of(part) for part in parts]}
        if origin is tuple and parts[1:] == (...,):
            return {"type": "array", "items": self.of(parts[0])}
        if origin is Mapping and parts[0] is str:
            return {"type": "object", "additionalProperties": self.of(parts[1])}
        raise TypeError(f"{kind} has no JSON schema here")

    def _reference(self, kind: type) -> dict[str, Any]:
        name = kind.__name__
        if self._classes.setdefault(name, kind) is not kind:
            raise TypeError(f"two answers hold a {name}: {kind} and {self._classes[name]}")
        if name not in self.components:
            self.components[name] = {}  # for one that holds its like
            self.components[name].update(self._object(kind))
        return {"$ref": f"{PLACE}{name}"}

    def _object(self, kind: type) -> dict[str, Any]:
        """Every field is there in every answer; more may come with a later version."""
        hints = get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind)]
        schema = {"type": "object", "properties": {name: self.of(hints[name]) for name in names}, "required": names}
        said = (kind.__dict__.get("__doc__") or "").strip()
        return schema if said.startswith(f"{kind.__name__}(") or not said else {"description": said, **schema}
