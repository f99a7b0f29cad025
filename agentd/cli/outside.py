"""What of agentd.yaml an edit reaches only by a restart."""

from __future__ import annotations

from agentd.cli.setting import Setting
from agentd.config.daemon import load_daemon
from agentd.config.diff import Change, settings_changes


def daemon_changes(setting: Setting) -> tuple[Change, ...]:
    """What the file says now, against what the daemon was started with. Blocks."""
    now = load_daemon(setting.config_file, setting.environment)
    if not now.valid:
        return ()  # `agentd validate` tells; nothing of it would be taken
    file = str(setting.config_file or "agentd.yaml")
    return settings_changes(setting.config, now.config, now.places, file)
