"""What the three cloud plugins promise without being used: cheap imports, and settings that a file can write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.registry import installed

EXAMPLES = Path(__file__).parents[2] / "examples"
KEYS = {"OPENAI_API_KEY": "k", "DEEPGRAM_API_KEY": "k", "ELEVENLABS_API_KEY": "k"}


@pytest.mark.parametrize("plugin", ["openai", "deepgram", "elevenlabs"])
def test_the_plugin_and_its_settings_import_no_sdk(plugin: str) -> None:
    code = (
        f"import sys, agentd_{plugin}, agentd_{plugin}.config\n"
        "sdks = {'openai', 'deepgram', 'elevenlabs', 'websockets', 'httpx', 'httpx2', 'pydantic', 'numpy'}\n"
        "assert not sdks & set(sys.modules), sdks & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("plugin", ["openai", "deepgram", "elevenlabs"])
def test_every_component_is_found_through_the_public_door(plugin: str) -> None:
    registry = installed()
    components = [component for component in registry.components() if component.provider == plugin]
    assert components
    for component in components:
        registry.settings_class(component)()  # every setting has a default
        assert callable(registry.factory(component))


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_every_example_is_valid_with_its_keys_and_names_the_missing_ones(name: str) -> None:
    loaded = load(EXAMPLES, DaemonConfig(), installed(), KEYS, only=[name])
    assert loaded.problems == ()
    assert loaded.agents
    keyless = load(EXAMPLES, DaemonConfig(), installed(), {}, only=[name])
    assert {problem.code for problem in keyless.errors} == {"unset-variable"}
