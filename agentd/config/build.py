"""Documents -> agent definitions: parts and defaults merged, fields read, rules and lint applied."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, get_args

from agentd.config.check import Checker
from agentd.config.definition import AgentDefinition, LanguageDetection
from agentd.config.finding import Finding
from agentd.config.folder import FileRefused, Folder
from agentd.config.leaves import INVALID
from agentd.config.lint import lint, node_at
from agentd.config.merge import Refused, overlay, resolve_parts, with_languages, with_steps, without
from agentd.config.places import places_of
from agentd.config.rules import findings_of
from agentd.config.shapes import Field, ProviderBlock, fields_of
from agentd.config.source import Document, MappingNode, Mark, Scalar, parse
from agentd.config.tools import PythonTool
from agentd.config.turns import Turn
from agentd.config.values import digest
from agentd.errors import Problem
from agentd.providers.fields import Duration
from agentd.registry import Kind, Registry

DETECTOR_DELAYS = {"min_delay": Duration(0.3), "max_delay": Duration(2.5)}
"""livekit-agents 1.8.9's with a streaming end-of-turn model."""

_PROVIDER_KINDS: tuple[Kind, ...] = get_args(Kind)
_PIPELINE = ("stt", "llm", "tts")
"""What an agent without a realtime model cannot do without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a document is built in: the same for all of one load."""

    folder: Folder
    registry: Registry
    environment: Mapping[str, str]
    tools_allow: Sequence[str] = ("tools.*",)
    defaults: MappingNode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """`name`: the agent's, as far as it could be read. `definition` None: an error is among `problems`."""

    source: str
    name: str
    mark: Mark
    definition: AgentDefinition | None
    problems: tuple[Problem, ...]
    places: Mapping[str, str] = field(default_factory=dict)


def build(document: Document, around: Surroundings) -> Built:
    """One agent. Never raises for what the document holds."""
    around = dataclasses.replace(around, folder=around.folder.for_one())
    if not isinstance(document.root, MappingNode):
        problem = document.root.mark.problem("", "wrong-type", "an agent file is a mapping of settings")
        return _built(document, document.root.mark, "", None, [*document.problems, problem])
    root, part_problems = _resolved(document.root, around)
    problems = [*document.problems, *part_problems]
    if root is None:
        return _built(document, document.root.mark_of("name"), _name(document, document.root), None, problems)
    name = _name(document, root)
    mark = root.mark_of("name")
    checker = Checker(environment=around.environment, registry=around.registry, folder=around.folder)
    values = checker.values(with_steps(with_languages(root)), _agent_fields(), "")
    _add_defaults(checker, root, values, name)
    problems += _once(checker.problems)
    noted = {(problem.file, problem.line, problem.column, problem.code) for problem in problems}
    found = lint(root, values, around.folder, around.tools_allow)
    problems += [p for p in found if (p.file, p.line, p.column, p.code) not in noted]
    definition = None
    if not _errors(problems) and all(value is not INVALID for value in values.values()):
        definition = AgentDefinition(**values, source=document.source, places=places_of(root))
        definition = _with_detector_delays(definition, root)
        definition = _with_digest(definition, around.folder)
        problems += [_at(root, finding) for finding in findings_of(definition)]
    built = _built(document, mark, name, definition, problems)
    return dataclasses.replace(built, places=places_of(root, deciding=False))


def _built(
    document: Document, mark: Mark, name: str, definition: AgentDefinition | None, problems: Sequence[Problem]
) -> Built:
    kept = None if _errors(problems) else definition
    return Built(source=document.source, name=name, mark=mark, definition=kept, problems=tuple(dict.fromkeys(problems)))


def _at(root: MappingNode, finding: Finding) -> Problem:
    mark, pointer = root.mark_of(finding.key), f"/{finding.key}"
    return mark.problem(pointer, finding.code, finding.message, finding.hint, warning=finding.warning)


def _once(problems: Sequence[Problem]) -> list[Problem]:
    """Without what was said of the same place before: a block that languages share is read once for each of them."""
    first = {(p.file, p.line, p.column, p.code, p.message): p for p in reversed(problems)}
    return [problem for problem in problems if any(problem is kept for kept in first.values())]


