"""Every file in tests/bad_configs with the exact problems that it must be answered with, in NAME.txt.

`AGENTD_UPDATE_BAD_CONFIGS=1 pytest tests/config/test_bad_configs.py` writes the answers: read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentd.config.daemon import load_daemon
from agentd.config.load import load
from agentd.errors import Problem
from tests.fakes.plugins import fake_registry

FOLDER = Path(__file__).parent.parent / "bad_configs"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith("_"))
ENVIRONMENT = {"OWL_API_KEY": "owl", "EMPTY": ""}


def problems_of(path: Path) -> tuple[Problem, ...]:
    if path.name.startswith("daemon-"):
        return load_daemon(path, ENVIRONMENT).problems
    daemon = load_daemon(None, {}).config
    return load(FOLDER, daemon, fake_registry(), ENVIRONMENT, only=(path.name,)).problems


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_configuration_is_answered_with_exactly_its_problems(path: Path) -> None:
    problems = problems_of(path)
    answer = "".join(f"{problem}\n" for problem in problems).replace(f"{FOLDER}/", "")
    expected = path.with_suffix(".txt")
    if os.environ.get("AGENTD_UPDATE_BAD_CONFIGS"):
        expected.write_text(answer)
    assert answer == expected.read_text()
    assert any(problem.severity == "error" for problem in problems)


def test_there_are_enough_bad_configurations() -> None:
    assert len(FILES) >= 120
