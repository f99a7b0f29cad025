"""Tells stories as they go today, for an author to read: python -m tests.stories tests/stories/FILE.yaml [WORD]"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stories.story import stories
from tests.stories.telling import tell


def main(path: str, word: str = "") -> None:
    for story in stories(Path(path)):
        if word in story.name:
            print(f"\n{story.name}")
            for line in tell(story):
                print(f"  {' ' if line in story.then else '!'} {line}")


if __name__ == "__main__":
    main(*sys.argv[1:])
