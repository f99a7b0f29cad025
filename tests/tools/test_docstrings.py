"""Docstrings in the three styles that people write."""

import pytest

from agentd.tools.docstrings import parse

GOOGLE = """Find a slot.

    Looks at all doctors
    of the clinic.

    Args:
        day (str, optional): The day,
            as a date: 2030-01-31.
        doctor: Who.
        **options: Anything.

    Returns:
        Text: not a parameter.
    """
NUMPY = """Find a slot.

    Looks at all doctors
    of the clinic.

    Parameters
    ----------
    day : str, optional
        The day,
        as a date: 2030-01-31.
    doctor : str
        Who.
    **options
        Anything.

    Returns
    -------
    Text
        Not a parameter.
    """
REST = """Find a slot.

    Looks at all doctors
    of the clinic.

    :param str day: The day,
        as a date: 2030-01-31.
    :param doctor: Who.
    :type doctor: str
    :param options: Anything.
    :returns: Not a parameter.
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, REST], ids=["google", "numpy", "rest"])
def test_the_three_styles_say_the_same(text: str) -> None:
    found = parse(text)
    assert found.description == "Find a slot.\n\nLooks at all doctors of the clinic."
    assert found.parameters == {"day": "The day, as a date: 2030-01-31.", "doctor": "Who.", "options": "Anything."}


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (None, ""),
        ("", ""),
        ("One line: with a colon.", "One line: with a colon."),
        ("Args are not a section here.\n\nArgs without colon", "Args are not a section here.\n\nArgs without colon"),
        ("First.\n\nRaises:\n    ValueError: never shown.", "First."),
        ("First.\n\nExample:\n    >>> f(1)", "First."),
    ],
)
def test_all_else_is_description(text: str | None, description: str) -> None:
    assert parse(text).description == description
    assert parse(text).parameters == {}
