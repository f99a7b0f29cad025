from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from agentd.config.budget import Price
from agentd.config.daemon import DaemonConfig, load_daemon
from agentd.config.load import load
from agentd.providers.fields import IncludedFile, Secret
from agentd.registry import Registry, installed
from tests.config.files import PROVIDERS, agent, codes, loaded, write
from tests.fakes.plugins import MouseVADSettings, OwlSTTSettings, ParrotLLMSettings, ToneChord, TonePlain, fake_registry

EVERYTHING = """
name: front-desk
description: "${CLINIC:-Hill} clinic"
x-note: ignored
language: en-GB
instructions: |
  You work for {{ clinic }}; it costs ${NOT_EXPANDED}.
variables: {clinic: Hill Street, phone: 012, price: 1.10, open: no, count: 3, nested: {a: [1, true, null]}}
greeting: {say: "{{ clinic }}, hello", interruptible: false}
stt: {provider: owl, keyterms: [1.10, on], endpointing: 300ms, x-comment: ignored}
llm:
  provider: parrot
  model: 4.10
  temperature: 0.30
  api_key: "Bearer ${OWL_API_KEY:?}"
  extra: {seed: 1, x-kept: true}
  retry: {times: 2}
  routes: {a: {times: 1, delay: 2s}}
  fallback: [{provider: parrot, model: b}]
tts:
  provider: wren
  pronunciations: {GP: gee pee}
  effects: [{type: plain, hertz: 220}, {type: chord, notes: [60, 64]}]
turn: {detection: vad, endpointing: {min_delay: 0.3s, max_delay: 2500ms}}
limits: {max_duration: 15m, idle_prompt: {after: 12s, say: Still there?, times: 2, then: end_call}, concurrency: 0x10}
room: {participant_kinds: [sip], on_end: leave}
tools:
  - {type: python, ref: "tools.booking:book", while_waiting: {after: 0, say: [one moment]}}
  - type: webhook
    name: find_slot
    description: Finds.
    url: https://app.example.com/${PATH_PART:-voice}
    parameters: {type: object, properties: {day: {type: string, pattern: "^a$$"}}, required: [day]}
    headers: {x-team: clinic, Authorization: "Bearer ${OWL_API_KEY}"}
    secret: "${OWL_API_KEY:?}"
    timeout: 8s
  - {type: builtin, name: end_call}
metadata: {team: clinic}
"""


def test_every_kind_of_field_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": EVERYTHING, "tools/booking.py": "async def book(): ...\n"})
    result = loaded(tmp_path)
    assert result.problems == ()
    desk = result.agents["front-desk"]
    assert desk.description == "Hill clinic"
    assert desk.prompt == "You work for {{ clinic }}; it costs ${NOT_EXPANDED}.\n"
    assert desk.variables == {
        "clinic": "Hill Street", "phone": "012", "price": "1.10", "open": "no", "count": 3,
        "nested": {"a": [1, True, None]},
    }  # fmt: skip
    assert desk.stt.settings == OwlSTTSettings(keyterms=("1.10", "on"), endpointing=0.3)  # type: ignore[arg-type]
    llm = desk.llm.settings
    assert isinstance(llm, ParrotLLMSettings)
    assert (llm.model, llm.temperature, llm.extra) == ("4.10", 0.3, {"seed": 1, "x-kept": True})
    assert llm.api_key == Secret("template", "Bearer ${OWL_API_KEY:?}")
    assert llm.routes["a"].delay == 2.0
    assert desk.llm.fallback[0].settings.model == "b"
    assert desk.tts.settings.effects == (TonePlain(type="plain", hertz=220.0), ToneChord(type="chord", notes=(60, 64)))
    assert desk.vad.provider == "mouse"
    assert desk.vad.settings == MouseVADSettings()
    assert (desk.turn.endpointing.min_delay, desk.turn.endpointing.max_delay) == (0.3, 2.5)
    assert desk.limits.concurrency == 16
    webhook = desk.tools[1]
    assert webhook.url == "https://app.example.com/voice"  # type: ignore[union-attr]
    assert webhook.headers["x-team"] == Secret("literal", "clinic")  # type: ignore[union-attr]
    assert webhook.secret == Secret("env", "OWL_API_KEY")  # type: ignore[union-attr]
    assert webhook.parameters["properties"]["day"]["pattern"] == "^a$$"  # type: ignore[union-attr]
    assert desk.source == str(tmp_path / "a.yaml")


