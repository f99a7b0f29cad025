"""A leaf of a file (text, a number, a duration, a secret, a file's path) as its field takes it, or why not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from agentd.config.folder import FileRefused, Folder
from agentd.config.hints import (
    BOOLEAN_WORDS,
    as_shown,
    found_there,
    is_sensitive_header,
    name_of,
    near_duration,
    pattern_hint,
    shortened,
    unset_hint,
)
from agentd.config.rules import looks_like_secret
from agentd.config.shapes import Choice, Leaf
from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.config.values import format_duration, parse_duration
from agentd.errors import Problem
from agentd.providers.fields import IncludedFile, Secret, Setting
from agentd.providers.interpolation import InterpolationError, Reference, VariableUnset, expand, parse, sole_variable

INVALID: Final[Any] = object()

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,12}|0o[0-7]{1,16}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
NOTHING = Setting(doc="")  # for what is read without a field of its own


class LeafReader:
    """Reads single values; `problems` grows as it reads. `folder` None: a file that names another file is refused."""

    def __init__(self, *, environment: Mapping[str, str], folder: Folder | None = None) -> None:
        self.problems: list[Problem] = []
        self._environment = environment
        self._with_files = {name.removesuffix("_FILE"): "x" for name, v in environment.items() if v} | {
            name: value for name, value in environment.items() if value
        }
        self._folder = folder

    def say(self, mark: Mark, pointer: str, code: str, message: str, hint: str = "", *, warning: bool = False) -> Any:
        """Notes a problem; answers INVALID, for `return`."""
        self.problems.append(mark.problem(pointer, code, message, hint, warning=warning))
        return INVALID

    def _wrong_type(self, node: Node, pointer: str, wanted: str, hint: str = "") -> Any:
        subject = f'"{name_of(pointer)}"' if pointer else "the document"
        return self.say(node.mark, pointer, "wrong-type", f"{subject} must be {wanted}, not {found_there(node)}", hint)

    # Values

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
        path = self._text(node, NOTHING, pointer, "the path of a file")
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
