"""Promise 7: under `reload: live` an edit reaches the calls under way at a turn's boundary, and each turn says by which
revision it was. Real files, two workers, whole sessions in them; the providers are stand-ins, and the caller types."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.load import Loaded, load
from agentd.errors import ProviderRefused
from agentd.ipc import LinkClosed, memory_links, receive_object
from agentd.providers.fields import setting
from agentd.providers.llm import ChatRequest, Message
from agentd.registry import Component, Plugin, Registry
from agentd.runtime.messages import StartJob
from agentd.runtime.pool import Launched
from agentd.runtime.prepared import PreparedAgents
from agentd.runtime.trial import FAILURES
from agentd.runtime.worker import Worker
from agentd.session.journal import read_journal
from agentd.session.session import Session
from agentd.session.setup import SessionSetup
from tests.fakes.call import FakeTools
from tests.fakes.providers import FakeLLM, FakeSTT, FakeTTS, FakeVAD, says
from tests.fakes.room import FakeRoom
from tests.reload.directory import AGENT, Directory, serving, states
from tests.runtime.daemon import Daemon, until

LIVE = f"reload: live\n{AGENT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Settings of every stand-in."""

    label: str = setting("What it is.", default="")


class TalkingDirectory(Directory):
    def load(self, serving: Mapping[str, str]) -> Loaded:
        return load(self.path, DaemonConfig(), talking_registry(), {}, serving=serving)

    def rebuild(self, copy: Path, file: str) -> Loaded:
        return load(copy, DaemonConfig(), talking_registry(), {}, only=[file], home=self.path)


class Kit:
    """Tools of a session's kind, that are closed like real ones."""

    opened = 0

    def __init__(self, root: str) -> None:
        Kit.opened += 1

    async def open(self, definition: object) -> FakeTools:
        return FakeTools()

    async def aclose(self) -> None:
        Kit.opened -= 1


async def make_stt(settings: Labelled) -> FakeSTT:
    return FakeSTT()


async def make_llm(settings: Labelled) -> FakeLLM:
    """Says its label and its instructions; one that is labelled "dumb" refuses whoever asks."""

    def script(request: ChatRequest) -> Any:
        if settings.label == "dumb":
            return [ProviderRefused("fake", "no such model")]
        first = request.items[0]
        return says(f"{settings.label}{first.text if isinstance(first, Message) else ''}")(request)

    return FakeLLM(script, first_token_s=0.0)


async def make_tts(settings: Labelled) -> FakeTTS:
    return FakeTTS(first_sound_s=0.0)


async def make_vad(settings: Labelled) -> FakeVAD:
    return FakeVAD()


def talking_registry() -> Registry:
    components = tuple(
        Component(
            kind=kind,
            provider="fake",
            settings="tests.reload.test_live:Labelled",
            factory=f"tests.reload.test_live:make_{kind}",
            summary="A stand-in.",
        )
        for kind in ("stt", "llm", "tts", "vad")
    )
    return Registry([Plugin(name="fake", version="0", components=components)])


@dataclass
class Floor:
    """Where the calls of all workers are."""

    rooms: dict[str, FakeRoom]
    sessions: dict[str, Session]
    setups: dict[str, SessionSetup]

    def launch(self, links: dict[str, Any]) -> Callable[[str], Any]:
        @asynccontextmanager
        async def launch(name: str) -> AsyncIterator[Launched]:
            ours, theirs = memory_links()
            links[name] = ours

            async def work() -> None:
                with suppress(LinkClosed):
                    await receive_object(theirs)
                    try:
                        agents = PreparedAgents(talking_registry(), Kit)
                        await Worker(theirs, agents, self._rooms, self._session).run()
                    except* LinkClosed:
                        pass

            async with asyncio.TaskGroup() as group:
                task = group.create_task(work())
                try:
                    yield Launched(link=ours, pid=0)
                finally:
                    ours.close()
                    task.cancel()

        return launch

    @asynccontextmanager
    async def _rooms(self, start: StartJob, *_: object) -> AsyncIterator[FakeRoom]:
        room = self.rooms[start.session] = FakeRoom()
        room.link(outbound=True)
        yield room

    def _session(self, setup: SessionSetup) -> Session:
        self.setups[setup.id] = setup
        self.sessions[setup.id] = Session(setup)
        return self.sessions[setup.id]


