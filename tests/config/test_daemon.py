from __future__ import annotations

from pathlib import Path

import pytest

from agentd.config.daemon import DaemonConfig, find_daemon_file, load_daemon, select_plugins, state_directory
from agentd.providers.fields import Secret
from tests.fakes.plugins import fake_registry


def daemon(folder: Path, text: str, environment: dict[str, str] | None = None) -> DaemonConfig:
    (folder / "agentd.yaml").write_text(text)
    loaded = load_daemon(folder / "agentd.yaml", environment or {})
    assert loaded.valid, loaded.problems
    return loaded.config


def test_everything_has_a_default() -> None:
    config = load_daemon(None, {}).config
    assert config == DaemonConfig()
    assert (config.load_threshold, float(config.drain_timeout), config.sessions_per_worker) == (0.7, 3600, 10)
    assert config.tools_allow == ("tools.*",)
    assert config.admin.addr == "127.0.0.1:8081"
    assert config.livekit.api_secret.reveal({"LIVEKIT_API_SECRET": "s"}) == "s"


def test_an_empty_file_is_a_good_one(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "---\n"):
        assert daemon(tmp_path, text).workers.bounds(cores=3) == (3, 3)


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    text = """
livekit: {url: "wss://x.example", api_key: "${K:?}", api_secret_file: secret}
workers: 0
drain_timeout: 5m
admin: {addr: "[::1]:0", token: "${T}"}
log: {level: DEBUG, format: text}
tools_allow: ["tools.*", acme.voice]
http: {allow: [example.com]}
token_endpoint: {enabled: true, origins: ["https://x.example"], ttl: 1m}
"""
    config = daemon(tmp_path, text, {"K": "k", "T": "t"})
    assert config.livekit.api_key == Secret("env", "K")
    assert config.livekit.api_secret.reveal({}) == "s"
    assert (config.workers.max, float(config.drain_timeout), config.admin.addr) == (0, 300, "[::1]:0")
    assert float(config.token_endpoint.ttl) == 60


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    environment = {
        "LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": "key", "AGENTD_WORKERS": "3",
        "AGENTD_LOG_FORMAT": "text", "AGENTD_DRAIN_TIMEOUT": "10s", "AGENTD_ADMIN_TOKEN_FILE": "/run/token",
        "AGENTD_TOKEN_ENDPOINT_ENABLED": "true", "AGENTD_STORE": "/tmp/$x",
    }  # fmt: skip
    text = "livekit: {url: 'wss://other.example', api_key: other}\nworkers: 1\nlog: {level: ERROR}\n"
    config = daemon(tmp_path, text, environment)
    assert config.livekit.url == "ws://127.0.0.1:7880"
    assert config.livekit.api_key == Secret("env", "LIVEKIT_API_KEY")
    assert (config.workers.max, float(config.drain_timeout)) == (3, 10)
    assert (config.log.format, config.log.level) == ("text", "ERROR")
    assert config.admin.token == Secret("env", "AGENTD_ADMIN_TOKEN")
    assert config.token_endpoint.enabled is True
    assert config.store == "/tmp/$x"


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("workers: 4", (4, 4)),
        ("workers: 0", (0, 0)),
        ("workers: {max: 4}", (4, 4)),
        ("workers: {min: 1}", (1, 2)),
        ("workers: {min: 3}", (3, 3)),
        ("workers: {min: 2, max: 6}", (2, 6)),
    ],
)
def test_workers_are_a_number_or_bounds(tmp_path: Path, text: str, bounds: tuple[int, int]) -> None:
    assert daemon(tmp_path, text).workers.bounds(cores=2) == bounds


def test_the_environment_gives_bounds_too(tmp_path: Path) -> None:
    environment = {"AGENTD_WORKERS_MIN": "2", "AGENTD_WORKERS_MAX": "6"}
    assert daemon(tmp_path, "workers: {quiet: 1m}", environment).workers.bounds(cores=1) == (2, 6)


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    (problem,) = load_daemon(None, {"AGENTD_WORKERS": "many"}).problems
    assert str(problem) == (
        'environment AGENTD_WORKERS:1:1: error wrong-type: "max" must be a whole number, not "many"'
    )


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    loaded = load_daemon(tmp_path / "agentd.yaml", {})
    assert not loaded.valid
    assert loaded.problems[0].code == "file-not-found"
    assert find_daemon_file(tmp_path) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/agentd"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/s"}, "/s/agentd"),
        ({"STATE_DIRECTORY": "/var/lib/agentd:/x"}, "/var/lib/agentd"),
    ],
)
def test_the_state_directory_follows_the_system(environment: dict[str, str], expected: str) -> None:
    assert state_directory(DaemonConfig(), environment) == Path(expected)
    assert state_directory(DaemonConfig(store="here"), environment) == Path("here")


def test_plugins_can_be_chosen() -> None:
    chosen, problems = select_plugins(fake_registry(), DaemonConfig(plugins=("zoo", "circus")))
    assert [plugin.name for plugin in chosen.plugins] == ["zoo"]
    assert [problem.message for problem in problems] == ['no plugin "circus"']
