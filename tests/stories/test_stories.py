"""Every story of this folder's YAML files: the timeline is what it says, to the millisecond."""

from __future__ import annotations

import pytest

from tests.stories.story import HERE, Story, filled, stories
from tests.stories.telling import tell

ALL = [story for path in sorted(HERE.glob("*.yaml")) for story in stories(path)]


@pytest.mark.parametrize("story", ALL, ids=lambda story: f"{story.file.removesuffix('.yaml')}: {story.name}")
def test_story(story: Story) -> None:
    told = tell(story)
    assert told == filled(story.then, told)
