"""Of `agentd doctor`: Python, the packages that agentd stands on, plugins and the models that they load."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from importlib.metadata import version as version_of

from agentd import __version__
from agentd.cli.checks import Finding, fail, ok, warn
from agentd.config.provider_choice import ProviderChoice
from agentd.errors import AgentdError
from agentd.registry import Component, Registry

OLDEST_PYTHON = (3, 11)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*([^;]*)(?:;(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9.]*)")


def python() -> Finding:
    found = f"{platform.python_version()}, agentd {__version__}, on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST_PYTHON:
        return fail("python", found, f"agentd needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or later")
    if sys.platform != "linux":
        return warn("python", found, "agentd is made for Linux and tested there")
    return ok("python", found)


def packages(requirements: Iterable[str] | None = None) -> Finding:
    """Those that agentd itself needs, with its bounds; those of extras where they are installed."""
    try:
        wanted = requires("agentd") or [] if requirements is None else requirements
    except PackageNotFoundError:
        return warn("packages", "agentd runs from its source, without being installed", "python -m pip install -e .")
    wrong, missing, number = [], [], 0
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None or match[1] == "agentd":
            continue
        name, bounds, marker = match[1], match[2], match[3] or ""
        try:
            installed = version_of(name)
        except PackageNotFoundError:
            if "extra" not in marker:
                missing.append(name)
            continue
        number += 1
        if not within(installed, bounds):
            wrong.append(f"{name} {installed} (wanted: {bounds.strip()})")
    if missing:
        return fail("packages", f"not installed: {', '.join(missing)}", "python -m pip install agentd")
    if wrong:
        return warn("packages", f"of other versions: {', '.join(wrong)}", "python -m pip install --upgrade agentd")
    return ok("packages", f"{number} of the versions that agentd asks for")


def within(version: str, bounds: str) -> bool:
    """Whether a version fits bounds such as ">=1.2,<2"; what is no number in either is not looked at."""
    found = _numbers(version)
    for sign, bound in _BOUND.findall(bounds):
        wanted = _numbers(bound)
        width = max(len(found), len(wanted))
        left, right = found + (0,) * (width - len(found)), wanted + (0,) * (width - len(wanted))
        fits = {
            ">=": left >= right, "<=": left <= right, "==": left == right,
            "!=": left != right, "<": left < right, ">": left > right,
        }  # fmt: skip
        if not fits[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def plugins(registry: Registry, used: Iterable[ProviderChoice]) -> Iterator[Finding]:
    """Whether what each plugin would import is there. Imports it: that takes a second or two."""
    for line in registry.broken:
        yield fail("plugins", line, "install the plugin again, or uninstall it")
    wanted = {(choice.kind, choice.provider) for choice in used}
    loads, needed, unused = list[str](), list[str](), list[str]()
    for plugin in registry.plugins:
        failed = {reason for component in plugin.components if (reason := _failure(registry, component))}
        if not failed:
            loads.append(plugin.name)
            continue
        line = f"{plugin.name}: {'; '.join(sorted(failed))}"
        is_used = any((component.kind, component.provider) in wanted for component in plugin.components)
        (needed if is_used else unused).append(line)
    if needed:
        yield fail("plugins", ". ".join(needed), f"an agent names it: {_install(needed)}")
    if unused:
        yield warn("plugins", ". ".join(unused), f"no agent names it; to use it: {_install(unused)}")
    if loads:
        yield ok("plugins", f"{', '.join(loads)}: all their parts load")
    elif not needed and not unused:
        yield warn("plugins", "none is installed", "python -m pip install agentd brings agentd's own")


def _failure(registry: Registry, component: Component) -> str:
    try:
        registry.settings_class(component)
        registry.factory(component)
    except AgentdError as error:
        return str(error)
    return ""


def _install(lines: list[str]) -> str:
    """By the extra of the plugin's name, where agentd has one."""
    try:
        extras = set(metadata("agentd").get_all("Provides-Extra") or [])
    except PackageNotFoundError:
        extras = set()
    names = [line.partition(":")[0] for line in lines]
    known = [name for name in names if name in extras]
    return f'python -m pip install "agentd[{",".join(known)}]"' if known else f"see the page of {', '.join(names)}"


def models(registry: Registry, used: Iterable[ProviderChoice]) -> Iterator[Finding]:
    """The files of models that agents would have loaded from this machine. Reads them whole, to know them."""
    there: dict[str, None] = {}
    missing: dict[str, None] = {}
    for choice in used:
        component = registry.find(choice.kind, choice.provider)
        if not component.model:
            continue
        try:
            registry.model(component)(choice.settings)
        except AgentdError as error:
            missing[str(error)] = None
        else:
            there[choice.provider] = None
    if missing:
        yield fail("models", "; ".join(missing), "as it says; agentd validate --probe then loads them")
    if there or not missing:
        yield ok(
            "models", f"there, and the files that are known: {', '.join(there)}" if there else "no agent needs one"
        )
