"""Agent files for tests: a small good one, and a way to write and load a folder of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from agentd.config.daemon import DaemonConfig
from agentd.config.definition import AgentDefinition
from agentd.config.load import Loaded, load
from tests.fakes.plugins import fake_registry

PROVIDERS = "stt: {provider: owl}\nllm: {provider: parrot, model: m}\ntts: {provider: wren}\n"
ENVIRONMENT = {"OWL_API_KEY": "owl-key"}


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def loaded(folder: Path, daemon: DaemonConfig | None = None, environment: Mapping[str, str] = ENVIRONMENT) -> Loaded:
    return load(folder, daemon or DaemonConfig(), fake_registry(), environment)


def agent(folder: Path, text: str, environment: Mapping[str, str] = ENVIRONMENT) -> AgentDefinition:
    """The one agent of this text over the usual providers; it must be good."""
    write(folder, {"one.yaml": PROVIDERS + text})
    result = loaded(folder, environment=environment)
    assert not result.errors, "\n".join(map(str, result.errors))
    return next(iter(result.agents.values()))


def codes(result: Loaded) -> list[str]:
    return [problem.code for problem in result.problems]
