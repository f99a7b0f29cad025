"""The talk page in a real browser, on a real LiveKit server, with a stand-in's agent and with the whole daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from agentd.admin.metrics import Metrics
from agentd.admin.server import serve_admin
from agentd.admin.settings import AdminSettings, TokenEndpointSettings
from agentd.audio import write_wav
from agentd.loadtest.caller import Server
from agentd.transport.tokens import LiveKitCredentials
from bench.daemon import Daemon, running_daemon
from tests.fakes.daemon import FakeDaemon, agent
from tests.speech import human, plain_words, with_silence
from tests.system.standin import GREETING, StandIn, registered_standin
from tests.system.web import PROJECT, Browser, Page, running_browser, write_beeps

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

LINES = """() => [...document.querySelectorAll("#log li")].map(
    (line) => [line.dataset.who, line.textContent, line.dataset.final])"""


@asynccontextmanager
async def talk_page(
    browser: Browser, key: LiveKitCredentials, *agents: str, microphone: bool = True
) -> AsyncIterator[Page]:
    daemon = FakeDaemon(*(agent(name) for name in agents))
    settings = AdminSettings(addr="127.0.0.1:0", talk_page=True)
    async with serve_admin(daemon, settings, Metrics(), TokenEndpointSettings(credentials=key)) as address:
        page = await browser.open(f"http://{address}/talk", microphone=microphone)
        yield page
        await page.close()


async def called(page: Page) -> None:
    await page.until("!document.querySelector('#start').disabled")
    await page.click("#start")


async def log_shows(page: Page, text: str) -> None:
    await page.until(f"document.querySelector('#log').textContent.includes({text!r})", 15)


async def over(page: Page, timeout_s: float = 15.0) -> str:
    """Why the call ended, as the page says it."""
    await page.until("document.body.dataset.call === 'idle'", timeout_s)
    return await page.text("#notice")


async def test_a_caller_talks_reads_captions_of_both_sides_chats_and_is_told_the_end(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    stand_in = StandIn()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(registered_standin(credentials, "front-desk", stand_in))
        browser = await stack.enter_async_context(running_browser(write_beeps(tmp_path / "beeps.wav")))
        page = await stack.enter_async_context(talk_page(browser, credentials, "front-desk", "billing"))
        await called(page)
        await log_shows(page, GREETING)
        await log_shows(page, "a beep")
        assert await page.evaluate("() => document.querySelector('audio').srcObject.active")
        await page.until("document.body.style.getPropertyValue('--mine-level') > 0.05")
        await page.until("document.body.dataset.agent === 'listening'")

        await page.click("#microphone")
        await page.until("document.querySelector('#microphone').getAttribute('aria-pressed') === 'false'")
        await page.fill("#message", "What is on the menu?")
        await page.press("Enter")
        await log_shows(page, "You wrote: What is on the menu?")
        assert stand_in.heard == ["What is on the menu?"]
        lines = await page.evaluate(LINES)
        assert ["agent", GREETING, "true"] in lines
        assert ["you", "a beep", "true"] in lines
        assert ["you", "What is on the menu?", "true"] in lines

        assert await page.errors() == []

        await page.fill("#message", "bye")
        await page.press("Enter")
        assert await over(page) == "The agent ended the call."
    assert stand_in.states[:4] == ["initializing", "listening", "speaking", "listening"]


async def test_a_refused_microphone_is_said_and_chat_goes_on(credentials: LiveKitCredentials) -> None:
    async with (
        registered_standin(credentials, "front-desk", StandIn()),
        running_browser(allow_microphone=False) as browser,
        talk_page(browser, credentials, "front-desk", microphone=False) as page,
    ):
        await called(page)
        await page.until("document.querySelector('#notice').textContent.includes('The microphone is blocked')", 15)
        await log_shows(page, GREETING)
        await page.fill("#message", "Can you read me?")
        await page.press("Enter")
        await log_shows(page, "You wrote: Can you read me?")
        await page.click("#end")
        assert await over(page) == ""


async def test_an_agent_that_leaves_or_never_gets_ready_is_an_honest_error(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    async with (
        registered_standin(credentials, "leaver", StandIn(silent_exit=True)),
        registered_standin(credentials, "sleeper", StandIn(ready=False)),
        running_browser(write_beeps(tmp_path / "beeps.wav")) as browser,
        talk_page(browser, credentials, "leaver") as left,
        talk_page(browser, credentials, "sleeper") as asleep,
        talk_page(browser, credentials, "nobody") as alone,
    ):
        for page in (left, asleep, alone):
            await called(page)
        assert await over(left) == "The agent left the call unexpectedly."
        assert "sleeper joined, but did not get ready within 20 seconds" in await over(asleep, 25)
        assert "nobody did not join within 20 seconds" in await over(alone, 25)


async def test_a_livekit_server_that_is_away_and_a_daemon_without_agents_are_said() -> None:
    nowhere = LiveKitCredentials(url="ws://127.0.0.1:9", api_key="k", api_secret="s" * 32)
    async with running_browser() as browser, talk_page(browser, nowhere, "front-desk") as page:
        await called(page)
        await page.until("document.querySelector('#notice').textContent !== ''", 30)
        assert "LiveKit at ws://127.0.0.1:9 cannot be reached" in await over(page)
        await page.browser.do("evaluate", id=page.id, script="() => { globalThis.fetch = () => Promise.reject() }")
        await page.click("#start")
        await page.until("document.querySelector('#notice').textContent.includes('does not answer')")


async def test_a_persons_voice_is_heard_captioned_and_answered_by_the_daemon(
    credentials: LiveKitCredentials, tmp_path: Path
) -> None:
    speech, transcript = human("go-forward")
    microphone = tmp_path / "speech.wav"
    write_wav(microphone, with_silence(speech, 6.0, 10.0))
    server = Server(url=credentials.url, api_key=credentials.api_key, api_secret=credentials.api_secret)
    parrot = {"parrot.yaml": (PROJECT / "agents.d" / "parrot.yaml").read_text()}
    async with (
        running_daemon(server, parrot, workers=1, flags=("--dev",)) as daemon,
        running_browser(microphone) as browser,
    ):
        page = await browser.open(f"{daemon.admin_url}/talk")
        await called(page)
        await log_shows(page, "I repeat what you say.")
        await page.until("document.querySelector('#log').textContent.includes('You said')", 45)
        await page.until("document.body.dataset.agent === 'listening'", 15)
        lines = await page.evaluate(LINES)
        heard = [plain_words(text) for who, text, final in lines if who == "you" and final == "true"]
        assert plain_words(transcript) in heard
        said = " ".join(text for who, text, _ in lines if who == "agent")
        assert set(plain_words(transcript)) <= set(plain_words(said))
        (session,) = await daemon.sessions()
        assert (session["agent"], session["turns"] > 0) == ("parrot", True)
        await page.click("#end")
        assert await over(page) == ""
        await daemon.until(lambda: _no_sessions(daemon))


async def _no_sessions(daemon: Daemon) -> bool:
    return not await daemon.sessions()
