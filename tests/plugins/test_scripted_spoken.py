"""The keyless stack in one: a synthetic caller is recognised, the dialogue understands, the table is booked."""

from __future__ import annotations

import pytest

from tests.plugins.test_scripted_dialogue import tell
from tests.speech import utterance, with_silence

pytest.importorskip("ctranslate2")
pytest.importorskip("hibari")

LINES = (
    "Hello, I would like to book a table, please.",
    "For two people.",
    "What?",
    "Tomorrow.",
    "Half past seven.",
    "My name is Anna.",
    "No, make it three people.",
    "Yes, that is right.",
)


async def test_a_table_is_booked_by_voice() -> None:
    from agentd_local.config import WhisperSettings
    from agentd_local.whisper import create_stt

    stt = await create_stt(WhisperSettings())
    heard = [(await stt.recognize(with_silence(utterance(line), 0.4, 0.3), language="en-GB")).text for line in LINES]
    await stt.aclose()
    story = tell(*heard)
    assert story.booked is not None, heard
    assert [(b["people"], b["day"], b["time"]) for b in story.booked] == [(3, "tomorrow", "7:30")], heard
    assert story.booked[0]["name"] in ("Anna", "Ana", "Hannah"), heard