def _errors(problems: Sequence[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _agent_fields() -> tuple[Field, ...]:
    """The provider blocks and the name have defaults that only the surroundings know."""
    return tuple(
        dataclasses.replace(field, default=None)
        if isinstance(field.shape, ProviderBlock) or field.name == "name"
        else field
        for field in fields_of(AgentDefinition)
    )


def _resolved(root: MappingNode, around: Surroundings) -> tuple[MappingNode | None, list[Problem]]:
    """The document over its parts over the daemon's defaults; None when a part cannot be read."""
    problems: list[Problem] = []

    def read_part(path: str, mark: Mark) -> MappingNode | Refused:
        try:
            text = around.folder.read(path)
        except FileRefused as refused:
            return Refused(mark, refused.code, refused.message, refused.hint)
        parsed = parse(text, around.folder.shown(path))
        problems.extend(parsed.problems)
        if parsed.problem or not parsed.documents:
            return Refused(mark, "extends", f'the part "{path}" cannot be read')
        part = parsed.documents[0].root
        return part if isinstance(part, MappingNode) else Refused(part.mark, "wrong-type", "a part is a mapping")

    merged = resolve_parts(root, read_part)
    if isinstance(merged, Refused):
        problems.append(merged.mark.problem("/extends", merged.code, merged.message, merged.hint))
        return None, problems
    return (overlay(_fitting(around.defaults, merged), merged) if around.defaults else merged), problems


def _fitting(defaults: MappingNode, agent: MappingNode) -> MappingNode:
    """The daemon's defaults without the providers whose place the agent has given to others: a realtime model takes
    that of three, and any of the three its."""
    if agent.get("realtime"):
        unwanted: tuple[str, ...] = _PIPELINE
    else:
        unwanted = ("realtime",) if agent.get("stt") or agent.get("llm") else ()
    for kind in unwanted:
        defaults = without(defaults, kind)
    return defaults


def _name(document: Document, root: MappingNode) -> str:
    """The name that is written, else the file's stem."""
    written = root.get("name")
    if isinstance(written, Scalar) and not written.is_null:
        return written.text
    stem = PurePosixPath(document.root.mark.file).stem
    return stem if document.number == 1 else f"{stem}-{document.number}"


def _add_defaults(checker: Checker, root: MappingNode, values: dict[str, Any], name: str) -> None:
    if "name" not in values:
        field = next(field for field in fields_of(AgentDefinition) if field.name == "name")
        good = re.fullmatch(field.setting.pattern or "", name)
        hint = 'write a "name"'
        message = f'the file\'s stem "{name}" is no name of an agent'
        values["name"] = name if good else checker.say(root.mark, "", "missing-key", message, hint)
    for kind in _PROVIDER_KINDS:
        if kind in ("turn_detector", "realtime"):
            continue  # nobody has one who does not ask for it
        if kind in _PIPELINE and values.get(kind) is None:
            values.pop(kind, None)
            if values.get("realtime") is not None:
                continue
        if kind in values or (kind == "language_id" and not _identifies_text(checker, values)):
            continue
        if kind == "interruption_detector" and not _judges_overlaps(checker, values):
            continue
        values[kind] = INVALID
        if checker.has_default(kind):
            values[kind] = checker.provider(MappingNode(root.mark, ()), kind, f"/{kind}")
        else:
            hint = f"installed: {', '.join(checker.provider_names(kind)) or 'none'}"
            pointer = f"/{kind}" if kind in root.by_key else ""
            checker.say(root.mark_of(kind), pointer, "missing-key", f'"{kind}" is missing', hint)


def _with_detector_delays(definition: AgentDefinition, root: MappingNode) -> AgentDefinition:
    """With a detector that knows better than silence the delays that the file leaves open are shorter."""
    turn = definition.turn
    if definition.turn_detector is None or turn.detection not in ("auto", "model"):
        return definition
    written = turn.endpointing

    def delay(name: str) -> Duration:
        is_open = node_at(root, "turn", "endpointing", name) is None
        return DETECTOR_DELAYS[name] if is_open else getattr(written, name)

    endpointing = dataclasses.replace(written, min_delay=delay("min_delay"), max_delay=delay("max_delay"))
    if endpointing.min_delay > endpointing.max_delay:  # the file gives one of them, and it is beyond the other's
        endpointing = written
    return dataclasses.replace(definition, turn=dataclasses.replace(turn, endpointing=endpointing))


def _judges_overlaps(checker: Checker, values: Mapping[str, Any]) -> bool:
    """Whether the agent asks for an opinion of the sound, and a plugin gives one to everybody."""
    turn = values.get("turn", Turn())
    asked = isinstance(turn, Turn) and turn.interruption.detection in ("auto", "detector")
    return asked and checker.has_default("interruption_detector")


def _identifies_text(checker: Checker, values: Mapping[str, Any]) -> bool:
    """Whether the agent asks for a text's language, and a plugin can tell it."""
    detection = values.get("language_detection", LanguageDetection())
    asked = isinstance(detection, LanguageDetection) and detection.by in ("auto", "text")
    return bool(values.get("languages")) and asked and checker.has_default("language_id")


def _with_digest(definition: AgentDefinition, folder: Folder) -> AgentDefinition:
    """With the digest of all that is resolved, and of the code that its Python tools and hooks may import from beside
    it."""
    refs = [tool.ref for tool in definition.tools if isinstance(tool, PythonTool)]
    refs += [hook.do.python for hook in definition.hooks if hook.do.python]
    roots = sorted({ref.partition(":")[0].partition(".")[0] for ref in refs})
    code = {root: folder.code_digests(root) for root in roots if folder.has_package(root)}
    file = PurePosixPath(definition.source.partition("#")[0]).name
    return dataclasses.replace(
        definition, digest=digest([definition, code]), code=code, files=tuple(sorted({file, *folder.used}))
    )
