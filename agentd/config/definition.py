"""An agent, as its file says it: the immutable value that the rest of agentd works with.

These dataclasses are the one source of every field's parsing, default, schema, documentation and
reload class. Defaults equal livekit-agents 1.8.9's, so that its users get the same feel of turns.
A field marked `planned` is read and checked but has no effect yet; using it is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agentd.config.hooks import Hook
from agentd.config.patterns import REFERENCE_PATTERN, TOOL_NAME_PATTERN
from agentd.providers.fields import Duration, IncludedFile, JsonObject, Secret, setting
from agentd.registry import Kind

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
LANGUAGE_PATTERN = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
URL_PATTERN = r"^https?://"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChoice:
    """A provider of one kind with its parsed settings (the plugin's dataclass), and what to try when it fails.

    `digest` is equal for equal settings: a worker shares one provider among all that have the same.
    """

    kind: Kind
    provider: str
    settings: Any
    digest: str
    fallback: tuple[ProviderChoice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the agent says first. One of `say` and `generate`."""

    say: str | None = setting("Text that is spoken as it is; a Jinja2 template over the variables.", default=None)
    generate: str | None = setting("An instruction from which the model makes the greeting.", default=None)
    interruptible: bool = setting("Whether the caller may cut the greeting.", default=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointingRule:
    """After the agent asked for something, other delays hold."""

    when_agent: str = setting(
        "What the agent's last words ask for: number, phone, date, time, name, email, address, spelling, or a regular "
        "expression that is found in them.",
        min_length=1,
        interpolate=False,
    )
    min_delay: Duration | None = setting("Silence that ends such a turn.", default=None, minimum=0, maximum=60)
    digits: int | None = setting(
        "Digits of the number: until they are heard max_delay holds, then the turn's own min_delay.",
        default=None,
        minimum=1,
        maximum=40,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """How long to wait in silence before the caller's turn counts as ended."""

    mode: Literal["fixed", "dynamic"] = setting(
        "fixed, or dynamic: adapted to the caller's pauses within their turns.", default="fixed"
    )
    min_delay: Duration = setting(
        "Silence that ends a turn. With a turn_detector the default is 300ms.",
        default=Duration(0.5),
        minimum=0,
        maximum=30,
    )
    max_delay: Duration = setting(
        "The longest wait, when the words or a turn detector say that more will come. With a turn_detector the default "
        "is 2500ms.",
        default=Duration(3.0),
        minimum=0,
        maximum=60,
    )
    transcript: bool = setting(
        'Wait up to max_delay where the words are unfinished ("my number is", "and", digits missing).', default=True
    )
    rules: tuple[EndpointingRule, ...] = setting(
        "Delays that depend on what the agent asked for; the first that fits holds.", default=()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionProfile:
    """Overrides of `interruption` for one state of the agent."""

    enabled: bool | None = setting("Whether speech interrupts in this state.", default=None)
    min_duration: Duration | None = setting("Speech needed to interrupt in this state.", default=None, minimum=0)
    min_words: int | None = setting("Words needed to interrupt in this state.", default=None, minimum=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionProfiles:
    thinking: InterruptionProfile | None = setting("While the reply is being made.", default=None)
    speaking: InterruptionProfile | None = setting("While the agent speaks.", default=None)
    tool: InterruptionProfile | None = setting("While a tool runs, whatever is being said meanwhile.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """What of the caller's speech stops the agent's."""

    enabled: bool = setting("Whether the caller can interrupt at all.", default=True)
    detection: Literal["auto", "words", "duration", "detector"] = setting(
        "What confirms an interruption: words that are recognised; duration (min_duration of speech, or words before); "
        "detector (an interruption_detector's opinion of the sound, or words before); auto takes an "
        "interruption_detector if there is one, else words.",
        default="auto",
    )
    min_duration: Duration = setting(
        "Speech that interrupts without words, under `detection: duration`, and without `resume_false`.",
        default=Duration(0.5),
        minimum=0,
        maximum=10,
    )
    min_words: int = setting("Recognised words needed to interrupt; 0 needs none.", default=0, minimum=0, maximum=50)
    resume_false: bool = setting(
        "Go on with the sentence when what interrupted it turns out to be no speech.", default=True
    )
    false_timeout: Duration = setting(
        "Time without words after which an interruption was a false one.", default=Duration(2.0), minimum=0, maximum=30
    )
    acknowledgements: tuple[str, ...] | None = setting(
        "Phrases that are heard but do not interrupt: uh-huh, right. Compared without case and punctuation. The "
        "language's own by default (en, de, fr, es); [] for none.",
        default=None,
    )
    phrases: tuple[str, ...] | None = setting(
        "Phrases that interrupt at once when the caller begins with them, whatever min_words says: stop, wait. The "
        "language's own by default (en, de, fr, es); [] for none.",
        default=None,
    )
    backchannel_boundary: Duration = setting(
        "An acknowledgement this close to the end of what the agent says is the caller's answer.",
        default=Duration(1.0),
        minimum=0,
        maximum=10,
    )
    uninterruptible: Literal["discard", "keep"] = setting(
        "What becomes of speech while the agent cannot be interrupted: ignored, or a turn afterwards.",
        default="discard",
    )
    echo_warmup: Duration = setting(
        "After the agent's first sound in a call only words silence it, until the caller's echo canceller has adapted.",
        default=Duration(3.0),
        minimum=0,
        maximum=30,
    )
    while_: InterruptionProfiles | None = setting(
        "Overrides while thinking, speaking or running a tool.", default=None, key="while"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preemptive:
    """Making the reply before the turn has surely ended; nothing of it is heard, and no tool runs, before it has."""

    llm: bool = setting("Ask the model as soon as the caller's words are known.", default=True)
    tts: bool = setting("Make the sound of it early too.", default=False)
    max_speech: Duration = setting("Not for utterances longer than this.", default=Duration(10.0), minimum=0)
    max_retries: int = setting(
        "Early starts in one turn; what the caller goes on from is thrown away.", default=3, minimum=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxSpeech:
    """When a caller talks on and on."""

    after: Duration = setting("How long a turn may last.", minimum=1, maximum=3600)
    say: str | None = setting(
        "Said then, over the caller, who keeps the turn; without it the agent answers what it has heard so far.",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WakePhrase:
    """Nothing is a turn until this was heard."""

    phrases: tuple[str, ...] = setting("Any of these wakes the agent.", min_length=1)
    awake: Duration = setting(
        "How long it stays awake after the last turn or reply.", default=Duration(30.0), minimum=1, maximum=3600
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose turn it is."""

    detection: Literal["auto", "model", "vad", "stt", "realtime", "manual"] = setting(
        "What decides that the caller is done: vad (silence and words), model (a turn_detector besides), stt (the "
        "recogniser's own end of turn), realtime (the realtime model's), manual (a button); auto takes a turn_detector "
        "if there is one, else vad.",
        default="auto",
    )
    endpointing: Endpointing = setting("When a turn ends.", default_factory=Endpointing)
    interruption: Interruption = setting("When the agent stops.", default_factory=Interruption)
    preemptive: Preemptive = setting("Making the reply early.", default_factory=Preemptive)
    max_speech: MaxSpeech | None = setting("A limit for the caller's monologues.", default=None)
    wake_phrase: WakePhrase | None = setting("What the caller must say first.", default=None)


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
    concurrency: int | None = setting("Calls of this agent at once; more are refused.", default=None, minimum=1)
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
    )
    on_end: Literal["delete_room", "leave"] = setting(
        "When the agent ends the call: delete the room, or leave it.", default="delete_room"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler:
    """What to say while a tool takes its time."""

    after: Duration = setting("Wait before the filler.", default=Duration(1.2), minimum=0)
    say: tuple[str, ...] = setting("One of these is spoken, in turn.", min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTool:
    type: Literal["python"] = setting("A Python callable, run in a tool process.")
    ref: str = setting(
        "module:function under a root that tools_allow permits.",
        pattern=REFERENCE_PATTERN,
        interpolate=False,
    )
    name: str | None = setting(
        "The model's name for it; the function's own by default.", default=None, pattern=TOOL_NAME_PATTERN
    )
    description: str | None = setting("Instead of the docstring's.", default=None)
    timeout: Duration = setting("Then the tool's process is killed.", default=Duration(8.0), minimum=0.1, maximum=120)
    while_waiting: Filler | None = setting("What to say meanwhile.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTool:
    type: Literal["webhook"] = setting("An HTTP endpoint in any language; see docs/webhooks.md.")
    name: str = setting("The model's name for it.", pattern=TOOL_NAME_PATTERN)
    description: str = setting("What it does, for the model.", min_length=1)
    url: str = setting(
        "Where to send it. {name} in the path or the query is replaced by that argument; the host is never templated.",
        pattern=URL_PATTERN,
    )
    method: Literal["POST", "GET", "PUT", "PATCH", "DELETE"] = setting("The HTTP method.", default="POST")
    args_in: Literal["body", "query", "path"] = setting(
        "Where the arguments go that the url does not name: into the body, the query, or (path) nowhere, as the url "
        "names them all.",
        default="body",
    )
    args_at_root: bool = setting(
        "Send the bare arguments as the body, for an endpoint that exists already.", default=False
    )
    envelope: Literal["agentd", "vapi"] = setting(
        "The body's format: agentd's, or Vapi's tool-calls message and its results.", default="agentd"
    )
    response_filter: str | None = setting(
        "A JMESPath expression: what of a JSON answer the model reads.", default=None, interpolate=False
    )
    assign: Mapping[str, str] = setting(
        "Variables to set from a JSON answer: name to JMESPath expression.", default_factory=dict, interpolate=False
    )
    parameters: JsonObject = setting(
        "JSON Schema of the arguments.",
        default_factory=lambda: {"type": "object", "properties": {}},
        interpolate=False,
    )
    secret: Secret | None = setting("Signing secret: whsec_ and base64 of 24 to 64 bytes.", default=None)
    headers: Mapping[str, Secret] = setting("Headers to add; they never override the contract's.", default_factory=dict)
    timeout: Duration = setting("In all, retries included.", default=Duration(8.0), minimum=1, maximum=120)
    idempotent: bool = setting("Whether a call may be repeated after a lost answer.", default=False)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)
    on_error: Literal["message", "hide", "passthrough"] = setting(
        "What the model is told of an error: its detail, nothing, or the whole body.", default="message"
    )
    cancel_on_interrupt: bool = setting("Abort the request when the caller interrupts.", default=False)
    while_waiting: Filler | None = setting("What to say meanwhile.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpTool:
    type: Literal["mcp"] = setting("The tools of an MCP server.")
    name: str = setting("The server's name here.", pattern=TOOL_NAME_PATTERN)
    url: str | None = setting("Streamable HTTP address.", default=None, pattern=URL_PATTERN)
    command: tuple[str, ...] = setting("Program and arguments of a stdio server.", default=())
    env: Mapping[str, Secret] = setting(
        "Variables of a stdio server; beside them it sees PATH, HOME, USER and SHELL only.", default_factory=dict
    )
    headers: Mapping[str, Secret] = setting("Headers of every request.", default_factory=dict)
    allow_http: bool = setting("Allow http:// to a host that is not loopback.", default=False)
    allow: tuple[str, ...] = setting("Tools that the model may see; all by default.", default=())
    prefix: str | None = setting(
        "Stands before the server's own names of its tools; the name and _ by default.",
        default=None,
        pattern=r"^[a-zA-Z0-9_-]{0,40}$",
    )
    pins: Mapping[str, str] = setting(
        "Digests of the tools that were approved, as `agentd mcp` prints them: a tool of another digest, or of none, "
        "is kept from the model.",
        default_factory=dict,
    )
    timeout: Duration = setting("Of a call, a reconnection included.", default=Duration(8.0), minimum=1, maximum=120)
    required: bool = setting(
        "Whether the agent cannot be loaded while the server is away; otherwise its tools come when it does.",
        default=True,
    )
    while_waiting: Filler | None = setting("What to say meanwhile.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    type: Literal["client"] = setting("A method of the caller's front end, called by RPC.")
    name: str = setting("The RPC method.", pattern=TOOL_NAME_PATTERN, planned=True)
    description: str = setting("What it does, for the model.", default="")
    parameters: JsonObject = setting(
        "JSON Schema of the arguments.",
        default_factory=lambda: {"type": "object", "properties": {}},
        interpolate=False,
    )
    timeout: Duration = setting("Wait for the answer.", default=Duration(8.0), minimum=0.1, maximum=120)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinTool:
    type: Literal["builtin"] = setting("A tool of agentd's own.")
    name: Literal["end_call", "set_language"] = setting(
        "Which one. end_call says goodbye and ends the call; set_language changes to another of the agent's languages."
    )
    description: str | None = setting("Instead of its own description.", default=None)


ToolDefinition = PythonTool | WebhookTool | McpTool | ClientTool | BuiltinTool


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    agent: str = setting("The agent to hand over to.")
    when: str = setting("When to, for the model.")
    history: str = setting("full, last: N, summary or none.", default="full")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSink:
    url: str = setting("Where to POST events.", pattern=URL_PATTERN)
    secret: Secret | None = setting("Signing secret.", default=None)
    types: tuple[str, ...] = setting("Event types, with * as wildcard.", default=("*",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    transcript: bool = setting("Keep the transcript.", default=True, planned=True)
    audio: bool = setting("Keep the sound.", default=False, planned=True)
    redact: tuple[str, ...] = setting("What to blank out.", default=(), planned=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    percent: float = setting("Share of new calls.", minimum=0, maximum=100)
    of: str = setting("The agent whose calls are shared.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageOverride:
    """What changes when the conversation is in this language. What is not named stays the agent's."""

    stt: ProviderChoice | None = setting(
        "Speech recognition: another provider, or only the settings that differ.", default=None
    )
    tts: ProviderChoice | None = setting(
        "Speech synthesis: another provider, or only the settings that differ.", default=None
    )
    greeting: Greeting | None = setting("Instead of the agent's.", default=None)
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
    tool code included; a comment does not change it) are set by `agentd.config.build`.
    """

    version: Literal[1] = setting("Version of this format.", default=1)
    extends: str | None = setting(
        "A part (a file that begins with _) whose keys hold where this file says nothing else.",
        default=None,
        interpolate=False,
    )
    name: str = setting("The LiveKit agent_name; the file's stem by default.", pattern=NAME_PATTERN)
    description: str = setting("For people.", default="")
    language: str = setting("BCP 47 tag of the conversation.", default="en", pattern=LANGUAGE_PATTERN)
    instructions: str = setting(
        "The system prompt; a Jinja2 template over the variables.", default="", interpolate=False
    )
    instructions_file: IncludedFile | None = setting("The same from a file in the agents' directory.", default=None)
    variables: Mapping[str, Any] = setting("Values for templates and tools.", default_factory=dict)
    greeting: Greeting | None = setting("What the agent says first; without it the caller begins.", default=None)

    stt: ProviderChoice | None = setting("Speech recognition; needed without `realtime`.", default=None)
    llm: ProviderChoice | None = setting("Language model; needed without `realtime`.", default=None)
    tts: ProviderChoice | None = setting(
        "Speech synthesis; needed without `realtime`. Beside it the model writes what this one speaks.", default=None
    )
    realtime: ProviderChoice | None = setting(
        "A model that listens and speaks by itself, instead of `stt`, `llm` and `tts`.", default=None
    )
    vad: ProviderChoice = setting("Voice activity detection.")
    turn_detector: ProviderChoice | None = setting(
        "A model that tells whether the caller has finished; used by `turn.detection` model and auto.", default=None
    )
    interruption_detector: ProviderChoice | None = setting(
        "What tells from the sound whether the caller interrupts; used by `turn.interruption.detection` detector and "
        "auto.",
        default=None,
    )

    turn: Turn = setting("Turn-taking.", default_factory=Turn)
    languages: Mapping[str, LanguageOverride] = setting(
        "Further languages, by BCP 47 tag, and what changes with them.", default_factory=dict
    )
    language_detection: LanguageDetection = setting(
        "When the conversation changes its language.", default_factory=LanguageDetection
    )
    language_id: ProviderChoice | None = setting(
        "What tells a text's language; asked only where there are `languages`.", default=None
    )
    limits: Limits = setting("Bounds of a call.", default_factory=Limits)
    context: Context = setting("Long conversations.", default_factory=Context)
    room: RoomOptions = setting("How the agent behaves in a room.", default_factory=RoomOptions)
    tools: tuple[ToolDefinition, ...] = setting("What the model may call.", default=())
    hooks: tuple[Hook, ...] = setting("What to do when something happens in a call.", default=())
    handoffs: tuple[Handoff, ...] = setting("Agents to hand over to.", default=(), planned=True)
    events: tuple[EventSink, ...] = setting("Who is told of what happens.", default=(), planned=True)
    recording: Recording | None = setting("What is kept of a call.", default=None, planned=True)
    reload: Literal["next_session", "live"] = setting(
        "When an edit applies: to the next call, or to running ones at a turn's boundary (planned).",
        default="next_session",
    )
    rollout: Rollout | None = setting("Canary of another agent.", default=None, planned=True)
    metadata: JsonObject = setting("Free; shown by `agentd get agents`.", default_factory=dict)

    source: str = field(default="", compare=False)
    places: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)  # by setting, file:line
    digest: str = ""

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
