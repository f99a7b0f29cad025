"""JSON Schema draft-07 of the agent file and of agentd.yaml, for editors.

Draft-07 is the highest that editors' YAML servers support. Unions are an `enum` with `if`/`then`, never `oneOf`,
whose errors name everything but the mistake. References live where an editor shows them: in `description`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.reload_class import WORDS, class_of_kind, classes_around
from agentd.config.shapes import Choice, Field, Leaf, ListOf, MapOf, ProviderBlock, Record, Shape, Union, fields_of
from agentd.config.values import DURATION_PATTERN, format_duration
from agentd.errors import PluginBroken
from agentd.providers.fields import IncludedFile, ReloadClass, Secret, Setting
from agentd.registry import Component, Kind, Registry

Json = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_IGNORED_KEYS: Json = {"^x-": {"description": "Ignored."}}
_REFERENCE = r"\$\{"


def agent_schema(registry: Registry) -> Json:
    """Of an agent file, with the settings of every plugin in `registry`."""
    definitions: Json = {}
    body = _Schemas(registry, definitions).record(AgentDefinition, require=False)
    top = {"$schema": _DRAFT, "title": "agentd agent", "description": "One voice agent, in one YAML file."}
    return {**top, **body, "definitions": dict(sorted(definitions.items()))}


def daemon_schema(registry: Registry) -> Json:
    """Of agentd.yaml; `defaults` takes what an agent file takes."""
    definitions: Json = {}
    schemas = _Schemas(registry, definitions)
    body = schemas.record(DaemonConfig, require=False)
    definitions["agent"] = schemas.record(AgentDefinition, require=False)
    described = body["properties"]["defaults"]["description"]
    body["properties"]["defaults"] = {"description": described, "allOf": [{"$ref": "#/definitions/agent"}]}
    top = {"$schema": _DRAFT, "title": "agentd daemon", "description": "Settings of the agentd daemon."}
    return {**top, **body, "definitions": dict(sorted(definitions.items()))}


def as_text(schema: Json) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def shown_default(field: Field) -> Any:
    """The default as it is written in YAML; None when there is none to show."""
    value = field.default
    if value is dataclasses.MISSING or value is None or isinstance(value, IncludedFile):
        return None
    if isinstance(value, Secret):
        return f"${{{value.value}}}" if value.source == "env" else None
    if field.shape == Leaf("duration"):
        return format_duration(value)
    if isinstance(value, Mapping):
        return dict(value) or None
    if isinstance(value, tuple):
        return list(value)
    return None if dataclasses.is_dataclass(value) else value


class _Schemas:
    """Collects shared schemas in `definitions` while one is made."""

    def __init__(self, registry: Registry, definitions: Json) -> None:
        self._registry = registry
        self._definitions = definitions

    def record(
        self,
        cls: type[Any],
        *,
        require: bool = True,
        also: Json | None = None,
        around: ReloadClass | None = None,
    ) -> Json:
        """An object schema. `require` False: keys may come from `extends` or `defaults`, so none is demanded.
        `around`: the reload class of the block that it is; None: of several."""
        fields = fields_of(cls)
        properties: Json = {**(also or {})}
        for field in fields:
            properties[field.key] = self.field(field, around)
            if field.shape == Leaf("secret"):
                properties[f"{field.key}_file"] = {"type": "string", "description": f"File that holds {field.key}."}
        required = [f.key for f in fields if f.required and f.shape != Leaf("secret")] if require else []
        schema: Json = {"type": "object"}
        if doc := _class_doc(cls):
            schema["description"] = doc
        schema |= {"properties": properties, "patternProperties": _IGNORED_KEYS, "additionalProperties": False}
        return schema | ({"required": required} if required else {})

    def field(self, field: Field, around: ReloadClass | None) -> Json:
        schema = self.shape(field.shape, field.setting)
        if field.nullable:
            schema = _nullable(schema)
        schema["description"] = _description(field, around)
        default = shown_default(field)
        if default is not None:
            schema["default"] = default
        if field.setting.examples:
            schema["examples"] = list(field.setting.examples)
        return schema

    def shape(self, shape: Shape, setting: Setting) -> Json:
        match shape:
            case Leaf():
                return _leaf(shape, setting)
            case Choice():
                return {"enum": list(shape.values)}
            case ListOf():
                inner = dataclasses.replace(setting, min_length=None)
                schema: Json = {"type": "array", "items": self.shape(shape.item, inner)}
                return schema | ({"minItems": setting.min_length} if setting.min_length else {})
            case MapOf():
                return {"type": "object", "additionalProperties": self.shape(shape.value, setting)}
            case Record():
                return self._shared(shape.cls) if setting.short is None else self._or_word(shape.cls, setting.short)
            case Union():
                return self._union(shape)
            case ProviderBlock():
                return self._provider(shape.kind)

    def _shared(self, cls: type[Any]) -> Json:
        name = cls.__name__
        if name not in self._definitions:
            self._definitions[name] = {}  # it may hold itself
            around = classes_around(AgentDefinition).get(cls)
            self._definitions[name] = self.record(cls, around=around)
        return {"allOf": [{"$ref": f"#/definitions/{name}"}]}  # draft-07 ignores what stands beside a bare $ref

    def _or_word(self, cls: type[Any], key: str) -> Json:
        """A word alone stands for the block with this key."""
        field = next(field for field in fields_of(cls) if field.key == key)
        word = self.shape(field.shape, field.setting)
        return {"allOf": [{"if": {"type": "object"}, "then": self._shared(cls)["allOf"][0], "else": word}]}

    def _union(self, shape: Union) -> Json:
        words = [word for word, _ in shape.variants]
        return {
            "type": "object",
            "properties": {shape.tag: {"enum": words, "description": f"One of {', '.join(map(str, words))}."}},
            "required": [shape.tag],
            "allOf": [_when(shape.tag, word, self._variant(variant)) for word, variant in shape.variants],
        }

    def _variant(self, variant: Record | Union) -> Json:
        return self._union(variant) if isinstance(variant, Union) else self._shared(variant.cls)["allOf"][0]

    def _provider(self, kind: Kind) -> Json:
        if kind not in self._definitions:
            self._definitions[kind] = self._provider_block(kind)
        return {"allOf": [{"$ref": f"#/definitions/{kind}"}]}

    def _provider_block(self, kind: Kind) -> Json:
        components = sorted(self._registry.components(kind), key=lambda component: component.provider)
        choices = {c.provider: self._component(kind, c) for c in components}
        named: Json = {"enum": list(choices), "description": _providers_doc(components)}
        default = self._registry.default(kind)
        conditions = [_when("provider", name, {"$ref": reference}) for name, reference in choices.items()]
        if default is not None:
            conditions.append(self._unnamed(choices[default.provider]))
            named["default"] = default.provider
        block: Json = {"type": "object", "properties": {"provider": named}}
        return block | ({"allOf": conditions} if conditions else {})  # draft-07 wants no empty list

    def _unnamed(self, reference: str) -> Json:
        """Without `provider` the default's settings are offered; others may fit a provider that a part names."""
        known = self._definitions[reference.rpartition("/")[2]].get("properties", {})
        offered = {key: {"allOf": [{"$ref": f"{reference}/properties/{key}"}]} for key in known if key != "provider"}
        return {"if": {"not": {"required": ["provider"]}}, "then": {"properties": offered}}

    def _component(self, kind: Kind, component: Component) -> str:
        name = f"{kind}.{component.provider}"
        try:
            cls = self._registry.settings_class(component)
        except PluginBroken as error:
            self._definitions[name] = {"type": "object", "description": str(error)}
            return f"#/definitions/{name}"
        fallback: Json = {
            "type": "array",
            "description": "Tried in order when this provider fails.",
            "items": {"allOf": [{"$ref": f"#/definitions/{kind}"}]},
        }
        chosen: Json = {"const": component.provider, "description": component.summary}
        self._definitions[name] = self.record(
            cls, require=False, also={"provider": chosen, "fallback": fallback}, around=class_of_kind(kind)
        )
        self._definitions[name]["description"] = component.summary
        return f"#/definitions/{name}"


