"""Names of tools that a file and its code tell without being run."""

from pathlib import Path

import pytest

from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from tests.fakes.plugins import fake_registry

HEAD = "name: shop\nstt: {provider: owl}\nllm: {provider: parrot, model: echo}\ntts: {provider: wren}\n"
CODE = "class Shop:\n    def order(self) -> str: ...\n\nshop = Shop()\ndef pay() -> str: ...\n"


def problems(tmp_path: Path, rest: str) -> list[str]:
    (tmp_path / "tools").mkdir(exist_ok=True)
    (tmp_path / "tools" / "shop.py").write_text(CODE)
    (tmp_path / "shop.yaml").write_text(HEAD + rest)
    return [problem.code for problem in load(tmp_path, DaemonConfig(), fake_registry(), {}).problems]


def test_an_objects_name_is_no_tools_name(tmp_path: Path) -> None:
    tools = "tools: [{type: python, ref: 'tools.shop:shop'}, {type: python, ref: 'tools.shop:pay', name: shop}]\n"
    assert problems(tmp_path, tools) == []


def test_a_methods_name_is(tmp_path: Path) -> None:
    tools = (
        "tools: [{type: python, ref: 'tools.shop:shop.order'}, {type: python, ref: 'tools.shop:pay', name: order}]\n"
    )
    assert problems(tmp_path, tools) == ["tool-name-clash"]


@pytest.mark.parametrize(
    ("tool", "found"),
    [
        ("{type: python, ref: 'tools.shop:shop'}", []),
        ("{type: mcp, name: files, command: [files]}", []),
        ("{type: python, ref: 'tools.shop:shop.order'}", []),
        ("{type: python, ref: 'tools.shop:pay'}", ["unknown-tool"]),
    ],
)
def test_a_hook_may_call_what_the_file_alone_does_not_tell(tmp_path: Path, tool: str, found: list[str]) -> None:
    hooks = "hooks: [{on: session_started, do: {tool: {name: order}}}]\n"
    assert problems(tmp_path, f"tools: [{tool}]\n{hooks}") == found


def test_an_object_that_is_not_there_is_found(tmp_path: Path) -> None:
    assert problems(tmp_path, "tools: [{type: python, ref: 'tools.shop:shopp'}]\n") == ["tool-not-found"]
    assert problems(tmp_path, "tools: [{type: python, ref: 'tools.shop:shopp.order'}]\n") == ["tool-not-found"]