def test_a_definition_can_be_pickled(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": EVERYTHING, "tools/booking.py": "def book(): ...\n"})
    desk = loaded(tmp_path).agents["front-desk"]
    assert pickle.loads(pickle.dumps(desk)) == desk


def test_the_stem_is_the_default_name_and_parts_and_hidden_files_are_no_agents(tmp_path: Path) -> None:
    names = ("desk.yaml", "_part.yaml", ".hidden.yaml", "notes.txt", "other.yml", "sub/inner.yaml")
    write(tmp_path, dict.fromkeys(names, PROVIDERS))
    assert sorted(loaded(tmp_path).agents) == ["desk", "other"]


def test_documents_of_one_file_are_agents_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, {"pair.yaml": f"name: one\n{PROVIDERS}---\n{PROVIDERS}"})
    agents = loaded(tmp_path).agents
    assert {name: Path(agent.source).name for name, agent in agents.items()} == {
        "one": "pair.yaml",
        "pair-2": "pair.yaml#2",
    }


def test_of_two_agents_of_one_name_the_first_stays(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": f"name: x\n{PROVIDERS}", "b.yaml": f"description: second\nname: x\n{PROVIDERS}"})
    result = loaded(tmp_path)
    assert result.agents["x"].description == ""
    (problem,) = result.problems
    assert problem.file.endswith("b.yaml")
    assert "a.yaml:1:7" in problem.hint
    assert list(result.broken) == [str(tmp_path / "b.yaml")]


def test_a_file_that_is_called_as_its_agent_keeps_the_name_from_a_copy(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("desk-old.yaml", "desk.yaml", "z.yaml"), f"name: desk\n{PROVIDERS}"))
    found = loaded(tmp_path)
    assert found.agents["desk"].source == str(tmp_path / "desk.yaml")
    assert [(p.code, Path(p.file).name) for p in found.problems] == [
        ("duplicate-name", "desk-old.yaml"), ("duplicate-name", "z.yaml"),
    ]  # fmt: skip


def test_a_broken_agent_does_not_stop_the_others(tmp_path: Path) -> None:
    write(tmp_path, {"bad.yaml": "stt: {", "good.yaml": PROVIDERS})
    result = loaded(tmp_path)
    assert list(result.agents) == ["good"]
    assert result.broken == {str(tmp_path / "bad.yaml"): ()}
    assert result.problems_by_source.keys() == {str(tmp_path / "bad.yaml")}


def test_a_warning_refuses_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": f"{PROVIDERS}recording: {{audio: true}}\nroom: {{video: true}}\n"})
    result = loaded(tmp_path)
    assert list(result.agents) == ["a"]
    assert codes(result) == ["no-effect-yet"] * 2
    assert result.errors == ()


def test_a_directory_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = loaded(tmp_path / "nowhere")
    assert codes(result) == ["directory"]
    assert not result.complete


def test_extends_merges_key_by_key_and_replaces_lists_and_other_providers(tmp_path: Path) -> None:
    base = f"""{PROVIDERS}
extends: parts/_grand.yaml
limits: {{max_tool_steps: 5, concurrency: 2}}
room: {{participant_kinds: [sip, standard]}}
greeting: {{say: hello}}
"""
    grand = "language: de\nlimits: {max_tool_steps: 9, max_duration: 1h}\nllm: {extra: {a: 1}}\n"
    child = """
extends: _base.yaml
limits: {concurrency: 3}
room: {participant_kinds: [connector]}
stt: {keyterms: [x]}
llm: {provider: parrot, extra: {b: 2}}
greeting: null
"""
    write(tmp_path, {"_base.yaml": base, "parts/_grand.yaml": grand, "child.yaml": child})
    result = loaded(tmp_path)
    assert result.problems == ()
    child_agent = result.agents["child"]
    assert child_agent.language == "de"
    assert (child_agent.limits.max_tool_steps, child_agent.limits.concurrency) == (5, 3)
    assert float(child_agent.limits.max_duration or 0) == 3600
    assert child_agent.room.participant_kinds == ("connector",)
    assert child_agent.stt.settings.keyterms == ("x",)
    assert child_agent.greeting is None
    assert child_agent.llm.settings.extra == {"b": 2}  # the base's llm block replaced the grandparent's


