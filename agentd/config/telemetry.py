"""What a daemon tells of itself: logs, the audit log, unexpected exceptions and traces, as agentd.yaml says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.config.patterns import URL_PATTERN
from agentd.providers.fields import Secret, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSection:
    """Logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting("The least level.", default="INFO", reload="restart")
    format: Literal["json", "text"] | None = setting(
        "For machines, or for people; by itself text with --dev, else json.", default=None, reload="restart"
    )
    content: bool = setting(
        "Whether what is said, and what tools are asked and answer, is logged.", default=False, reload="restart"
    )
    redact: tuple[Literal["phone", "email", "card"], ...] = setting(
        "What is taken out of everything that is logged.",
        default=("phone", "email", "card"),
        min_length=0,
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSection:
    """The log of every call of a tool and of what operators did: append-only, each record bound to the one before. See
    `agentd audit`."""

    enabled: bool = setting("Write it.", default=True, reload="restart")
    path: str = setting("Its file; under the state directory unless absolute.", default="audit.jsonl", reload="restart")
    arguments: Literal["hash", "redacted", "full"] = setting(
        "What of the arguments is written beside their hash: nothing, their names, or all.",
        default="hash",
        reload="restart",
    )
    key: Secret | None = setting(
        "Then the records are bound by HMAC with this key: nobody without it can make an edited log look whole.",
        default=None,
        reload="restart",
    )
    max_mib: int = setting(
        "A larger file is put aside under the number of its last record; 0 never.",
        default=64,
        minimum=0,
        maximum=65536,
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorHookSection:
    """Where unexpected exceptions are told, without what was said."""

    url: str = setting("Where to POST them; without it nowhere.", default="", pattern=URL_PATTERN, reload="restart")
    secret: Secret | None = setting(
        "Signing secret: whsec_ and base64 of 24 to 64 bytes.", default=None, reload="restart"
    )
    command: tuple[str, ...] = setting(
        "A program and its arguments, such as one of Python, that finds each of them as JSON on its standard input; "
        "of the environment it sees PATH, HOME, USER and SHELL.",
        default=(),
        examples=(["python3", "/etc/agentd/errors.py"],),
        reload="restart",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OtelSection:
    """Spans of sessions, turns, requests to providers and calls of tools; the extra `otel`."""

    endpoint: str = setting(
        "Where an OTLP/HTTP collector takes traces; without it there are none.",
        default="",
        pattern=r"^https?://[^/\s]+",
        examples=("http://127.0.0.1:4318/v1/traces",),
        reload="restart",
    )
    headers: Mapping[str, Secret] = setting("Sent with them.", default_factory=dict, reload="restart")
    service: str = setting("service.name of the resource.", default="agentd", min_length=1, reload="restart")
    content: bool = setting(
        "Whether what is said, and what tools are asked and answer, is told, under lk.pii.*.",
        default=False,
        reload="restart",
    )
