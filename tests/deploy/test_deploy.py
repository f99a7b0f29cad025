"""What `deploy/` holds passes the tools of those who use it, and names what there is."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from agentd.admin.metrics import Metrics
from agentd.cli.files import EXIT_INVALID
from agentd.cli.serve import EXIT_ADMIN_TAKEN, EXIT_BUSY, EXIT_CALLS_CUT
from agentd.config.daemon import DaemonConfig, load_daemon
from agentd.config.load import load
from agentd.config.shapes import fields_of
from agentd.registry import installed
from agentd.runtime.tick import TICK_S
from tests.documents import ROOT
from tests.fakes.config_map import publish
from tests.fakes.daemon import FakeDaemon
from tests.tools_needed import needed

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "agentd"
KNOWS_NOTIFY_RELOAD = 253  # systemd's version
VALUES = (
    "livekit.url=wss://livekit.example.com",
    "keda.enabled=true",
    "podMonitor.enabled=true",
    "agents.desk\\.yaml=version: 1",
)


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(text: str) -> set[str]:
    return set(re.findall(r"\bagentd_[a-z_]+", text))


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    metrics = Metrics()
    metrics.follow(FakeDaemon())
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", metrics.text().decode(), re.MULTILINE))
    histograms = [name for name, kind in kinds.items() if kind == "histogram"]
    return {*kinds, *(f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count"))}


@pytest.fixture(scope="module")
def chart() -> list[dict[str, Any]]:
    settings = [word for value in VALUES for word in ("--set", value)]
    return [
        each
        for each in yaml.safe_load_all(
            run(needed("helm"), "template", "rel", str(CHART), "--kube-version", "1.31.0", *settings)
        )
        if each
    ]


def test_alert_rules_pass_promtool_and_fire_as_their_tests_say() -> None:
    promtool = needed("promtool")
    run(promtool, "check", "rules", "alerts.yaml", cwd=DEPLOY / "prometheus")
    run(promtool, "test", "rules", "alerts_test.yaml", cwd=DEPLOY / "prometheus")


def test_alerts_and_dashboard_ask_for_figures_that_are_exposed(exposed: set[str]) -> None:
    board = json.loads((DEPLOY / "grafana" / "agentd.json").read_text())
    asked = figures((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    for panel in board["panels"]:
        asked |= figures(" ".join(target["expr"] for target in panel["targets"]))
    assert len(asked) > 12
    assert asked <= exposed


def test_the_dashboards_panels_do_not_lie_over_each_other_and_choose_their_source() -> None:
    board = json.loads((DEPLOY / "grafana" / "agentd.json").read_text())
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${datasource}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_unit_passes_systemds_own_check(tmp_path: Path) -> None:
    analyze = needed("systemd-analyze")
    text = (DEPLOY / "agentd.service").read_text()
    there = text.replace("/opt/agentd/bin/agentd", "/bin/true").replace("/etc/agentd/environment", "/dev/null")
    (tmp_path / "agentd.service").write_text(there)
    run(analyze, "verify", "--man=no", str(tmp_path / "agentd.service"))
    if systemd_version(analyze) >= KNOWS_NOTIFY_RELOAD:
        shutil.copytree(DEPLOY / "agentd.service.d", tmp_path / "agentd.service.d")
        run(analyze, "verify", "--man=no", str(tmp_path / "agentd.service"))


def systemd_version(analyze: str) -> int:
    return int(run(analyze, "--version").split()[1])


def test_the_unit_lets_calls_end_and_starts_a_stuck_daemon_again() -> None:
    unit = (DEPLOY / "agentd.service").read_text()
    assert "Type=notify\n" in unit  # Debian 12's systemd does not know notify-reload
    assert float(re.search(r"WatchdogSec=(\d+)", unit)[1]) >= 10 * TICK_S  # type: ignore[index]
    assert "Restart=on-failure" in unit  # which a watchdog's end is one of
    final = re.search(r"RestartPreventExitStatus=(.*)", unit)[1].split()  # type: ignore[index]
    assert set(map(int, final)) == {2, EXIT_CALLS_CUT, EXIT_BUSY, EXIT_INVALID, EXIT_ADMIN_TAKEN}
    assert "KillMode=process" in unit  # else the workers get the signal too, and calls do not come to their end
    drain_s = int(re.search(r"TimeoutStopSec=(\d+)", unit)[1])  # type: ignore[index]
    assert drain_s > float(DaemonConfig().drain_timeout)
    newer = (DEPLOY / "agentd.service.d" / "notify-reload.conf").read_text()
    assert "Type=notify-reload\nExecReload=\n" in newer  # else the signal comes twice


def test_the_unit_starts_what_its_header_says_to_install(tmp_path: Path) -> None:
    unit = (DEPLOY / "agentd.service").read_text()
    etc = tmp_path / "etc"
    shutil.copytree(ROOT / "agents.d", etc / "agents.d")  # agentd.yaml is not there: it need not be
    program, *arguments = re.search(r"^ExecStart=(.+)$", unit, re.MULTILINE)[1].split()  # type: ignore[index]
    assert program == "/opt/agentd/bin/agentd"
    where = re.search(r"^WorkingDirectory=(.+)$", unit, re.MULTILINE)[1]  # type: ignore[index]
    environment = {
        **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "LIVEKIT_URL": "ws://127.0.0.1:1",
        "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "agentd", *arguments, "--check"], cwd=where.replace("/etc/agentd", str(etc)),
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_unit_may_write_where_the_pages_have_a_daemon_write() -> None:
    unit = (DEPLOY / "agentd.service").read_text()
    assert "ProtectSystem=strict" in unit
    allowed = {
        f"{root}/{name}/"
        for kind, root in (("State", "/var/lib"), ("Logs", "/var/log"))
        for name in re.findall(rf"^{kind}Directory=(.+)$", unit, re.MULTILINE)
    }
    text = "".join(page.read_text() for page in sorted((ROOT / "docs" / "operations").glob("*.md")))
    written = set(re.findall(r"^ *(?:path|store): (/\S+)", text, re.MULTILINE))
    assert len(written) > 1
    assert [path for path in written if not f"{path}/".startswith(tuple(allowed))] == []


def test_the_compose_file_is_one_to_composes_own_library(tmp_path: Path) -> None:
    """By the specification's schema, after interpolation, and consistent: what a service names is there."""
    check = needed("compose-check")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AGENTD_ADMIN_TOKEN": "token-of-an-operator",
        "NODE_IP": "10.0.0.1",
    }
    text = (DEPLOY / "compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(text)
    (tmp_path / "wrong.yaml").write_text(text.replace("stop_grace_period: 1h", "stop_grace: 1h"))
    (tmp_path / "nowhere.yaml").write_text(text.replace("depends_on: [livekit]", "depends_on: [live]"))

    def checked(name: str, **changes: str) -> str:
        command = [check, name]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | changes, capture_output=True, text=True, check=False, timeout=60
        )
        return "" if done.returncode == 0 else done.stderr

    assert checked("compose.yaml") == ""
    assert "stop_grace" in checked("wrong.yaml")
    assert "live" in checked("nowhere.yaml")
    assert "set a token for operators" in checked("compose.yaml", AGENTD_ADMIN_TOKEN="")


