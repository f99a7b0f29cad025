"""Tells stories as they go today, for an author to read: python -m tests.stories tests/stories/FILE.yaml [WORD]"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stories.story import filled, stories
from tests.stories.telling import tell


def main(path: str, word: str = "") -> None:
    for story in stories(Path(path)):
        if word in story.name:
            print(f"\n{story.name}")
            told = tell(story)
            wanted = filled(story.then, told)
            for line in told:
                print(f"  {' ' if line in wanted else '+'} {line}")
            for line in [each for each in wanted if each not in told]:
                print(f"  - {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
