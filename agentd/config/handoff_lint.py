"""What must hold of handoffs: in one file, and between the agents of one directory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from agentd.config.definition import AgentDefinition
from agentd.config.event_names import EVENT_FIELDS, names_for
from agentd.config.expressions import expression_fault
from agentd.config.handoffs import Handoff, tool_name
from agentd.config.named_agents import NamedAgent, named_agents
from agentd.config.places import mark_at
from agentd.config.source import ListNode, MappingNode, Mark, Node, Scalar, pointer_to
from agentd.errors import Problem

Places = Mapping[str, str]
"""By setting its file:line."""

TemplateProblems = Callable[[Mark, str, str, int, Collection[str]], Iterator[Problem]]

BY_THEMSELVES = frozenset({"session_started", "agent_entered", "agent_left", "agent_handoff", "participant_linked"})
"""Events that come without a word of the caller's."""


def handoff_problems(
    root: MappingNode, values: Mapping[str, Any], tool_names: Collection[str], templates: TemplateProblems
) -> Iterator[Problem]:
    """Those of one file. `values`: the agent's, by field, as far as they could be read."""
    written = root.get("handoffs")
    variables = values.get("variables", {})
    known = set(variables) if isinstance(variables, Mapping) else set()
    taken = dict.fromkeys(tool_names, "a tool of the agent")
    for number, entry in enumerate(written.items if isinstance(written, ListNode) else ()):
        if not isinstance(entry, MappingNode):
            continue
        pointer = pointer_to("/handoffs", number)
        on = _text(entry.get("on"))
        if on is not None:
            yield from _event(entry.by_key["on"].value, on, f"{pointer}/on")
        yield from _expression(
            entry.get("if"), f"{pointer}/if", known | ({"event"} if on is not None else set()), templates
        )
        yield from _template(entry.get("say"), f"{pointer}/say", known, templates)
        agent = _text(entry.get("agent"))
        if agent is not None and _text(entry.get("when")) is not None:
            name = tool_name(agent)
            if name in taken:
                message = f'a second tool is named "{name}"'
                yield entry.by_key["agent"].value.mark.problem(
                    f"{pointer}/agent", "tool-name-clash", message, f"the first is {taken[name]}"
                )
            taken.setdefault(name, "that of another handoff")


def handoff_tools(root: MappingNode) -> Iterator[str]:
    """What the model's tools for handing over are called."""
    written = root.get("handoffs")
    for entry in written.items if isinstance(written, ListNode) else ():
        if isinstance(entry, MappingNode) and _text(entry.get("when")) is not None:
            yield tool_name(_text(entry.get("agent")) or "")


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, Scalar) and not node.is_null else None


def _event(node: Node, name: str, pointer: str) -> Iterator[Problem]:
    if not [each for each in names_for(name) if each in EVENT_FIELDS]:
        near = get_close_matches(name, EVENT_FIELDS, 1)
        hint = f'did you mean "{near[0]}"?' if near else "docs/events.md lists them"
        yield node.mark.problem(pointer, "unknown-event", f'there is no event "{name}"', hint)


def _expression(
    node: Node | None, pointer: str, known: Collection[str], templates: TemplateProblems
) -> Iterator[Problem]:
    text = _text(node)
    if text is None or node is None:
        return
    if fault := expression_fault(text):
        hint = "an expression without braces, like total > 100"
        yield node.mark.problem(pointer, "bad-expression", f"the expression cannot be read: {fault}", hint)
    else:
        yield from templates(node.mark, pointer, "{{ (" + text + ") }}", node.mark.line, known)


def _template(
    node: Node | None, pointer: str, known: Collection[str], templates: TemplateProblems
) -> Iterator[Problem]:
    if isinstance(node, Scalar) and not node.is_null:
        yield from templates(node.mark, pointer, node.text, node.mark.line + (1 if node.block else 0), known)


# Between agents.


def refused_between(
    agents: Mapping[str, AgentDefinition], places: Mapping[str, Places]
) -> Iterator[tuple[AgentDefinition, Problem]]:
    """Handoffs that can never be made, whatever asks for them, with the agent whose file says them: errors. `places`:
    by agent, of all that is written."""
    for agent, named in _all(agents):
        target = agents.get(named.agent)
        reason = why_not(agent, target) if target is not None else None
        if reason is not None:
            yield agent, _problem(agent, named, places, "handoff-impossible", reason)


def doubtful_between(
    agents: Mapping[str, AgentDefinition], places: Mapping[str, Places]
) -> Iterator[tuple[AgentDefinition, Problem]]:
    """What works, and hardly as it is meant: warnings."""
    for agent, named in _all(agents):
        target = agents.get(named.agent)
        if target is not None and target.room.participant_kinds != agent.room.participant_kinds:
            message = f'"{target.name}" asks for other "room.participant_kinds", which are the first agent\'s in a call'
            yield agent, _problem(agent, named, places, "handoff-room", message, warning=True)
        if target is not None and named.history == "summary" and not (_writes(agent) or _writes(target)):
            message = f'neither "{agent.name}" nor "{target.name}" has a model that writes summaries: all goes along'
            hint = "give one context.llm"
            yield agent, _problem(agent, named, places, "handoff-summary", message, hint, warning=True)
    for agent, named, path in _rounds(agents):
        message = f"{' -> '.join(path)} go round without a word of the caller's"
        hint = "the second round is refused while the call runs; give one of them an `if`"
        yield agent, _problem(agent, named, places, "handoff-cycle", message, hint, warning=True)


def _writes(agent: AgentDefinition) -> bool:
    """Whether it has a model that writes: a realtime model is none."""
    return agent.llm is not None or agent.context.llm is not None


def why_not(agent: AgentDefinition, target: AgentDefinition) -> str | None:
    """Why a call of the one cannot go on as the other; None when it can. Pure."""
    if agent.room.participants != target.room.participants:
        return (
            f'"{target.name}" talks with "participants: {target.room.participants}", and "{agent.name}" with '
            f'"{agent.room.participants}": a call keeps whom it began with'
        )
    return None


def _all(agents: Mapping[str, AgentDefinition]) -> Iterator[tuple[AgentDefinition, NamedAgent]]:
    for agent in agents.values():
        for named in named_agents(agent):
            yield agent, named


def _rounds(agents: Mapping[str, AgentDefinition]) -> Iterator[tuple[AgentDefinition, NamedAgent, list[str]]]:
    """Each cycle of handoffs that need neither the caller nor the model, once, at its first agent by name."""
    for start in agents.values():
        for number, handoff in enumerate(start.handoffs):
            path, here = [start.name], handoff if _by_itself(handoff) else None
            while here is not None and here.agent in agents and here.agent not in path:
                path.append(here.agent)
                here = next((each for each in agents[here.agent].handoffs if _by_itself(each)), None)
            if here is not None and here.agent == start.name == min(path) and len(path) > 1:
                yield start, NamedAgent(handoff.agent, f"handoffs[{number}]"), [*path, start.name]


def _by_itself(handoff: Handoff) -> bool:
    if handoff.if_ is not None:
        return False
    return handoff.after_silence is not None or bool(BY_THEMSELVES.intersection(names_for(handoff.on or "")))


def _problem(
    agent: AgentDefinition,
    named: NamedAgent,
    places: Mapping[str, Places],
    code: str,
    message: str,
    hint: str = "",
    *,
    warning: bool = False,
) -> Problem:
    written = places.get(agent.name, agent.places).get(f"{named.setting}.agent", "")
    mark = mark_at(written) or Mark(agent.source, 1, 1)
    return mark.problem(named.pointer, code, message, hint, warning=warning)
