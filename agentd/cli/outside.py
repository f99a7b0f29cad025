"""What of a running daemon an edit of files reaches only by a restart: agentd.yaml, and the code that runs."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import agentd
from agentd.cli.setting import Setting
from agentd.config.daemon import load_daemon
from agentd.config.diff import Change, Origin, settings_changes
from agentd.registry import Registry


class Outside:
    """Remembers the code as it was when it was made: make it when the daemon starts. Blocks."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._code = code_of(setting.registry)

    def changes(self) -> tuple[Change, ...]:
        return (*self._settings(), *self._of_code())

    def _settings(self) -> tuple[Change, ...]:
        now = load_daemon(self._setting.config_file, self._setting.environment)
        if not now.valid:
            return ()  # `agentd validate` tells; nothing of it would be taken
        file = str(self._setting.config_file or "agentd.yaml")
        return settings_changes(self._setting.config, now.config, now.places, file)

    def _of_code(self) -> Iterator[Change]:
        now = code_of(self._setting.registry)
        for path in sorted({*self._code, *now}):
            was, becomes = self._code.get(path), now.get(path)
            if was != becomes:
                origin, new = (becomes or was or ("agentd", ""))[0], becomes and becomes[1][:8]
                yield Change(
                    path=path, old=was and was[1][:8], new=new, reload="restart", place=f"{path}:1", origin=origin
                )


def code_of(registry: Registry) -> Mapping[str, tuple[Origin, str]]:
    """By path, whose each Python file of agentd and its plugins is, and its digest."""
    found: dict[str, tuple[Origin, str]] = {}
    for path in _files(Path(agentd.__file__).parent):
        found[str(path)] = ("agentd", _digest(path))
    for root in sorted({each.settings.partition(":")[0].partition(".")[0] for each in registry.components()}):
        spec = importlib.util.find_spec(root)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for path in _files(Path(place)):
                found.setdefault(str(path), ("plugin", _digest(path)))
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # it went away this moment
        return ""
