"""Data that an agent collects from the caller, as its file says it: tasks, and the fields of each.

What a caller's words mean for each type is in `agentd.session.reading`; how a
task runs in `agentd.session.task_machine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.config.builtins import CollectDigitsTool
from agentd.config.hooks import HandoffAction, ToolAction
from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.providers.fields import Duration, JsonObject, setting

FIELD_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
RETRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOptions:
    """What all fields have in common, whatever their type."""

    name: str = setting(
        "Its name in the result, and the variable that holds the value.",
        pattern=FIELD_NAME_PATTERN,
        interpolate=False,
    )
    label: str | None = setting('What it is called when it is read back, like "phone number".', default=None)
    ask: str | None = setting(
        "The question; a Jinja2 template over the variables. Each type has one of its own.", default=None
    )
    retry: str | None = setting("What is said instead of the question when it is asked again.", default=None)
    confirm: Literal["never", "when_unsure", "always"] = setting(
        "Whether the caller is asked if it is right: when_unsure, where the words could mean something else too.",
        default="when_unsure",
    )
    optional: bool = setting("Whether the caller may leave it out.", default=False)
    retries: int = setting("How often it is asked again.", default=RETRIES, minimum=0, maximum=20)
    then: Literal["stop", "skip", "end_call", "tool", "handoff"] = setting(
        "What happens after the last retry: the task ends without it, the field is left out, the call ends, a tool is "
        "called and the task ends, or another agent goes on with the call.",
        default="stop",
    )
    tool: ToolAction | None = setting("The tool of `then: tool`.", default=None)
    handoff: HandoffAction | None = setting("The agent of `then: handoff`, and what it is told.", default=None)
    say: str | None = setting("The last words of `then: end_call`.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameField(FieldOptions):
    """A person's name, also spelled."""

    type: Literal["name"] = setting("What it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailField(FieldOptions):
    """An e-mail address, said or spelled."""

    type: Literal["email"] = setting("What it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneField(FieldOptions):
    """A telephone number. With a country code the value is +, the code and the number."""

    type: Literal["phone"] = setting("What it is.")
    country_code: str | None = setting(
        'Of numbers that are said without one, like "44".', default=None, pattern=r"^[1-9][0-9]{0,2}$"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressField(FieldOptions):
    """A postal address, in one text."""

    type: Literal["address"] = setting("What it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DateField(FieldOptions):
    """A day: the value is YYYY-MM-DD."""

    type: Literal["date"] = setting("What it is.")
    when: Literal["any", "past", "future"] = setting(
        "Where it must lie; today is both. It also tells which year is meant when none is said.", default="any"
    )
    timezone: str | None = setting(
        'In which it is today, like "Europe/London"; the daemon\'s own by default.', default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeField(FieldOptions):
    """A time of day: the value is HH:MM."""

    type: Literal["time"] = setting("What it is.")
    half: Literal["ask", "morning", "afternoon"] = setting(
        'Which half of the day "seven" is in; ask: a question that is confirmed.', default="ask"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberField(FieldOptions):
    """A number."""

    type: Literal["number"] = setting("What it is.")
    integer: bool = setting("Whole numbers only.", default=True)
    minimum: float | None = setting("The least.", default=None)
    maximum: float | None = setting("The greatest.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardNumberField(FieldOptions):
    """A payment card's number, checked by its last digit. The whole of it goes to the task's tool only: variables,
    history, events, captions and the journal have the last four digits."""

    type: Literal["card_number"] = setting("What it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitsField(FieldOptions):
    """Digits as they are, like a customer number; said, or pressed on a telephone."""

    type: Literal["digits"] = setting("What it is.")
    length: int | None = setting("How many, exactly.", default=None, minimum=1, maximum=64)
    min_length: int = setting("How many at the least.", default=1, minimum=1, maximum=64)
    max_length: int = setting("How many at the most.", default=32, minimum=1, maximum=64)


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNoField(FieldOptions):
    """Yes or no: the value is true or false."""

    type: Literal["yes_no"] = setting("What it is.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceField(FieldOptions):
    """One of some options."""

    type: Literal["choice"] = setting("What it is.")
    options: Mapping[str, tuple[str, ...]] = setting(
        "The values, and by each what callers say for it beside the value itself."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomField(FieldOptions):
    """Anything that a pattern or a JSON Schema can tell."""

    type: Literal["custom"] = setting("What it is.")
    pattern: str | None = setting(
        "A regular expression that the whole value fits; tried with the words as they are, and with spelled letters "
        "and digits put together.",
        default=None,
        interpolate=False,
    )
    schema: JsonObject | None = setting("A JSON Schema of the value: of text, or of a number.", default=None)


FieldDefinition = (
    NameField
    | EmailField
    | PhoneField
    | AddressField
    | DateField
    | TimeField
    | NumberField
    | CardNumberField
    | DigitsField
    | YesNoField
    | ChoiceField
    | CustomField
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Digits that are pressed on a telephone."""

    terminator: Literal["#", "*", "none"] = setting("The key that ends them.", default="#")
    between: Duration = setting("Silence after a key that ends them too.", default=Duration(3.0), minimum=0.3)
    only: bool = setting("Whether nothing that is said is taken for an answer.", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDone:
    """What happens when everything is collected, in this order."""

    tool: ToolAction | None = setting(
        "A tool to call. Without `arguments` it gets every field by its name; text in `arguments` is a template over "
        "the variables.",
        default=None,
    )
    say: str | None = setting(
        "What is said; a Jinja2 template over the variables. Without it the model speaks.", default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Data that belong together, collected in order."""

    name: str = setting("Its name, in hooks and events.", pattern=TOOL_NAME_PATTERN, interpolate=False)
    description: str = setting(
        "When the model is to begin it, by the tool collect_NAME; without it the model cannot.", default=""
    )
    at_start: bool = setting("Begin with the call, after the greeting.", default=False)
    fields: tuple[FieldDefinition, ...] = setting("What to ask for.", min_length=1)
    understanding: Literal["auto", "rules", "model"] = setting(
        "Who reads the caller's words: agentd's rules, the model, or the rules first and the model where they do not "
        "understand. In each case the rules check the value.",
        default="auto",
    )
    instructions: str = setting(
        "For the model while it runs; a Jinja2 template over the variables.", default="", interpolate=False
    )
    tools: tuple[str, ...] = setting("Tools of the agent that the model keeps while it runs.", default=())
    read_back: bool = setting("Whether everything is read back at the end, to be confirmed or changed.", default=False)
    silence: Duration | None = setting(
        "How long an answer is waited for before the question is asked again; `limits.idle_prompt` is not said "
        "meanwhile.",
        default=None,
        minimum=1,
    )
    keys: Keys = setting("Keys of a telephone.", default_factory=Keys)
    done: TaskDone = setting("When it is complete.", default_factory=TaskDone)

    @property
    def tool_name(self) -> str:
        """What the model begins it by."""
        return f"collect_{self.name}"

    def field(self, name: str) -> FieldDefinition:
        """Raises KeyError."""
        return next((each for each in self.fields if each.name == name), None) or _missing(name)


def _missing(name: str) -> FieldDefinition:
    raise KeyError(name)


DIGITS_TASK = "digits"
"""The name of the task that the builtin `collect_digits` begins, and of its variable."""


def digits_task(tool: CollectDigitsTool) -> Task:
    """What the builtin `collect_digits` collects."""
    field = DigitsField(
        type="digits",
        name=tool.variable,
        ask=tool.prompt,
        length=tool.length,
        max_length=tool.max_length,
        confirm="never",
        retries=tool.retries,
    )
    return Task(
        name=DIGITS_TASK,
        fields=(field,),
        understanding="rules",
        silence=tool.timeout,
        keys=Keys(terminator=tool.terminator, between=tool.between, only=not tool.speech),
    )
