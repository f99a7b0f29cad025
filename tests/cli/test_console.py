"""`agentd console`: its options are those of the other commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT

AGENT = """\
greeting: {say: "${GREETING:?}"}
stt: {provider: scripted}
tts: {provider: scripted}
llm: {provider: scripted, replies: ["Said {text}."]}
"""


def test_the_directory_and_the_variables_are_named_as_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "desk.yaml").write_text(AGENT)
    (tmp_path / "env").write_text("GREETING=Good day\n")
    (tmp_path / "agentd.yaml").write_text("store: state\n")
    command = ["console", "desk", "--text", "--directory", "agents", "--env-file", "env", "-c", "agentd.yaml"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    done = subprocess.run(
        [sys.executable, "-m", "agentd", *command], cwd=tmp_path, env=environment, input="hello\n",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Good day" in done.stdout
