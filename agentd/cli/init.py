"""`agentd init`: a first agent file to begin from, and what goes with it. What is there stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click

from agentd.cli.files import DEFAULT_DIRECTORY, this_program
from agentd.config.definition import NAME_PATTERN

STARTERS = Path(__file__).parent / "starters"
MODULE = "starter"  # as the templates call the file of their Python tools
DEFAULT_TEMPLATE = "minimal"
TEMPLATES = ("minimal", "keyless", "openai", "tools", "webhook", "realtime")
_NEEDED = re.compile(r"\$\{([A-Z][A-Z0-9_]*):\?")


def _listed(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Before NAME is asked for."""
    if not wanted:
        return
    width = max(map(len, TEMPLATES))
    for template in TEMPLATES:
        click.echo(f"{template:<{width}}  {summary(template)}")
    ctx.exit()


@click.command()
@click.argument("name")
@click.option(
    "--template", type=click.Choice(TEMPLATES), default=DEFAULT_TEMPLATE, show_default=True, help="What to begin from."
)
@click.option(
    "-d",
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="The agents' directory; made where it is missing.",
)
@click.option("--list", "listed", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="Templates.")
def init(name: str, template: str, directory: Path) -> None:
    """Write NAME.yaml, a commented agent file that is valid, with its Python tools or the variables that it needs.

    Exits with 1, and has written nothing, when one of the files is there already.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise click.UsageError(f"{name!r} is no name of an agent: small letters, digits and hyphens")
    files = {directory / path: text for path, text in files_of(name, template).items()}
    if there := [str(path) for path in files if path.exists() or path.is_symlink()]:
        raise click.ClickException(f"{', '.join(there)} is there already, and stays: choose another name, or move it")
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {path}")
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}") from error
    for line in _advice(name, directory, [path for path in files if path.suffix == ".example"]):
        click.echo(line, err=True)


def files_of(name: str, template: str) -> Mapping[Path, str]:
    """What to write, by its path in the agents' directory."""
    module = name.replace("-", "_")
    text = _text(f"{template}.yaml")
    files = {Path(f"{name}.yaml"): text.replace(f"tools.{MODULE}:", f"tools.{module}:")}
    if f"tools.{MODULE}:" in text:
        files[Path("tools", f"{module}.py")] = _text(f"{template}.py")
    settings = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    if needed := list(dict.fromkeys(_NEEDED.findall(settings))):
        head = f"# What {name}.yaml needs. Keep the copy with the values out of version control: --env-file names it.\n"
        files[Path(f"{name}.env.example")] = head + "".join(f"{variable}=\n" for variable in needed)
    return files


def summary(template: str) -> str:
    """The first line of its file."""
    return _text(f"{template}.yaml").partition("\n")[0].removeprefix("# ")


def _text(file: str) -> str:
    return (STARTERS / file).read_text(encoding="utf-8")


def _advice(name: str, directory: Path, examples: list[Path]) -> list[str]:
    """What to do next."""
    program = this_program()
    where = "" if directory == DEFAULT_DIRECTORY else f" -d {directory}"
    if not examples:
        return [f"Next: {program} validate{where}; {program} console {name}{where} --text"]
    env = f"{name}.env"
    return [f"Next: fill a copy of {examples[0]}, as {env}; then {program} validate --probe{where} --env-file {env}"]
