from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from agentd.cli.schema import generated
from agentd.config.definition import AgentDefinition
from agentd.config.reference import reference
from agentd.config.schema import agent_schema, daemon_schema
from agentd.config.shapes import fields_of
from agentd.config.source import parse, plain
from agentd.registry import installed
from tests.config.test_load import EVERYTHING
from tests.fakes.plugins import fake_registry

PROJECT = Path(__file__).parents[2]


def tree(text: str) -> Any:
    return plain(parse(text, "f.yaml").documents[0].root)


def errors(text: str) -> list[str]:
    validator = Draft7Validator(agent_schema(fake_registry()))
    return [error.message for error in validator.iter_errors(tree(text))]


@pytest.mark.parametrize("make", [agent_schema, daemon_schema])
@pytest.mark.parametrize("registry", [fake_registry(), installed()], ids=["fake", "installed"])
def test_the_schemas_are_draft_07_without_one_of(make: Any, registry: Any) -> None:
    schema = make(registry)
    Draft7Validator.check_schema(schema)
    text = json.dumps(schema)
    assert '"oneOf"' not in text
    assert '"anyOf"' not in text
    for reference_ in {part.split('"')[0] for part in text.split('"$ref": "#/definitions/')[1:]}:
        node: Any = schema["definitions"]
        for step in reference_.split("/"):
            node = node[step]


def test_a_good_file_is_good_for_the_schema() -> None:
    assert errors(EVERYTHING.replace("0.30", "0.3")) == []  # to an editor these are one number
    assert (
        errors("description: x\nturn: {endpointing: {min_delay: 0, max_delay: 1s}}\nlimits: {concurrency: '${N:-3}'}")
        == []
    )
    assert errors("greeting: null\nlimits: {max_duration: null}\nx-any: [thing]") == []


@pytest.mark.parametrize(
    "text",
    [
        "greting: {say: hi}",
        "turn: {detection: vda}",
        "turn: {endpointing: {min_delay: 5}}",
        "turn: {endpointing: {min_delay: 5 seconds}}",
        "stt: {provider: eagle}",
        "stt: {provider: owl, keyterm: [a]}",
        "stt: {provider: owl, beams: 0}",
        "llm: {provider: parrot, model: m, fallback: [{provider: parrot, modle: x}]}",
        "tts: {provider: wren, effects: [{type: plain, notes: [1, 2]}]}",
        "tts: {provider: wren, effects: [{type: chord, notes: [1]}]}",
        "tools: [{type: webhook, name: a, description: b}]",
        "tools: [{type: builtin, name: fly}]",
        "tools: [{name: end_call}]",
        "name: Front_Desk",
        "version: 2",
        "room: {participant_kinds: []}",
        "limits: {max_tool_steps: 51}",
    ],
)
def test_a_mistake_is_a_mistake_for_the_schema(text: str) -> None:
    assert errors(text) != []


def test_every_bad_value_of_the_schema_says_where_it_is() -> None:
    """`if`/`then` keeps the error at the key; `oneOf` would put it at the whole block."""
    validator = Draft7Validator(agent_schema(fake_registry()))
    (error,) = validator.iter_errors({"tts": {"provider": "wren", "speed": 9}})
    assert list(error.absolute_path) == ["tts", "speed"]


def test_the_vad_block_needs_no_provider() -> None:
    assert errors("vad: {activation: 0.6}") == []
    assert errors("vad: {activation: 6}") != []


def test_the_daemons_schema_checks_its_defaults() -> None:
    validator = Draft7Validator(daemon_schema(fake_registry()))
    assert list(validator.iter_errors({"defaults": {"stt": {"provider": "owl"}}, "workers": 2})) == []
    assert list(validator.iter_errors({"defaults": {"stt": {"provider": "eagle"}}})) != []
    assert list(validator.iter_errors({"worker": 2})) != []


def test_every_field_is_described_with_its_default() -> None:
    properties = agent_schema(fake_registry())["properties"]
    for field in fields_of(AgentDefinition):
        assert properties[field.key]["description"].startswith(field.setting.doc)
    assert properties["language"]["default"] == "en"
    definitions = agent_schema(fake_registry())["definitions"]
    assert definitions["Endpointing"]["properties"]["min_delay"]["default"] == "500ms"
    assert definitions["stt.owl"]["properties"]["api_key"]["default"] == "${OWL_API_KEY}"


def test_the_reference_names_every_key() -> None:
    text = reference(fake_registry())
    for key in ("instructions_file", "min_delay", "while_waiting", "keyterms", "drain_timeout", "`while`", "notes"):
        assert key in text


@pytest.mark.parametrize("path", ["schemas/agent.schema.json", "schemas/daemon.schema.json", "docs/agent-file.md"])
def test_the_generated_files_are_current(path: str) -> None:
    """When this fails: agentd schema --write."""
    assert (PROJECT / path).read_text() == generated(installed())[path]


def test_the_committed_schema_takes_the_sample_agents() -> None:
    validator = Draft7Validator(json.loads((PROJECT / "schemas/agent.schema.json").read_text()))
    files = sorted((PROJECT / "agents.d").glob("[!_]*.yaml"))
    assert files
    for path in files:
        assert [error.message for error in validator.iter_errors(tree(path.read_text()))] == []
