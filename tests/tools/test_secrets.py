"""A Python tool has the secrets that are named for it, and they go nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentd.config.tools import PythonTool
from agentd.errors import ToolError
from agentd.providers.fields import Secret
from agentd.providers.llm import ToolCall
from agentd.tools.host import ToolHost
from agentd.tools.python import Python
from agentd.tools.secrets import Secrets
from agentd.tools.spec import ToolContext, ToolOutcome

KEY = "sk_live_0123456789"


async def run(host: ToolHost, name: str, context: ToolContext, arguments: str = "{}", **secrets: Secret) -> ToolOutcome:
    tool = PythonTool(type="python", ref=f"tools.code:{name}", secrets=secrets)
    (found,) = (await host.describe([tool.ref]))[tool.ref]
    return await Python(tool, found, host).run(ToolCall(id="c", name=name, arguments=arguments), context)


@pytest.fixture(autouse=True)
def _stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_KEY", KEY)


async def test_it_is_in_the_context_of_its_tool_and_in_no_environment(host: ToolHost, context: ToolContext) -> None:
    done = await run(host, "with_secret", context, STRIPE_KEY=Secret("env", "STRIPE_KEY"))
    assert done.result.content == f"{len(KEY)} characters, in the environment: False"
    assert (await run(host, "without_secret", context)).result.content == "[]"  # in the same process


@pytest.mark.parametrize("misdeed", ["raise", "return", "show"])
async def test_what_comes_back_does_not_tell_it(
    host: ToolHost, context: ToolContext, misdeed: str, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = f'{{"misdeed": "{misdeed}"}}'
    done = await run(host, "with_secret", context, arguments, STRIPE_KEY=Secret("env", "STRIPE_KEY"))
    told = {"raise": "no such account: ***", "return": "the key is ***", "show": "Secrets(STRIPE_KEY)"}
    assert told[misdeed] in done.result.content
    assert KEY not in done.result.content + repr(done.actions)
    assert KEY not in "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)


async def test_an_agent_without_its_secret_is_not_loaded(host: ToolHost, context: ToolContext) -> None:
    with pytest.raises(ToolError, match="NO_SUCH_KEY is not set"):
        await run(host, "with_secret", context, STRIPE_KEY=Secret("env", "NO_SUCH_KEY"))


def test_contexts_do_not_show_them(context: ToolContext) -> None:
    secrets = Secrets({"A": KEY, "B": "abc"})
    assert KEY not in repr(replace(context, secrets=secrets))
    assert secrets.masked(f"{KEY}, abc and {KEY}") == "***, abc and ***"
