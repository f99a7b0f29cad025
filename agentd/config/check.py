"""A tree of nodes, read as a configuration dataclass: either the value, or every reason why not.

Reading goes on after a mistake, so that all are reported. What cannot be read becomes INVALID, and so does
every record that holds it; a list drops it. A document is good when no Problem of severity "error" was found.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from agentd.config.finding import Finding
from agentd.config.folder import FileRefused, Folder
from agentd.config.hints import (
    BOOLEAN_WORDS,
    SYNONYMS,
    as_shown,
    as_written,
    first_sentence,
    found_there,
    is_sensitive_header,
    name_of,
    near_duration,
    pattern_hint,
    shortened,
    unset_hint,
)
from agentd.config.provider_choice import ProviderChoice
from agentd.config.rules import findings_of, looks_like_secret
from agentd.config.shapes import Choice, Field, Leaf, ListOf, MapOf, ProviderBlock, Record, Shape, Union, fields_of
from agentd.config.source import Entry, ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.config.values import digest, format_duration, parse_duration
from agentd.errors import PluginBroken, PluginNotFound, Problem
from agentd.providers.fields import IncludedFile, Secret, Setting
from agentd.providers.interpolation import InterpolationError, Reference, VariableUnset, expand, parse, sole_variable
from agentd.registry import Component, Kind, Registry

INVALID: Final[Any] = object()

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,12}|0o[0-7]{1,16}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_NOTHING = Setting(doc="")


class Checker:
    """Reads the documents of one load; `problems` grows as it reads.

    `folder` None: a file that names another file is refused. `registry` None: there are no provider blocks.
    """

    def __init__(
        self, *, environment: Mapping[str, str], registry: Registry | None = None, folder: Folder | None = None
    ) -> None:
        self.problems: list[Problem] = []
        self._environment = environment
        self._with_files = {name.removesuffix("_FILE"): "x" for name, v in environment.items() if v} | {
            name: value for name, value in environment.items() if value
        }
        self._registry = registry
        self._folder = folder
        self._in_planned = 0
        self._variant: tuple[Mark, str, str] | None = None  # the member of a union that is being read

    def say(self, mark: Mark, pointer: str, code: str, message: str, hint: str = "", *, warning: bool = False) -> Any:
        """Notes a problem; answers INVALID, for `return`."""
        self.problems.append(mark.problem(pointer, code, message, hint, warning=warning))
        return INVALID

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
            tag, Choice(tuple(word for word, _ in shape.variants)), _NOTHING, pointer_to(pointer, shape.tag)
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

    def _choice(self, node: Node, shape: Choice, setting: Setting, pointer: str) -> Any:
        text = self._text(node, setting, pointer, "one of " + ", ".join(map(str, shape.values)))
        if text is INVALID:
            return INVALID
        for value in shape.values:
            if str(value) == text:
                return value
        words = [str(value) for value in shape.values]
        near = get_close_matches(text, words, 1)
        hint = f'did you mean "{near[0]}"?' if near else f"one of {', '.join(words)}"
        message = f'"{name_of(pointer)}" cannot be {as_shown(node)}'
        return self.say(node.mark, pointer, "not-allowed", message, hint)

    def _leaf(self, node: Node, shape: Leaf, setting: Setting, pointer: str) -> Any:
        match shape.kind:
            case "any":
                return self.free(node, setting, pointer)
            case "object":
                is_mapping = isinstance(node, MappingNode)
                return self.free(node, setting, pointer) if is_mapping else self._wrong_type(node, pointer, "a mapping")
            case "text":
                return self._checked_text(node, setting, pointer)
            case "integer":
                return self._number(node, setting, pointer, "a whole number", _INTEGER)
            case "number":
                return self._number(node, setting, pointer, "a number", _NUMBER)
            case "boolean":
                return self._boolean(node, setting, pointer)
            case "duration":
                return self._duration(node, setting, pointer)
            case "secret":
                return self._secret(node, pointer)
            case "file":
                return self._file(node, setting, pointer)

    def free(self, node: Node, setting: Setting, pointer: str) -> Any:
        """JSON as it is written, with references expanded in its text."""
        if isinstance(node, ListNode):
            return [self.free(item, setting, pointer_to(pointer, n)) for n, item in enumerate(node.items)]
        if isinstance(node, MappingNode):
            return {e.key: self.free(e.value, setting, pointer_to(pointer, e.key)) for e in node.entries}
        value = node.value
        return self._expanded(node, setting, pointer) if isinstance(value, str) else value

    def _text(self, node: Node, setting: Setting, pointer: str, wanted: str) -> Any:
        """The text of a scalar, references expanded."""
        if not isinstance(node, Scalar) or node.is_null:
            return self._wrong_type(node, pointer, wanted)
        return self._expanded(node, setting, pointer)

    def _expanded(self, node: Scalar, setting: Setting, pointer: str) -> Any:
        if not setting.interpolate or "$" not in node.text:
            return node.text
        try:
            return expand(node.text, self._environment)
        except VariableUnset as error:
            return self.say(node.mark, pointer, "unset-variable", str(error), unset_hint(error.variable))
        except InterpolationError as error:
            return self.say(node.mark, pointer, "bad-interpolation", str(error))

    def _checked_text(self, node: Node, setting: Setting, pointer: str) -> Any:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return self._wrong_type(node, pointer, "text", f'write "{node.text}" in quotes')
        text = self._text(node, setting, pointer, "text")
        if text is INVALID:
            return INVALID
        if setting.pattern and not re.search(setting.pattern, text):
            message = f'"{name_of(pointer)}" cannot be {as_shown(node)}'
            return self.say(
                node.mark,
                pointer,
                "bad-format",
                message,
                pattern_hint(setting, text if isinstance(node, Scalar) and node.text == text else ""),
            )
        if setting.min_length and len(text) < setting.min_length:
            return self.say(node.mark, pointer, "too-short", f'"{name_of(pointer)}" may not be empty')
        return text

    def _number(self, node: Node, setting: Setting, pointer: str, wanted: str, grammar: re.Pattern[str]) -> Any:
        text = self._text(node, setting, pointer, wanted)
        if text is INVALID:
            return INVALID
        if isinstance(node, Scalar) and not node.plain and "$" not in node.text:
            return self._wrong_type(node, pointer, wanted, "remove the quotes" if grammar.fullmatch(text) else "")
        if not grammar.fullmatch(text):
            return self._wrong_type(node, pointer, wanted)
        value = (int(text, 0) if text[:2] in ("0x", "0o") else int(text)) if grammar is _INTEGER else float(text)
        if value in (float("inf"), float("-inf")):
            return self._wrong_type(node, pointer, wanted)
        return self._within(node, value, setting, pointer, lambda limit: f"{limit:g}")

    def _boolean(self, node: Node, setting: Setting, pointer: str) -> Any:
        text = self._text(node, setting, pointer, "true or false")
        if text is INVALID:
            return INVALID
        quoted = isinstance(node, Scalar) and not node.plain and "$" not in node.text
        if text.lower() in ("true", "false") and not quoted:
            return text.lower() == "true"
        meant = BOOLEAN_WORDS.get(text.lower(), "")
        hint = "remove the quotes" if quoted and text.lower() in ("true", "false") else meant
        return self._wrong_type(node, pointer, "true or false", hint)

    def _duration(self, node: Node, setting: Setting, pointer: str) -> Any:
        text = self._text(node, setting, pointer, "a duration")
        if text is INVALID:
            return INVALID
        seconds = parse_duration(text)
        if seconds is None:
            return self.say(
                node.mark,
                pointer,
                "bad-duration",
                f'"{name_of(pointer)}" cannot be {as_shown(node)}',
                near_duration(text, setting.maximum),
            )
        return self._within(node, seconds, setting, pointer, format_duration)

    def _within(self, node: Node, value: Any, setting: Setting, pointer: str, show: Any) -> Any:
        low, high = setting.minimum, setting.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return value
        bounds = [f"at least {show(low)}"] if low is not None else []
        bounds += [f"at most {show(high)}"] if high is not None else []
        message = f'"{name_of(pointer)}" must be {" and ".join(bounds)}, not {show(value)}'
        return self.say(node.mark, pointer, "out-of-range", message)

    # Files and secrets

    def _file(self, node: Node, setting: Setting, pointer: str) -> Any:
        relative = self._text(node, setting, pointer, "the path of a file")
        if relative is INVALID:
            return INVALID
        text = self.included(node.mark, relative, pointer)
        return INVALID if text is INVALID else IncludedFile(relative, text)

    def included(self, mark: Mark, relative: str, pointer: str) -> Any:
        """The text of a file in the agents' directory."""
        try:
            if self._folder is None:
                raise FileRefused("file-outside", f'"{relative}" cannot be read: there is no agents\' directory')
            return self._folder.read(relative)
        except FileRefused as refused:
            return self.say(mark, pointer, refused.code, refused.message, refused.hint)

    def _secret(self, node: Node, pointer: str) -> Any:
        if not isinstance(node, Scalar) or node.is_null:
            return self._wrong_type(node, pointer, 'a secret, as "${VARIABLE}"')
        try:
            pieces = parse(node.text)
            variable = sole_variable(node.text)
            if not any(isinstance(piece, Reference) for piece in pieces):
                return self._literal_secret(node, "".join(map(str, pieces)), pointer)
            expand(node.text, self._with_files)
        except VariableUnset as error:
            return self.say(node.mark, pointer, "unset-variable", str(error), unset_hint(error.variable))
        except InterpolationError as error:
            return self.say(node.mark, pointer, "bad-interpolation", str(error))
        return Secret("env", variable) if variable else Secret("template", node.text)

    def _literal_secret(self, node: Scalar, text: str, pointer: str) -> Secret:
        parent = pointer.rpartition("/")[0]
        name = name_of(pointer)
        if not parent.endswith("/headers") or looks_like_secret(text) or is_sensitive_header(name):
            variable = re.sub(r"[^A-Za-z0-9]+", "_", name).upper()
            message = f'"{name}" holds the secret itself'
            hint = f'write "${{{variable}}}" and set {variable} in the environment'
            self.say(node.mark, pointer, "literal-secret", message, hint, warning=True)
        return Secret("literal", text)

    def _secret_file(self, node: Node, pointer: str) -> Any:
        path = self._text(node, _NOTHING, pointer, "the path of a file")
        if path is INVALID:
            return INVALID
        absolute = (self._folder.home / path).absolute() if self._folder else None
        try:
            there = absolute is not None and absolute.is_file()
        except (OSError, ValueError):
            there = False
        if not there:
            return self.say(node.mark, pointer, "file-not-found", f'there is no file "{shortened(path)}"')
        return Secret("file", str(absolute))

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
        name = self._text(named, _NOTHING, here, "the name of a provider")
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

    def _wrong_type(self, node: Node, pointer: str, wanted: str, hint: str = "") -> Any:
        subject = f'"{name_of(pointer)}"' if pointer else "the document"
        return self.say(node.mark, pointer, "wrong-type", f"{subject} must be {wanted}, not {found_there(node)}", hint)


def _written_out(node: Node, setting: Setting) -> Node:
    """A word alone, where it stands for a block."""
    if setting.short is None or not isinstance(node, Scalar) or node.is_null:
        return node
    return MappingNode(node.mark, (Entry(setting.short, node.mark, node),))
