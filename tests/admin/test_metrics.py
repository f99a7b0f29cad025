from __future__ import annotations

import logging
import subprocess
from dataclasses import replace

import pytest

from agentd.admin.metrics import COUNTERS, GAUGES, HISTOGRAMS, Metrics
from agentd.runtime.status import BudgetStatus, Measure, SinkStatus
from tests.admin.conftest import Serve
from tests.fakes.daemon import FakeDaemon, agent
from tests.tools_needed import needed


def full() -> Metrics:
    """Figures in which every metric has at least one series."""
    metrics = Metrics()
    for name, (_, labels) in {**COUNTERS, **HISTOGRAMS, **GAUGES}.items():
        metrics.apply(Measure(name=name, value=0.4, labels=dict.fromkeys(labels, "x")))
    return metrics


def lines(metrics: Metrics) -> list[str]:
    return metrics.text().decode().splitlines()


def test_promtool_finds_nothing_to_complain_of() -> None:
    promtool = needed("promtool")
    metrics = full()
    metrics.follow(FakeDaemon())
    checked = subprocess.run([promtool, "check", "metrics"], input=metrics.text(), capture_output=True, timeout=10)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_counters_add_gauges_are_set_and_histograms_observe() -> None:
    metrics = Metrics()
    for value in (1.0, 2.0):
        metrics.apply(Measure(name="sessions_total", value=value, labels={"agent": "a", "reason": "hangup"}))
        metrics.apply(Measure(name="config_last_reload_successful", value=value - 1))
        metrics.apply(Measure(name="turn_latency_seconds", value=value, labels={"agent": "a", "stage": "e2e"}))
    shown = lines(metrics)
    assert 'agentd_sessions_total{agent="a",reason="hangup"} 3.0' in shown
    assert "agentd_config_last_reload_successful 1.0" in shown
    assert 'agentd_turn_latency_seconds_bucket{agent="a",le="1.0",stage="e2e"} 1.0' in shown
    assert 'agentd_turn_latency_seconds_sum{agent="a",stage="e2e"} 3.0' in shown


@pytest.mark.parametrize(
    "measure",
    [
        Measure(name="no_such_total"),
        Measure(name="sessions_total", labels={"agent": "a", "room": "r"}),
        Measure(name="sessions_total"),
        Measure(name="interruptions_total", value=-1, labels={"agent": "a"}),
    ],
)
def test_a_measure_that_fits_nothing_is_logged_once(measure: Measure, caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    with caplog.at_level(logging.WARNING):
        metrics.apply(measure)
        metrics.apply(measure)
    assert len(caplog.records) == 1


def test_a_deleted_agent_leaves_no_series_behind() -> None:
    daemon = FakeDaemon(agent("a"), agent("b", registered=False, sessions=4))
    metrics = Metrics()
    metrics.follow(daemon)
    assert 'agentd_sessions_active{agent="b"} 4.0' in lines(metrics)
    assert 'agentd_worker_registered{agent="b"} 0.0' in lines(metrics)
    daemon.agent_list = (agent("a"),)
    assert not [line for line in lines(metrics) if 'agent="b"' in line]
    assert "agentd_worker_load_ratio 0.25" in lines(metrics)
    sink = SinkStatus(agent="a", url="https://x.example/", types=("*",), state="ok", waiting=2)
    daemon.sink_list = (sink, replace(sink, waiting=3), replace(sink, agent="", waiting=0))
    assert 'agentd_event_deliveries_waiting{agent="a"} 5.0' in lines(metrics)
    assert 'agentd_event_deliveries_waiting{agent=""} 0.0' in lines(metrics)
    assert "agentd_event_loop_lag_seconds 0.004" in lines(metrics)
    budget = BudgetStatus(agent="a", caller="", day="d", tokens=1, minutes=1, cost=0, ratios={"tokens_per_day": 0.5})
    daemon.budget_list = (budget, replace(budget, caller="+1555", ratios={"tokens_per_day": 1.0}))
    assert [line for line in lines(metrics) if line.startswith("agentd_budget")] == [
        'agentd_budget_used_ratio{agent="a",budget="tokens_per_day"} 0.5'
    ]
    daemon.agent_list = (agent("a", reached=False),)
    assert 'agentd_worker_probe_ok{agent="a"} 0.0' in lines(metrics)


def test_a_draft_with_a_mistake_is_no_agent_that_should_be_registered() -> None:
    daemon, metrics = FakeDaemon(agent("a"), agent("drafts/b.yaml", state="rejected", registered=False)), Metrics()
    metrics.follow(daemon)
    assert not [line for line in lines(metrics) if "drafts/b.yaml" in line]


def test_no_label_holds_an_id() -> None:
    labels = {label for _, names in {**COUNTERS, **HISTOGRAMS, **GAUGES}.values() for label in names}
    assert labels == {
        "agent",
        "reason",
        "stage",
        "tool",
        "outcome",
        "kind",
        "provider",
        "type",
        "language",
        "rule",
        "where",
        "of",
        "state",
        "direction",
    }  # and "budget", of a gauge that is read at each scrape


async def test_the_figures_are_served_as_prometheus_reads_them(serve: Serve) -> None:
    answer = await (await serve()).get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'agentd_sessions_active{agent="front-desk"} 1.0' in await answer.text()
