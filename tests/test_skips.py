"""Where all tools are to be there, a test that is skipped has failed, and says what installs what it lacks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.timeout(120)  # they start other pythons
ROOT = Path(__file__).parents[1]

LACKING = """
import pytest
from tests.tools_needed import needed

def test_with_a_tool(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("tests.tools_needed.PLACES", ())
    needed("promtool")

@pytest.mark.skipif(True, reason="there is no moon")
def test_by_night(): ...

@pytest.mark.xfail(reason="not yet", strict=True)
def test_later(): assert False

def test_good(): ...
"""
MODULE = 'import pytest\npytest.importorskip("no_such_module", reason="there is no such module")\ndef test_it(): ...\n'


@pytest.fixture
def directory(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    shutil.copy(Path(__file__).with_name("conftest.py"), pytester.path)
    pytester.makepyfile(test_lacking=LACKING, test_module=MODULE)
    pytester.makeini("[pytest]\nmarkers = system\n")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def test_a_developers_own_run_goes_on_without(directory: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTD_TESTS_REQUIRE", raising=False)
    directory.runpytest_subprocess().assert_outcomes(passed=1, skipped=3, xfailed=1)


@pytest.mark.parametrize("flags", [(), ("-p", "xdist", "-n", "1")], ids=["one process", "xdist"])
def test_where_all_is_installed_nothing_is_skipped(
    directory: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.setenv("AGENTD_TESTS_REQUIRE", "1")
    result = directory.runpytest_subprocess("--continue-on-collection-errors", *flags)
    result.assert_outcomes(passed=1, failed=1, errors=2, xfailed=1)
    said = result.stdout.str()
    for why in (
        "there is no promtool: tests/system/install.sh installs it",
        "there is no moon",
        "there is no such module",
    ):
        assert why in said
