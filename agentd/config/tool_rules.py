"""What the fields of tools, and of other things that have an address, must be together. Pure; see `rules`."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import jmespath

from agentd.config.builtins import Destination, TransferTool
from agentd.config.events import EVENT_TYPES, EventSink, OnRequest, types_of
from agentd.config.finding import Finding
from agentd.config.headers import is_name, is_own
from agentd.config.hooks import WebhookAction
from agentd.config.rpc import OWN_METHODS, RpcMethod
from agentd.config.templates import names_in
from agentd.config.tools import BuiltinTool, ClientTool, McpTool, PythonTool, ToolOptions, WebhookTool
from agentd.config.url_template import has_stray_brace, places
from agentd.config.values import format_duration
from agentd.providers.fields import Secret


def _options(tool: ToolOptions) -> Iterable[Finding]:
    """What holds for tools of every kind."""
    filler, timeout = tool.while_waiting, getattr(tool, "timeout", None)
    if filler is not None and timeout is not None and filler.after >= timeout:
        shown = format_duration(filler.after), format_duration(timeout)
        message = f"the filler comes after {shown[0]}, when the tool has timed out ({shown[1]})"
        yield Finding("while_waiting", "filler-late", message)
    allow = tool.allow_callers
    if allow is not None and not (allow.attributes or allow.identities or allow.kinds):
        message = '"allow_callers" names nobody, and so lets everybody'
        yield Finding("allow_callers", "missing-key", message, 'write "attributes", "identities" or "kinds"')
    consent = tool.confirm
    if consent is not None and consent.read_back is not None:
        yield from _read_back(consent.read_back, getattr(tool, "parameters", None))
    yield from _long_calls(tool)


def _long_calls(tool: ToolOptions) -> Iterable[Finding]:
    """Calls in the background, and the same call again."""
    background = tool.run == "background"
    if background and tool.cancel_on_interrupt:
        message = "nobody waits for a call in the background, so that no interruption cuts it"
        yield Finding(
            "cancel_on_interrupt", "conflict", message, 'write "cancellable: true" to let the model cancel it'
        )
    if background and tool.while_waiting is not None:
        message = "nobody waits for a call in the background, so that no filler is spoken"
        yield Finding("while_waiting", "conflict", message)
    if tool.cancellable and not background and not isinstance(tool, WebhookTool):
        message = "only calls in the background can be cancelled"
        yield Finding("cancellable", "conflict", message, 'add "run: background"')
    if tool.duplicates == "confirm" and tool.confirm is not None:
        message = '"confirm" asks the caller before every call already, so that a second one is asked about twice'
        yield Finding("duplicates", "asked-twice", message, 'write "duplicates: reject"', warning=True)
    if tool.duplicate_window and tool.duplicates == "allow":
        message = 'the window is of "duplicates", which allows all'
        yield Finding("duplicate_window", "conflict", message, 'write "duplicates: reject"')


def _read_back(template: str, parameters: Mapping[str, Any] | None) -> Iterable[Finding]:
    """A caller agrees to what they hear: an argument that is not read back is one that they do not know of."""
    named = names_in(template)
    if parameters is None or named is None:
        return
    silent = [name for name in parameters.get("properties", {}) if name not in named]
    if silent:
        message = f'"read_back" does not say {", ".join(silent)}, which the caller then agrees to unheard'
        yield Finding(
            "confirm", "unheard-argument", message, "name every argument, or leave read_back out", warning=True
        )


def _webhook(tool: WebhookTool) -> Iterable[Finding]:
    yield from _options(tool)
    yield from _url(tool.url, allow_http=tool.allow_http)
    yield from _webhook_places(tool)
    yield from _webhook_request(tool)
    yield from _webhook_context(tool)
    yield from _webhook_answer(tool)
    yield from _webhook_secret(tool.secret)
    yield from _parameters(tool.parameters)
    yield from _headers(tool.headers)


def _headers(headers: Mapping[str, Secret]) -> Iterable[Finding]:
    for name in headers:
        if is_own(name):
            message = f'the header "{name}" belongs to the contract and cannot be set'
            yield Finding("headers", "bad-header", message)
        elif not is_name(name):
            yield Finding("headers", "bad-header", f'"{name}" is no name of a header')


def _webhook_places(tool: WebhookTool) -> Iterable[Finding]:
    """The places for arguments in its URL; whatever else is wrong with that is said elsewhere."""
    try:
        host = urlsplit(tool.url).netloc
    except ValueError:
        return
    if {"{", "}"} & set(host):
        return
    known, required = tool.parameters.get("properties", {}), tool.parameters.get("required", [])
    if has_stray_brace(tool.url):
        yield Finding("url", "bad-url", "a brace in the URL has no partner", "write %7B or %7D for a brace")
    for name in places(tool.url):
        if name not in known:
            yield Finding("url", "unknown-argument", f'"{{{name}}}" is no parameter of the tool', _near(name, known))
        elif name not in required:
            message = f'"{{{name}}}" is needed for the URL, and the model may leave it out'
            yield Finding("url", "optional-argument", message, 'add it to "required"')


def _webhook_request(tool: WebhookTool) -> Iterable[Finding]:
    left = [name for name in tool.parameters.get("properties", {}) if name not in places(tool.url)]
    if tool.args_in == "path" and left:
        yield Finding("args_in", "unsent-argument", f'"path" sends nothing of {", ".join(left)}', "name it in the url")
    if tool.args_in == "body" and tool.method == "GET":
        yield Finding("method", "conflict", "a GET request has no body", 'write "args_in: query" or "args_in: path"')
    if tool.args_in != "body" and (tool.args_at_root or tool.envelope != "agentd"):
        key = "args_at_root" if tool.args_at_root else "envelope"
        yield Finding(key, "conflict", f'"{key}" is about the body, and "args_in: {tool.args_in}" sends none')
    elif tool.args_at_root and tool.envelope != "agentd":
        yield Finding("envelope", "conflict", '"envelope" and "args_at_root" exclude each other')


def _webhook_context(tool: WebhookTool) -> Iterable[Finding]:
    if tool.context != "none" and (tool.args_in != "body" or tool.args_at_root or tool.envelope != "agentd"):
        yield Finding("context", "conflict", "the conversation is sent in agentd's own envelope only")


def _webhook_answer(tool: WebhookTool) -> Iterable[Finding]:
    expressions = {"response_filter": tool.response_filter} if tool.response_filter is not None else {}
    expressions |= {f"assign/{name}": text for name, text in tool.assign.items()}
    for key, expression in expressions.items():
        try:
            jmespath.compile(expression)
        except jmespath.exceptions.JMESPathError as error:
            message = f"no JMESPath expression: {' '.join(str(error).split())}"
            yield Finding(key.partition("/")[0], "bad-expression", message)


def _url(url: str, *, allow_http: bool) -> Iterable[Finding]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield Finding("url", "bad-url", f"the URL cannot be understood: {error}")
        return
    if not host:
        yield Finding("url", "bad-url", "the URL names no host")
    elif any(mark in parts.netloc for mark in ("{", "}", "%")):
        yield Finding("url", "bad-url", "the host may not be a template")
    elif parts.password:
        yield Finding("url", "literal-secret", "the URL holds a password", "send it as a header", warning=True)
    if parts.scheme == "http" and host and not allow_http and not host_is_loopback(url):
        yield Finding(
            "url", "insecure-url", "http:// to a host that is not loopback", "use https://, or set allow_http: true"
        )


def _webhook_secret(secret: Secret | None) -> Iterable[Finding]:
    if secret is None or secret.source != "literal":
        return
    for one in secret.value.split() or [""]:
        if not _is_signing_secret(one):
            message = "a signing secret is whsec_ and base64 of 24 to 64 bytes"
            yield Finding("secret", "webhook-secret", message)
            return


def _is_signing_secret(text: str) -> bool:
    if not text.startswith("whsec_"):
        return False
    try:
        return 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64
    except (binascii.Error, ValueError):
        return False


def _parameters(parameters: Mapping[str, Any]) -> Iterable[Finding]:
    from jsonschema import Draft202012Validator, SchemaError

    if parameters.get("type") != "object":
        yield Finding("parameters", "bad-json-schema", 'the schema of arguments must have "type: object"')
        return
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        place = "/".join(str(step) for step in error.absolute_path)
        where = f" at {place}" if place else ""
        yield Finding("parameters", "bad-json-schema", f"no JSON Schema{where}: {_shorten(error.message)}")
        return
    missing = [n for n in parameters.get("required", ()) if n not in parameters.get("properties", {})]
    if missing:
        message = f'"required" names {", ".join(missing)}, which "properties" does not have'
        yield Finding("parameters", "bad-json-schema", message)


def _mcp(tool: McpTool) -> Iterable[Finding]:
    yield from _options(tool)
    if (tool.url is None) == (not tool.command):
        yield Finding("url", "conflict", 'an MCP server needs either "url" or "command"')
    elif tool.url is not None:
        yield from _url(tool.url, allow_http=tool.allow_http)
        if tool.env:
            yield Finding("env", "conflict", '"env" is of a stdio server, which has a "command"')
    elif tool.headers:
        yield Finding("headers", "conflict", '"headers" are of a server that has a "url"')
    unseen = [name for name in tool.pins if tool.allow and name not in tool.allow]
    if unseen:
        yield Finding("pins", "unseen-tool", f'"allow" does not list {", ".join(unseen)}', "pin what the model may see")


def _client(tool: ClientTool) -> Iterable[Finding]:
    yield from _options(tool)
    yield from _parameters(tool.parameters)


def _transfer(tool: TransferTool) -> Iterable[Finding]:
    names = [each.name for each in tool.destinations]
    for name in dict.fromkeys(each for each in names if names.count(each) > 1):
        yield Finding("destinations", "duplicate-name", f'two destinations are named "{name}"')


def _destination(place: Destination) -> Iterable[Finding]:
    if (place.to is None) is (place.agent is None):
        message = 'a destination is a telephone or another agent: it needs one of "to" and "agent"'
        yield Finding("agent" if place.agent is not None else "", "missing-key", message)
    if place.agent is not None:
        idle = [key for key, said in (("trunk", place.trunk), ("accept_key", place.accept_key)) if said]
        for key in [*(["mode"] if place.mode == "warm" else []), *idle]:
            yield Finding(key, "conflict", f'"{key}" is about telephones, and "agent" rings none')
        return
    if place.mode == "warm" and not place.trunk:
        hint = "`lk sip outbound list` shows their names"
        yield Finding("mode", "missing-key", '"mode: warm" rings, and needs the "trunk" that rings', hint)
    if place.mode == "cold":
        idle = [key for key, said in (("trunk", place.trunk), ("accept_key", place.accept_key)) if said]
        for key in idle:
            yield Finding(key, "conflict", f'"{key}" is about whoever is rung, and "mode: cold" rings nobody')


def _rpc(method: RpcMethod) -> Iterable[Finding]:
    yield from _parameters(method.parameters)
    if method.method in OWN_METHODS:
        yield Finding("method", "reserved-name", f'"{method.method}" is push to talk\'s, and every agent has it')
    known = method.parameters.get("properties", {})
    for name in method.set:
        if name not in known:
            message = f'"set" names {name}, which the payload does not have'
            yield Finding("set", "unknown-argument", message, _near(name, known) or 'describe it in "parameters"')


def _event_sink(sink: EventSink) -> Iterable[Finding]:
    yield from _on_request(sink)
    for pattern in sink.types:
        if not types_of(pattern):
            hint = _near(pattern, EVENT_TYPES) or "docs/webhooks.md lists them"
            yield Finding("types", "unknown-event", f'there is no event "{pattern}"', hint)


def _on_request(endpoint: EventSink | OnRequest) -> Iterable[Finding]:
    yield from _url(endpoint.url, allow_http=endpoint.allow_http)
    yield from _webhook_secret(endpoint.secret)
    yield from _headers(endpoint.headers)


def _webhook_action(action: WebhookAction) -> Iterable[Finding]:
    yield from _url(action.url, allow_http=action.allow_http)
    yield from _webhook_secret(action.secret)
    yield from _headers(action.headers)


def host_is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _near(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, list(known), 1)
    return f'did you mean "{found[0]}"?' if found else ""


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


RULES: Mapping[type[Any], Callable[[Any], Iterable[Finding]]] = {
    PythonTool: _options,
    BuiltinTool: _options,
    WebhookTool: _webhook,
    McpTool: _mcp,
    ClientTool: _client,
    TransferTool: _transfer,
    Destination: _destination,
    RpcMethod: _rpc,
    EventSink: _event_sink,
    OnRequest: _on_request,
    WebhookAction: _webhook_action,
}
