"""Of `agentd doctor`: LiveKit, its clock against ours, and the admin address."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp

from agentd.admin.documents import document
from agentd.admin.settings import AdminSettings, UnsafeBind, check_bind, parse_addr
from agentd.aio import now
from agentd.cli.checks import Finding, fail, ok, warn
from agentd.config.daemon import DaemonConfig
from agentd.providers.fields import SecretMissing
from agentd.transport.tokens import LiveKitCredentials, listing_token

LIVEKIT_S = 5.0
ADMIN_S = 2.0
CLOCK_S, CLOCK_LIMIT_S = 5.0, 50.0
"""LiveKit lets a token's times be a minute off; nearly that, tokens are refused now and then."""

WILDCARDS: Mapping[str, str] = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


async def livekit(config: DaemonConfig, environment: Mapping[str, str]) -> list[Finding]:
    """Whether the server answers and takes the key, by the cheapest request that needs one."""
    settings = config.livekit
    if not settings.url:
        todo = "set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET; without: agentd serve --dev, agentd console"
        return [warn("livekit", "no server is named", todo)]
    shown = document(settings.url)
    try:
        key, secret = settings.api_key.reveal(environment), settings.api_secret.reveal(environment)
    except SecretMissing as error:
        return [fail("livekit", f"{shown}: {error}", "set LIVEKIT_API_KEY and LIVEKIT_API_SECRET (or each as _FILE)")]
    credentials = LiveKitCredentials(url=settings.url, api_key=key, api_secret=secret)
    address = f"{credentials.http_url.rstrip('/')}/twirp/livekit.RoomService/ListRooms"
    headers = {"Authorization": f"Bearer {listing_token(credentials)}"}
    began, sent = now(), time.time()
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIVEKIT_S)) as client,
            client.post(address, json={}, headers=headers) as answer,
        ):
            status, date, text = answer.status, answer.headers.get("Date", ""), (await answer.text())[:200]
    except TimeoutError:
        return [fail("livekit", f"{shown} did not answer within {LIVEKIT_S:g} s", "is the address right, and open?")]
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return [fail("livekit", f"{shown} cannot be reached: {document(str(error))}", "is LIVEKIT_URL right?")]
    middle = sent + (now() - began) / 2
    return [_answered(shown, status, text, now() - began), *clock(date, middle)]


def _answered(shown: str, status: int, text: str, seconds: float) -> Finding:
    if status == 200:
        return ok("livekit", f"{shown} answers in {seconds * 1000:.0f} ms and takes the key")
    if status in (401, 403):
        todo = "LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be a pair that this server knows"
        return fail("livekit", f"{shown} does not take the key (HTTP {status})", todo)
    said = " ".join(text.split())
    return fail("livekit", f"{shown} answers HTTP {status} {said}".rstrip(), "is it a LiveKit server's address?")


def clock(date: str, ours: float) -> list[Finding]:
    """Our clock (unix time) against an HTTP date, which is of whole seconds; none where there is no such date."""
    try:
        theirs = parsedate_to_datetime(date).timestamp() + 0.5
    except ValueError:
        return []
    off_s = ours - theirs
    behind = "ahead of" if off_s > 0 else "behind"
    found = f"{abs(off_s):.1f} s {behind} LiveKit's" if abs(off_s) > 1 else "as LiveKit's"
    todo = "let NTP set it: tokens are good for a time, and are refused when the clocks differ"
    if abs(off_s) > CLOCK_LIMIT_S:
        return [fail("clock", found, todo)]
    return [warn("clock", found, todo) if abs(off_s) > CLOCK_S else ok("clock", found)]


class Admin(NamedTuple):
    """`answers`: a daemon does, at that address."""

    finding: Finding
    answers: bool


async def admin(config: DaemonConfig, environment: Mapping[str, str]) -> Admin:
    """Whether the address may be, and who is there."""
    addr = config.admin.addr
    secrets = [*([config.admin.token] if config.admin.token else []), *(each.token for each in config.admin.tokens)]
    try:
        for secret in secrets:
            secret.reveal(environment)
        check_bind(AdminSettings(addr=addr, token="set" if secrets else None))
    except SecretMissing as error:
        return Admin(fail("admin", f"its token: {error}", "set AGENTD_ADMIN_TOKEN (or AGENTD_ADMIN_TOKEN_FILE)"), False)
    except UnsafeBind as error:
        return Admin(fail("admin", str(error), "see docs/operations/security.md"), False)
    host, port = parse_addr(addr)
    if port and await _is_agentd(WILDCARDS.get(host, host), port):
        return Admin(ok("admin", f"a daemon answers at {addr}"), True)
    try:
        await asyncio.to_thread(_listen, host, port)
    except OSError as error:
        todo = "end whatever is there, or choose another with --admin-addr or admin.addr"
        return Admin(fail("admin", f"{addr} cannot be had: {error.strerror or error}", todo), False)
    return Admin(ok("admin", f"{addr} is free"), False)


async def _is_agentd(host: str, port: int) -> bool:
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/worker"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ADMIN_S)) as client,
            client.get(url) as answer,
        ):
            told = await answer.json(content_type=None)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        return False
    return isinstance(told, dict) and "agent_names" in told  # livekit-agents' workers have no list


def _listen(host: str, port: int) -> None:
    """Raises OSError."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, address in {(each[0], each[4][:2]) for each in found}:
        socket.create_server(address, family=family).close()