def _when(key: str, word: Any, then: Json) -> Json:
    return {"if": {"properties": {key: {"const": word}}, "required": [key]}, "then": then}


def _leaf(shape: Leaf, setting: Setting) -> Json:
    bounds = {"minimum": setting.minimum, "maximum": setting.maximum}
    limits: Json = {key: value for key, value in bounds.items() if value is not None}
    match shape.kind:
        case "text":
            return _text(setting)
        case "integer" | "number":
            return {"type": [shape.kind, "string"], "pattern": _REFERENCE, **limits}
        case "boolean":
            return {"type": "boolean"}
        case "duration":
            return {
                "type": ["string", "integer"],
                "pattern": f"{DURATION_PATTERN}|{_REFERENCE}",
                "maximum": 0,
                "minimum": 0,
            }
        case "secret" | "file":
            return {"type": "string"}
        case "object":
            return {"type": "object"}
        case _:
            return {}


def _text(setting: Setting) -> Json:
    """Numbers are taken as text too, as they are written."""
    if setting.pattern:
        allowed = f"({setting.pattern})|{_REFERENCE}" if setting.interpolate else setting.pattern
        return {"type": "string", "pattern": allowed}
    schema: Json = {"type": ["string", "number"]}
    return schema | ({"minLength": setting.min_length} if setting.min_length else {})


def _nullable(schema: Json) -> Json:
    """null takes a setting of a part or of the defaults away."""
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return {**schema, "type": [*types, "null"]}
    return {"if": {"type": "null"}, "else": schema} if "allOf" in schema else schema


def _description(field: Field, around: ReloadClass | None) -> str:
    doc = field.setting.doc
    if applies := field.setting.reload or around:
        doc += f" Reload: {WORDS[applies]}."
    if field.setting.planned:
        doc += " No effect in this version."
    return doc


def _class_doc(cls: type[Any]) -> str:
    doc = (cls.__doc__ or "").strip()
    return "" if doc.startswith(f"{cls.__name__}(") else " ".join(doc.split("\n\n")[0].split())


def _providers_doc(components: Iterable[Component]) -> str:
    listed = "; ".join(f"{component.provider}: {component.summary.rstrip('.')}" for component in components)
    return f"Who does it. {listed}." if listed else "Who does it."
