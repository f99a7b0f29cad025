"""The benchmark of tool calls runs, and killed tools leave nothing."""

import argparse

import pytest

from bench import tools


async def test_a_few_killed_tools_leave_no_process_no_descriptor_and_no_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    await tools.main(
        argparse.Namespace(calls=20, at_once=[1, 10], kills=8, deadline=0.3, seconds=20.0, kill_seconds=60.0)
    )
    printed = capsys.readouterr().out
    assert "8 tools killed in" in printed
    for what in ("processes", "descriptors", "files"):
        assert f"  {what:12} 0\n" in printed
    assert "added to a webhook" in printed
