"""Entry points -> plugins -> provider factories, imported lazily.

A plugin package names a `Plugin` value under the entry-point group `agentd.plugins`. Reading it must be
cheap and must not import the provider's SDK: `config` is imported to check a definition, `factory` only
in the worker that makes the provider.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Literal, cast

from agentd.errors import PluginBroken, PluginNotFound

ENTRY_POINT_GROUP = "agentd.plugins"
Kind = Literal[
    "stt", "llm", "tts", "vad", "language_id", "turn_detector", "interruption_detector", "realtime"
]  # fmt: skip
Factory = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One provider of a plugin.

    `settings`: "module:Class" of a frozen dataclass that extends the kind's settings class
    (STTSettings, LLMSettings, TTSSettings, RealtimeSettings, VADSettings, LanguageIdSettings, TurnDetectorSettings,
    InterruptionDetectorSettings), in a module that imports no SDK.
    `factory`: "module:function", `async (settings) -> provider`; may import the SDK and load models; raises
    ProviderRefused or PluginBroken with a message that says what to install or set.
    `model`: "module:function", `(settings) -> path` of the file that the factory will load, found and known to be
    right; blocks, and raises ProviderRefused with what to install. "": it loads none.
    `default`: taken where the agent file names no provider of this kind.
    `offline`: it asks neither network, process nor thread, so that an agent's tests need not wait for it in real time.
    """

    kind: Kind
    provider: str
    settings: str
    factory: str
    summary: str
    model: str = ""
    default: bool = False
    offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A package of providers. `examples`: the package's folder of runnable agent files, if any."""

    name: str
    version: str
    components: tuple[Component, ...]
    examples: str = "examples"


class Registry:
    """The components of a fixed set of plugins, by kind and provider name."""

    def __init__(self, plugins: Iterable[Plugin], broken: Iterable[str] = ()) -> None:
        self.plugins = tuple(plugins)
        self.broken = tuple(broken)  # one line for each entry point that could not be loaded
        self._components: dict[tuple[Kind, str], Component] = {}
        for plugin in self.plugins:
            for component in plugin.components:
                self._components.setdefault((component.kind, component.provider), component)

    def components(self, kind: Kind | None = None) -> tuple[Component, ...]:
        return tuple(c for c in self._components.values() if kind is None or c.kind == kind)

    def find(self, kind: Kind, provider: str) -> Component:
        """Raises PluginNotFound, naming near matches and what is installed."""
        component = self._components.get((kind, provider))
        if component is not None:
            return component
        names = sorted(c.provider for c in self.components(kind))
        near = get_close_matches(provider, names, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"installed: {', '.join(names) or 'none'}"
        raise PluginNotFound(f'no {kind} provider "{provider}" ({hint})')

    def default(self, kind: Kind) -> Component | None:
        return next((c for c in self.components(kind) if c.default), None)

    def settings_class(self, component: Component) -> type[Any]:
        """Raises PluginBroken."""
        return cast("type[Any]", load_reference(component.settings))

    def factory(self, component: Component) -> Factory:
        """Imports the provider's SDK. Raises PluginBroken."""
        return cast("Factory", load_reference(component.factory))

    def model(self, component: Component) -> Callable[[Any], object]:
        """Of a component that has one. Raises PluginBroken."""
        return cast("Callable[[Any], object]", load_reference(component.model))


def load_reference(reference: str) -> object:
    """The object at "module:name". Raises PluginBroken."""
    module_name, _, name = reference.partition(":")
    try:
        found: object = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise PluginBroken(f"cannot load {reference}: {error}") from error
    except Exception as error:  # foreign code: whatever keeps it from being imported must not end who asked
        raise PluginBroken(f"cannot load {reference}: {type(error).__name__}: {error}") from error
    return found


@lru_cache(maxsize=1)
def installed() -> Registry:
    """The plugins of this environment; one that cannot be loaded is reported in `broken`, not raised."""
    plugins, broken = [], []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            plugin = point.load()
        except (ImportError, AttributeError, SyntaxError) as error:
            broken.append(f"plugin {point.name}: {error}")
            continue
        if isinstance(plugin, Plugin):
            plugins.append(plugin)
        else:
            broken.append(f"plugin {point.name}: {point.value} is no agentd.registry.Plugin")
    return Registry(plugins, broken)
