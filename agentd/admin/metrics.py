"""The figures that Prometheus reads: base units, no ids in labels.

Sessions and workers send `Measure`s; what is a state rather than an event is read from the daemon at each scrape.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

import agentd
from agentd.runtime.status import Daemon, Measure

log = logging.getLogger(__name__)

M = TypeVar("M", bound=MetricWrapperBase)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "agentd_"
LATENCY_BUCKETS_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sessions_total": ("Sessions that ended, by reason.", ("agent", "reason")),
    "sessions_resumed_total": ("Sessions that went on in another worker.", ("agent",)),
    "tool_calls_total": ("Tool calls, by outcome.", ("agent", "tool", "outcome")),
    "tool_actions_ignored_total": ("Actions in answers of tools that are not known here.", ("agent", "tool")),
    "tool_callbacks_total": ("Results that slow tools brought, by what became of them.", ("outcome",)),
    "live_edits_total": (
        "Edits under reload: live, by what the calls under way did with them.",
        ("agent", "outcome"),
    ),
    "tool_loops_total": ("Answers without tools, because the model went on calling them.", ("agent",)),
    "hook_runs_total": ("What hooks did, by outcome.", ("agent", "outcome")),
    "provider_requests_total": ("Requests to providers, by outcome.", ("kind", "provider", "outcome")),
    "usage_tokens_total": ("Tokens of the language model.", ("agent", "type")),
    "usage_cost_total": ("Money that calls cost, by the prices of agentd.yaml.", ("agent",)),
    "usage_characters_total": ("Characters that were synthesised.", ("agent",)),
    "preemptions_total": ("Answers begun before the turn had ended, by outcome.", ("agent", "outcome")),
    "user_turns_total": ("Turns of callers, by the language they were in.", ("agent", "language")),
    "language_changes_total": (
        "Changes of a conversation's language, by the new one and the rule behind it.",
        ("agent", "language", "rule"),
    ),
    "interruptions_total": ("Replies that the caller cut.", ("agent",)),
    "event_deliveries_total": ("Events sent to webhooks, by outcome.", ("agent", "outcome")),
    "session_requests_total": ("Questions before calls, by what came of them.", ("agent", "outcome")),
    "events_dropped_total": ("Events of calls that did not reach a reader, by where they were lost.", ("where",)),
    "reloads_coalesced_total": ("Reloads that were asked for while another was waiting, and shared it.", ()),
    "definitions_quarantined_total": ("Revisions that failed in their first calls and were taken back.", ("agent",)),
    "rollout_changes_total": ("Canaries that began, were promoted or taken back.", ("agent", "of", "state")),
    "test_runs_total": ("Agents' own tests that ran before a reload, by outcome.", ("agent", "outcome")),
    "worker_probes_total": ("Probes of registrations, by what came of them.", ("agent", "outcome")),
    "worker_renewals_total": ("Registrations that received nothing and were renewed.", ("agent",)),
    "jobs_declined_total": ("Jobs that LiveKit offered and that were refused, by why.", ("agent", "reason")),
    "sessions_adopted_total": ("Calls taken over from an earlier supervisor's workers.", ("agent",)),
    "admin_refused_total": (
        "Requests to the admin API that came too often.",
        ("reason",),
    ),
    "calls_queued_total": ("Calls that waited for a place, by what came of it.", ("agent", "outcome")),
    "worker_scalings_total": ("Workers that were added or let go because of the load.", ("direction",)),
    "worker_replacements_total": ("New code that workers got, or were refused.", ("outcome",)),
    "worker_restarts_total": ("Workers that died or hung and were replaced.", ()),
}
HISTOGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "turn_latency_seconds": ("Silence that the caller hears before a reply, by stage.", ("agent", "stage")),
    "tool_duration_seconds": ("Time that tool calls took.", ("agent", "tool")),
}
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "code_last_reload_successful": ("Whether workers run the code that a reload last found, or could not.", ()),
    "journal_ok": ("Whether the journals of calls can be written: 0 while they cannot, and no call is taken.", ()),
    "config_last_reload_successful": ("Whether the last reload applied every file.", ()),
    "config_last_reload_success_timestamp_seconds": ("When a reload last applied every file, unix time.", ()),
}


class Metrics:
    """A MeasureSink, and the text for `/metrics`. Belongs to one event loop."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every one of ours, that nobody reads
        self._registry = CollectorRegistry()
        self._counters = {name: self._make(Counter, name, about) for name, about in COUNTERS.items()}
        self._gauges = {name: self._make(Gauge, name, about) for name, about in GAUGES.items()}
        self._histograms = {
            name: Histogram(PREFIX + name, text, labels, buckets=LATENCY_BUCKETS_S, registry=self._registry)
            for name, (text, labels) in HISTOGRAMS.items()
        }
        self._refused: set[str] = set()
        ProcessCollector(registry=self._registry)
        build = Gauge(PREFIX + "build_info", "Always 1; the version of agentd.", ["version"], registry=self._registry)
        build.labels(version=agentd.__version__).set(1)

    def _make(self, kind: type[M], name: str, about: tuple[str, tuple[str, ...]]) -> M:
        return kind(PREFIX + name, *about, registry=self._registry)

    def apply(self, measure: Measure) -> None:
        """Adds, sets or observes. A measure of unknown name or labels is logged once and left out."""
        try:
            self._apply(measure)
        except (KeyError, ValueError) as error:
            if measure.name not in self._refused:
                self._refused.add(measure.name)
                log.warning("A measure was left out: %s", error, extra={"measure": measure.name})

    def _apply(self, measure: Measure) -> None:
        if counter := self._counters.get(measure.name):
            _child(counter, measure).inc(measure.value)
        elif histogram := self._histograms.get(measure.name):
            _child(histogram, measure).observe(measure.value)
        else:
            _child(self._gauges[measure.name], measure).set(measure.value)

    def follow(self, daemon: Daemon) -> None:
        """From now on a scrape also tells the daemon's own state."""
        self._registry.register(DaemonCollector(daemon))

    def text(self) -> bytes:
        return generate_latest(self._registry)


