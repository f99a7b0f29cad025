"""Makes the peers' virtual environments: python -m bench.peers.setup

One a peer, under .cache/peers/, with the exact version that docs/performance.md names. agentd's own stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PLACE = Path(".cache/peers")
PACKAGES = {"livekit-agents": "livekit-agents==1.8.9"}


def python_of(peer: str) -> Path:
    """The peer's interpreter; raises SystemExit when its environment has not been made."""
    python = (PLACE / peer / "bin" / "python").absolute()
    if not python.exists():
        raise SystemExit(f"{peer} is not installed here; run: python -m bench.peers.setup")
    return python


def make(peer: str, package: str) -> None:
    place = PLACE / peer
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", package], check=True)
    print(f"{package} is in {place}")


if __name__ == "__main__":
    for name, wanted in PACKAGES.items():
        make(name, wanted)
