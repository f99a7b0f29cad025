"""What of agentd.yaml only a restart applies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentd.cli.outside import daemon_changes
from agentd.cli.setting import Setting
from agentd.config.daemon import load_daemon
from agentd.registry import installed


def setting(file: Path) -> Setting:
    values: dict[str, Any] = dict.fromkeys(Setting.__dataclass_fields__)
    config = load_daemon(file, {}).config
    return Setting(**{**values, "config": config, "config_file": file, "registry": installed(), "environment": {}})


def test_an_edit_of_agentd_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "agentd.yaml"
    file.write_text("workers: 2\nadmin: {token: first}\n")
    began = setting(file)
    assert daemon_changes(began) == ()
    file.write_text("# more\nworkers: 3\nadmin: {token: second}\n")
    workers, token = daemon_changes(began)
    assert (workers.path, workers.old, workers.new, workers.reload) == ("workers.max", 2, 3, "restart")
    assert (workers.place, workers.origin) == (f"{file}:2", "daemon")
    assert (token.path, token.old, token.new) == ("admin.token", "***", "*** (another)")
    file.write_text("workers: [")
    assert daemon_changes(began) == ()