def test_compose_gives_calls_their_time_and_keeps_operators_out_of_the_network() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    agentd = compose["services"]["agentd"]
    assert agentd["stop_grace_period"] == "1h"
    assert all(port.startswith("127.0.0.1:") for port in agentd["ports"])
    assert "AGENTD_ADMIN_TOKEN" in agentd["environment"]
    assert (DEPLOY / agentd["build"]["context"] / agentd["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    scraped = yaml.safe_load(compose["configs"]["prometheus"]["content"])["scrape_configs"]
    assert scraped[0]["static_configs"][0]["targets"] == ["agentd:8081"]
    assert scraped[0]["authorization"] == {"credentials": "${AGENTD_ADMIN_TOKEN}"}  # its Host is a name
    assert "state:/var/lib/agentd" in agentd["volumes"]
    assert "state" in compose["volumes"]


def test_composes_livekit_sends_sound_where_callers_and_agentd_reach_it() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    said = dict(itertools.pairwise(services["livekit"]["command"]))
    assert said["--node-ip"].startswith("${NODE_IP:?")  # one that both reach; loopback is another in each container
    udp = [port for port in services["livekit"]["ports"] if port.endswith("/udp")]
    assert udp == [f"{said['--udp-port']}:{said['--udp-port']}/udp"]
    environment = services["agentd"]["environment"]
    config = load_daemon(
        None, {"LIVEKIT_PUBLIC_URL": environment["LIVEKIT_PUBLIC_URL"].replace("${NODE_IP}", "10.0.0.1")}
    )
    assert config.config.livekit.public_url == "ws://10.0.0.1:7880"  # what callers are told, who know no host "livekit"
    assert config.valid


def test_the_chart_passes_helms_check_and_refuses_what_cannot_work() -> None:
    helm = needed("helm")
    run(helm, "lint", "--strict", str(CHART), "--set", VALUES[0])
    for wrong in ("livekit.url=", "livekit.url=livekit.example.com", "config.drain_timeout=soon"):
        command = [helm, "template", "rel", str(CHART), "--kube-version", "1.31.0", "--set", VALUES[0], "--set", wrong]
        assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0, wrong


def test_what_the_chart_makes_is_what_kubernetes_takes(chart: list[dict[str, Any]]) -> None:
    """By the schemas of its API, in which a field that is not known is an error."""
    schemas = kubernetes_schemas()
    definitions = Resource.from_contents(json.loads((schemas / "_definitions.json").read_text()))
    registry: Registry[Any] = definitions @ Registry()
    strange = set()
    for made in chart:
        group = re.sub(r"(\..*)?/", "-", made["apiVersion"])
        schema = schemas / f"{made['kind'].lower()}-{group}.json"
        if not schema.exists():
            strange.add(made["kind"])
            continue
        validator = Draft202012Validator(json.loads(schema.read_text()), registry=registry)
        assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(made)] == [], made["kind"]
    assert strange == {"PodMonitor", "ScaledObject"}  # of operators that are installed beside Kubernetes


def kubernetes_schemas() -> Path:
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        pytest.skip("there is no kubernetes-validate: tests/system/install.sh installs it")
    return Path(found.submodule_search_locations[0]) / "kubernetes-json-schema" / "v1.31.0-local-strict"


def test_a_pod_of_the_chart_lets_calls_end_is_probed_and_may_do_nothing_else(chart: list[dict[str, Any]]) -> None:
    (pods,) = [each for each in chart if each["kind"] == "StatefulSet"]
    spec = pods["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["terminationGracePeriodSeconds"] == 3660
    assert [container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")] == [
        "/livez", "/livez", "/readyz",
    ]  # fmt: skip
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert spec["securityContext"]["runAsUser"] == 10001  # the image's
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    there = {volume["name"] for volume in spec["volumes"]}
    there |= {claim["metadata"]["name"] for claim in pods["spec"]["volumeClaimTemplates"]}
    assert mounted == there
    assert pods["spec"]["selector"]["matchLabels"].items() <= pods["spec"]["template"]["metadata"]["labels"].items()


def test_the_charts_agentd_yaml_is_one_and_agents_are_not_part_of_what_restarts_pods(
    chart: list[dict[str, Any]],
) -> None:
    maps = {each["metadata"]["name"]: each["data"] for each in chart if each["kind"] == "ConfigMap"}
    known = {field.key for field in fields_of(DaemonConfig)}
    assert yaml.safe_load(maps["rel"]["agentd.yaml"]).keys() <= known
    assert maps["rel-agents"] == {"desk.yaml": "version: 1\n"} or maps["rel-agents"] == {"desk.yaml": "version: 1"}
    assert agents_volume(chart) == [{"configMap": {"name": "rel-agents"}}]  # one more agent is no other pod
    (pods,) = [each for each in chart if each["kind"] == "StatefulSet"]
    assert list(pods["spec"]["template"]["metadata"]["annotations"]) == ["checksum/config"]


def agents_volume(chart: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (pods,) = [each for each in chart if each["kind"] == "StatefulSet"]
    (volume,) = [each for each in pods["spec"]["template"]["spec"]["volumes"] if each["name"] == "agents"]
    sources = volume["projected"]["sources"]
    assert isinstance(sources, list)
    return sources


def mounted_agents(chart: list[dict[str, Any]]) -> dict[str, str]:
    """What the kubelet puts into the agents' directory."""
    maps = {each["metadata"]["name"]: each["data"] for each in chart if each["kind"] == "ConfigMap"}
    files: dict[str, str] = {}
    for source in agents_volume(chart):
        data = maps[source["configMap"]["name"]]
        assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) and not key.startswith("..") for key in data)
        items = source["configMap"].get("items") or [{"key": key, "path": key} for key in data]
        files |= {item["path"]: data[item["key"]] for item in items}
    return files


def test_the_pages_commands_install_agents_that_can_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations" / "deployment.md").read_text().replace("\\\n", " ")
    settings: list[str] = []
    commands = re.findall(r"^helm (?:install|upgrade) agentd deploy/helm/agentd (.+)$", page, re.MULTILINE)
    for number, command in enumerate(commands):
        settings += [word for word in shlex.split(command) if word != "--reuse-values"]
        template = run(needed("helm"), "template", "rel", str(CHART), "--kube-version", "1.31.0", *settings, cwd=ROOT)
        chart = [each for each in yaml.safe_load_all(template) if each]
        mount = tmp_path / str(number)
        publish(mount, mounted_agents(chart))
        loaded = load(mount, DaemonConfig(), installed(), {})
        assert loaded.errors == ()
        assert len(loaded.agents) == number + 1
    assert len(commands) == 2


def test_pods_are_added_by_how_full_the_daemons_are(chart: list[dict[str, Any]], exposed: set[str]) -> None:
    (pods,) = [each for each in chart if each["kind"] == "StatefulSet"]
    assert "replicas" not in pods["spec"]  # else every upgrade of the release takes pods away that KEDA has added
    (scaled,) = [each for each in chart if each["kind"] == "ScaledObject"]
    assert figures(scaled["spec"]["triggers"][0]["metadata"]["query"]) <= exposed
    assert {each["kind"] for each in chart} >= {"PodMonitor", "PodDisruptionBudget", "Service", "ServiceAccount"}
