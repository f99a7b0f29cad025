"""The rows of faults.md about tools, against real tool processes; each test is named after its row.

F22 and F23 have a second half in tests/session/test_tool_calls.py: what a session does about a model that goes on.
"""

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agentd.providers.llm import ToolCall
from agentd.tools.confinement import Limits
from agentd.tools.host import ToolHost
from agentd.tools.runner import Tools, open_tools
from agentd.tools.spec import ToolContext, ToolOutcome
from tests.tools.test_runner import agent, call, python

MakeHost = Callable[..., ToolHost]


async def opened(host: ToolHost, *names: str, timeout_s: float = 10.0) -> Tools:
    return await open_tools(agent(*(python(name, timeout=timeout_s) for name in names)), host=host)


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def gone(pid: int) -> None:
    while alive(pid):
        await asyncio.sleep(0.01)


async def still_serves(tools: Tools, context: ToolContext) -> None:
    assert (await tools.run(call("version"), context)).result.content == "one"


@pytest.mark.parametrize("arguments", ['{"booking": ', '"Zoë"', '{"booking": {"nom": 1}}', "[]", "{}", "\x00"])
async def test_f22_invalid_arguments_are_explained_to_the_model_and_run_nothing(
    host: ToolHost, context: ToolContext, arguments: str
) -> None:
    tools = await opened(host, "book")
    outcome = await tools.run(call("book", arguments), context)
    assert (outcome.outcome, outcome.result.is_error) == ("invalid_arguments", True)
    assert "book" in outcome.result.content
    assert "booking" in outcome.result.content or "JSON" in outcome.result.content
    assert (await tools.run(call("book", '{"booking": {"name": "Zoë"}}'), context)).outcome == "ok"


async def test_f23_an_unknown_tool_is_answered_with_those_that_there_are(host: ToolHost, context: ToolContext) -> None:
    tools = await opened(host, "book", "version")
    outcome = await tools.run(call("bok"), context)
    assert (outcome.outcome, outcome.result.is_error) == ("unknown_tool", True)
    assert outcome.result.content == "There is no tool bok. Did you mean book? The tools are: book, version."


@pytest.mark.parametrize("tool", ["blocks", "blocks_loop"])
async def test_f29_a_tool_that_blocks_blocks_neither_our_loop_nor_another_call(
    host: ToolHost, context: ToolContext, tmp_path: Path, tool: str
) -> None:
    tools = await opened(host, tool, "version", timeout_s=1.5)
    await still_serves(tools, context)
    worst: list[float] = []
    # What blocks our loop does so each time; a machine that is busy, or a collector, is late now and then.
    while len(worst) < 4 and min(worst, default=1.0) >= 0.06:
        lags: list[float] = []
        probe = asyncio.ensure_future(measure_lags(lags))
        blocked = asyncio.ensure_future(tools.run(call(tool, f'{{"mark": "{tmp_path / "mark"}"}}'), context))
        answers = 0
        while not blocked.done():
            await still_serves(tools, context)
            answers += 1
        probe.cancel()
        assert blocked.result().outcome == "timeout"
        assert answers > 10, "the other calls were served all the time"
        worst.append(max(lags))
    assert min(worst) < 0.06, "no sound would have been late"


async def measure_lags(lags: list[float]) -> None:
    """How much later than asked our loop comes back, but for the time that this thread had no processor."""
    while True:
        began, waited = time.perf_counter(), waited_s()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - began - 0.005 - (waited_s() - waited))