def test_a_block_that_names_another_provider_drops_the_bases_settings(tmp_path: Path) -> None:
    write(tmp_path, {
        "_base.yaml": f"{PROVIDERS}vad: {{provider: other, unknown_to_mouse: 1}}\n",
        "child.yaml": "extends: _base.yaml\nvad: {provider: mouse, activation: 0.7}\n",
    })  # fmt: skip
    result = loaded(tmp_path)
    assert result.problems == ()
    assert result.agents["child"].vad.settings.activation == 0.7


def test_defaults_of_the_daemon_lie_under_every_agent(tmp_path: Path) -> None:
    (tmp_path / "agentd.yaml").write_text(
        f"defaults:\n  {PROVIDERS.strip().replace(chr(10), chr(10) + '  ')}\n  language: fr\n"
    )
    daemon = load_daemon(tmp_path / "agentd.yaml", {})
    assert daemon.problems == ()
    write(tmp_path, {"agents/a.yaml": "description: a\n", "agents/b.yaml": "language: de\nstt: {beams: 2}\n"})
    result = loaded(tmp_path / "agents", daemon.config)
    assert result.problems == ()
    assert (result.agents["a"].language, result.agents["b"].language) == ("fr", "de")
    assert result.agents["b"].stt.settings.beams == 2


def test_a_realtime_model_takes_the_place_of_the_defaults_providers_and_they_its(tmp_path: Path) -> None:
    defaults = {"three": f"{PROVIDERS}language: fr\n", "one": "realtime: {provider: starling, voice: bert}\n"}
    agents = {"three.yaml": PROVIDERS, "one.yaml": "realtime: {provider: starling}\n", "none.yaml": "description: x\n"}
    write(tmp_path, agents)
    for default, text in defaults.items():
        (tmp_path / "agentd.yaml").write_text("defaults:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
        found = load_daemon(tmp_path / "agentd.yaml", {})
        assert found.problems == ()
        result = load(tmp_path, found.config, fake_registry(), {"OWL_API_KEY": "k"}, only=tuple(agents))
        assert result.errors == ()
        kinds = {name: agent.realtime is not None for name, agent in result.agents.items()}
        assert kinds == {"three": False, "one": True, "none": default == "one"}
        assert all((agent.stt is None) == (agent.realtime is not None) for agent in result.agents.values())


def test_a_mistake_in_the_defaults_is_reported_once_at_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "agentd.yaml").write_text("defaults:\n  turn: {detection: vda}\n")
    daemon = load_daemon(tmp_path / "agentd.yaml", {}).config
    write(tmp_path, {"agents/a.yaml": PROVIDERS, "agents/b.yaml": PROVIDERS})
    result = loaded(tmp_path / "agents", daemon)
    (problem,) = result.problems
    assert (Path(problem.file).name, problem.line) == ("agentd.yaml", 2)
    assert len(result.broken) == 2


def test_the_digest_does_not_change_with_comments_order_or_spelling(tmp_path: Path) -> None:
    first = agent(tmp_path, "limits: {concurrency: 3, max_tool_steps: 4}\nturn: {endpointing: {min_delay: 0.5s}}\n")
    same = agent(
        tmp_path,
        "# a comment\nlimits:\n  max_tool_steps: 0x4\n  concurrency: ${N:-3}\nx-a: b\n"
        "turn: {endpointing: {min_delay: 500ms}}\n",
    )
    other = agent(tmp_path, "limits: {concurrency: 4, max_tool_steps: 4}\n")
    assert first.digest == same.digest
    assert first.digest != other.digest


