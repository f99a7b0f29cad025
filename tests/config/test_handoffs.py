"""Handoffs in files: what each may say, and what must hold between the agents of one directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentd.config.expressions import expression_fault, is_true
from agentd.config.handoffs import tool_name
from agentd.config.reachable import reachable
from tests.config.files import PROVIDERS, agent, codes, loaded, write

REALTIME = "realtime: {provider: starling}\n"


def test_a_handoff_says_what_goes_along(tmp_path: Path) -> None:
    found = agent(
        tmp_path,
        "variables: {total: 0}\n"
        "handoffs:\n"
        "  - {agent: billing, when: asked, history: 'last: 4', say: Bye., variables: {a: 1}, enter: wait}\n"
        "  - {agent: billing, if: total > 100}\n"
        "  - {agent: billing, on: 'user_state_*', if: event.new_state == 'away'}\n"
        "  - {agent: billing, after_silence: 8s}\n",
    )
    assert [each.trigger for each in found.handoffs] == ["when", "if", "on", "after_silence"]
    first = found.handoffs[0]
    assert (first.history, first.say, first.variables, first.enter) == ("last: 4", "Bye.", {"a": 1}, "wait")
    assert found.places["handoffs[1].if"].endswith("one.yaml:7")


def test_the_name_of_a_tool_is_one_that_models_take() -> None:
    assert tool_name("front-desk-2") == "handoff_to_front_desk_2"
    assert len(tool_name("a" * 63)) == 64


def test_one_that_is_nowhere_is_told_at_its_line_with_the_nearest_name(tmp_path: Path) -> None:
    hook = "hooks: [{on: close, do: {handoff: {agent: biling}}}]\n"
    write(
        tmp_path,
        {"a.yaml": f"{PROVIDERS}handoffs: [{{agent: bilings, when: asked}}]\n{hook}", "billing.yaml": PROVIDERS},
    )
    problems = [each for each in loaded(tmp_path).problems if each.code == "unknown-agent"]
    assert [(each.line, each.message, each.hint) for each in problems] == [
        (4, 'there is no agent "bilings"', 'did you mean "billing"?'),
        (5, 'there is no agent "biling"', 'did you mean "billing"?'),
    ]
    assert {each.severity for each in problems} == {"warning"}


ELSEWHERE = """\
tasks:
  - name: contact
    at_start: true
    fields:
      - {type: name, name: caller}
      - type: phone
        name: number
        then: handoff
        handoff: {agent: %s}
tools:
  - {type: builtin, name: end_call}
  - type: builtin
    name: transfer
    destinations:
      - {name: desk, to: "tel:+49", when: asked}
      - name: accounts
        when: an invoice
        agent: %s
