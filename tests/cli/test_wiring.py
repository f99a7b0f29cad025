"""How a daemon is put together: its registrations, and what its parts are told of agentd.yaml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentd.cli.setting import Setting
from agentd.cli.wiring import admin_settings, registrar, supervisor_settings, token_endpoint_settings
from agentd.config.daemon import DaemonConfig, LiveKitSettings, load_daemon
from agentd.registry import installed
from agentd.transport.protocol import Accept, Decline, Job, JobOffer
from agentd.transport.tokens import LiveKitCredentials

CREDENTIALS = LiveKitCredentials(url="ws://127.0.0.1:7880", api_key="devkey", api_secret="secret" * 8)


class Willing:
    """Calls that take everything."""

    async def offered(self, agent: str, offer: JobOffer) -> Accept:
        return Accept()

    def terminated(self, job: str) -> None:
        """Nobody ends one here."""


@pytest.mark.parametrize(
    ("written", "told"), [("https://voice.example.com", "wss://voice.example.com"), ("", "ws://livekit:7880")]
)
def test_callers_are_told_livekits_address_as_the_file_has_it_for_them(written: str, told: str) -> None:
    setting: Any = SimpleNamespace(
        config=DaemonConfig(livekit=LiveKitSettings(public_url=written)),
        credentials=replace(CREDENTIALS, url="ws://livekit:7880"), dev=True, admin_token=None, operators=(),
    )  # fmt: skip
    settings = token_endpoint_settings(setting)
    assert settings is not None
    assert settings.server_url == told


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [("", "", True), ("staging", "staging", True), ("staging", "", False), ("", "staging", False)],
)
async def test_only_calls_of_the_daemons_own_lane_are_taken(ours: str, theirs: str, taken: bool) -> None:
    calls: Any = Willing()
    link: Any = registrar(CREDENTIALS, ours)("desk", calls, lambda registered: None, lambda error: None)
    offer = JobOffer(job=Job(id="J", agent_name="desk", room_name="r", deployment=theirs))
    assert isinstance(await link._offered(offer), Accept if taken else Decline)
    assert link._deployment == ours


@pytest.mark.parametrize(
    ("ours", "theirs", "taken"),
    [("", "", True), ("", "clinic", True), ("clinic", "clinic", True), ("clinic", "", True), ("clinic", "shop", False)],
)
async def test_a_namespace_takes_its_own_calls_and_those_of_servers_that_know_none(
    ours: str, theirs: str, taken: bool
) -> None:
    calls: Any = Willing()
    link: Any = registrar(CREDENTIALS, namespace=ours)("desk", calls, lambda registered: None, lambda error: None)
    offer = JobOffer(job=Job(id="J", agent_name="desk", room_name="r", namespace=theirs))
    assert isinstance(await link._offered(offer), Accept if taken else Decline)
    assert link._namespace == ours


def setting(tmp_path: Path, text: str) -> Setting:
    file = tmp_path / "agentd.yaml"
    file.write_text(text)
    daemon = load_daemon(file, {})
    assert daemon.problems == ()
    values: dict[str, Any] = dict.fromkeys(Setting.__dataclass_fields__)
    values |= {"directory": tmp_path, "config": daemon.config, "registry": installed(), "environment": {}}
    return Setting(**{**values, "credentials": CREDENTIALS, "operators": ()})


@pytest.mark.parametrize(("text", "seconds"), [("", 0.0), ("journals: {keep: 720h}", 2_592_000.0)])
def test_journals_are_kept_for_ever_unless_agentd_yaml_says_for_how_long(
    tmp_path: Path, text: str, seconds: float
) -> None:
    assert supervisor_settings(setting(tmp_path, text), tmp_path).keep_journals_s == seconds


def test_the_names_of_a_proxy_reach_the_admin_server(tmp_path: Path) -> None:
    assert admin_settings(setting(tmp_path, "admin: {hosts: [voice.example.com]}")).hosts == ("voice.example.com",)
