"""Who is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.registry import installed
from bench.turn_taking.subjects import AGENTD_DETECTORS, DEFAULT_SUBJECTS, Agentd, subject


def definition_of(detector: str, folder: Path):  # type: ignore[no-untyped-def]
    (folder / "bench.yaml").write_text(Agentd(detector).file)
    loaded = load(folder, DaemonConfig(), installed(), {})
    assert [problem for problem in loaded.problems if problem.severity == "error"] == []
    (agent,) = loaded.agents.values()
    return agent


@pytest.mark.parametrize("detector", sorted(AGENTD_DETECTORS))
def test_every_detector_is_an_agent_file_that_loads(detector: str, tmp_path: Path) -> None:
    assert definition_of(detector, tmp_path).name == "bench"


def test_a_detector_may_be_written_out(tmp_path: Path) -> None:
    agent = definition_of("quick=turn: {endpointing: {min_delay: 0.2s}}", tmp_path)
    assert agent.turn.endpointing.min_delay == 0.2
    assert Agentd("quick=turn: {}").name == "agentd quick"


def test_the_subjects_that_are_measured_without_being_asked_for() -> None:
    names = [subject(text).name for text in DEFAULT_SUBJECTS]
    assert names == ["agentd vad", "livekit-agents 1.8.9 default", "livekit-agents 1.8.9 vad"]


@pytest.mark.parametrize("text", ["agentd", "pipecat:vad", "agentd:guess", "livekit-agents:model"])
def test_unknown_subjects_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"SUBJECT:DETECTOR|no detector"):
        subject(text)
