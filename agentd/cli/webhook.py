"""`agentd webhook`: both sides of the webhook contract, without a call."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from agentd.cli.files import agent_named, config_options
from agentd.config.definition import AgentDefinition
from agentd.config.events import EVENT_TYPES
from agentd.config.tools import WebhookTool
from agentd.errors import ToolError
from agentd.providers.llm import ToolCall
from agentd.tools import signing
from agentd.tools.http import WebhookClient
from agentd.tools.spec import Caller, Progress, ToolContext, ToolOutcome
from agentd.tools.webhook import Webhook

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _secret_options(command: _Command) -> _Command:
    """--secret and --secret-file, which become one parameter `keys`."""
    for decorate in (
        click.option(
            "--secret",
            "keys",
            envvar="AGENTD_WEBHOOK_SECRET",
            callback=_keys,
            help="whsec_...; better in AGENTD_WEBHOOK_SECRET, as others can read a command's words.",
        ),
        click.option(
            "--secret-file",
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            is_eager=True,
            callback=_secret_from_file,
            help="A file with the secret.",
        ),
    ):
        command = decorate(command)
    return command


def _secret_from_file(ctx: click.Context, _option: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        ctx.default_map = {**(ctx.default_map or {}), "keys": path.read_text(encoding="utf-8").strip()}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {path}: {error}") from error


def _keys(_ctx: click.Context, _option: click.Parameter, secret: str | None) -> tuple[bytes, ...]:
    try:
        return signing.keys(secret) if secret else ()
    except signing.SecretMalformed as error:
        raise click.UsageError(str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def webhook() -> None:
    """Sign, verify, send and receive webhooks, without a call. The contract: docs/webhooks.md."""


@webhook.command()
@click.argument("body", type=click.File("rb"), default="-")
@_secret_options
@click.option("--id", "message_id", help="The message's id.  [default: a fresh one]")
@click.option("--timestamp", type=int, help="Unix seconds.  [default: now]")
def sign(body: IO[bytes], keys: tuple[bytes, ...], message_id: str | None, timestamp: int | None) -> None:
    """Print the headers that sign the bytes of BODY, a file or - for standard input."""
    _needed(keys)
    at = int(time.time()) if timestamp is None else timestamp
    message_id = message_id or signing.new_id("msg_", time.time())
    click.echo(f"webhook-id: {message_id}")
    click.echo(f"webhook-timestamp: {at}")
    click.echo(f"webhook-signature: {signing.signature(keys, message_id, at, body.read())}")


@webhook.command()
@click.argument("body", type=click.File("rb"), default="-")
@_secret_options
@click.option("-H", "--header", "headers", multiple=True, help='"name: value"; the three of the signature are needed.')
@click.option("--tolerance", type=click.FloatRange(min=0), default=300.0, show_default=True, help="Seconds of age.")
@click.pass_context
def verify(
    ctx: click.Context, body: IO[bytes], keys: tuple[bytes, ...], headers: tuple[str, ...], tolerance: float
) -> None:
    """Tell whether BODY was signed with the secret. Exits with 1 when it was not."""
    _needed(keys)
    pairs = (header.partition(":") for header in headers)
    given = {name.strip().lower(): value.strip() for name, _, value in pairs}
    try:
        signing.verify(keys, given, body.read(), time.time(), tolerance)
    except signing.SignatureInvalid as error:
        click.echo(f"not valid: {error}")
        ctx.exit(1)
    click.echo("valid")


@webhook.command()
@click.argument("agent")
@click.argument("what")
@click.option("--arguments", default="{}", help="JSON, as the model would write it.")
@click.option("--variables", default="{}", help="The session's variables, JSON; the agent's own are there already.")
@click.option("--url", help="Another address than the file's, such as that of `agentd webhook listen`.")
@config_options
@click.pass_context
def send(
    ctx: click.Context,
    agent: str,
    what: str,
    arguments: str,
    variables: str,
    url: str | None,
    directory: Path | None,
    config: Path | None,
    env_file: Path | None,
) -> None:
    """Send one webhook of AGENT, as a call would, and show what comes of its answer.

    WHAT is a webhook tool of the agent; a type of event, which goes to every sink of the agent and of agentd.yaml that
    wants it; or session.request. Exits with 1 when it fails.
    """
    definition, daemon = agent_named(ctx, agent, directory, config, env_file)
    tools = {each.name for each in definition.tools if isinstance(each, WebhookTool)}
    if what not in tools and ("." in what or what in EVENT_TYPES):
        from agentd.cli.webhook_events import send_of_agentds

        ctx.exit(send_of_agentds(definition, daemon, what, _object(variables, "--variables"), url))
    tool = what
    hook = _tool_of(definition, tool)
    context = _sample_context(definition, _object(variables, "--variables"))
    call = ToolCall(id="call_1", name=tool, arguments=arguments)
    allow = daemon.http.allow
    try:
        outcome = asyncio.run(_run(replace(hook, url=url) if url else hook, call, context, allow))
    except ToolError as error:
        raise click.ClickException(str(error)) from error
    _show(outcome)
    ctx.exit(1 if outcome.result.is_error else 0)


async def _run(tool: WebhookTool, call: ToolCall, context: ToolContext, allow: tuple[str, ...]) -> ToolOutcome:
    async with WebhookClient(allow) as client:
        return await Webhook(tool, client).run(call, context)


def _tool_of(definition: AgentDefinition, name: str) -> WebhookTool:
    hooks = {tool.name: tool for tool in definition.tools if isinstance(tool, WebhookTool)}
    if name not in hooks:
        there = ", ".join(sorted(hooks)) or "none"
        raise click.UsageError(f'{definition.name} has no webhook tool "{name}"; there are: {there}')
    return hooks[name]


def _sample_context(definition: AgentDefinition, variables: Mapping[str, Any]) -> ToolContext:
    return ToolContext(
        session_id="s-example",
        agent=definition.name,
        revision=definition.digest,
        room="example",
        job_id="AJ_example",
        started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        language=definition.language,
        caller=Caller(identity="example-caller", name="Example"),
        variables={**definition.variables, **variables},
        progress=_show_progress,
    )


def _show_progress(progress: Progress) -> None:
    said = f" (said: {progress.say})" if progress.say else ""
    click.echo(f"progress: {progress.status or '-'}{said}")


def _show(outcome: ToolOutcome) -> None:
    click.echo(f"the model reads: {outcome.result.content}")
    if outcome.pending is not None:
        click.echo("the result comes later, by callback: in a call, where http.public_url is set")
    for action in outcome.actions:
        click.echo(f"agentd does: {action}")
    if not outcome.reply:
        click.echo("the model is asked for no words about it")


@webhook.command()
@_secret_options
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8088, show_default=True, help="0: any that is free.")
@click.option("--answer", default='{"ok": true}', show_default=True, help="The body of every answer.")
@click.option("--status", type=click.IntRange(100, 599), default=200, show_default=True)
@click.option("--count", type=click.IntRange(min=1), help="End after so many requests.")
def listen(keys: tuple[bytes, ...], host: str, port: int, answer: str, status: int, count: int | None) -> None:
    """Take webhooks, show each with what its signature is worth, and answer them all alike."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_listen(keys, host, port, answer, status, count))


