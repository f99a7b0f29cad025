"""Compares tool schemas: python -m bench.tool_schemas [--differences] [--write]

The signatures of tests/tools/signatures.py, as agentd shows them to a model, beside those of livekit-agents 1.8.9
(strict, as it sends them) and of the OpenAI SDK (`pydantic_function_tool`). Two schemas are the same when they allow
the same JSON, however it is written; titles and descriptions do not count. `breaks`: which of OpenAI's rules for strict
mode a schema breaks, by a check of our own. `--differences` prints what differs; `--write` puts our schemas into
tests/tools/schemas.json, against which a unit test holds them.

The peers' environment is made by python -m bench.peers.setup.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentd.tools import signature
from agentd.tools.strict import strict_form
from bench.peers.setup import python_of
from tests.tools.signatures import SIGNATURES
from tests.tools.strict_rules import broken

FILE = Path("tests/tools/signatures.py")
SNAPSHOTS = Path("tests/tools/schemas.json")
_FOR = {
    "string": {"pattern", "format", "minLength", "maxLength"},
    "array": {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"},
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
_FOR["integer"] = _FOR["number"]


def own(name: str) -> dict[str, Any]:
    """What a model is shown of this signature."""
    loose = signature.describe(SIGNATURES[name]).arguments.schema
    strict = strict_form(loose)
    return {"strict": strict is not None, "parameters": strict or loose, "checked": loose}


def same_form(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...] = ()) -> Any:
    """The schema as one of many that allow the same: a list of alternatives of one type each."""
    if not isinstance(schema, Mapping):
        return schema
    definitions = {**definitions, **schema.get("$defs", {})}
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return (
            [f"again {len(within) - within.index(name)}"]
            if name in within
            else same_form(definitions[name], definitions, (*within, name))
        )
    if options := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return sorted((each for option in options for each in same_form(option, definitions, within)), key=_key)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    types = schema.get("type", "any")
    found = []
    for kind in [types] if isinstance(types, str) else types:
        words = {word: schema[word] for word in _FOR.get(kind, ()) if word in schema}
        if "properties" in words:
            words["properties"] = {n: same_form(s, definitions, within) for n, s in words["properties"].items()}
            words["required"] = sorted(words.get("required", ()))
        if "prefixItems" in words:
            words["prefixItems"] = [same_form(each, definitions, within) for each in words["prefixItems"]]
        for word in ("items", "additionalProperties"):
            if isinstance(words.get(word), Mapping):
                words[word] = same_form(words[word], definitions, within)
        if values is not None and kind != "null":
            words["enum"] = sorted((value for value in values if value is not None), key=str)
        found.append({"type": kind, **words})
    return sorted(found, key=_key)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    if ours == theirs:
        return
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) and len(ours) < 3:
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, place)
    elif isinstance(ours, dict) and isinstance(theirs, dict) and ours.get("type") == theirs.get("type"):
        for word in sorted({*ours, *theirs}):
            inside = place if word in ("properties", "items") else f"{place}.{word}" if place else word
            yield from differences(ours.get(word), theirs.get(word), inside)
    else:
        yield f"{place}: {_short(ours)} / {_short(theirs)}"


def _short(value: Any) -> str:
    text = "-" if value is None else json.dumps(value)
    return text if len(text) <= 90 else f"{text[:90]}…"


def peers_schemas() -> dict[str, Any]:
    command = [python_of("livekit-agents"), "-W", "ignore", "bench/peers/tool_schemas.py", str(FILE)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def verdict(schema: Any, ours: Any) -> str:
    if isinstance(schema, str):
        return "refused"
    return "same" if same_form(schema, {}) == ours else "other"


def breaks(schema: Any) -> str:
    words = Counter(rule.partition(": ")[2] for rule in broken(schema)) if not isinstance(schema, str) else {}
    return ", ".join(words) or "-"


def main(arguments: argparse.Namespace) -> None:
    mine = {name: own(name) for name in SIGNATURES}
    if arguments.write:
        SNAPSHOTS.write_text(json.dumps(mine, indent=1, ensure_ascii=False) + "\n")
        print(f"wrote {len(mine)} schemas to {SNAPSHOTS}")
        return
    theirs = peers_schemas()
    tally: Counter[str] = Counter()
    print(f"{'signature':24} {'strict':6} {'livekit':8} {'openai':8} livekit breaks; openai breaks")
    for name, each in mine.items():
        form = same_form(each["parameters"], {})
        assert not each["strict"] or not list(broken(each["parameters"])), f"{name} breaks the rules of strict mode"
        told = {peer: theirs[name][peer] for peer in ("livekit", "openai")}
        found = {peer: verdict(schema, form) for peer, schema in told.items()}
        broke = {peer: breaks(schema) for peer, schema in told.items()}
        tally.update(f"{peer} {what}" for peer, what in found.items())
        tally.update(f"{peer} breaks the rules" for peer, what in broke.items() if what != "-")
        tally["agentd strict"] += each["strict"]
        strict = "yes" if each["strict"] else "no"
        print(f"{name:24} {strict:6} {found['livekit']:8} {found['openai']:8} {broke['livekit']}; {broke['openai']}")
        if arguments.differences:
            for peer, schema in told.items():
                for line in differences(form, same_form(schema, {})) if found[peer] == "other" else ():
                    print(f"    {peer:8} {line}")
    print(f"{len(mine)} signatures: " + "; ".join(f"{what} {count}" for what, count in sorted(tally.items())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--differences", action="store_true")
    parser.add_argument("--write", action="store_true")
    main(parser.parse_args())
