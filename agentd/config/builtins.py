"""agentd's own tools, as an agent file says them: one dataclass a tool, told apart by `name`.

What each does is in the file of its name in `agentd/tools/builtins/`, and `agentd.tools.builtins` knows them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentd.config.patterns import TOOL_NAME_PATTERN
from agentd.config.tools import BuiltinTool
from agentd.providers.fields import Duration, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCallTool(BuiltinTool):
    """Says goodbye and ends the call."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["end_call"] = setting("Which one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLanguageTool(BuiltinTool):
    """Changes to another of the agent's languages."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["set_language"] = setting("Which one.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Whom a caller can be put through to."""

    name: str = setting("The model's name for it.", pattern=TOOL_NAME_PATTERN)
    to: str | None = setting(
        "tel:+442071234567, sip:desk@example.com, or a number as the trunk takes it.", default=None, min_length=1
    )
    agent: str | None = setting(
        "Another agent instead of a telephone: the call is handed over to it, with its whole history.", default=None
    )
    when: str = setting("When to put a caller through to it, for the model.", min_length=1)
    mode: Literal["cold", "warm"] = setting(
        "cold: the caller's own telephone calls the number instead (SIP REFER). warm: the agent rings it, tells "
        "whoever answers what the call is about, and brings both together.",
        default="cold",
    )
    trunk: str = setting("LiveKit's name of the outbound trunk that rings, for warm.", default="")
    ring_for: Duration = setting("Then nobody has answered.", default=Duration(30.0), minimum=1, maximum=120)
    briefing: str = setting(
        "What whoever answers is told, for warm; a template over the variables and summary.",
        default="You have a call from our assistant. {{ summary }}",
        interpolate=False,
    )
    accept_key: str | None = setting(
        "The key that whoever answers presses to take the call, for warm; without it they get it after the briefing.",
        default=None,
        pattern=r"^[0-9*#]$",
    )
    accept_within: Duration = setting("Wait for that key.", default=Duration(20.0), minimum=1, maximum=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTool(BuiltinTool):
    """Puts the caller through to a telephone, or to another agent."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["transfer"] = setting("Which one.")
    destinations: tuple[Destination, ...] = setting("Where to.", min_length=1)
    say: str | None = setting(
        "Instead of agentd's words to the caller before it rings.", default=None, interpolate=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTool(BuiltinTool):
    """Lets a caller who asks for a moment be quiet."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["wait"] = setting("Which one.")
    longest: Duration = setting(
        "The longest that the model may wait.", default=Duration(120.0), minimum=5, maximum=1800
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveVoicemailTool(BuiltinTool):
    """Leaves a message where a machine has answered, and ends the call."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["leave_voicemail"] = setting("Which one.")
    message: str = setting("What to say; a template over the variables.", min_length=1, interpolate=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVariablesTool(BuiltinTool):
    """Lets the model write some of the variables."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["set_variables"] = setting("Which one.")
    variables: Mapping[str, str] = setting("Those that it may write: name to what belongs there.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberTool(BuiltinTool):
    """Keeps something about a caller for their next calls."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["remember"] = setting("Which one.")
    by: str = setting(
        "What tells callers apart: identity, or the name of a participant attribute such as sip.phoneNumber.",
        default="identity",
        min_length=1,
    )
    keep: Duration = setting("Then a note is forgotten.", default=Duration(90 * 86400.0), minimum=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallTool(BuiltinTool):
    """Tells the model what was kept about a caller."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["recall"] = setting("Which one.")
    by: str = setting("As in remember.", default="identity", min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectDigitsTool(BuiltinTool):
    """Asks the caller for digits, which they press on their telephone or say."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["collect_digits"] = setting("Which one.")
    prompt: str | None = setting("What is asked where the model gives no question of its own.", default=None)
    variable: str = setting("Where the digits are kept.", default="digits", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    length: int | None = setting("How many, exactly; the last one ends them.", default=None, minimum=1, maximum=64)
    max_length: int = setting("How many at the most; the last one ends them.", default=32, minimum=1, maximum=64)
    terminator: Literal["#", "*", "none"] = setting("The key that ends them.", default="#")
    timeout: Duration = setting(
        "How long the first is waited for before they are asked for again.", default=Duration(10.0), minimum=1
    )
    between: Duration = setting("Silence after a key that ends them too.", default=Duration(3.0), minimum=0.3)
    retries: int = setting("How often they are asked for again.", default=2, minimum=0, maximum=20)
    speech: bool = setting("Whether they may be said, too.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDtmfTool(BuiltinTool):
    """Presses keys, for a menu at the other end of the line."""

    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["send_dtmf"] = setting("Which one.")
    most_keys: int = setting("How many in one call of it.", default=32, minimum=1, maximum=64)


BuiltinDefinition = (
    EndCallTool
    | SetLanguageTool
    | TransferTool
    | WaitTool
    | LeaveVoicemailTool
    | SetVariablesTool
    | RememberTool
    | RecallTool
    | CollectDigitsTool
    | SendDtmfTool
)
