"""`agentd completion`: what a shell needs to complete our verbs, options and the names of agents and calls."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_AGENTD_COMPLETE"
INSTALL = {
    "bash": 'eval "$(agentd completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(agentd completion zsh)"  in ~/.zshrc, after compinit',
    "fish": "agentd completion fish > ~/.config/fish/completions/agentd.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell}: {how}" for shell, how in INSTALL.items()))
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell."""
    from agentd.cli.main import main

    script = get_completion_class(shell)
    assert script is not None, "click knows these shells"
    click.echo(script(main, {}, "agentd", VARIABLE).source())


def names(kind: str, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Of a running daemon's agents, sessions or workers; none when nobody answers at once. Never raises: a shell would
    show it in the middle of a line."""
    from agentd.cli.remote import NAMED_BY, AdminClient, given_token

    addr = ctx.params.get("client") or "127.0.0.1:8081"
    client = addr if isinstance(addr, AdminClient) else AdminClient(addr=str(addr), token=given_token())
    try:
        found = client.call("GET", f"/v1/{kind}", timeout_s=1.0).body.get(kind, [])
        listed = [str(each[NAMED_BY[kind]]) for each in found]
    except (click.ClickException, KeyError, TypeError):
        return []
    return [CompletionItem(name) for name in dict.fromkeys(listed) if name.startswith(incomplete)]
