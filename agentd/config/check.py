"""A tree of nodes, read as a configuration dataclass: either the value, or every reason why not.

Reading goes on after a mistake, so that all are reported. What cannot be read becomes INVALID, and so does
every record that holds it; a list drops it. A document is good when no Problem of severity "error" was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from agentd.config.finding import Finding
from agentd.config.folder import Folder
from agentd.config.hints import SYNONYMS, as_written, first_sentence, name_of
from agentd.config.leaves import INVALID, NOTHING, LeafReader
from agentd.config.provider_choice import ProviderChoice
from agentd.config.rules import findings_of
from agentd.config.shapes import Choice, Field, Leaf, ListOf, MapOf, ProviderBlock, Record, Shape, Union, fields_of
from agentd.config.source import Entry, ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.config.values import digest
from agentd.errors import PluginBroken, PluginNotFound
from agentd.providers.fields import Setting
from agentd.registry import Component, Kind, Registry


class Checker(LeafReader):
    """Reads the documents of one load; `problems` grows as it reads.

    `folder` None: a file that names another file is refused. `registry` None: there are no provider blocks.
    """

    def __init__(
        self, *, environment: Mapping[str, str], registry: Registry | None = None, folder: Folder | None = None
    ) -> None:
        super().__init__(environment=environment, folder=folder)
        self._registry = registry
        self._in_planned = 0
        self._variant: tuple[Mark, str, str] | None = None  # the member of a union that is being read

    # Records

    def record(self, node: Node, cls: type[Any], pointer: str = "") -> Any:
        """An instance of `cls`, or INVALID."""
        if not isinstance(node, MappingNode):
            return self._wrong_type(node, pointer, "a mapping")
        values = self.values(node, fields_of(cls), pointer)
        return self._construct(node, cls, values, pointer)

    def values(
        self, node: MappingNode, fields: Iterable[Field], pointer: str, also: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The values of those fields that the mapping holds, by Python name; INVALID where one cannot be read."""
        known = {field.key: field for field in fields}
        secret_files = {f"{key}_file": f for key, f in known.items() if f.shape == Leaf("secret")}
        values: dict[str, Any] = {}
        for entry in node.entries:
            here = pointer_to(pointer, entry.key)
            if entry.key in known:
                values[known[entry.key].name] = self._field(entry, known[entry.key], here)
            elif entry.key in secret_files:
                field = secret_files[entry.key]
                if field.key in node.by_key:
                    self.say(entry.mark, here, "conflict", f'"{field.key}" and "{entry.key}" exclude each other')
                else:
                    values[field.name] = self._secret_file(entry.value, here)
            elif entry.key not in also and not entry.key.startswith("x-"):
                self._unknown_key(entry, here, [*known, *secret_files, *also])
        for field in known.values():
            if field.required and field.name not in values:
                self.say(node.mark, pointer, "missing-key", f'"{field.key}" is missing', first_sentence(field.setting))
                values[field.name] = INVALID
        return values

    def _construct(self, node: MappingNode, cls: type[Any], values: dict[str, Any], pointer: str) -> Any:
        if any(value is INVALID for value in values.values()):
            return INVALID
        try:
            value = cls(**values)
        except (ValueError, TypeError) as error:  # a plugin's __post_init__
            return self.say(node.mark, pointer, "bad-settings", str(error) or cls.__name__)
        return value if self._follow_rules(node, value, pointer) else INVALID

    def _follow_rules(self, node: MappingNode, value: Any, pointer: str) -> bool:
        """What a dataclass says of its fields together."""
        good = True
        for finding in findings_of(value):
            self.find(node, finding, pointer)
            good = good and finding.warning
        return good

    def find(self, node: MappingNode, finding: Finding, pointer: str) -> None:
        """Notes a finding about the mapping `node` at the key that it names."""
        here = pointer_to(pointer, finding.key) if finding.key in node.by_key else pointer
        mark = node.mark_of(finding.key)
        self.say(mark, here, finding.code, finding.message, finding.hint, warning=finding.warning)

    def _field(self, entry: Entry, field: Field, pointer: str) -> Any:
        planned = field.setting.planned and not self._in_planned
        if planned:
            mark, place, what = self._variant or (entry.mark, pointer, field.key)
            self.say(mark, place, "no-effect-yet", f'"{what}" has no effect in this version of agentd', warning=True)
        if field.nullable and isinstance(entry.value, Scalar) and entry.value.is_null:
            return None
        self._in_planned += planned
        try:
            return self.value(entry.value, field.shape, field.setting, pointer)
        finally:
            self._in_planned -= planned

    def _unknown_key(self, entry: Entry, pointer: str, known: list[str]) -> None:
        synonym = SYNONYMS.get(entry.key.lower())
        near = get_close_matches(entry.key, known, 1)
        if entry.key == "<<":
            hint = "merge keys are not taken: use extends, or an alias as a whole value"
        elif near:
            hint = f'did you mean "{near[0]}"?'
        elif synonym in known:
            hint = f'did you mean "{synonym}"?'
        else:
            hint = f"known here: {', '.join(known)}" if len(known) <= 32 else ""
        self.say(entry.mark, pointer, "unknown-key", f'unknown key "{entry.key}"', hint)

    # Values

    def value(self, node: Node, shape: Shape, setting: Setting, pointer: str) -> Any:
        match shape:
            case Leaf():
                return self._leaf(node, shape, setting, pointer)
            case Choice():
                return self._choice(node, shape, setting, pointer)
            case ListOf():
                return self._list(node, shape, setting, pointer)
            case MapOf():
                return self._map(node, shape, setting, pointer)
            case Record():
                return self.record(_written_out(node, setting), shape.cls, pointer)
            case Union():
                return self._union(node, shape, pointer)
            case ProviderBlock():
                return self.provider(node, shape.kind, pointer)

    def _list(self, node: Node, shape: ListOf, setting: Setting, pointer: str) -> Any:
        if not isinstance(node, ListNode):
            written = isinstance(node, Scalar) and not node.is_null and len(node.text) <= 40
            return self._wrong_type(node, pointer, "a list", f"write [{as_written(node)}]" if written else "")
        of_item = dataclasses.replace(setting, min_length=None)
        items = [self.value(item, shape.item, of_item, pointer_to(pointer, n)) for n, item in enumerate(node.items)]
        if setting.min_length and len(items) < setting.min_length:
            return self.say(node.mark, pointer, "too-short", f'"{name_of(pointer)}" needs {setting.min_length} or more')
        return tuple(item for item in items if item is not INVALID)

    def _map(self, node: Node, shape: MapOf, setting: Setting, pointer: str) -> Any:
        if not isinstance(node, MappingNode):
            return self._wrong_type(node, pointer, "a mapping")
        read = {e.key: self.value(e.value, shape.value, setting, pointer_to(pointer, e.key)) for e in node.entries}
        return {key: value for key, value in read.items() if value is not INVALID}

    def _union(self, node: Node, shape: Union, pointer: str) -> Any:
        if not isinstance(node, MappingNode):
            return self._wrong_type(node, pointer, "a mapping")
        words = ", ".join(str(word) for word, _ in shape.variants)
        tag = node.get(shape.tag)
        if tag is None:
            return self.say(node.mark, pointer, "missing-key", f'"{shape.tag}" is missing', f"one of {words}")
        word = self._choice(
            tag, Choice(tuple(word for word, _ in shape.variants)), NOTHING, pointer_to(pointer, shape.tag)
        )
        variant = next((variant for name, variant in shape.variants if name == word), None)
        if variant is None:
            return INVALID
        if isinstance(variant, Union):
            return self._union(node, variant, pointer)
        self._variant = (tag.mark, pointer_to(pointer, shape.tag), f"{shape.tag}: {word}")
        try:
            return self.record(node, variant.cls, pointer)
        finally:
            self._variant = None

    # Providers

    def provider(self, node: Node, kind: Kind, pointer: str, *, is_fallback: bool = False) -> Any:
        """A ProviderChoice, or INVALID."""
        if not isinstance(node, MappingNode):
            hint = f"write {{provider: {node.text}}}" if isinstance(node, Scalar) and not node.is_null else ""
            return self._wrong_type(node, pointer, "a mapping", hint)
        component = self._component(node, kind, pointer)
        if component is None or self._registry is None:
            return INVALID
        try:
            cls = self._registry.settings_class(component)
            fields = fields_of(cls)
        except (PluginBroken, TypeError) as error:
            return self.say(node.mark_of("provider"), pointer, "plugin-broken", str(error))
        also = ["provider"] if is_fallback else ["provider", "fallback"]
        settings = self._construct(node, cls, self.values(node, fields, pointer, also), pointer)
        fallback = () if is_fallback else self._fallback(node, kind, pointer)
        if settings is INVALID or fallback is INVALID:
            return INVALID
        same = digest([kind, component.provider, settings])
        return ProviderChoice(kind=kind, provider=component.provider, settings=settings, digest=same, fallback=fallback)

    def has_default(self, kind: Kind) -> bool:
        """Whether a plugin offers a provider for agents that name none."""
        return self._registry is not None and self._registry.default(kind) is not None

    def provider_names(self, kind: Kind) -> list[str]:
        return sorted(c.provider for c in self._registry.components(kind)) if self._registry else []

    def _component(self, node: MappingNode, kind: Kind, pointer: str) -> Component | None:
        registry = self._registry or Registry(())
        named = node.get("provider")
        if named is None:
            default = registry.default(kind)
            if default is None:
                hint = f"installed: {', '.join(self.provider_names(kind)) or 'none'}"
                self.say(node.mark, pointer, "missing-key", '"provider" is missing', hint)
            return default
        here = pointer_to(pointer, "provider")
        name = self._text(named, NOTHING, here, "the name of a provider")
        if name is INVALID:
            return None
        try:
            return registry.find(kind, name)
        except PluginNotFound as error:
            message, _, hint = str(error).removesuffix(")").partition(" (")
            self.say(named.mark, here, "unknown-provider", message, hint)
            return None

    def _fallback(self, node: MappingNode, kind: Kind, pointer: str) -> Any:
        written = node.get("fallback")
        here = pointer_to(pointer, "fallback")
        if written is None:
            return ()
        if not isinstance(written, ListNode):
            return self._wrong_type(written, here, "a list")
        read = [
            self.provider(item, kind, pointer_to(here, number), is_fallback=True)
            for number, item in enumerate(written.items)
        ]
        return INVALID if any(choice is INVALID for choice in read) else tuple(read)


def _written_out(node: Node, setting: Setting) -> Node:
    """A word alone, where it stands for a block."""
    if setting.short is None or not isinstance(node, Scalar) or node.is_null:
        return node
    return MappingNode(node.mark, (Entry(setting.short, node.mark, node),))
