"""Python tools in their processes: whatever a tool does, it harms nothing but itself."""

import asyncio
import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentd import logs
from agentd.config.tool_process import ToolProcessSection
from agentd.errors import ToolCrashed, ToolError, ToolTimeout
from agentd.runtime.live import tool_host
from agentd.runtime.messages import WorkerSettings
from agentd.tools.confinement import Limits
from agentd.tools.host import ToolHost
from agentd.tools.process import PythonResult
from agentd.tools.spec import ToolContext

MakeHost = Callable[..., ToolHost]


async def run(host: ToolHost, name: str, context: ToolContext, timeout_s: float = 10, **arguments: Any) -> PythonResult:
    return await host.run(f"tools.code:{name}", arguments, context, timeout_s)


async def gone(pid: int) -> None:
    while Path(f"/proc/{pid}").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        await asyncio.sleep(0.01)


async def appears(mark: Path) -> str:
    while not mark.exists() or not mark.read_text():
        await asyncio.sleep(0.01)
    return mark.read_text()


async def test_a_sync_tool_gets_its_arguments_and_context_and_changes_variables(
    host: ToolHost, context: ToolContext
) -> None:
    result = await run(host, "book", context, booking={"name": "Zoë"})
    assert json.loads(result.content) == {
        "ok": True,
        "booking": {"name": "Zoë", "party": 2},
        "for": "caller-1",
        "room": "room-1",
    }
    assert result.variables == {"booked": "Zoë", "count": 2, "draft": None}
    assert result.outcome == "ok"


async def test_an_async_tool_speaks_before_it_has_ended(host: ToolHost, context: ToolContext) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    result = await run(host, "wait_for_kitchen", dataclasses.replace(context, say=say), dish="stew")
    assert said == ["I ask for stew.", "Still asking."]
    assert result.content == "The kitchen says yes."


async def test_a_tool_can_end_the_call(host: ToolHost, context: ToolContext) -> None:
    result = await run(host, "goodbye", context)
    assert (result.content, result.end_call, result.end_say) == ("ok", True, "Bye!")


async def test_a_long_result_is_cut_with_a_mark(host: ToolHost, context: ToolContext) -> None:
    result = await run(host, "long", context)
    assert result.content.endswith("x… [cut here: 83616 more characters]")


async def test_descriptions_come_from_the_code(host: ToolHost) -> None:
    found = await host.describe(["tools.code:book", "tools.code:version"])
    (book,) = found["tools.code:book"]
    assert (book.ref, book.name, book.description) == ("tools.code:book", "book", "Book a table.")
    assert book.parameters["properties"]["booking"]["properties"]["name"]["description"] == "Who comes."
    assert found["tools.code:version"][0].parameters["properties"] == {}


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("os:system", r"tools_allow \(tools\.\*\) does not permit it"),
        ("tools.code:missing", r"there is no missing in tools\.code \(it has: "),
        ("tools.code:bok", r"there is no bok in tools\.code \(did you mean book\?\)"),
        ("tools.code:system", "it is no Python function"),
        ("tools.code:run", "it is defined in subprocess, which tools_allow"),
        ("tools.code:Booking", r"it is a class: make an object in the module, and name that \(booking = Booking\(\)\)"),
        ("tools.code:sys", "it is no Python function, nor an object with methods"),
        ("tools.code:VERSION", "it is no Python function, nor an object with methods"),
        ("tools.code:till.pai", r"till has no public method pai \(did you mean pay\?\)"),
        ("tools.code:till._audit", "till has no public method _audit"),
        ("tools.code:till.__class__", "till has no public method __class__"),
        ("tools.code:till.limit", "till has no public method limit"),
        ("tools.code:book.x", "book is a function: write tools.code:book"),
        ("tools.code:vague", "vague: plan: parameter day has no type hint"),
        ("tools.code:nobody", "a Nobody has no public method that could be a tool"),
        ("tools.code:ROOT", "it is defined in pathlib"),
        ("tools.code:untyped", "day has no type hint"),
        ("tools.nowhere:x", "ModuleNotFoundError"),
        ("tools.broken:x", "SyntaxError"),
        ("tools.exits:x", "sys.exit"),
        ("tools.dies:x", "ended while it imported tools.dies:x .it ended with exit code 5"),
    ],
)
async def test_what_cannot_be_a_tool_is_refused_with_the_reason(
    host: ToolHost, agents_dir: Path, ref: str, words: str
) -> None:
    (agents_dir / "tools" / "broken.py").write_text("def x(:\n")
    (agents_dir / "tools" / "exits.py").write_text("import sys\nsys.exit(1)\n")
    (agents_dir / "tools" / "dies.py").write_text("import os\nos._exit(5)\n")
    with pytest.raises(ToolError, match=words):
        await host.describe([ref])


