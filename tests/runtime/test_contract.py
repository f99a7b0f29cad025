"""The published examples of events and of the question before a call are what is sent, and their signatures hold.

`AGENTD_UPDATE_CONTRACT=1 pytest tests/runtime/test_contract.py` writes them: read the diff.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks

from agentd.runtime.admission import reading, request_body
from agentd.runtime.event_feed import bounded, data_of
from agentd.session.sample_call import BEGAN_AT, sample_events
from agentd.tools import signing
from agentd.tools.http import Answer
from agentd.transport.protocol import Job
from tests.documents import ROOT
from tests.runtime.parts import definition

CONTRACT = ROOT / "docs" / "contract" / "v1"
SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
ANSWER = {
    "accept": True,
    "variables": {"name": "Zoë", "plan": "gold"},
    "instructions_append": "Zoë has been a customer for ten years.",
    "agent": "front-desk-gold",
}


def bodies() -> dict[str, bytes]:
    fold, events = sample_events("front-desk", "3f6a1c", {"clinic": "Hill Street"})
    made = {event.type: bounded(event.type, event.at, data_of(fold, event, transcript=True)) for event in events}
    job = Job(
        id="AJ_1",
        agent_name="front-desk",
        room_name="room-1",
        room_sid="RM_1",
        dispatch_id="AD_1",
        metadata='{"from":"+15550100"}',
        attributes={"tenant": "clinic-7"},
    )
    asking = replace(definition("front-desk"), digest="3f6a1c")
    return {**made, "session.request": request_body(asking, job, BEGAN_AT - 1)}


def published(name: str, value: Any) -> Any:
    """What the file says; written first, where that is asked for."""
    path: Path = CONTRACT / name
    if os.environ.get("AGENTD_UPDATE_CONTRACT"):
        path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_published_events_are_what_is_sent() -> None:
    sent = {kind: json.loads(body) for kind, body in bodies().items()}
    question = sent.pop("session.request")
    assert published("events.json", list(sent.values())) == list(sent.values())
    assert published("session-request.json", question) == question


def test_the_published_answer_is_understood() -> None:
    answer = published("session-request-answer.json", ANSWER)
    said = reading(Answer(status=200, content_type="application/json", text=json.dumps(answer)))
    assert (said.outcome, said.variables, said.agent) == ("accepted", ANSWER["variables"], ANSWER["agent"])


def vectors() -> list[dict[str, Any]]:
    made = []
    for kind, prefix in (("session.ended", "ev_"), ("session.request", "sr_")):
        body, message_id, at = bodies()[kind], prefix + "01JHZQ7Q3C9V6N4M8B2K5T0XYZ", int(BEGAN_AT) + 20
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(at),
            "webhook-signature": signing.signature(signing.keys(SECRET), message_id, at, body),
        }
        made.append({"name": kind.replace(".", "-"), "secret": SECRET, "body": body.decode(), "headers": headers})
    return made


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: vector["name"])
def test_their_signatures_are_among_the_vectors_and_hold_for_the_reference_library(vector: dict[str, Any]) -> None:
    path = CONTRACT / "signatures.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    if os.environ.get("AGENTD_UPDATE_CONTRACT"):
        file["vectors"] = [*(each for each in file["vectors"] if each["name"] != vector["name"]), vector]
        path.write_text(json.dumps(file, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert vector in file["vectors"]
    at = datetime.fromtimestamp(int(vector["headers"]["webhook-timestamp"]), UTC)
    signature = standardwebhooks.Webhook(SECRET).sign(vector["headers"]["webhook-id"], at, vector["body"])
    assert signature == vector["headers"]["webhook-signature"]
