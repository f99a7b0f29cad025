"""Agents' own tests: real files, real sessions, virtual time; a Python tool in its process takes what it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from agentd.config.daemon import DaemonConfig
from agentd.config.load import load
from agentd.registry import installed
from agentd.runtime.live import tool_kits
from agentd.runtime.messages import WorkerSettings
from agentd.runtime.rehearsal import Rehearsal, ScenarioResult
from agentd.virtual_time import run_virtual

AGENT = """\
stt: {provider: scripted}
tts: {provider: scripted}
"""
DESK = """\
greeting: {say: "Hill Street, good day."}
limits: {idle_prompt: {after: 600s, say: "Still there?"}}
llm:
  provider: scripted
  first_delay: 5s
  dialogue:
    start: desk
    states:
      desk:
        expect:
          - {match: ["open on {day:text}"], goto: hours}
          - {match: ["bye"], goto: bye}
          - {match: ["an invoice"], goto: billing}
      hours: {tool: {name: opening, arguments: {day: "{day}"}, say: "{result}", error_say: "I cannot say.", goto: desk}}
      bye: {tool: {name: end_call, arguments: {say: "Goodbye!"}}}
      billing: {tool: {name: handoff_to_billing}}
tools:
  - {type: builtin, name: end_call}
  - {type: python, ref: "tools.hours:opening"}
handoffs: [{agent: billing, when: the caller asks about an invoice}]
"""
HOURS = '''\
def opening(day: str) -> str:
    """Tells when the desk is open."""
    return f"On {day} from nine."
'''
BILLING = """\
llm: {provider: scripted, replies: ["Billing here."]}
greeting: {say: "Accounts."}
"""


def results(tmp_path: Path, files: Mapping[str, str], agent: str = "desk") -> list[ScenarioResult]:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{AGENT}{text}" if name.endswith(".yaml") and not name.startswith("_") else text)
    loaded = load(tmp_path, DaemonConfig(), installed(), {})
    assert not loaded.errors, loaded.errors
    others = {name: each for name, each in loaded.agents.items() if name != agent}
    settings = WorkerSettings(worker="test", agents_dir=tmp_path)
    rehearsal = Rehearsal(
        loaded.agents[agent], installed(), tool_kits(settings), others=others, places=loaded.places[agent]
    )
    return list(run_virtual(rehearsal.results()))


def told(result: ScenarioResult, tmp_path: Path) -> list[str]:
    return [str(failure).replace(f"{tmp_path}/", "") for failure in result.failures]


CONVERSATION = """\
tests:
  scenarios:
    - name: hours, and goodbye
      turns:
        - expect: {contains: [hill street]}
        - say: open on monday
          expect:
            contains: [on monday from nine]
            calls: [{name: opening, arguments: {day: monday}}]
            ends: false
        - wait: 600s
          expect: {contains: ["still there?"], calls_nothing: true}
        - say: bye
          expect: {contains: [goodbye], ends: true}
"""


def test_a_conversation_is_held_whole_with_real_tools_in_no_time(tmp_path: Path) -> None:
    began = time.monotonic()
    [result] = results(tmp_path, {"desk.yaml": DESK + CONVERSATION, "tools/hours.py": HOURS, "billing.yaml": BILLING})
    assert result.failures == ()
    assert result.scenario == "hours, and goodbye"
    assert result.duration_s > 600
    assert time.monotonic() - began < 120, "its minutes are virtual"
    assert "tool: opening -> On monday from nine." in result.lines
    assert result.lines[-1] == "end: ended_by_agent"


def test_what_is_not_as_expected_is_told_with_its_line_also_in_a_part(tmp_path: Path) -> None:
    part = """\
