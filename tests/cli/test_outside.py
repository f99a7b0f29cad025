"""What of a daemon only a restart applies: agentd.yaml and the code that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentd.cli.outside import Outside, code_of
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
    outside = Outside(setting(file))
    assert outside.changes() == ()
    file.write_text("# more\nworkers: 3\nadmin: {token: second}\n")
    workers, token = outside.changes()
    assert (workers.path, workers.old, workers.new, workers.reload) == ("workers.max", 2, 3, "restart")
    assert (workers.place, workers.origin) == (f"{file}:2", "daemon")
    assert (token.path, token.old, token.new) == ("admin.token", "***", "*** (another)")
    file.write_text("workers: [")
    assert outside.changes() == ()


def test_code_that_has_changed_since_the_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = code_of(installed())
    assert {origin for origin, _ in code.values()} == {"agentd", "plugin"}
    file = tmp_path / "agentd.yaml"
    file.write_text("{}\n")
    outside = Outside(setting(file))
    path = next(path for path, (origin, _) in code.items() if origin == "plugin")
    changed = {**code, path: ("plugin", "f" * 64)}
    monkeypatch.setattr("agentd.cli.outside.code_of", lambda registry: changed)
    [change] = outside.changes()
    assert (change.path, change.new, change.reload, change.origin) == (path, "ffffffff", "restart", "plugin")
    assert replace(change, old=None).place == f"{path}:1"
