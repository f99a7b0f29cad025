"""For every test: what may be tried twice."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """System tests speak in real time on a machine that others use too: a stall of theirs is not our failure.

    One second attempt, after a rest, and the summary names each (RERUN); what fails twice has failed. No other test is
    tried again: those run on virtual time, and must not depend on the machine.
    """
    for item in items:
        if item.get_closest_marker("system"):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=3))
