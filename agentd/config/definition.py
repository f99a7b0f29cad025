"""An agent, as its file says it: the immutable value that the rest of agentd works with.

These dataclasses are the one source of every field's parsing, default, schema, documentation and
reload class. Defaults equal livekit-agents 1.8.9's, so that its users get the same feel of turns.
A field marked `planned` is read and checked but has no effect yet; using it is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.config.budget import Budget
from agentd.config.builtins import BuiltinDefinition
from agentd.config.busy import BusyStep
from agentd.config.events import EventSink, OnRequest
from agentd.config.handoffs import Handoff
from agentd.config.hooks import Hook
from agentd.config.provider_choice import ProviderChoice
from agentd.config.rollout import Rollout
from agentd.config.rpc import RpcMethod
from agentd.config.scenarios import AgentTests
from agentd.config.tasks import Task
from agentd.config.tools import ClientTool, McpTool, ProviderTool, PythonTool, WebhookTool
from agentd.config.turns import Turn
from agentd.providers.fields import Duration, IncludedFile, JsonObject, setting

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
LANGUAGE_PATTERN = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"

MIXED = "+"
"""Between two digests: of the revision that a call has taken while it went on, and of the one whose settings it keeps
where they hold from its beginning."""

ToolDefinition = PythonTool | WebhookTool | McpTool | ClientTool | ProviderTool | BuiltinDefinition


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the agent says first. One of `say` and `generate`."""

    say: str | None = setting("Text that is spoken as it is; a Jinja2 template over the variables.", default=None)
    generate: str | None = setting("An instruction from which the model makes the greeting.", default=None)
    interruptible: bool = setting("Whether the caller may cut the greeting.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdlePrompt:
    after: Duration = setting("Silence of both before the prompt.", default=Duration(12.0), minimum=1)
    say: str = setting("The prompt; a Jinja2 template over the variables.")
    times: int = setting("Prompts before `then`.", default=1, minimum=1)
    then: Literal["end_call", "wait"] = setting("What follows the last prompt.", default="wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    max_duration: Duration | None = setting("The longest call; then the agent ends it.", default=None, minimum=1)
    warn_before: Duration | None = setting(
        "How long before `max_duration` the agent says `warning`.", default=None, minimum=1
    )
    warning: str | None = setting(
        "What it says then; a Jinja2 template over the variables. A sentence of agentd's own by default.", default=None
    )
    idle_prompt: IdlePrompt | None = setting("What to say to a caller who says nothing.", default=None)
    end_after_silence: Duration | None = setting(
        "Silence of both after which the agent says goodbye; idle prompts do not break it.", default=None, minimum=1
    )
    away_after: Duration | None = setting(
        "Silence of both after which the caller counts as away; null never.", default=Duration(15.0), minimum=1
    )
    max_tool_steps: int = setting("Rounds of tool calls in one reply.", default=3, minimum=0, maximum=50)
    max_handoffs: int = setting("Handoffs of one call; more are refused.", default=20, minimum=0, maximum=1000)
    concurrency: int | None = setting(
        "Calls of this agent at once; more are refused.", default=None, minimum=1, reload="live"
    )
    budget: Budget | None = setting("What the agent and its callers may use in a day.", default=None, reload="live")
    history_tokens: int | None = setting(
        "Budget of what was said and done, as the model sees it; the oldest is left out beyond it. Instructions and "
        "tool schemas come on top. Without it nothing is left out.",
        default=None,
        minimum=256,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What becomes of the oldest part of a long conversation."""

    summarize: bool = setting(
        "Have a model summarise it in the background before it must be left out; needs limits.history_tokens.",
        default=False,
    )
    at: float = setting("Share of limits.history_tokens from which.", default=0.7, minimum=0.1, maximum=0.95)
    keep_turns: int = setting("The caller's last turns, which stay word for word.", default=4, minimum=1, maximum=100)
    instruction: str | None = setting(
        "What the model is asked, instead of agentd's own; {words} becomes the longest length.",
        default=None,
        interpolate=False,
    )
    llm: ProviderChoice | None = setting("The model that is asked; the agent's by default.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions:
    participant_kinds: tuple[Literal["standard", "sip", "connector"], ...] = setting(
        "Kinds of participant that the agent talks with.", default=("standard", "sip", "connector"), min_length=1
    )
    participants: Literal["linked", "everyone", "push_to_talk"] = setting(
        "Whom the agent talks with: linked (the first who joins, and nobody else), everyone (up to 8 people at once, "
        "each turn with its speaker's name), or push_to_talk (whoever takes the floor by start_turn, until they give "
        "it back, leave, or have had it for 120 s).",
        default="linked",
    )
    text_input: bool = setting("Take chat messages as turns.", default=True)
    video: bool = setting("Take video.", default=False, planned=True)
    transcription_speed_factor: float = setting(
        "Corrects the estimate of how fast the voice speaks, by which captions and what counts as heard follow a "
        "sentence that is still being made, where the synthesiser tells no times of words.",
        default=1.0,
        minimum=0.25,
        maximum=4.0,
        reload="next_turn",
    )
    on_end: Literal["delete_room", "leave"] = setting(
        "When the agent ends the call: delete the room, or leave it.", default="delete_room", reload="next_turn"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    transcript: bool = setting("Keep the transcript.", default=True, planned=True)
    audio: bool = setting("Keep the sound.", default=False, planned=True)
    redact: tuple[str, ...] = setting("What to blank out.", default=(), planned=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageOverride:
    """What changes when the conversation is in this language. What is not named stays the agent's."""

    stt: ProviderChoice | None = setting(
        "Speech recognition: another provider, or only the settings that differ.", default=None
    )
    tts: ProviderChoice | None = setting(
        "Speech synthesis: another provider, or only the settings that differ.", default=None
    )
    greeting: Greeting | None = setting("Instead of the agent's.", default=None, reload="next_session")
    instructions: str | None = setting("Added to the agent's.", default=None, interpolate=False)
    fillers: tuple[str, ...] = setting(
        "One of these is spoken instead of a tool's own `while_waiting.say`.", default=()
    )
    idle_prompt: str | None = setting("Instead of `limits.idle_prompt.say`.", default=None)
    acknowledgements: tuple[str, ...] = setting("Instead of `turn.interruption.acknowledgements`.", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageDetection:
    """When the conversation changes its language, among the agent's `language` and the keys of `languages`."""

    by: Literal["auto", "recognizer", "text", "none"] = setting(
        "What tells a turn's language: recognizer (what speech recognition says it heard), text (its words), auto (the "
        "recogniser where it knows, else the words), or none: then only the tool set_language changes it.",
        default="auto",
    )
    min_words: int = setting("Words of one turn that are enough by themselves.", default=4, minimum=1, maximum=50)
    margin: float = setting(
        "How much likelier than the next language one turn must be to be enough by itself; 1 is certain.",
        default=0.3,
        minimum=0,
        maximum=1,
    )
    agreeing: int = setting("Turns in a row in the same language that are enough.", default=2, minimum=1, maximum=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDefinition:
    """One agent. `stt`, `llm`, `tts`, `realtime` and `vad` are parsed by the settings class of the plugin they name.

    `source` ("agents.d/front-desk.yaml", or with "#2") and `digest` (of everything resolved, prompts and
    tool code included; a comment does not change it) are set by `agentd.config.build`, and so are `code` (by root
    package, the digest of each of its files) and `files` (all texts that it was made of, in the agents' directory).
    `root`: where its tool code is, if that is not the agents' directory as it is now.
    """

    version: Literal[1] = setting("Version of this format.", default=1, reload="next_session")
    extends: str | None = setting(
        "A part (a file that begins with _) whose keys hold where this file says nothing else.",
        default=None,
        interpolate=False,
        reload="next_session",
    )
    name: str = setting(
        "The LiveKit agent_name; the file's stem by default.", pattern=NAME_PATTERN, reload="next_session"
    )
    description: str = setting("For people.", default="", reload="live")
    language: str = setting(
        "BCP 47 tag of the conversation.", default="en", pattern=LANGUAGE_PATTERN, reload="next_session"
    )
    instructions: str = setting(
        "The system prompt; a Jinja2 template over the variables.",
        default="",
        interpolate=False,
        reload="next_turn",
    )
    instructions_file: IncludedFile | None = setting(
        "The same from a file in the agents' directory.", default=None, reload="next_turn"
    )
    variables: Mapping[str, Any] = setting("Values for templates and tools.", default_factory=dict, reload="next_turn")
    greeting: Greeting | None = setting(
        "What the agent says first; without it the caller begins.", default=None, reload="next_session"
    )

    stt: ProviderChoice | None = setting(
        "Speech recognition; needed without `realtime`.", default=None, reload="next_turn"
    )
    llm: ProviderChoice | None = setting("Language model; needed without `realtime`.", default=None, reload="next_turn")
    tts: ProviderChoice | None = setting(
        "Speech synthesis; needed without `realtime`. Beside it the model writes what this one speaks.",
        default=None,
        reload="next_turn",
    )
    realtime: ProviderChoice | None = setting(
        "A model that listens and speaks by itself, instead of `stt`, `llm` and `tts`.",
        default=None,
        reload="next_session",
    )
    vad: ProviderChoice = setting("Voice activity detection.", reload="next_session")
    turn_detector: ProviderChoice | None = setting(
        "A model that tells whether the caller has finished; used by `turn.detection` model and auto.",
        default=None,
        reload="next_turn",
    )
    interruption_detector: ProviderChoice | None = setting(
        "What tells from the sound whether the caller interrupts; used by `turn.interruption.detection` detector and "
        "auto.",
        default=None,
        reload="next_turn",
    )

    turn: Turn = setting("Turn-taking.", default_factory=Turn, reload="next_turn")
    languages: Mapping[str, LanguageOverride] = setting(
        "Further languages, by BCP 47 tag, and what changes with them.",
        default_factory=dict,
        reload="next_turn",
    )
    language_detection: LanguageDetection = setting(
        "When the conversation changes its language.",
        default_factory=LanguageDetection,
        reload="next_turn",
    )
    language_id: ProviderChoice | None = setting(
        "What tells a text's language; asked only where there are `languages`.",
        default=None,
        reload="next_turn",
    )
    limits: Limits = setting("Bounds of a call.", default_factory=Limits, reload="next_turn")
    context: Context = setting("Long conversations.", default_factory=Context, reload="next_turn")
    room: RoomOptions = setting("How the agent behaves in a room.", default_factory=RoomOptions, reload="next_session")
    tools: tuple[ToolDefinition, ...] = setting("What the model may call.", default=(), reload="next_turn")
    tool_choice: str = setting(
        "What the model does first in each answer to the caller: auto (as it likes), required (calls some tool), none "
        "(calls none), or the name of a tool that it calls. After that it is as auto.",
        default="auto",
        min_length=1,
        reload="next_turn",
    )
    rpc: tuple[RpcMethod, ...] = setting("What front ends may call.", default=(), reload="next_session")
    tasks: tuple[Task, ...] = setting("Data to collect from the caller.", default=(), reload="next_session")
    hooks: tuple[Hook, ...] = setting("What to do when something happens in a call.", default=(), reload="next_turn")
    handoffs: tuple[Handoff, ...] = setting(
        "Agents to hand the call over to, and when.", default=(), reload="next_turn"
    )
    events: tuple[EventSink, ...] = setting(
        "Who is told of what happens, by webhook.", default=(), reload="next_session"
    )
    on_request: OnRequest | None = setting("Who is asked before a call is taken.", default=None, reload="next_session")
    recording: Recording | None = setting("What is kept of a call.", default=None, planned=True, reload="next_session")
    reload: Literal["next_session", "live"] = setting(
        "When an edit applies: to the next call, or to running ones too, at a turn's boundary.",
        default="next_session",
        reload="live",
    )
    when_busy: tuple[BusyStep, ...] = setting(
        "What is given up when the agent or the daemon is nearly full, step by step, in the order of `load`. Without "
        "it calls are refused when there is no place.",
        default=(),
        reload="live",
    )
    rollout: Rollout | None = setting("Canary of another agent.", default=None, reload="live")
    tests: AgentTests | None = setting(
        "Text conversations by which `agentd test` tries the agent.", default=None, reload="live"
    )
    metadata: JsonObject = setting("Free; shown by `agentd get agents`.", default_factory=dict, reload="live")

    source: str = field(default="", compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # by setting, file:line
    digest: str = ""
    code: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False)
    files: tuple[str, ...] = field(default=(), compare=False, repr=False)
    root: str = field(default="", compare=False)

    @property
    def revision(self) -> str:
        """Of the file that it is, or (of a call that took an edit) that it is as far as it could be."""
        return self.digest.partition(MIXED)[0]

    @property
    def prompt(self) -> str:
        """The template of the instructions, wherever it was written."""
        return self.instructions_file.text if self.instructions_file else self.instructions

    @property
    def declared_languages(self) -> tuple[str, ...]:
        """The agent's own language first, then those it can change to."""
        return (self.language, *self.languages)

    def in_language(self, tag: str) -> LanguageOverride:
        """What is different in this language; of the agent's own nothing is."""
        return self.languages.get(tag, LanguageOverride())
