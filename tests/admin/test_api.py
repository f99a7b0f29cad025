from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentd.admin.documents import document
from agentd.admin.settings import AdminSettings
from agentd.config.definition import AgentDefinition
from agentd.config.provider_choice import ProviderChoice
from agentd.config.tools import WebhookTool
from agentd.errors import Problem
from agentd.providers.fields import Secret, setting
from agentd.runtime.journals import journal_path
from agentd.runtime.status import ReloadOutcome
from agentd.session.journal import Journal
from agentd.tools.acts import (
    Act,
    CancelSpeech,
    ClearUserTurn,
    CommitUserTurn,
    EndSession,
    GenerateReply,
    HandOff,
    InterruptSpeech,
    MuteCall,
    SayText,
    SetCallVariables,
    SetTools,
    UpdateInstructions,
)
from tests.admin.conftest import Serve
from tests.fakes.daemon import FakeDaemon

PROBLEM = Problem(
    file="agents.d/front-desk.yaml", line=4, column=3, pointer="/llm/modle", code="unknown-key", message="unknown modle"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorSettings:
    api_key: Secret = setting("Key.")
    model: str = setting("Model.")


def definition() -> AgentDefinition:
    settings = VendorSettings(api_key=Secret("literal", "sk-very-secret"), model="m")

    def choice(kind: str) -> ProviderChoice:
        return ProviderChoice(kind=kind, provider="vendor", settings=settings, digest="d")  # type: ignore[arg-type]

    tool = WebhookTool(
        type="webhook",
        name="find",
        description="Finds.",
        url="https://user:hunter2@app.example/x",
        secret=Secret("literal", "whsec_hidden"),
        headers={"Authorization": Secret("literal", "Bearer hidden")},
    )
    return AgentDefinition(
        name="front-desk", stt=choice("stt"), llm=choice("llm"), tts=choice("tts"), vad=choice("vad"), tools=(tool,)
    )


async def test_agents_are_listed_with_their_problems(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    answer = await (await client.get("/v1/agents")).json()
    assert answer["generation"] == 3
    assert [(entry["name"], entry["state"], entry["problems"]) for entry in answer["agents"]] == [
        ("front-desk", "serving", [])
    ]


async def test_an_agents_definition_shows_no_secret(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.definitions["front-desk"] = definition()
    client = await serve()
    text = await (await client.get("/v1/agents/front-desk")).text()
    shown = json.loads(text)["definition"]
    assert shown["llm"] == {"provider": "vendor", "api_key": "***", "model": "m"}
    assert shown["tools"][0]["url"] == "https://***@app.example/x"
    for hidden in ("sk-very-secret", "hunter2", "whsec_hidden", "Bearer hidden"):
        assert hidden not in text


async def test_the_status_hides_credentials_in_livekits_address(serve: Serve) -> None:
    answer = await (await (await serve()).get("/v1/status")).json()
    assert answer["livekit_url"] == "ws://***@127.0.0.1:7880"
    assert answer["readiness"] == {"ready": True, "reasons": []}


@pytest.mark.parametrize("path", ["/v1/agents/nobody", "/v1/sessions/none", "/v1/nothing"])
async def test_what_is_unknown_is_a_problem_404(serve: Serve, path: str) -> None:
    answer = await (await serve()).get(path)
    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert (await answer.json())["title"] == "Not Found"


async def test_a_wrong_method_says_which_are_right(serve: Serve) -> None:
    answer = await (await serve()).get("/v1/reload")
    assert (answer.status, answer.content_type, answer.headers["Allow"]) == (405, "application/problem+json", "POST")


async def test_workers_and_sessions_are_listed(serve: Serve) -> None:
    client = await serve()
    assert (await (await client.get("/v1/workers")).json())["workers"][0]["pid"] == 4711
    assert (await (await client.get("/v1/sessions")).json())["sessions"][0]["id"] == "s-1"
    assert (await (await client.get("/v1/sessions/s-1")).json())["caller"] == "ann"


async def test_a_reload_that_applies_answers_200(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.outcome = ReloadOutcome(applied=True, changed=True, generation=4, updated=("front-desk",))
    answer = await (await serve()).post("/v1/reload")
    assert answer.status == 200
    assert (await answer.json())["updated"] == ["front-desk"]


async def test_a_reload_with_a_broken_file_answers_422_and_every_problem(serve: Serve, daemon: FakeDaemon) -> None:
    daemon.outcome = ReloadOutcome(applied=False, changed=False, generation=3, problems=(PROBLEM,))
    answer = await (await serve()).post("/v1/reload")
    body = await answer.json()
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert body["detail"] == "1 error: the last good versions go on serving"
    assert [(entry["line"], entry["code"]) for entry in body["problems"]] == [(4, "unknown-key")]


async def test_drain_begins_at_once_and_says_how_many_calls_go_on(serve: Serve, daemon: FakeDaemon) -> None:
    answer = await (await serve()).post("/v1/drain")
    assert (answer.status, await answer.json()) == (202, {"draining": True, "sessions": 1})
    assert daemon.drained


async def test_a_call_is_told_what_to_do(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    asked: list[tuple[str, dict[str, object] | None, Act]] = [
        ("say", {"text": "Hello."}, SayText(text="Hello.")),
        (
            "say",
            {"text": "Now.", "priority": "high", "interruptible": False, "add_to_history": False},
            SayText(text="Now.", priority="high", interruptible=False, add_to_history=False),
        ),
        ("generate_reply", {"instructions": "Ask for the date."}, GenerateReply(instructions="Ask for the date.")),
        ("generate_reply", None, GenerateReply()),
        ("interrupt", None, InterruptSpeech()),
        ("interrupt", {"force": True}, InterruptSpeech(force=True)),
        ("commit_user_turn", None, CommitUserTurn()),
        ("clear_user_turn", None, ClearUserTurn()),
        ("mute", {"what": "ears"}, MuteCall(what="ears")),
        ("unmute", {"what": "voice"}, MuteCall(what="voice", muted=False)),
        ("variables", {"set": {"tier": "gold"}}, SetCallVariables(values={"tier": "gold"})),
        ("end", {"say": "Bye."}, EndSession(reason="ended_by_operator", goodbye="Bye.")),
        ("end", None, EndSession(reason="ended_by_operator")),
        ("handoff", {"agent": "front-desk"}, HandOff(agent="front-desk")),
        (
            "handoff",
            {"agent": "front-desk", "history": "last: 2", "say": "Bye.", "variables": {"a": 1}, "enter": "wait"},
            HandOff(agent="front-desk", history="last: 2", say="Bye.", variables={"a": 1}, enter="wait"),
        ),
        ("instructions", {"append": "More."}, UpdateInstructions(text="More.")),
        ("instructions", {"replace": "Else."}, UpdateInstructions(text="Else.", edit="replace")),
        ("tools", {"disable": ["book"]}, SetTools(disable=("book",))),
    ]
    for verb, body, _ in asked:
        assert (await client.post(f"/v1/sessions/s-1/{verb}", json=body or {})).status == 202
    assert daemon.controlled == [("s-1", act) for _, _, act in asked]
    assert (await client.post("/v1/sessions/none/end")).status == 404


async def test_a_speech_is_answered_with_its_name_followed_and_taken_back(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    answer = await client.post("/v1/sessions/s-1/say", json={"text": "Hello."})
    speech = (await answer.json())["speech"]
    assert (answer.status, speech["id"], speech["state"]) == (202, "speech-1", "queued")
    waited = await client.post("/v1/sessions/s-1/say?wait=true", json={"text": "Hello."})
    assert (waited.status, (await waited.json())["speech"]["state"]) == (200, "done")
    path = "/v1/sessions/s-1/speeches"
    assert [each["id"] for each in (await (await client.get(path)).json())["speeches"]] == ["speech-1", "speech-2"]
    assert (await (await client.get(f"{path}/speech-1")).json())["state"] == "queued"
    assert (await (await client.get(f"{path}/speech-1?wait=true")).json())["state"] == "done"
    assert (await client.delete(f"{path}/speech-1?force=true")).status == 202
    assert daemon.controlled[-1] == ("s-1", CancelSpeech(speech="speech-1", force=True))
    assert (await client.get(f"{path}/speech-9")).status == 404
    assert (await client.delete(f"{path}/speech-9")).status == 404
    assert (await client.get("/v1/sessions/none/speeches")).status == 404


@pytest.mark.parametrize(
    ("verb", "body", "detail"),
    [
        ("say", {"text": "Hi.", "priority": "urgent"}, "priority is one of low, normal, high"),
        ("say", {"text": "Hi.", "interruptible": 1}, "interruptible is true or false"),
        ("say?wait=yes", {"text": "Hi."}, "wait is true or false"),
        ("interrupt", {"forced": True}, "forced: not known here; interrupt takes force"),
        ("clear_user_turn", {"now": True}, "now: not known here; clear_user_turn takes nothing"),
    ],
)
async def test_what_cannot_be_done_says_what_can(
    serve: Serve, daemon: FakeDaemon, verb: str, body: dict[str, object], detail: str
) -> None:
    answer = await (await serve()).post(f"/v1/sessions/s-1/{verb}", json=body)
    assert (answer.status, (await answer.json())["detail"]) == (422, detail)
    assert not daemon.controlled


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "  "}, {"text": 5}, {"text": "x" * 4_001}])
async def test_there_must_be_something_to_say(serve: Serve, daemon: FakeDaemon, body: dict[str, object]) -> None:
    assert (await (await serve()).post("/v1/sessions/s-1/say", json=body)).status == 422
    assert not daemon.controlled


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('{"text": "Hello."}', "text/plain", 415),
        ("text=Hello", "application/x-www-form-urlencoded", 415),
        ("{", "application/json", 400),
        ('["Hello."]', "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("x" * 300_000, "application/json", 413),
    ],
)
async def test_only_json_objects_of_bounded_size_are_taken(
    serve: Serve, daemon: FakeDaemon, body: str, content_type: str, status: int
) -> None:
    client = await serve()
    answer = await client.post("/v1/sessions/s-1/say", data=body, headers={"Content-Type": content_type})
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    assert not daemon.controlled


def test_a_document_is_plain_json() -> None:
    assert document({"a": (1, None, True, 2.5), "p": Path("x")}) == {"a": [1, None, True, 2.5], "p": "x"}


async def test_a_journal_is_told_whole_to_those_with_the_token_and_to_nobody_where_there_is_none(
    serve: Serve, daemon: FakeDaemon, tmp_path: Path
) -> None:
    journal = Journal.create(journal_path(tmp_path, "s-77"))
    journal.append("turn.user", {"turn": 1, "text": "My card is at ws://user:pass@host."})
    journal.close()
    daemon.state = tmp_path
    guarded = await serve(AdminSettings(addr="127.0.0.1:0", token="correct"))
    headers = {"Authorization": "Bearer correct"}
    assert (await guarded.get("/v1/sessions/s-77/journal")).status == 401
    told = await (await guarded.get("/v1/sessions/s-77/journal", headers=headers)).json()
    assert told["session"] == "s-77"
    assert [record["kind"] for record in told["records"]] == ["turn.user"]
    assert told["records"][0]["data"]["turn"] == 1
    missing = await guarded.get("/v1/sessions/s-78/journal", headers=headers)
    assert (missing.status, (await missing.json())["near"]) == (404, ["s-77"])
    for outside in ("..%2Fs-77", "%2e%2e"):
        assert (await guarded.get(f"/v1/sessions/{outside}/journal", headers=headers)).status == 404
    open_to_all = await serve()
    refused = await open_to_all.get("/v1/sessions/s-77/journal")
    assert refused.status == 403
    assert "admin token" in (await refused.json())["detail"]


async def test_an_upgrade_is_begun_or_refused_with_the_reason(serve: Serve, daemon: FakeDaemon) -> None:
    client = await serve()
    answer = await client.post("/v1/upgrade")
    assert answer.status == 202
    assert (await answer.json()).keys() == {"sessions", "version", "instance"}
    daemon.upgrade_refused = "it is draining"
    answer = await client.post("/v1/upgrade")
    assert (answer.status, (await answer.json())["detail"]) == (409, "it is draining")
