"""The rules of OpenAI's strict mode as a check that knows nothing of how our schemas are made."""

from collections.abc import Iterator, Mapping
from typing import Any

KNOWN = {"type", "enum", "const", "description", "pattern", "format", "multipleOf", "minimum", "maximum", "title"}
KNOWN |= {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "anyOf", "items", "properties", "required"}
KNOWN |= {"additionalProperties", "$defs", "$ref"}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


def broken(schema: Any, place: str = "") -> Iterator[str]:
    """Each rule that the schema breaks, with its place."""
    if not isinstance(schema, Mapping):
        yield f"{place}: no schema"
        return
    yield from (f"{place}: {word}" for word in schema if word not in KNOWN)
    if "$ref" in schema:
        if set(schema) - {"$ref", "$defs", "title"}:
            yield f"{place}: words beside $ref"
        return
    if "type" not in schema and "anyOf" not in schema and "enum" not in schema and "const" not in schema:
        yield f"{place}: any value"
    if schema.get("format", "date") not in FORMATS:
        yield f"{place}: format {schema['format']}"
    types = schema.get("type", [])
    if "object" in ([types] if isinstance(types, str) else types):
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            yield f"{place}: free keys"
        if set(schema.get("required", ())) != set(properties):
            yield f"{place}: not all required"
    if "array" in ([types] if isinstance(types, str) else types) and "items" not in schema:
        yield f"{place}: no items"
    for name, each in schema.get("properties", {}).items():
        yield from broken(each, f"{place}/{name}")
    for name, each in schema.get("$defs", {}).items():
        yield from broken(each, f"{place}/$defs/{name}")
    for each in schema.get("anyOf", ()):
        yield from broken(each, f"{place}|")
    if "items" in schema:
        yield from broken(schema["items"], f"{place}[]")