tests:
  tools: {opening: {error: "the book is lost"}}
  scenarios:
    - name: given error
      turns:
        - say: open on monday
          expect:
            contains: [I cannot say]
            lacks:
              - nothing of this
              - cannot
    - name: given result
      tools: {opening: {result: {from: 9}}}
      turns:
        - say: open on monday
          expect:
            contains: ["9"]
            ends: true
        - say: bye
        - say: anybody there?
    - name: its own model
      llm: {provider: scripted, replies: ["Said {text}."]}
      turns: [{say: hi, expect: {contains: [said hi]}}]
"""
    files = {"desk.yaml": f"extends: _tests.yaml\n{DESK}", "_tests.yaml": part, "tools/hours.py": HOURS}
    wrong, ended, right = results(tmp_path, {**files, "billing.yaml": BILLING})
    assert told(wrong, tmp_path) == ['_tests.yaml:11: "cannot" was said: "I cannot say."']
    assert told(ended, tmp_path) == [
        "_tests.yaml:18: the agent has not ended the call",
        '_tests.yaml:20: the call had ended before "anybody there?" could be said',
    ]
    assert told(right, tmp_path) == []
    assert wrong.place.endswith("_tests.yaml:4")


def test_a_handoff_goes_to_the_other_agent_of_the_directory(tmp_path: Path) -> None:
    tests = """\
tests:
  tools: {opening: {result: never}}
  scenarios:
    - name: invoice
      turns:
        - {say: an invoice, expect: {hands_off_to: billing}}
        - {say: hello, expect: {contains: [billing here]}}
    - name: nobody
      turns: [{say: open on monday, expect: {hands_off_to: billing}}]
"""
    invoice, nobody = results(tmp_path, {"desk.yaml": DESK + tests, "tools/hours.py": HOURS, "billing.yaml": BILLING})
    assert told(invoice, tmp_path) == []
    assert [failure.message for failure in nobody.failures] == [
        'the call was to go to "billing": it was handed to nobody'
    ]


def test_a_tool_that_the_agents_code_adds_takes_the_time_that_it_takes(tmp_path: Path) -> None:
    code = """\
import time
from agentd.tools import RunContext


def later(ctx: RunContext) -> str:
    time.sleep(1.0)  # in its process; its deadline is shorter in virtual time
    return "Here it is."


def opening(ctx: RunContext, day: str) -> str:
    ctx.tools.add(later)
    return "One moment."
"""
    desk = """\
llm:
  provider: scripted
  dialogue:
    start: desk
    states:
      desk: {expect: [{match: ["open on {day:text}"], goto: hours}]}
      hours: {tool: {name: opening, arguments: {day: "{day}"}, goto: more}}
      more: {tool: {name: later, say: "{result}", goto: desk}}
tools: [{type: python, ref: "tools.hours:opening"}]
"""
    tests = "tests: {scenarios: [{name: later, turns: [{say: open on monday, expect: {contains: [here it is]}}]}]}\n"
    [result] = results(tmp_path, {"desk.yaml": desk + tests, "tools/hours.py": code})
    assert told(result, tmp_path) == []


def test_an_agent_that_cannot_be_made_fails_its_test_with_the_reason(tmp_path: Path) -> None:
    tests = "tests: {scenarios: [{name: any, turns: [{say: hi}]}]}\n"
    broken = f"import nothing_of_the_kind\n{HOURS}"
    files = {"desk.yaml": DESK + tests, "tools/hours.py": broken, "billing.yaml": BILLING}
    [result] = results(tmp_path, files)
    [failure] = result.failures
    assert failure.message.startswith("the agent cannot be made: ")
    assert "nothing_of_the_kind" in failure.message


def test_a_model_that_does_not_answer_fails_the_test(tmp_path: Path) -> None:
    talks = """\
llm: {provider: scripted, first_delay: 300s, replies: ["Hm."]}
turn: {preemptive: {llm: false}}
tests: {scenarios: [{name: slow, turns: [{say: hi}]}]}
"""
    [result] = results(tmp_path, {"desk.yaml": talks})
    assert "the call met an error: llm scripted: no useful token for 8 s" in [each.message for each in result.failures]
