"""Where a webhook may connect to, decided for the address and not for the name."""

import ipaddress
import socket

import pytest

from agentd.tools.addresses import AddressPolicy, AddressRefused, CheckedResolver


def permitted(host: str, address: str, allow: tuple[str, ...] = ()) -> bool:
    try:
        AddressPolicy(allow).check(host, ipaddress.ip_address(address))
    except AddressRefused:
        return False
    return True


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "0.1.2.3",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_link_local_metadata_and_their_like_never(address: str) -> None:
    for host in ("hooks.example.com", "app", "localhost", address):
        assert not permitted(host, address)
        assert not permitted(host, address, allow=(host, address, "0.0.0.0/0", "::/0"))


@pytest.mark.parametrize(
    ("host", "address", "expected"),
    [
        ("hooks.example.com", "93.184.216.34", True),
        ("hooks.example.com", "2606:4700::1", True),
        ("localhost", "127.0.0.1", True),
        ("api.localhost", "::1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("hooks.example.com", "127.0.0.1", False),
        ("hooks.example.com", "::1", False),
        ("hooks.example.com", "::ffff:127.0.0.1", False),
        ("app", "127.0.0.1", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("app", "172.18.0.5", True),
        ("crm.internal", "10.1.2.3", True),
        ("hooks.example.com", "10.1.2.3", False),
        ("hooks.example.com", "192.168.0.1", False),
        ("hooks.example.com", "fd12::1", False),
        ("hooks.example.com", "100.64.0.1", False),
        ("localhost.example.com", "127.0.0.1", False),
    ],
)
def test_a_public_name_does_not_lead_inside(host: str, address: str, expected: bool) -> None:
    assert permitted(host, address) is expected


@pytest.mark.parametrize(
    ("allow", "host", "address", "expected"),
    [
        (("hooks.example.com",), "hooks.example.com", "93.184.216.34", True),
        (("hooks.example.com",), "HOOKS.example.com.", "10.0.0.1", True),
        (("*.example.com",), "hooks.example.com", "10.0.0.1", True),
        (("*.example.com",), "example.com", "93.184.216.34", False),
        (("hooks.example.com",), "other.example.com", "93.184.216.34", False),
        (("hooks.example.com",), "localhost", "127.0.0.1", False),
        (("hooks.example.com",), "10.0.0.1", "10.0.0.1", False),
        (("10.0.0.0/8",), "anything.example.com", "10.0.0.1", True),
        (("10.0.0.0/8",), "anything.example.com", "::ffff:10.0.0.1", True),
        (("10.0.0.0/8",), "anything.example.com", "93.184.216.34", False),
        (("127.0.0.1",), "localhost", "127.0.0.1", True),
    ],
)
def test_a_list_locks_the_rest_down(allow: tuple[str, ...], host: str, address: str, expected: bool) -> None:
    assert permitted(host, address, allow) is expected


@pytest.mark.parametrize("host", ["2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.1", "0x7f000001", "1.2.3.4.5"])
def test_addresses_in_odd_forms_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match="unusual form"):
        AddressPolicy().check_host(host)


@pytest.mark.parametrize("host", ["hooks.example.com", "app", "0x.example", "x2.org", "localhost"])
def test_names_that_only_look_odd_are_names(host: str) -> None:
    AddressPolicy().check_host(host)


async def test_only_the_permitted_addresses_of_a_name_are_connected_to() -> None:
    async def resolve(host: str, port: int, family: socket.AddressFamily) -> list[str]:
        return ["10.0.0.1", "93.184.216.34", "fe80::1%eth0"]

    found = await CheckedResolver(AddressPolicy(), resolve).resolve("hooks.example.com", 443)
    assert [each["host"] for each in found] == ["93.184.216.34"]


async def test_a_name_that_leads_nowhere_permitted_is_refused() -> None:
    async def resolve(host: str, port: int, family: socket.AddressFamily) -> list[str]:
        return ["169.254.169.254"]

    with pytest.raises(AddressRefused, match=r"hooks\.example\.com leads to 169\.254\.169\.254"):
        await CheckedResolver(AddressPolicy(), resolve).resolve("hooks.example.com", 443)