async def test_every_reason_is_told(host: ToolHost) -> None:
    with pytest.raises(ToolError) as caught:
        await host.describe(["os:system", "tools.code:missing", "tools.code:book", "tools.code:untyped"])
    for words in ("os:system: tools_allow", "no missing in tools.code", "code:untyped: parameter day has no type hint"):
        assert words in str(caught.value)


async def test_an_exception_is_a_short_message_for_the_model_and_a_traceback_for_the_log(
    host: ToolHost, context: ToolContext
) -> None:
    result = await run(host, "raises", context)
    assert (result.outcome, result.content) == ("error", "ValueError: no such table")
    assert 'raise ValueError("no such table")' in result.traceback
    assert (await run(host, "raises_later", context)).content == "KeyError: 'gone'"


async def test_sys_exit_ends_the_tool_and_not_the_process(host: ToolHost, context: ToolContext) -> None:
    before = await run(host, "pid", context)
    assert (await run(host, "exits", context)).content == "it called sys.exit"
    assert (await run(host, "pid", context)).content == before.content


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("hard_exit", "exit code 7"),
        ("segfaults", "SIGSEGV"),
        ("kills_itself", "SIGKILL"),
    ],
)
async def test_a_crash_is_told_and_the_next_call_works(
    host: ToolHost, context: ToolContext, tool: str, words: str
) -> None:
    with pytest.raises(ToolCrashed, match=words):
        await run(host, tool, context)
    assert (await run(host, "version", context)).content == "one"


@pytest.mark.parametrize("tool", ["blocks", "blocks_loop", "ignores_sigterm"])
async def test_a_tool_that_hangs_is_killed_at_its_deadline_with_its_group(
    host: ToolHost, context: ToolContext, tmp_path: Path, tool: str
) -> None:
    await host.describe(["tools.code:pid"])  # started and imported: the deadline is the tool's own
    mark = tmp_path / "mark"
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(ToolTimeout, match=r"no answer within 0\.5 s"):
        await run(host, tool, context, timeout_s=0.5, mark=str(mark))
    assert loop.time() - began < 1.5
    await gone(int(mark.read_text()))
    assert host.pids == ()
    assert (await run(host, "version", context)).content == "one"


async def test_a_process_that_left_the_group_is_found_too(host: ToolHost, context: ToolContext, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ToolTimeout):
        await run(host, "leaves_daemon", context, timeout_s=1, mark=str(mark))
    await gone(int(mark.read_text()))


async def test_a_crash_is_noticed_though_a_child_holds_the_link(
    host: ToolHost, context: ToolContext, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ToolCrashed, match="exit code 9"):
        await run(host, "dies_and_leaves_child", context, mark=str(mark))
    await gone(int(mark.read_text()))


async def test_of_a_process_that_forks_only_the_parent_answers(host: ToolHost, context: ToolContext) -> None:
    assert (await run(host, "forks", context)).content == "parent"
    assert (await run(host, "version", context)).content == "one"


