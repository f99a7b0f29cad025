"""The tools of an agent, as its file says them. See `agentd.config.definition`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.config.consent import AllowCallers, Consent
from agentd.config.patterns import REFERENCE_PATTERN, TOOL_NAME_PATTERN, URL_PATTERN
from agentd.providers.fields import Duration, JsonObject, Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """What to say while a tool takes its time."""

    after: Duration = setting("Wait before the filler.", default=Duration(1.2), minimum=0)
    every: Duration | None = setting(
        "Then the next one after each such time, as long as the tool takes; by default one is all.",
        default=None,
        minimum=1,
    )
    say: tuple[str, ...] = setting("What is spoken: one of these, and then those after it, in turn.", min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How often a tool may be called."""

    calls: int = setting("How many calls.", minimum=1, maximum=10_000)
    per: Duration = setting("In any stretch of this length.", minimum=1, maximum=30 * 86_400)
    of: Literal["session", "caller", "agent"] = setting(
        "Of one call; of one caller (by identity) over all their calls; or of all calls of the agent. The latter two "
        "are counted by each worker for itself, and forgotten when it ends.",
        default="session",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How the session deals with calls of a tool, whatever its kind."""

    while_waiting: Filler | None = setting("What to say meanwhile.", default=None)
    cancel_on_interrupt: bool = setting("Abort the call when the caller interrupts.", default=False)
    confirm: Consent | None = setting(
        "Ask before every call: the arguments are read back, and the call is made once after a yes to exactly these.",
        default=None,
        short="by",
    )
    allow_callers: AllowCallers | None = setting(
        "Callers for whom the tool may be called; from others it is kept. Anybody by default.", default=None
    )
    run: Literal["foreground", "background"] = setting(
        "Whether the agent waits for the result, or goes on talking and speaks of it when it has come.",
        default="foreground",
    )
    cancellable: bool = setting(
        "Whether the model may cancel a call that goes on in the background: it then has the tool cancel_call.",
        default=False,
    )
    duplicates: Literal["allow", "reject", "replace", "confirm"] = setting(
        "What becomes of a call while another with the same arguments is under way: it is made too; the model is told "
        "of the other; the other is cancelled for it; or the caller must say something between the two.",
        default="allow",
    )
    duplicate_window: Duration = setting(
        "So long after its result a call still counts as under way for `duplicates`.",
        default=Duration(0.0),
        minimum=0,
        maximum=86_400,
    )
    rate_limits: tuple[RateLimit, ...] = setting(
        "How often it may be called; a call beyond that is not made, and the model is told.", default=()
    )
    idempotent: bool = setting(
        "Whether making a call twice does no harm: it may be repeated after a lost answer, and when the process of the "
        "conversation has died meanwhile.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTool(ToolOptions):
    type: Literal["python"] = setting("A Python callable, run in a tool process.")
    ref: str = setting(
        "module:function, module:object (its public methods) or module:object.method under a root that tools_allow "
        "permits; see docs/python-tools.md.",
        pattern=REFERENCE_PATTERN,
        interpolate=False,
    )
    name: str | None = setting(
        "The model's name for it; the function's own by default.", default=None, pattern=TOOL_NAME_PATTERN
    )
    description: str | None = setting("Instead of the docstring's.", default=None)
    timeout: Duration = setting("Then the tool's process is killed.", default=Duration(8.0), minimum=0.1, maximum=120)
    secrets: Mapping[str, Secret] = setting(
        "What this function finds in ctx.secrets, by name, and no other tool does.", default_factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTool(ToolOptions):
    type: Literal["webhook"] = setting("An HTTP endpoint in any language; see docs/webhooks.md.")
    name: str = setting("The model's name for it.", pattern=TOOL_NAME_PATTERN)
    description: str = setting("What it does, for the model.", min_length=1)
    url: str = setting(
        "Where to send it. {name} in the path or the query is replaced by that argument; the host is never templated.",
        pattern=URL_PATTERN,
    )
    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = setting("The HTTP method.", default="POST")
    args_in: Literal["body", "query", "path"] = setting(
        "Where the arguments go that the url does not name: into the body, the query, or (path) nowhere, as the url "
        "names them all.",
        default="body",
    )
    args_at_root: bool = setting(
        "Send the bare arguments as the body, for an endpoint that exists already.", default=False
    )
    envelope: Literal["agentd", "vapi"] = setting(
        "The body's format: agentd's, or Vapi's tool-calls message and its results.", default="agentd"
    )
    response_filter: str | None = setting(
        "A JMESPath expression: what of a JSON answer the model reads.", default=None, interpolate=False
    )
    assign: Mapping[str, str] = setting(
        "Variables to set from a JSON answer: name to JMESPath expression.", default_factory=dict, interpolate=False
    )
    parameters: JsonObject = setting(
        "JSON Schema of the arguments.",
        default_factory=lambda: {"type": "object", "properties": {}},
        interpolate=False,
    )
    secret: Secret | None = setting("Signing secret: whsec_ and base64 of 24 to 64 bytes.", default=None)
    headers: Mapping[str, Secret] = setting("Headers to add; they never override the contract's.", default_factory=dict)
    timeout: Duration = setting("In all, retries included.", default=Duration(8.0), minimum=1, maximum=120)
    context: str = setting(
        "How much of the conversation is sent along: none, all, or last:N items.",
        default="none",
        pattern=r"^(none|all|last:[1-9][0-9]{0,3})$",
        examples=("last:6",),
    )
    callback_timeout: Duration = setting(
        "How long the result of a call that was answered with `pending` may take.",
        default=Duration(600.0),
        minimum=1,
        maximum=86_400,
    )
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)
    on_error: Literal["message", "hide", "passthrough"] = setting(
        "What the model is told of an error: its detail, nothing, or the whole body.", default="message"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool(ToolOptions):
    type: Literal["mcp"] = setting("The tools of an MCP server.")
    name: str = setting("The server's name here.", pattern=TOOL_NAME_PATTERN)
    url: str | None = setting("Streamable HTTP address.", default=None, pattern=URL_PATTERN)
    command: tuple[str, ...] = setting("Program and arguments of a stdio server.", default=())
    env: Mapping[str, Secret] = setting(
        "Variables of a stdio server; beside them it sees PATH, HOME, USER and SHELL only.", default_factory=dict
    )
    headers: Mapping[str, Secret] = setting("Headers of every request.", default_factory=dict)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)
    allow: tuple[str, ...] = setting("Tools that the model may see; all by default.", default=())
    prefix: str | None = setting(
        "Stands before the server's own names of its tools; the name and _ by default.",
        default=None,
        pattern=r"^[a-zA-Z0-9_-]{0,40}$",
    )
    pins: Mapping[str, str] = setting(
        "Digests of the tools that were approved, as `agentd mcp` prints them: a tool of another digest, or of none, "
        "is kept from the model.",
        default_factory=dict,
    )
    timeout: Duration = setting("Of a call, a reconnection included.", default=Duration(8.0), minimum=1, maximum=120)
    required: bool = setting(
        "Whether the agent cannot be loaded while the server is away; otherwise its tools come when it does.",
        default=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool(ToolOptions):
    type: Literal["client"] = setting("A method of the caller's front end, called by RPC.")
    name: str = setting("The RPC method.", pattern=TOOL_NAME_PATTERN)
    description: str = setting("What it does, for the model.", default="")
    parameters: JsonObject = setting(
        "JSON Schema of the arguments.",
        default_factory=lambda: {"type": "object", "properties": {}},
        interpolate=False,
    )
    timeout: Duration = setting("Wait for the answer.", default=Duration(8.0), minimum=0.1, maximum=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTool:
    """What the model's provider does on its own side, such as a search of the web. agentd sees no call of it, so that
    it cannot be confirmed, kept from a caller or audited."""

    type: Literal["provider"] = setting("A tool of the model's provider.")
    name: str = setting("Its name; `agentd providers` and the model's own page tell what there is.", min_length=1)
    settings: JsonObject = setting("The provider's own, sent as they are.", default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTool(ToolOptions):
    """What agentd's own tools have in common; each is a class of `agentd.config.builtins`."""

    description: str | None = setting("Instead of its own description.", default=None)
