from __future__ import annotations

import pytest

from agentd.admin.guards import host_allowed, is_loopback, origin_allowed
from agentd.admin.roles import known
from agentd.admin.settings import AdminSettings, UnsafeBind, check_bind, parse_addr
from tests.admin.conftest import ENDPOINT, Serve


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_only_this_machines_addresses_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("127.0.0.1:8081", True),
        ("[::1]:8081", True),
        ("localhost:8081", True),
        ("10.1.2.3", True),
        ("agentd.internal:8081", True),
        ("AGENTD.internal", True),
        ("evil.example:8081", False),
        ("localhost.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_a_rebound_name_is_no_host_of_ours(header: str, expected: bool) -> None:
    assert host_allowed(header, ["agentd.internal"]) is expected


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, True),
        ("http://127.0.0.1:8081", True),
        ("https://shop.example", True),
        ("http://shop.example", False),
        ("http://127.0.0.1:9999", False),
        ("file://127.0.0.1:8081", False),
        ("null", False),
    ],
)
def test_only_our_own_and_allowed_pages_may_ask(origin: str | None, expected: bool) -> None:
    assert origin_allowed(origin, "127.0.0.1:8081", ["https://shop.example"]) is expected


def test_every_page_may_ask_when_all_are_allowed() -> None:
    assert origin_allowed("https://anything.example", "127.0.0.1:8081", ["*"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer correct", True),
        ("bearer correct", True),
        ("Bearer wrong", False),
        ("Basic correct", False),
        ("correct", False),
        ("Bearer ", False),
        ("", False),
        (None, False),
    ],
)
def test_a_bearer_token_must_match(header: str | None, expected: bool) -> None:
    assert (known(header, AdminSettings(token="correct").known) is not None) is expected


@pytest.mark.parametrize("addr", ["0.0.0.0:8081", "[::]:8081", ":8081", "10.0.0.1:8081", "example.com:1"])
def test_an_open_address_needs_a_token(addr: str) -> None:
    with pytest.raises(UnsafeBind, match="AGENTD_ADMIN_TOKEN"):
        check_bind(AdminSettings(addr=addr))
    check_bind(AdminSettings(addr=addr, token="t"))


def test_a_loopback_address_needs_none() -> None:
    check_bind(AdminSettings(addr="127.0.0.1:8081"))


async def test_the_server_itself_refuses_to_bind_openly(serve: Serve) -> None:
    with pytest.raises(UnsafeBind):
        await serve(AdminSettings(addr="0.0.0.0:0"))


@pytest.mark.parametrize(
    ("addr", "expected"), [("127.0.0.1:8081", ("127.0.0.1", 8081)), ("[::1]:0", ("::1", 0)), (":9", ("", 9))]
)
def test_an_address_is_host_and_port(addr: str, expected: tuple[str, int]) -> None:
    assert parse_addr(addr) == expected


@pytest.mark.parametrize("addr", ["8081", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000", ""])
def test_an_address_that_cannot_be_read_says_so(addr: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_addr(addr)


async def test_a_request_for_another_host_is_refused(serve: Serve) -> None:
    client = await serve()
    answer = await client.get("/v1/agents", headers={"Host": "evil.example"})
    assert answer.status == 403
    assert answer.content_type == "application/problem+json"
    assert (await client.get("/livez", headers={"Host": "evil.example"})).status == 200


async def test_a_foreign_page_is_refused_even_without_a_token(serve: Serve) -> None:
    client = await serve()
    answer = await client.post("/v1/drain", headers={"Origin": "https://evil.example"})
    assert answer.status == 403


async def test_the_api_asks_for_the_token_and_health_does_not(serve: Serve) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="correct"))
    refused = await client.get("/v1/agents")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="agentd"')
    assert (await client.get("/v1/agents", headers={"Authorization": "Bearer wrong"})).status == 401
    assert (await client.get("/v1/agents", headers={"Authorization": "Bearer correct"})).status == 200
    for path in ("/", "/livez", "/readyz", "/worker", "/metrics"):
        assert (await client.get(path)).status == 200


async def test_whoever_knows_the_token_may_use_any_name(serve: Serve) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="correct"))
    headers = {"Host": "agentd.cluster.local", "Authorization": "Bearer correct"}
    assert (await client.get("/v1/agents", headers=headers)).status == 200


async def test_a_proxy_may_pass_on_the_name_on_which_it_was_asked(serve: Serve) -> None:
    settings = AdminSettings(addr="127.0.0.1:0", token="correct", hosts=("Voice.example.com",))
    client = await serve(settings, ENDPOINT)
    for host, status in (("voice.example.com", 201), ("voice.example.com:8443", 201), ("other.example.com", 403)):
        answer = await client.post("/v1/token", headers={"Host": host, "Origin": f"https://{host}"})
        assert answer.status == status, host
    assert (await client.get("/v1/agents", headers={"Host": "voice.example.com"})).status == 401


def test_a_proxy_brings_others_so_that_a_token_is_needed() -> None:
    with pytest.raises(UnsafeBind, match=r"voice\.example\.com.*AGENTD_ADMIN_TOKEN.*leave admin\.hosts out"):
        check_bind(AdminSettings(hosts=("voice.example.com",)))
    check_bind(AdminSettings(hosts=("voice.example.com",), token="correct"))


async def test_an_unknown_path_needs_the_token_too(serve: Serve) -> None:
    client = await serve(AdminSettings(addr="127.0.0.1:0", token="correct"))
    assert (await client.get("/v1/nothing")).status == 401
