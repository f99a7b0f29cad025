"""`agentd version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

import click

from agentd import __version__
from agentd.registry import installed


@click.command()
@click.option("--json", "as_json", is_flag=True, help="With versions of what it stands on.")
def version(as_json: bool) -> None:
    """Print the version."""
    if not as_json:
        click.echo(f"agentd {__version__}")
        return
    answer = {
        "agentd": __version__,
        "python": platform.python_version(),
        "livekit": _version("livekit"),
        "plugins": {plugin.name: plugin.version for plugin in installed().plugins},
    }
    click.echo(json.dumps(answer, indent=2))


def _version(package: str) -> str | None:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return None