@dataclass
class Stage:
    daemon: Daemon
    directory: Directory
    floor: Floor

    async def edit(self, text: str, name: str = "desk") -> None:
        self.directory.write(f"{name}.yaml", text)
        await self.daemon.supervisor.reload()

    def serves(self, name: str = "desk") -> str:
        definition = self.daemon.supervisor.definition(name)
        assert definition is not None
        return definition.digest

    async def ask(self, call: str, words: str) -> str:
        """What the agent says to these words."""
        before = len(self.turns(call, "turn.agent"))
        self.floor.rooms[call].type(words)
        await until(lambda: len(self.turns(call, "turn.agent")) > before)
        return str(self.turns(call, "turn.agent")[-1]["text"])

    def turns(self, call: str, kind: str) -> list[Any]:
        session = self.daemon.session(call)
        assert session is not None
        return [record.data for record in read_journal(session.journal) if record.kind == kind]

    def revision(self, call: str) -> str:
        session = self.daemon.session(call)
        assert session is not None
        return session.definition.revision

    async def runs(self, call: str, revision: str) -> None:
        await until(lambda: self.revision(call) == revision)


@asynccontextmanager
async def stage(tmp_path: Path, **files: str) -> AsyncIterator[Stage]:
    directory = TalkingDirectory(tmp_path / "agents.d")
    for name, text in files.items():
        directory.write(f"{name.replace('_', '-')}.yaml", text)
    floor, links = Floor({}, {}, {}), {}
    async with serving(tmp_path, directory, launch=floor.launch(links)) as daemon:
        daemon.links.update(links)
        yield Stage(daemon, directory, floor)


async def test_7_an_edit_reaches_every_call_of_its_agent_at_a_turns_boundary(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}", shop=f"instructions: shop\n{LIVE}") as on:
        calls = [await on.daemon.call("desk") for _ in range(4)]
        other = await on.daemon.call("shop")
        assert {on.daemon.session(call).worker for call in calls} == {"worker-1", "worker-2"}  # type: ignore[union-attr]
        before = on.serves()
        assert [await on.ask(call, "hello") for call in calls] == ["old"] * 4
        await on.edit(f"instructions: new\n{LIVE}")
        after = on.serves()
        for call in calls:
            await on.runs(call, after)
        assert [await on.ask(call, "and now") for call in (*calls, other)] == [*["new"] * 4, "shop"]
        for call in calls:
            assert [turn["revision"] for turn in on.turns(call, "turn.agent")] == [before, after]
            assert [turn["revision"] for turn in on.turns(call, "turn.user")] == [before, after]
            assert [edit["applied"] for edit in on.turns(call, "agent.edited")] == [["instructions"]]
        assert on.turns(other, "agent.edited") == []
        await until(lambda: on.daemon.measures.of("live_edits_total", agent="desk", outcome="taken") == 4)
        assert {session.revision for session in on.daemon.supervisor.sessions() if session.agent == "desk"} == {after}