async def _listen(keys: tuple[bytes, ...], host: str, port: int, answer: str, status: int, count: int | None) -> None:
    from aiohttp import web

    enough, seen = asyncio.Event(), 0

    async def take(request: web.Request) -> web.Response:
        nonlocal seen
        body = await request.read()
        _show_request(request.method, request.path_qs, dict(request.headers), body, keys)
        seen += 1
        if count is not None and seen >= count:
            enough.set()
        kind = "application/json" if _is_json(answer) else "text/plain"
        return web.Response(status=status, text=answer, content_type=kind)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        click.echo(f"listening on http://{host}:{runner.addresses[0][1]}/", err=True)
        await enough.wait()
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror}") from error
    finally:
        await runner.cleanup()


def _show_request(method: str, path: str, headers: Mapping[str, str], body: bytes, keys: tuple[bytes, ...]) -> None:
    named = {name.lower(): value for name, value in headers.items()}
    click.echo(f"{method} {path}")
    for name in sorted(named):
        if name.startswith(("webhook-", "agentd-")) or name in ("content-type", "traceparent", "user-agent"):
            click.echo(f"  {name}: {named[name]}")
    click.echo(f"  signature: {_worth(keys, named, body)}")
    with suppress(ValueError):
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()
    click.echo(body.decode("utf-8", "replace"))
    sys.stdout.flush()


def _worth(keys: tuple[bytes, ...], headers: Mapping[str, str], body: bytes) -> str:
    if not keys:
        return "not looked at, as no secret was given"
    try:
        signing.verify(keys, headers, body, time.time())
    except signing.SignatureInvalid as error:
        return f"not valid: {error}"
    return "valid"


def _needed(keys: tuple[bytes, ...]) -> None:
    if not keys:
        raise click.UsageError("give --secret-file, --secret or AGENTD_WEBHOOK_SECRET")


def _object(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{option} must be a JSON object")
    return value


def _is_json(text: str) -> bool:
    with suppress(ValueError):
        json.loads(text)
        return True
    return False