def waited_s() -> float:
    """How long this thread was ready to run and did not, since it began."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@pytest.mark.parametrize(
    "tool", ["blocks", "spins", "ignores_sigterm", "leaves_daemon", "escapes", "forks_without_end"]
)
async def test_f30_a_tool_that_hangs_is_killed_at_its_deadline_with_all_that_it_started(
    host: ToolHost, context: ToolContext, tmp_path: Path, tool: str
) -> None:
    tools = await opened(host, tool, "version", timeout_s=2.0)
    await still_serves(tools, context)  # started and imported: the deadline is the tool's own
    mark, before = tmp_path / "mark", set(_of_ours())
    outcome = await tools.run(call(tool, f'{{"mark": "{mark}"}}'), context)
    assert outcome.outcome == "timeout"
    assert outcome.result.content == f"The tool {tool} took too long: no answer within 2 s."
    assert outcome.duration_s < 2.0 + 0.5 + 2.0, "the deadline, the grace, and what a busy machine adds"
    await gone(int(mark.read_text()))
    assert host.pids == ()
    assert set(_of_ours()) <= before
    await still_serves(tools, context)


def _of_ours() -> list[int]:
    """Processes that are tools or were started by one: all have our test's scratch directory on their path, or are
    sleepers that the misdeeds have started."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and alive(int(name)):
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if b"sleep(1000)" in words or b"sleep\x001000" in words:
                found.append(int(name))
    return found


async def test_f31_a_segfault_a_kill_and_an_exit_are_told_and_the_next_call_works(
    host: ToolHost, context: ToolContext
) -> None:
    tools = await opened(host, "segfaults", "kills_itself", "hard_exit", "version")
    told = [await tools.run(call(name), context) for name in ("segfaults", "kills_itself", "hard_exit")]
    assert [each.outcome for each in told] == ["crashed"] * 3
    assert [each.result.content.partition("crashed: ")[2] for each in told] == [
        "it was ended by SIGSEGV.",
        "it was ended by SIGKILL.",
        "it ended with exit code 7.",
    ]
    await still_serves(tools, context)


async def test_f31_exhausted_memory_files_and_disk_are_errors_of_the_tool_alone(
    make_host: MakeHost, context: ToolContext
) -> None:
    limits = Limits(memory_bytes=512 << 20, open_files=128, file_bytes=4 << 20)
    tools = await opened(make_host(limits=limits), "eats_memory", "opens_without_end", "writes_without_end", "version")
    outcomes = [
        await tools.run(call(name), context) for name in ("eats_memory", "opens_without_end", "writes_without_end")
    ]
    assert [each.outcome for each in outcomes] == ["error"] * 3
    assert "MemoryError" in outcomes[0].result.content
    assert "Too many open files" in outcomes[1].result.content
    assert "File too large" in outcomes[2].result.content
    await still_serves(tools, context)


async def test_f31_processor_time_is_limited_for_each_call(
    make_host: MakeHost, context: ToolContext, tmp_path: Path
) -> None:
    tools = await opened(make_host(limits=Limits(cpu_s=1)), "spins", "version", timeout_s=60.0)
    outcome = await tools.run(call("spins", f'{{"mark": "{tmp_path / "mark"}"}}'), context)
    assert outcome.outcome == "crashed"
    assert "SIGXCPU" in outcome.result.content
    await still_serves(tools, context)


async def test_f31_a_process_in_which_calls_have_leaked_takes_no_further_call(
    make_host: MakeHost, context: ToolContext
) -> None:
    host = make_host(limits=Limits(memory_bytes=700 << 20))
    tools = await opened(host, "leaks_memory", "pid", "version")
    first = await _content(tools, "leaks_memory", context)
    assert await _content(tools, "pid", context) == first, "200 MiB are less than half of what it may have"
    assert await _content(tools, "leaks_memory", context) == first
    assert await _content(tools, "pid", context) != first
    assert not alive(int(first))


async def _content(tools: Tools, name: str, context: ToolContext) -> str:
    outcome: ToolOutcome = await tools.run(ToolCall(id="c1", name=name, arguments="{}"), context)
    return outcome.result.content


async def test_f31_output_without_end_harms_nobody(host: ToolHost, context: ToolContext) -> None:
    tools = await opened(host, "prints", "floods_output_without_newline", "version")
    assert await _content(tools, "prints", context) == "printed"
    assert await _content(tools, "floods_output_without_newline", context) == "printed"
    await still_serves(tools, context)


async def test_f31_a_tool_that_crashes_while_it_speaks_leaves_what_it_said(
    host: ToolHost, context: ToolContext
) -> None:
    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    tools = await opened(host, "floods_says", "version")
    await tools.run(call("floods_says"), dataclasses.replace(context, say=say))
    assert 0 < len(said) <= 32
    await still_serves(tools, context)