async def test_7_a_call_whose_agent_does_not_say_so_keeps_its_own(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{AGENT}") as on:
        old = await on.daemon.call("desk")
        before = on.serves()
        await on.edit(f"instructions: new\n{AGENT}")
        new = await on.daemon.call("desk")
        assert (await on.ask(new, "hello"), await on.ask(old, "hello")) == ("new", "old")
        assert on.revision(old) == before
        assert on.turns(old, "decision") == [each for each in on.turns(old, "decision") if "revision" not in each]


async def test_7_only_what_its_class_allows_and_the_rest_with_the_next_call(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        old = await on.daemon.call("desk")
        await on.edit(f"instructions: new\ngreeting: {{say: Welcome.}}\n{LIVE}")
        await on.runs(old, on.serves())
        new = await on.daemon.call("desk")
        await until(lambda: bool(on.turns(new, "turn.agent")))
        assert await on.ask(old, "hello") == "new"
        assert [turn["text"] for turn in on.turns(old, "turn.agent")] == ["new"]
        assert [turn["text"] for turn in on.turns(new, "turn.agent")] == ["Welcome."]
        (told,) = on.turns(old, "agent.edited")
        assert told["kept"] == [{"setting": "greeting", "why": "it holds from the beginning of a call"}]
        assert on.daemon.supervisor.probation.trial("desk", on.serves()).calls == 0


async def test_7_a_provider_that_refuses_leaves_calls_with_the_one_that_they_have(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        calls = [await on.daemon.call("desk") for _ in range(2)]
        before = on.serves()
        bad = LIVE.replace("llm: {provider: fake}", "llm: {provider: fake, label: dumb}")
        await on.edit(f"instructions: new\n{bad}")
        await until(lambda: on.daemon.measures.of("live_edits_total", agent="desk", outcome="failed") == 2)
        assert [await on.ask(call, "hello") for call in calls] == ["old", "old"]
        assert {on.revision(call) for call in calls} == {before}
        good = bad.replace("dumb", "clever")
        await on.edit(f"instructions: newer\n{good}")
        for call in calls:
            await on.runs(call, on.serves())
        assert await on.ask(calls[0], "hello") == "clevernewer"


async def test_7_of_a_series_of_edits_the_newest_wins_and_none_waits_for_calls_to_end(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: v0\n{LIVE}") as on:
        call = await on.daemon.call("desk")
        for number in range(1, 8):
            await on.edit(f"instructions: v{number}\n{LIVE}")
        await on.runs(call, on.serves())
        assert await on.ask(call, "hello") == "v7"
        assert on.daemon.supervisor.generation() == 8
        assert len(on.turns(call, "agent.edited")) <= 7


async def test_7_going_back_is_an_edit_as_any_other(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        call = await on.daemon.call("desk")
        before = on.serves()
        await on.edit(f"instructions: new\n{LIVE}")
        await on.runs(call, on.serves())
        assert await on.ask(call, "hello") == "new"
        await on.daemon.supervisor.roll_back("desk")
        await on.runs(call, before)
        assert await on.ask(call, "and now") == "old"


async def test_7_a_quarantined_revision_is_taken_from_the_calls_that_have_it(tmp_path: Path) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        good = await on.daemon.call("desk")
        assert await on.ask(good, "hello") == "old"
        await on.daemon.hang_up(good)
        call = await on.daemon.call("desk")
        before = on.serves()
        await on.edit(f"instructions: bad\n{LIVE}")
        await on.runs(call, on.serves())
        for _ in range(FAILURES):
            failing = await on.daemon.call("desk")
            on.floor.sessions[failing]._take = _crash  # type: ignore[method-assign]
            on.floor.rooms[failing].type("hello")
            await until(lambda: on.daemon.session(failing) is None)  # noqa: B023 -- awaited within the round
        await until(lambda: states(on.daemon)["desk"] == "quarantined")
        await on.runs(call, before)
        assert await on.ask(call, "and now") == "old"


async def _crash(event: object) -> None:
    raise RuntimeError("a fault in the session")


async def test_7_a_canarys_calls_keep_the_revision_that_they_are_counted_for(tmp_path: Path) -> None:
    rollout = "rollout: {of: desk, percent: 100}\n"
    files = {"desk": f"instructions: desk\n{LIVE}", "desk_next": f"instructions: one\n{rollout}{LIVE}"}
    async with stage(tmp_path, **files) as on:
        call = await on.daemon.call("desk")
        assert await on.ask(call, "hello") == "one"
        await on.edit(f"instructions: two\n{rollout}{LIVE}", "desk-next")
        await until(lambda: on.daemon.measures.of("live_edits_total", outcome="kept") == 1)
        assert await on.ask(call, "and now") == "one"
        (kept,) = [each for each in on.turns(call, "decision") if each["action"] == "KeepRevision"]
        why = "a canary's calls keep the revision that they are counted for"
        assert kept["kept"] == [{"setting": "instructions", "why": why}]


async def test_7_a_call_whose_worker_is_killed_between_edits_goes_on_by_what_it_had_and_takes_the_next(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path, desk=f"instructions: old\n{LIVE}") as on:
        call = await on.daemon.call("desk")
        assert await on.ask(call, "hello") == "old"
        await on.edit(f"instructions: mid\ngreeting: {{say: Hi.}}\n{LIVE}")
        mid = on.serves()
        await on.runs(call, mid)
        assert await on.ask(call, "and now") == "mid"
        running = on.daemon.session(call).definition  # type: ignore[union-attr]
        assert running.greeting is None
        on.floor.setups[call].journal.close()  # a process that is killed writes no end
        on.daemon.kill(on.daemon.session(call).worker)  # type: ignore[union-attr]
        await until(lambda: on.daemon.session(call).incarnation == 2 and on.daemon.talks(call))  # type: ignore[union-attr]
        assert on.floor.setups[call].definition.digest == running.digest
        assert on.turns(call, "session.resumed")[0]["revision"] == mid
        assert await on.ask(call, "are you there") == "mid"
        await on.edit(f"instructions: new\n{LIVE}")
        await on.runs(call, on.serves())
        assert await on.ask(call, "and now") == "new"
        revisions = [turn["revision"] for turn in on.turns(call, "turn.user")]
        assert revisions[1:3] == [mid, mid]
        assert revisions[3] == on.serves()


async def test_7_what_calls_do_not_run_by_any_more_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentd.session.live_edits.LET_GO_S", 0.0)
    async with stage(tmp_path, desk=f"instructions: v0\n{LIVE}") as on:
        call = await on.daemon.call("desk")
        for number in range(1, 6):
            await on.edit(f"instructions: v{number}\n{LIVE}")
            await on.runs(call, on.serves())
            assert await on.ask(call, "hello") == f"v{number}"
        await until(lambda: Kit.opened <= 2, within_s=5)  # one in each worker
        definition = on.daemon.session(call).definition  # type: ignore[union-attr]
        assert replace(definition) == definition