def test_the_digest_holds_prompts_and_every_python_file_beside_the_tool(tmp_path: Path) -> None:
    text = 'instructions_file: p.md\ntools: [{type: python, ref: "tools.booking:book"}]\n'
    write(tmp_path, {"p.md": "be kind", "tools/booking.py": "def book(): ...\n", "tools/deep/other.py": "x = 1\n"})
    digests = [agent(tmp_path, text).digest]
    for changed in ({"p.md": "be brief"}, {"tools/deep/other.py": "x = 2\n"}, {"tools/new.py": ""}):
        write(tmp_path, changed)
        digests.append(agent(tmp_path, text).digest)
    assert len(set(digests)) == 4
    write(tmp_path, {"tools/__pycache__/x.py": "", "tools/data.csv": "", "elsewhere/x.py": ""})
    assert agent(tmp_path, text).digest == digests[-1]


def test_equal_settings_share_a_digest_of_their_provider(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "a.yaml": PROVIDERS,
            "b.yaml": f"{PROVIDERS}language: de\n",
            "c.yaml": PROVIDERS.replace("wren", "wren, speed: 1.2"),
        },
    )
    agents = loaded(tmp_path).agents
    assert agents["a"].stt.digest == agents["b"].stt.digest == agents["c"].stt.digest
    assert agents["a"].tts.digest != agents["c"].tts.digest


def test_a_prompt_file_is_read_through_a_link_inside_the_directory(tmp_path: Path) -> None:
    write(tmp_path, {"..data_1/p.md": "from the config map"})
    (tmp_path / "..data").symlink_to("..data_1")
    (tmp_path / "p.md").symlink_to("..data/p.md")
    definition = agent(tmp_path, "instructions_file: p.md\n")
    assert definition.instructions_file == IncludedFile("p.md", "from the config map")
    assert definition.prompt == "from the config map"


@pytest.mark.parametrize("kind", ["fifo", "large", "link-loop", "nul"])
def test_a_prompt_file_must_be_a_small_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.md"
    name = '"p\\0.md"' if kind == "nul" else "p.md"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"x" * ((1 << 20) + 1))
    elif kind == "link-loop":
        path.symlink_to("p.md")
    write(tmp_path, {"a.yaml": f"{PROVIDERS}instructions_file: {name}\n"})
    result = loaded(tmp_path)
    assert result.agents == {}
    assert codes(result)[0] in ("file-unreadable", "file-size", "file-outside")


