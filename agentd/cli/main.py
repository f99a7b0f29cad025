"""The `agentd` command: verbs, each imported only when it is invoked, so that none pays for another's imports."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

import click

from agentd import __version__


class Verb(NamedTuple):
    """Where the click command is, "module:function", and its line in the list of verbs."""

    target: str
    summary: str


VERBS: Mapping[str, Verb] = {
    "serve": Verb("agentd.cli.serve:serve", "Run the daemon in the foreground."),
    "init": Verb("agentd.cli.init:init", "Write a first agent file to begin from."),
    "validate": Verb("agentd.cli.validate:validate", "Report every problem in agent files."),
    "render": Verb("agentd.cli.render:render", "Show an agent as it is resolved, secrets masked."),
    "test": Verb("agentd.cli.test:test", "Hold the conversations of agents' tests."),
    "console": Verb("agentd.cli.console:console", "Talk to an agent without a LiveKit server."),
    "reload": Verb("agentd.cli.remote:reload", "Make a running daemon read its files again."),
    "plan": Verb("agentd.cli.plan:plan", "Compare the files with what a running daemon serves."),
    "history": Verb("agentd.cli.revisions:history", "List the revisions of an agent that have served."),
    "rollback": Verb("agentd.cli.revisions:rollback", "Serve an earlier revision, or take a canary back."),
    "promote": Verb("agentd.cli.revisions:promote", "Give a canary all calls of the other agent."),
    "upgrade": Verb("agentd.cli.upgrade:upgrade", "Let what is installed now take a daemon's place; calls go on."),
    "drain": Verb("agentd.cli.drain:drain", "Let a running daemon end after its last call."),
    "get": Verb("agentd.cli.remote:get", "List a running daemon's agents, workers, sessions, tools and others."),
    "approve": Verb("agentd.cli.approve:approve", "Approve or decline a call of a tool that waits for an operator."),
    "audit": Verb("agentd.cli.audit:audit", "Verify and read the log of calls of tools."),
    "describe": Verb("agentd.cli.describe:describe", "Tell all of one agent, rollout, session or worker."),
    "dispatch": Verb("agentd.cli.dispatch:dispatch", "Call an agent into a room."),
    "call": Verb("agentd.cli.call:call", "Have an agent call a telephone."),
    "explain": Verb("agentd.cli.explain:explain_session", "Tell why a call went as it did."),
    "token": Verb("agentd.cli.token:token", "Mint a caller's token."),
    "mcp": Verb("agentd.cli.mcp:mcp", "Show what an agent's MCP servers offer, and pin it."),
    "webhook": Verb("agentd.cli.webhook:webhook", "Sign, verify, send and receive webhooks, without a call."),
    "schema": Verb("agentd.cli.schema:schema", "Print, write or check the JSON Schemas and the reference."),
    "bench": Verb("agentd.cli.bench:bench", "Measure how many calls of an agent this machine bears."),
    "providers": Verb("agentd.cli.providers:providers", "List the providers of the installed plugins."),
    "doctor": Verb("agentd.cli.doctor:doctor", "Tell whether a daemon would do well here."),
    "completion": Verb("agentd.cli.completion:completion", "Print the completion script of a shell."),
    "version": Verb("agentd.cli.version:version", "Print the version."),
}


class Verbs(click.Group):
    """Looks verbs up in the table; the list of verbs is printed from it, without an import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module, _, name = verb.target.partition(":")
        try:
            command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            missing = f'"{cmd_name}" cannot run: the Python module {error.name} is not installed'
            raise click.ClickException(missing) from error
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        near = get_close_matches(args[0], list(VERBS), 1) if args and args[0] not in VERBS else []
        if near and not args[0].startswith("-"):
            ctx.fail(f'No such command "{args[0]}". Did you mean "{near[0]}"?')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.summary) for name, verb in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agentd")
def main() -> None:
    """Turns YAML files into voice agents in LiveKit rooms."""
