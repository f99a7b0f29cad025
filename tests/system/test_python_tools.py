"""The sample library on a real LiveKit server: an object's methods as tools, and more of them that outlive a worker."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from agentd.loadtest.caller import Caller
from agentd.session.restore import restore
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import running_daemon
from tests.system.caller import ended_journal, server_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SAMPLES = Path(__file__).parents[2] / "agents.d"


def library() -> dict[str, str]:
    """The sample, with a voice and an ear that cost nothing."""
    text = (SAMPLES / "library.yaml").read_text()
    text = re.sub(r"^stt: .*$", "stt: {provider: scripted}", text, flags=re.MULTILINE)
    text = re.sub(r"^tts: .*$", "tts: {provider: scripted, character: 10ms}", text, flags=re.MULTILINE)
    code = (SAMPLES / "tools" / "library.py").read_text()
    return {"library.yaml": text, "tools/__init__.py": "", "tools/library.py": code}


async def test_tools_that_a_tool_has_added_are_there_after_the_death_of_the_worker(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    server = server_of(credentials)
    environment = {"AGENTD_STORE": str(tmp_path)}
    async with running_daemon(server, library(), environment=environment, workers=2) as daemon:
        async with Caller.join(server, agent="library", microphone=False) as caller:

            async def ask(words: str, answer: str) -> None:
                await caller.agent_state("listening", 20)
                mark = len(caller.captions)
                await caller.chat(words)
                await caller.until(lambda: any(answer in c.text for c in caller.captions[mark:]), 20)

            await ask("do you have Moby Dick", "Moby Dick is in the central branch")
            assert any("I am going through the catalogue." in caption.text for caption in caller.captions)
            await ask("renew Middlemarch", "I need the number of your card for that.")
            await ask("my card is 4711", "You can renew your books now.")
            await caller.agent_state("listening", 20)
            (session,) = await daemon.sessions()
            (worker,) = [each for each in await daemon.workers() if each["id"] == session["worker"]]
            at = time.monotonic()
            os.kill(int(worker["pid"]), signal.SIGKILL)
            await caller.until(
                lambda: any("I lost you for a moment" in c.text for c in caller.captions if c.at >= at), 20
            )
            await ask("renew Middlemarch", "It is yours for two more weeks.")
            await caller.leave()
        records = await ended_journal(tmp_path, caller.room)
    restored = restore(records)
    assert restored.variables == {"card": "4711", "loans": {"Middlemarch": "2030-02-28"}}
    assert {name: told and told["ref"] for name, told in restored.tools.items()} == {
        "my_loans": "tools.library:members.my_loans",
        "renew": "tools.library:members.renew",
        "show_card": None,
    }
    outcomes = [record.data["outcome"] for record in records if record.kind == "tool.completed"]
    assert outcomes == ["ok", "unknown_tool", "ok", "ok"]
