"""Tasks of an agent file, and what holds them together with the session's parts that configuration may not import."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.config.builtins import CollectDigitsTool
from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.config.task_lint import RULE_LANGUAGES
from agentd.config.tasks import DIGITS_TASK, digits_task
from agentd.session.reading.lexicon import LANGUAGES, lexicon
from agentd.session.task_tools import NAMES
from tests.documents import blocks
from tests.fakes.plugins import fake_registry

HEAD = "stt: {provider: owl}\nllm: {provider: parrot, model: m}\ntts: {provider: wren}\n"
REALTIME = "realtime: {provider: starling}\n"


@pytest.mark.parametrize("head", [HEAD, REALTIME])
@pytest.mark.parametrize("block", blocks("docs/tasks.md", "yaml"))
def test_the_page_s_agent_files_are_valid_with_either_kind_of_model(block: str, head: str, tmp_path: Path) -> None:
    (tmp_path / "example.yaml").write_text(head + block)
    loaded = load(tmp_path, DaemonConfig(), fake_registry(), {})
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.agents["example"].tasks or loaded.agents["example"].tools


def test_the_languages_of_the_rules_are_those_that_are_there() -> None:
    assert RULE_LANGUAGES == LANGUAGES
    assert all(lexicon(tag) is not None for tag in LANGUAGES)
    assert lexicon("fr-FR") is None


def test_the_builtin_begins_a_task_of_its_own_name() -> None:
    task = digits_task(CollectDigitsTool(type="builtin", name="collect_digits", length=4, speech=False))
    assert task.name == DIGITS_TASK
    assert task.tool_name == "collect_digits"
    assert task.keys.only
    assert task.tool_name not in NAMES
