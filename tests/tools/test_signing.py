"""Signatures: the published vectors, the reference library, and secrets that are refused."""

import base64
import json
from datetime import UTC
from pathlib import Path

import pytest
import standardwebhooks

from agentd.tools import signing

CONTRACT = Path(__file__).parents[2] / "docs" / "contract" / "v1"
VECTORS = json.loads((CONTRACT / "signatures.json").read_text(encoding="utf-8"))["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_published_vectors_are_right(vector: dict[str, str]) -> None:
    headers = vector["headers"]
    assert isinstance(headers, dict)
    made = signing.signature(
        signing.keys(vector["secret"]),
        headers["webhook-id"],
        int(headers["webhook-timestamp"]),
        vector["body"].encode(),
    )
    assert made == headers["webhook-signature"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_reference_library_makes_the_same_signatures(vector: dict[str, str]) -> None:
    from datetime import datetime

    headers = vector["headers"]
    assert isinstance(headers, dict)
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    made = [
        standardwebhooks.Webhook(secret).sign(headers["webhook-id"], at, vector["body"])
        for secret in vector["secret"].split()
    ]
    assert " ".join(made) == headers["webhook-signature"]


def test_the_published_requests_are_whole() -> None:
    request = json.loads((CONTRACT / "tool-call.json").read_text(encoding="utf-8"))
    assert request["type"] == "tool.call"
    assert set(request["data"]) == {"call_id", "tool", "arguments", "agent", "session"}


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ("", "empty"),
        ("s3cret", "begins with whsec_"),
        ("whsec_!!!", "is base64"),
        ("whsec_" + base64.b64encode(bytes(16)).decode(), "24 to 64 bytes; this one has 16"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "this one has 65"),
    ],
)
def test_a_secret_of_another_form_is_refused_without_being_shown(secret: str, words: str) -> None:
    with pytest.raises(signing.SecretMalformed, match=words) as caught:
        signing.keys(secret)
    assert secret == "" or secret not in str(caught.value)


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [signing.new_id("tc_", at) for at in (1.0, 1_900_000_000.0, 1_900_000_001.0)]
    assert ids == sorted(ids)
    assert len({signing.new_id("tc_", 1.0) for _ in range(1000)}) == 1000
    assert all(len(each) == 29 and each.startswith("tc_0") for each in ids)