async def test_a_hanging_call_harms_no_other_call(host: ToolHost, context: ToolContext, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(fails(run(host, "blocks", context, timeout_s=1.5, mark=str(mark)), ToolTimeout))
        await appears(mark)
        for _ in range(5):
            assert (await run(host, "version", context)).content == "one"
        assert not hanging.done()


async def fails(awaitable: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await awaitable


async def test_calls_at_once_run_side_by_side_and_beyond_the_pool_wait(
    make_host: MakeHost, context: ToolContext
) -> None:
    host = make_host(processes=2, idle_processes=1)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(run(host, "pid", context)) for _ in range(6)]
    assert len({call.result().content for call in calls}) <= 3  # one beyond two may have been let go and started again
    assert len(host.pids) == 1  # one is kept warm


async def test_one_process_serves_one_call_after_another(host: ToolHost, context: ToolContext) -> None:
    assert [(await run(host, "count", context)).content for _ in range(3)] == ["1", "2", "3"]


async def test_waiting_for_a_free_process_counts_for_the_deadline(
    make_host: MakeHost, context: ToolContext, tmp_path: Path
) -> None:
    host = make_host(processes=1)
    mark = tmp_path / "mark"
    async with asyncio.TaskGroup() as group:
        group.create_task(fails(run(host, "blocks", context, timeout_s=2, mark=str(mark)), ToolTimeout))
        await appears(mark)
        await fails(run(host, "version", context, timeout_s=0.2), ToolTimeout)


async def test_cancelling_a_call_ends_its_process(host: ToolHost, context: ToolContext, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = asyncio.ensure_future(run(host, "blocks", context, mark=str(mark)))
    pid = int(await appears(mark))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await gone(pid)


async def test_a_process_that_died_while_idle_is_replaced_unnoticed(host: ToolHost, context: ToolContext) -> None:
    pid = int((await run(host, "pid", context)).content)
    os.kill(pid, 9)
    await gone(pid)
    assert int((await run(host, "pid", context)).content) != pid


async def test_a_tool_sees_no_secrets_and_no_open_files(
    host: ToolHost, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_API_SECRET", "canary")
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    seen = json.loads((await run(host, "environment", context)).content)
    assert "canary" not in seen.values()
    ours = {"AGENTD_TOOL_PROCESS", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONUTF8", "HOME", "TMPDIR", "cwd", "fds"}
    assert set(seen) <= ours | {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    assert seen["HOME"] == seen["cwd"] == seen["TMPDIR"]
    assert int(seen["fds"]) <= 8  # three standard ones, the link, the loop's three, the listing


async def test_the_environment_that_is_asked_for_is_there(make_host: MakeHost, context: ToolContext) -> None:
    host = make_host(environment={"CRM_URL": "http://crm.internal"})
    assert json.loads((await run(host, "environment", context)).content)["CRM_URL"] == "http://crm.internal"


async def test_agentd_yaml_says_what_tools_see_and_may_use(
    agents_dir: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_URL", "http://crm.internal")
    monkeypatch.setenv("CRM_KEY", "canary")
    section = ToolProcessSection(env=("CRM_URL", "NOT_SET"), open_files=77, memory_mib=0)
    host = tool_host(WorkerSettings(worker="w", agents_dir=agents_dir, tool_process=section))
    try:
        seen = json.loads((await run(host, "environment", context)).content)
        limits = json.loads((await run(host, "limits", context)).content)
    finally:
        await host.aclose()
    assert seen["CRM_URL"] == "http://crm.internal"
    assert not {"CRM_KEY", "NOT_SET"} & set(seen)
    assert limits == {"open_files": 77, "core": 0, "file_bytes": 256 << 20, "memory_bytes": -1}


FORKS = """
import os, signal
from agentd.tools.confinement import VARIABLE, Limits, confine
if os.getuid() == 0:
    os.setuid(65534)  # the kernel does not count root's processes
os.environ.update(Limits(processes=20).to_environment())
confine()
children = []
try:
    while len(children) < 500:
        children.append(os.fork())
        if not children[-1]:
            signal.pause()
except OSError:
    pass
for child in children:
    os.kill(child, signal.SIGKILL)
print(len(children))
"""


def test_a_fork_bomb_comes_no_further_than_the_limit() -> None:
    ran = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert 10 <= int(ran.stdout) <= 20


async def test_what_a_tool_prints_is_logged_within_bounds(
    host: ToolHost, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await run(host, "prints", context)).content == "printed"
    messages = [record.getMessage() for record in caplog.records]
    assert "said by the tool" in messages
    said = next(record for record in caplog.records if record.getMessage() == "said by the tool")
    assert (said.__dict__["tool"], said.__dict__["session"]) == ("tools.code:prints", "s1")
    assert len(messages) < 1000


async def test_what_a_tool_prints_carries_the_fields_of_the_call_that_it_serves(
    host: ToolHost, context: ToolContext, caplog: pytest.LogCaptureFixture
) -> None:
    def said() -> list[dict[str, Any]]:
        return [record.__dict__ for record in caplog.records if record.getMessage() == "said quietly"]

    caplog.set_level(logging.INFO)
    for turn in (1, 2):
        with logs.fields(room=f"room-{turn}", turn=turn):
            await run(host, "murmurs", context)
        while len(said()) < turn:
            await asyncio.sleep(0.01)
    assert [(each["room"], each["turn"]) for each in said()] == [("room-1", 1), ("room-2", 2)]
    assert said()[0]["pid"] == said()[1]["pid"], "one process served both"


async def test_a_memory_limit_makes_an_error_of_a_leak(make_host: MakeHost, context: ToolContext) -> None:
    host = make_host(limits=Limits(memory_bytes=512 * 1024 * 1024))
    assert (await run(host, "eats_memory", context)).content == "MemoryError"
    assert (await run(host, "version", context)).content == "one"


async def test_rubbish_on_the_link_ends_only_that_process(host: ToolHost, context: ToolContext) -> None:
    with pytest.raises(ToolCrashed):
        await run(host, "speaks_raw", context)
    assert (await run(host, "version", context)).content == "one"


async def test_a_flood_of_speech_is_bounded(host: ToolHost, context: ToolContext) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    assert (await run(host, "floods_says", dataclasses.replace(context, say=say))).content == "done"
    assert 0 < len(said) <= 32


async def test_variables_that_are_no_json_are_an_error(host: ToolHost, context: ToolContext) -> None:
    assert (await run(host, "bad_variables", context)).outcome == "error"
    assert (await run(host, "version", context)).content == "one"


async def test_wrong_types_are_told_as_wrong_arguments(host: ToolHost, context: ToolContext) -> None:
    result = await run(host, "book", context, booking={"nom": "Zoë"})
    assert result.outcome == "invalid_arguments"


async def test_a_host_keeps_the_code_that_it_began_with(
    make_host: MakeHost, agents_dir: Path, context: ToolContext
) -> None:
    old = make_host()
    assert (await run(old, "version", context)).content == "one"
    code = agents_dir / "tools" / "code.py"
    code.write_text(code.read_text().replace('VERSION = "one"', 'VERSION = "two"'))
    new = make_host()
    assert (await run(new, "version", context)).content == "two"
    async with asyncio.TaskGroup() as group:  # more at once than are warm: new processes, old code
        calls = [group.create_task(run(old, "version", context)) for _ in range(3)]
    assert {call.result().content for call in calls} == {"one"}


async def test_each_process_has_its_own_working_directory_which_goes_with_it(
    host: ToolHost, context: ToolContext
) -> None:
    left = Path((await run(host, "makes_file", context)).content)
    assert (left / "left.txt").exists()
    with pytest.raises(ToolCrashed):
        await run(host, "hard_exit", context)
    assert not left.exists()


async def test_closing_under_a_call_tells_the_call(host: ToolHost, context: ToolContext, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = asyncio.ensure_future(run(host, "blocks", context, mark=str(mark)))
    pid = int(await appears(mark))
    await host.aclose()
    with pytest.raises(ToolCrashed):
        await call
    await gone(pid)
    with pytest.raises(ToolCrashed, match="closed"):
        await run(host, "version", context)


async def test_without_python_tools_there_is_neither_process_nor_directory(make_host: MakeHost, tmp_path: Path) -> None:
    host = make_host()
    assert await host.describe([]) == {}
    assert host.pids == ()
    assert list((tmp_path / "scratch").iterdir()) == []


WORKER = """
import asyncio, os, sys
from pathlib import Path
from agentd.tools.host import ToolHost
from agentd.tools.spec import ToolContext

async def main(agents, scratch, mark):
    host = ToolHost(Path(agents), scratch_dir=Path(scratch))
    await host.run("tools.code:blocks", {"mark": mark}, ToolContext(session_id="s", agent="a", revision=""), 100)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_when_the_worker_is_killed_its_tools_end_and_the_next_host_clears_up(
    make_host: MakeHost, agents_dir: Path, tmp_path: Path, context: ToolContext
) -> None:
    scratch, mark = tmp_path / "scratch", tmp_path / "mark"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(agents_dir), str(scratch), str(mark)])
    pid = int(await appears(mark))
    worker.kill()
    worker.wait()
    await gone(pid)
    assert len(list(scratch.iterdir())) == 1
    assert (await run(make_host(), "version", context)).content == "one"
    assert len(list(scratch.iterdir())) == 1  # its own; the other is gone


def test_the_process_imports_nothing_heavy() -> None:
    code = "import sys, agentd.tools.child; print(*sorted(sys.modules))"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"aiohttp", "jsonschema", "numpy", "livekit", "yaml", "jinja2", "agentd.config.definition"}
    assert heavy.isdisjoint(modules)
