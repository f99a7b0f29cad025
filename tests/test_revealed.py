"""Secrets that a process has read are in nothing that it logs, and in no error of a provider or a tool."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from agentd import logs, revealed
from agentd.errors import ProviderUnavailable
from agentd.providers.fields import Secret
from agentd.providers.llm import ToolCall
from agentd.revealed import without_secrets
from agentd.tools import replies

VALUE = "sk-0123456789"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revealed, "_known", set())
    monkeypatch.setattr(revealed, "_pattern", None)


@pytest.mark.parametrize("how", ["env", "env file", "file", "template", "template file"])
def test_whatever_is_read_is_taken_out_from_then_on(how: str, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(VALUE + "\n")
    secret, environment = {
        "env": (Secret("env", "KEY"), {"KEY": VALUE}),
        "env file": (Secret("env", "KEY"), {"KEY_FILE": str(file)}),
        "file": (Secret("file", str(file)), {}),
        "template": (Secret("template", "Bearer ${KEY}"), {"KEY": VALUE}),
        "template file": (Secret("template", "Bearer ${KEY}"), {"KEY_FILE": str(file)}),
    }[how]
    assert without_secrets(f"not with {VALUE}") == f"not with {VALUE}"
    assert secret.reveal(environment).endswith(VALUE)
    assert without_secrets(f"not with Bearer {VALUE}") == "not with Bearer ***"


def test_words_of_a_file_and_short_values_stay() -> None:
    Secret("literal", "application/json").reveal()
    Secret("env", "KEY").reveal({"KEY": "secret"})
    assert without_secrets("a secret as application/json") == "a secret as application/json"


def test_the_longer_of_two_secrets_is_taken_out_whole() -> None:
    for value in (VALUE, VALUE + "-and-more"):
        revealed.remember(value)
    assert without_secrets(f"{VALUE}-and-more {VALUE}") == "*** ***"


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_no_line_of_the_log_holds_one(formatter: logging.Formatter) -> None:
    revealed.remember(VALUE)
    try:
        raise ValueError(f"not with {VALUE}")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    extra = {"header": f"Bearer {VALUE}"}
    record = logging.getLogger("t").makeRecord("t", logging.ERROR, "f", 1, f"had {VALUE}", (), info, extra=extra)
    line = formatter.format(record)
    assert VALUE not in line
    assert line.count("***") >= 3


def test_errors_of_providers_and_tools_hold_none() -> None:
    revealed.remember(VALUE)
    error = ProviderUnavailable("openai", f"Incorrect API key provided: {VALUE}")
    assert (error.message, str(error)) == ("Incorrect API key provided: ***", "openai: Incorrect API key provided: ***")
    outcome = replies.failure(ToolCall(id="c", name="look", arguments="{}"), json.dumps({"detail": f"not {VALUE}"}))
    assert VALUE not in str(outcome)
