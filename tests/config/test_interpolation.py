from __future__ import annotations

from pathlib import Path

import pytest

from agentd.providers.fields import Secret, SecretMissing
from agentd.providers.interpolation import InterpolationError, VariableUnset, expand, sole_variable

ENVIRONMENT = {"A": "alpha", "EMPTY": "", "_U1": "under"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("${A}", "alpha"),
        ("x${A}y${A}z", "xalphayalphaz"),
        ("${_U1}", "under"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${GONE:-default}", "default"),
        ("${GONE-default}", "default"),
        ("${GONE:-}", ""),
        ("${GONE:-a:b-c?d}", "a:b-c?d"),
        ("${GONE:-${A}}", "alpha"),
        ("${GONE:-${GONE2:-deep}}!", "deep!"),
        ("${A:?message}", "alpha"),
        ("${EMPTY?message}", ""),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$alpha"),
        ("costs $5, $", "costs $5, $"),
        ("$A stays", "$A stays"),
        ("{A} }", "{A} }"),
    ],
)
def test_text_expands(text: str, expanded: str) -> None:
    assert expand(text, ENVIRONMENT) == expanded


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${GONE}", "the environment variable GONE is not set"),
        ("${EMPTY:?}", "the environment variable EMPTY is empty"),
        ("${GONE:?ask ${A}}", "the environment variable GONE is not set: ask alpha"),
        ("${GONE?no}", "the environment variable GONE is not set: no"),
        ("${GONE:-${GONE2}}", "the environment variable GONE2 is not set"),
    ],
)
def test_an_unset_variable_is_named(text: str, message: str) -> None:
    with pytest.raises(VariableUnset) as caught:
        expand(text, ENVIRONMENT)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${1}", "${A:+x}", "${A!}", "${A }", "${GONE:-${A}", "${" * 5000])
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(InterpolationError):
        expand(text, ENVIRONMENT)


def test_a_value_is_not_expanded_again() -> None:
    assert expand("${X}", {"X": "${A}", "A": "a"}) == "${A}"


def test_deep_nesting_is_refused_rather_than_overflowing() -> None:
    text = "x"
    for _ in range(20):
        text = f"${{GONE:-{text}}}"
    with pytest.raises(InterpolationError, match="nested"):
        expand(text, {})


@pytest.mark.parametrize(
    ("text", "variable"), [("${A}", "A"), ("${A:?m}", "A"), ("${A:-d}", None), ("x${A}", None), ("${A}${A}", None)]
)
def test_a_sole_variable_is_told_from_a_template(text: str, variable: str | None) -> None:
    assert sole_variable(text) == variable


def test_a_template_secret_reveals_and_names_what_is_missing(tmp_path: Path) -> None:
    secret = Secret("template", "Bearer ${KEY:?}")
    assert secret.reveal({"KEY": "k"}) == "Bearer k"
    (tmp_path / "key").write_text("from-file\n")
    assert secret.reveal({"KEY_FILE": str(tmp_path / "key")}) == "Bearer from-file"
    with pytest.raises(SecretMissing, match="KEY is not set"):
        secret.reveal({})
