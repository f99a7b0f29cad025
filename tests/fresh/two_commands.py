"""README's two commands on a fresh Debian 12: `make run` in all its variants, a call each, and `make unit`.

`make fresh` runs this; `make test` does not, for it takes about ten minutes, root, and the packages of a whole machine.
The tests build on each other: the first sets the machine up.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from agentd.cli.devserver import DEV_KEY, DEV_SECRET, SERVER_PACKAGE, DevServer
from agentd.loadtest.caller import Caller, Server
from tests.fresh.debian import CannotBeMade, Debian, Running, new_debian
from tests.speech import utterance
from tests.system.livekit_server import livekit_binary, livekit_server
from tests.system.test_calls import speak, spoken

__all__ = ["livekit_binary", "livekit_server"]

pytestmark = pytest.mark.timeout(900)

ANY_PORT = {"AGENTD_ADMIN_ADDR": "127.0.0.1:0"}  # the network is shared: another daemon may have the usual one
NOBODY = "65534:65534"
STEP_S = 60.0


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    place = tmp_path_factory.mktemp("fresh")
    try:
        yield new_debian(place / "debian")
    except CannotBeMade as reason:
        pytest.fail(str(reason))
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def test_without_root_and_sudo_it_says_what_to_install(debian: Debian) -> None:
    async with debian.running("make", "VENV=/tmp/venv", "/tmp/venv/.installed", user=NOBODY) as make:
        assert await make.ended(600) != 0
    advice = r"Python lacks .*; as root, run: apt-get install python3.*-venv"
    assert any(re.fullmatch(advice, line) for line in make.lines)


async def test_make_run_sets_up_and_with_no_server_to_be_had_offers_the_console(debian: Debian) -> None:
    async with debian.running("make", "run") as make:
        assert await make.ended(800) != 0
    (installed,) = (number for number, line in enumerate(make.lines) if line.startswith("Installed in"))
    progress = [line for line in make.lines[:installed] if re.match(r"  \d+ s: ", line)]
    assert len(progress) > 10
    told = [line for line in make.lines[installed + 1 :] if not line.startswith("make: ")]
    assert len(told) == 1
    offer = re.search(r"no LiveKit server: .*; without one, try: (.*)$", told[0])
    assert offer
    typed = "a table for four\ngoodbye\n"
    async with debian.running(*shlex.split(offer[1]), "--text", typed=typed) as console:
        assert await console.ended(STEP_S) == 0
    said = "\n".join(console.lines)
    assert "The Copper Pot, good day." in said
    assert "For which day?" in said


async def test_make_run_takes_the_server_of_livekit_url(debian: Debian, livekit_server: DevServer) -> None:
    key, secret = livekit_server.api_key, livekit_server.api_secret
    named = {"LIVEKIT_URL": livekit_server.url, "LIVEKIT_API_KEY": key, "LIVEKIT_API_SECRET": secret}
    async with debian.running("make", "run", environment={**ANY_PORT, **named}) as make:
        await a_call_is_held(make, Server(livekit_server.url, key, secret))
        await ctrl_c_ends(make)


async def test_make_run_finds_a_server_on_path(debian: Debian, livekit_binary: Path) -> None:
    there = debian.root / "usr/local/bin/livekit-server"
    shutil.copy(livekit_binary, there)
    try:
        async with debian.running("make", "run", environment=ANY_PORT) as make:
            await a_call_is_held(make, await server_of_its_own(make))
            await ctrl_c_ends(make)
    finally:
        there.unlink()


async def test_make_run_builds_a_server_with_go(debian: Debian) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go here to lend")
    go_root = Path(go).resolve().parents[1]
    path = f"{go_root}/bin:{debian.environment['PATH']}"
    async with debian.running("make", "run", environment={**ANY_PORT, "PATH": path}, bind=go_root) as make:
        await make.line(lambda line: line.startswith("Built "), 800)
        await a_call_is_held(make, await server_of_its_own(make))
        await ctrl_c_ends(make)
    assert sum("packages so far" in line for line in make.lines) > 2
    assert SERVER_PACKAGE.rpartition("@")[2] in "\n".join(make.lines)


async def test_make_unit_passes(debian: Debian) -> None:
    async with debian.running("make", "unit") as make:
        assert await make.ended(800) == 0
    assert any(re.search(r"\d{4,} passed", line) for line in make.lines)


async def server_of_its_own(make: Running) -> Server:
    line = await make.line(lambda line: line.startswith("LiveKit server at "), STEP_S)
    return Server(line.split()[3], DEV_KEY, DEV_SECRET)


async def a_call_is_held(make: Running, server: Server) -> None:
    """The address of the talk page is printed, the page answers and sends callers to `server`, where an agent talks."""
    line = await make.line(lambda line: line.startswith("Talk to your agents: "), STEP_S)
    page = line.rpartition(" ")[2]
    async with aiohttp.ClientSession() as http:
        async with http.get(page) as reply:
            assert reply.status == 200
            assert "</html>" in await reply.text()
        endpoint = page.removesuffix("/talk") + "/api/token"
        async with http.post(endpoint, json={"room_config": {"agents": [{"agent_name": "front-desk"}]}}) as reply:
            assert (await reply.json())["server_url"] == server.url
    async with Caller.join(server, agent="front-desk") as caller:
        await spoken(caller, 0, 60)
        _, ended = await speak(caller, utterance("I would like to book a table."))
        await spoken(caller, ended)
        assert "how many" in caller.agent_captions()[-1].text.lower()
        await caller.leave()


async def ctrl_c_ends(make: Running) -> None:
    make.interrupt()
    await make.ended(STEP_S)
    assert not [line for line in make.lines if "Traceback" in line]