"""


def test_one_that_a_task_or_a_transfer_names_and_that_is_nowhere_is_told_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": PROVIDERS + ELSEWHERE % ("bilings", "biling"), "billing.yaml": PROVIDERS})
    problems = [each for each in loaded(tmp_path).problems if each.code == "unknown-agent"]
    assert [(each.line - PROVIDERS.count("\n"), each.pointer, each.message, each.hint) for each in problems] == [
        (9, "/tasks/0/fields/1/handoff", 'there is no agent "bilings"', 'did you mean "billing"?'),
        (18, "/tools/1/destinations/1", 'there is no agent "biling"', 'did you mean "billing"?'),
    ]
    assert {each.severity for each in problems} == {"warning"}


def test_one_that_a_task_a_transfer_or_a_hook_names_and_that_cannot_take_the_call_is_an_error(tmp_path: Path) -> None:
    hook = "hooks: [{on: close, do: {handoff: {agent: c}}}]\n"
    write(
        tmp_path,
        {
            "a.yaml": PROVIDERS + hook + ELSEWHERE % ("b", "b"),
            "b.yaml": f"{PROVIDERS}room: {{participants: everyone}}\n",
            "c.yaml": f"{PROVIDERS}room: {{participant_kinds: [sip]}}\n",
        },
    )
    result = loaded(tmp_path)
    found = [(each.line - PROVIDERS.count("\n"), each.code) for each in result.problems]
    assert found == [(10, "handoff-impossible"), (19, "handoff-impossible")]
    assert set(result.agents) == {"b", "c"}
    write(tmp_path, {"b.yaml": PROVIDERS})
    assert [(each.line - PROVIDERS.count("\n"), each.code) for each in loaded(tmp_path).problems] == [
        (1, "handoff-room")
    ]


def test_agents_with_other_rooms_cannot_take_a_call_over(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.yaml": f"{PROVIDERS}handoffs: [{{agent: b, when: asked}}]\n",
            "b.yaml": f"{PROVIDERS}room: {{participants: everyone}}\nhandoffs: [{{agent: c, when: asked}}]\n",
            "c.yaml": f"{PROVIDERS}room: {{participants: everyone, participant_kinds: [sip]}}\n",
        },
    )
    result = loaded(tmp_path)
    assert [(each.file.rpartition("/")[2], each.code, each.severity) for each in result.problems] == [
        ("a.yaml", "handoff-impossible", "error"),
        ("b.yaml", "handoff-room", "warning"),
    ]
    assert set(result.agents) == {"b", "c"}
    assert "a" in next(names for source, names in result.broken.items() if source.endswith("a.yaml"))


def test_a_realtime_model_may_be_on_either_side_but_writes_no_summary(tmp_path: Path) -> None:
    files = {
        "a.yaml": f"{PROVIDERS}handoffs: [{{agent: b, when: asked, history: summary}}]\n",
        "b.yaml": f"{REALTIME}handoffs: [{{agent: a, when: asked, history: summary}}, {{agent: c, when: asked}}]\n",
        "c.yaml": REALTIME,
    }
    write(tmp_path, files)
    assert codes(loaded(tmp_path)) == []
    write(tmp_path, {"b.yaml": f"{REALTIME}handoffs: [{{agent: c, when: asked, history: summary}}]\n"})
    (problem,) = loaded(tmp_path).problems
    assert (problem.code, problem.severity, problem.line) == ("handoff-summary", "warning", 2)


def test_handoffs_that_need_nobody_must_not_go_round(tmp_path: Path) -> None:
    def there(name: str, more: str = "") -> str:
        return f"{PROVIDERS}variables: {{x: 1}}\nhandoffs: [{{agent: {name}, after_silence: 5s{more}}}]\n"

    write(tmp_path, {"a.yaml": there("b"), "b.yaml": there("c"), "c.yaml": there("a")})
    (problem,) = loaded(tmp_path).problems
    assert (problem.code, problem.severity) == ("handoff-cycle", "warning")
    assert "a -> b -> c -> a" in problem.message
    write(tmp_path, {"b.yaml": there("c", ", if: x > 1")})
    assert codes(loaded(tmp_path)) == []


def test_what_a_call_may_come_to_is_known_beforehand(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.yaml": f"{PROVIDERS}handoffs: [{{agent: b, when: asked}}, {{agent: nobody, when: never}}]\n",
            "b.yaml": f"{PROVIDERS}hooks: [{{on: close, do: {{handoff: {{agent: c}}}}}}]\n",
            "c.yaml": f"{PROVIDERS}handoffs: [{{agent: a, when: asked}}]\n",
            "d.yaml": PROVIDERS,
        },
    )
    agents = loaded(tmp_path).agents
    assert set(reachable(agents["a"], agents)) == {"b", "c"}
    assert set(reachable(agents["d"], agents)) == set()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("total > 100", True),
        ("total > 100 and topic in ['invoice', 'refund']", True),
        ("customer.vip", True),
        ("not customer.vip", False),
        ("missing", False),
        ("missing.deep.er", False),
        ("missing > 3", False),
        ("topic > 3", False),
        ("total / 0", False),
        ("topic.__class__.__mro__", False),
        ("().__class__.__bases__[0].__subclasses__()", False),
        ("cycler.__init__.__globals__.os.system('true')", False),
    ],
)
def test_an_expression_holds_fails_or_may_not_look_there(text: str, holds: bool) -> None:
    values = {"total": 120, "topic": "invoice", "customer": {"vip": True}}
    assert expression_fault(text) is None
    assert is_true(text, values) is holds


@pytest.mark.parametrize("text", ["total >", "{{ total }}", "total = 3", "if total", "total | nothing_such"])
def test_what_is_no_expression_is_told(text: str) -> None:
    assert expression_fault(text)