def test_a_large_agent_file_is_refused_unread(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": "#" * ((1 << 20) + 1)})
    assert codes(loaded(tmp_path)) == ["file-size"]


def test_python_code_that_cannot_be_parsed_is_reported_in_its_own_file(tmp_path: Path) -> None:
    write(tmp_path, {
        "a.yaml": f'{PROVIDERS}tools: [{{type: python, ref: "tools.bad:f"}}]\n', "tools/bad.py": "x = 1\ndef f(:\n",
    })  # fmt: skip
    (problem,) = loaded(tmp_path).problems
    assert (problem.code, Path(problem.file).name, problem.line) == ("python-syntax", "bad.py", 2)


def test_python_tools_are_never_imported(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\ndef f(): ...\n"
    write(
        tmp_path,
        {
            "a.yaml": f'{PROVIDERS}tools: [{{type: python, ref: "tools.t:f"}}]\n',
            "tools/t.py": code,
            "tools/__init__.py": code,
        },
    )
    assert loaded(tmp_path).problems == ()
    assert not ran.exists()


def test_a_standard_module_is_refused_even_when_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "agentd.yaml").write_text("tools_allow: [os, subprocess, 'tools.*']\n")
    daemon = load_daemon(tmp_path / "agentd.yaml", {}).config
    write(tmp_path, {"agents/a.yaml": f'{PROVIDERS}tools: [{{type: python, ref: "os:system"}}]\n'})
    assert codes(loaded(tmp_path / "agents", daemon)) == ["tool-not-found"]


def test_a_secret_may_come_from_a_file_of_the_environment_or_of_the_agent(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    by_env = agent(tmp_path, "", {"OWL_API_KEY_FILE": str(tmp_path / "key")})
    assert by_env.stt.settings.api_key.reveal({"OWL_API_KEY_FILE": str(tmp_path / "key")}) == "s3cret"
    write(tmp_path, {"one.yaml": PROVIDERS.replace("owl", "owl, api_key_file: key")})
    result = loaded(tmp_path, environment={})
    assert result.agents["one"].stt.settings.api_key.reveal({}) == "s3cret"


def test_a_budget_of_money_that_no_price_is_known_for_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": f"{PROVIDERS}limits: {{budget: {{per_caller: {{cost_per_day: 2}}}}}}\n"})
    (problem,) = [p for p in loaded(tmp_path).problems if p.code == "no-price"]
    assert problem.severity == "warning"
    assert "parrot/" in problem.message
    priced = DaemonConfig(prices={"parrot": Price(per_million_input=1.0)})
    assert "no-price" not in codes(loaded(tmp_path, priced))


def test_a_handoff_to_nobody_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": f"{PROVIDERS}handoffs: [{{agent: b, when: asked}}, {{agent: a, when: never}}]\n"})
    messages = [p.message for p in loaded(tmp_path).problems if p.code == "unknown-agent"]
    assert messages == ['"a" is this agent itself', 'there is no agent "b"']


def test_jinja_that_checks_for_itself_needs_no_variable(tmp_path: Path) -> None:
    agent(
        tmp_path,
        "instructions: \"{% if a is defined %}{{ a }}{% endif %}{{ b | default('x') }}{% set c = 1 %}{{ c }}\"\n",
    )


def test_agents_load_with_the_installed_plugins() -> None:
    folder = Path(__file__).parents[2] / "agents.d"
    result = load(folder, load_daemon(None, {}).config, installed(), {})
    assert result.errors == ()
    assert "front-desk" in result.agents


def test_only_some_files_can_be_loaded(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": PROVIDERS, "b.yaml": "broken: ["})
    result = load(tmp_path, load_daemon(None, {}).config, fake_registry(), {"OWL_API_KEY": "k"}, only=("a.yaml",))
    assert list(result.agents) == ["a"]
    assert result.problems == ()


def test_a_problem_never_shows_what_a_variable_holds(tmp_path: Path) -> None:
    text = "name: ${X}\nlanguage: ${X}\nturn: {detection: '${X}', endpointing: {min_delay: '${X}'}}\n"
    rest = "limits: {concurrency: '${X}'}\nroom: {video: '${X}'}\nevents: [{url: '${X}'}]\ninstructions_file: ${X}\n"
    write(tmp_path, {"a.yaml": PROVIDERS + text + rest})
    result = loaded(tmp_path, environment={"X": "canary 9"})
    assert len(result.errors) == 8
    shown = [str(problem) for problem in result.problems if problem.code != "file-not-found"]
    assert not any("canary" in line for line in shown)


@pytest.mark.parametrize(
    ("text", "delays"),
    [
        ("", (0.5, 3.0)),
        ("turn_detector: {provider: bat}", (0.3, 2.5)),
        ("turn_detector: {provider: bat}\nturn: {detection: vad}", (0.5, 3.0)),
        ("turn_detector: {provider: bat}\nturn: {endpointing: {min_delay: 0.5s}}", (0.5, 2.5)),
        ("turn_detector: {provider: bat}\nturn: {endpointing: {min_delay: 2.8s}}", (2.8, 3.0)),
        ("turn_detector: {provider: bat}\nturn: {detection: model, endpointing: {max_delay: 1s}}", (0.3, 1.0)),
    ],
)
def test_a_turn_detector_shortens_the_delays_that_the_file_leaves_open(
    tmp_path: Path, text: str, delays: tuple[float, float]
) -> None:
    endpointing = agent(tmp_path, text).turn.endpointing
    assert (endpointing.min_delay, endpointing.max_delay) == delays


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("", "lynx"),
        ("turn: {interruption: {detection: detector}}", "lynx"),
        ("turn: {interruption: {detection: words}}", None),
        ("turn: {interruption: {detection: duration}}", None),
    ],
)
def test_a_plugins_own_interruption_detector_is_taken_where_the_file_leaves_it_open(
    tmp_path: Path, text: str, provider: str | None
) -> None:
    (zoo,) = fake_registry().plugins
    components = [replace(c, default=c.default or c.provider == "lynx") for c in zoo.components]
    registry = Registry([replace(zoo, components=tuple(components))])
    write(tmp_path, {"a.yaml": PROVIDERS + text})
    result = load(tmp_path, load_daemon(None, {}).config, registry, {"OWL_API_KEY": "k"})
    assert not result.errors
    detector = result.agents["a"].interruption_detector
    assert (detector.provider if detector else None) == provider
