"""For every test: what may be tried twice, whether any may be skipped, and where its logs go."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator

import pytest

REQUIRED = "AGENTD_TESTS_REQUIRE"
"""Set by `make test`, and so by .ci/run, which install all that tests need: there, what is skipped has failed."""
INSTALL = f"nothing is skipped where {REQUIRED} is set: tests/system/install.sh and `make` install what tests need"


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A command that runs in a test sends the logs of its process elsewhere, and the process is that of all tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A tool that is missing may not go unnoticed: a developer's own run says so, and goes on."""
    if os.environ.get(REQUIRED) != "1":
        return
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{why}\n{INSTALL}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """System tests speak in real time on a machine that others use too: a stall of theirs is not our failure.

    One second attempt, after a rest, and the summary names each (RERUN); what fails twice has failed. No other test is
    tried again: those run on virtual time, and must not depend on the machine.
    """
    for item in items:
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=3))