def _child(metric: M, measure: Measure) -> M:
    return metric.labels(**measure.labels) if measure.labels else metric


class DaemonCollector(Collector):
    """Gauges from the daemon's snapshots, made anew at each scrape: nothing of a deleted agent stays behind."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._of_agents()
        yield from self._of_workers()
        yield self._of_sinks()
        yield self._of_budgets()
        yield from self._of_rollouts()
        yield _gauge("config_generation", "Number of the generation that new calls get.", self._daemon.generation())

    def _of_agents(self) -> Iterator[GaugeMetricFamily]:
        active = GaugeMetricFamily(PREFIX + "sessions_active", "Calls under way.", labels=["agent"])
        registered = GaugeMetricFamily(
            PREFIX + "worker_registered", "Whether the agent is registered with LiveKit.", labels=["agent"]
        )
        held = GaugeMetricFamily(
            PREFIX + "agent_held", "Whether it serves another revision than its file says.", labels=["agent", "reason"]
        )
        reached = GaugeMetricFamily(
            PREFIX + "worker_probe_ok", "Whether the last probes of the registration were received.", labels=["agent"]
        )
        queued = GaugeMetricFamily(PREFIX + "calls_waiting", "Callers who wait for a place.", labels=["agent"])
        step = GaugeMetricFamily(
            PREFIX + "busy_step", "Up to which step of when_busy things are given up.", labels=["agent"]
        )
        for agent in self._daemon.agents():
            if agent.state == "rejected":  # nothing that could be registered, or be called
                continue
            queued.add_metric([agent.name], agent.queued)
            step.add_metric([agent.name], agent.busy_step)
            if agent.state in ("quarantined", "rolled_back"):
                held.add_metric([agent.name, agent.state], 1.0)
            reached.add_metric([agent.name], float(agent.reached))
            active.add_metric([agent.name], agent.sessions)
            registered.add_metric([agent.name], float(agent.registered))
        yield queued
        yield step
        yield active
        yield registered
        yield held
        yield reached

    def _of_rollouts(self) -> Iterator[GaugeMetricFamily]:
        share = GaugeMetricFamily(
            PREFIX + "rollout_share_ratio",
            "Share of the other agent's calls that a canary takes.",
            labels=["agent", "of"],
        )
        bound = GaugeMetricFamily(
            PREFIX + "rollout_objective",
            "What a canary is measured by: the value, its interval (low, high) and its limit.",
            labels=["agent", "objective", "bound"],
        )
        for rollout in self._daemon.rollouts():
            share.add_metric([rollout.agent, rollout.of], rollout.share)
            for one in rollout.objectives:
                bounds = {"value": one.value, "low": one.low, "high": one.high, "limit": one.limit}
                for name, value in bounds.items():
                    if value is not None:
                        bound.add_metric([rollout.agent, one.name, name], value)
        yield share
        yield bound

    def _of_sinks(self) -> GaugeMetricFamily:
        waiting = GaugeMetricFamily(
            PREFIX + "event_deliveries_waiting", "Events that are to be sent to webhooks.", labels=["agent"]
        )
        by_agent: dict[str, int] = {}
        for sink in self._daemon.sinks():
            by_agent[sink.agent] = by_agent.get(sink.agent, 0) + sink.waiting
        for agent, number in by_agent.items():
            waiting.add_metric([agent], number)
        return waiting

    def _of_budgets(self) -> GaugeMetricFamily:
        used = GaugeMetricFamily(
            PREFIX + "budget_used_ratio", "Share of today's budget that is used: 1 is all.", labels=["agent", "budget"]
        )
        for status in self._daemon.budgets():
            for budget, ratio in status.ratios.items() if not status.caller else ():
                used.add_metric([status.agent, budget], ratio)
        return used

    def _of_workers(self) -> Iterator[GaugeMetricFamily]:
        workers = self._daemon.workers()
        load = self._daemon.facts().worker_load
        lag = max((worker.loop_lag_s for worker in workers), default=0.0)
        memory = sum(worker.memory_bytes for worker in workers)
        ready = sum(worker.state == "ready" for worker in workers)
        yield _gauge("worker_load_ratio", "How full the daemon is: 0 is idle, 1 is full.", load)
        yield _gauge("event_loop_lag_seconds", "Worst lag of a worker's event loop in its last heartbeat.", lag)
        yield _gauge("workers_ready", "Session workers that take calls.", ready)
        yield _gauge("workers_memory_bytes", "Resident memory of all session workers.", memory)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, value=value)
