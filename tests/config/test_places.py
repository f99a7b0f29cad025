"""Where a setting is written: in the file, in a part that it extends, in the daemon's defaults, or nowhere."""

from __future__ import annotations

from pathlib import Path

from agentd.config.daemon import load_daemon
from tests.config.files import PROVIDERS, loaded, write


def test_each_setting_has_the_line_of_the_file_that_it_comes_from(tmp_path: Path) -> None:
    agents = tmp_path / "agents.d"
    write(
        tmp_path,
        {
            "agents.d/_base.yaml": "turn:\n  endpointing:\n    min_delay: 0.4s\n    max_delay: 2s\n",
            "agents.d/one.yaml": "extends: _base.yaml\n" + PROVIDERS + "turn:\n  endpointing: {min_delay: 0.3s}\n"
            "  interruption:\n    acknowledgements: [uh-huh,\n      right]\n",
            "agentd.yaml": "defaults:\n  limits: {max_tool_steps: 2}\n",
        },
    )
    daemon = load_daemon(tmp_path / "agentd.yaml", {}).config
    result = loaded(agents, daemon)
    assert not result.errors
    places = result.agents["one"].places
    assert places["turn.endpointing.min_delay"] == f"{agents}/one.yaml:6"
    assert places["turn.endpointing.max_delay"] == f"{agents}/_base.yaml:4"
    assert places["turn.interruption.acknowledgements[1]"] == f"{agents}/one.yaml:9"
    assert places["limits.max_tool_steps"] == f"{tmp_path}/agentd.yaml:2"
    assert "turn.interruption.min_words" not in places
    assert not any(path.startswith(("stt", "llm", "tts")) for path in places)


def test_a_line_further_down_is_the_same_agent(tmp_path: Path) -> None:
    text = PROVIDERS + "turn: {endpointing: {min_delay: 0.3s}}\n"
    write(tmp_path, {"one.yaml": text})
    before = loaded(tmp_path).agents["one"]
    write(tmp_path, {"one.yaml": "# a comment\n" + text})
    after = loaded(tmp_path).agents["one"]
    assert before.digest == after.digest
    assert before == after
    assert before.places != after.places
