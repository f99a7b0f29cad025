"""Every story of this folder's YAML files: the timeline is what it says, to the millisecond."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from agentd.session import endpointing, false_words, situation, turns, waking, yielding
from agentd.session.rule_words import RULES
from tests.stories.story import HERE, Story, filled, stories
from tests.stories.telling import tell

OF_REALTIME_MODELS = {"realtime"}
"""A story's parts are a pipeline's; with a model that hears by itself: tests/session/test_realtime.py."""

OTHER_WORDS = {"tool"}
"""Of the modules below: the name of a profile, which is also that of a rule by which calls are handed over."""

ALL = [story for path in sorted(HERE.glob("*.yaml")) for story in stories(path)]


@pytest.mark.parametrize("story", ALL, ids=lambda story: f"{story.file.removesuffix('.yaml')}: {story.name}")
def test_story(story: Story) -> None:
    told = tell(story)
    assert told == filled(story.then, told)


def test_there_are_three_hundred_and_every_rule_of_the_turn_machine_is_told() -> None:
    assert len(ALL) >= 300
    told = {line.rpartition(" by ")[2] for story in ALL for line in story.then if " by " in line}
    assert rules_of_the_turn_machine() - OTHER_WORDS - told == OF_REALTIME_MODELS


def rules_of_the_turn_machine() -> set[str]:
    """Whatever its modules name that `agentd explain` has words for."""
    named: set[str] = set()
    for module in (turns, yielding, situation, endpointing, false_words, waking):
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        named |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value in RULES}
    return named
