"""What the parts of one session share: its definition and providers, history and variables, and the record of it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from jinja2 import TemplateError

from agentd.aio import now
from agentd.config.definition import IdlePrompt, LanguageOverride
from agentd.config.turns import Turn
from agentd.errors import JournalError, ProviderError
from agentd.providers.realtime import RealtimeSettings
from agentd.providers.tts import TTSSettings
from agentd.session.adjustments import Adjustments
from agentd.session.boundary import plugin_code
from agentd.session.collecting import Collecting, NoTask
from agentd.session.echo import EchoWatch
from agentd.session.edges import ways_out
from agentd.session.events import NOT_TRANSCRIBED, THE_CALLER, CommitTurn, Voice
from agentd.session.happenings import Happenings
from agentd.session.history import History
from agentd.session.language import LanguageDecision, LanguageTracker, SwitchLanguage, evidence_of, match
from agentd.session.muting import Muting
from agentd.session.open_calls import OpenCalls
from agentd.session.people import People
from agentd.session.session_tools import SessionTools
from agentd.session.setup import Equipment, Providers, SessionSetup
from agentd.session.templating import filled
from agentd.session.tool_gates import Duplicates, Gates, RateLimits
from agentd.session.trail import Trail
from agentd.session.voice import WatchedVoice
from agentd.session.waiting import WaitingTurn, WaitingTurns
from agentd.tools.acts import Act, Adjustment, GiveUp, UpdateInstructions
from agentd.tools.spec import Caller, Event, ToolContext

log = logging.getLogger(__name__)

LANGUAGE_ATTRIBUTE = "language"
"""The participant attribute that names the language to begin in."""


def _nobody() -> None:
    """Nobody is told."""


def _unheard(act: Act) -> None:
    """Nobody carries out what tools ask for."""


def _undone(work: Coroutine[Any, Any, None]) -> None:
    """There is no session that could do it."""
    work.close()


def _silent() -> bool:
    """Nobody is there to speak."""
    return True


def _unseen(event: Event) -> None:
    """Nobody follows the events."""


class Conversation:
    """State of one session that replies, tools and turns work on. Owned by the session."""

    def __init__(self, setup: SessionSetup, started_at: float) -> None:
        self.setup = setup
        self.definition = setup.definition
        self.tools = SessionTools(setup.tools)
        self.calls = OpenCalls()
        self.gates = Gates((Duplicates(self.calls, lambda: self.turns), RateLimits(self.calls, setup.rates)))
        self.adjustments = setup.restored.adjustments if setup.restored else Adjustments()
        self.trail = Trail(setup.definition.name)
        self.first_hook = setup.restored.first_hook if setup.restored else 0  # those of earlier agents have lower ones
        self.collecting: Collecting = NoTask()
        self.busy = setup.busy
        self.people = People(setup.definition.room.participants != "linked", setup.definition.name)
        restored = setup.restored
        self.languages = LanguageTracker(
            setup.definition.declared_languages,
            setup.definition.language_detection,
            (restored.language if restored else "") or setup.definition.language,
        )
        self.muting = Muting(restored.muted if restored else frozenset())
        self.language_changed: Callable[[], None] = _nobody
        self.assigned: dict[str, Any] = {**setup.variables, **(restored.assigned if restored else {})}
        """Variables that are not an agent file's: they go with the call to whoever has it next."""
        self.variables: dict[str, Any] = {**setup.definition.variables, **setup.variables}
        if restored is not None:
            self.trail.restore(restored.agents)
            self.variables.update(restored.variables)
            self.people.restore(restored.labels)
            self.tools.change(restored.tools)
        self.instructions_append = str((setup.requested or {}).get("instructions_append", ""))
        if restored is not None and restored.instructions_append:
            self.instructions_append = restored.instructions_append
        self.history = History(restored.items, restored.ids) if restored else History()
        self.waiting = WaitingTurns(self.history)
        for turn in restored.unanswered if restored else ():
            self.waiting.add(turn)
        self.turns = restored.turns if restored else 0
        self.replies = restored.replies if restored else 0
        self.started_at = started_at
        self.echo = EchoWatch()
        self.voice = WatchedVoice(setup.room.audio_out, *(() if self.people.several else (self.echo,)))
        self.agent_silent: float | None = None  # when the agent was heard last, on the session's clock
        self.told_of_deafness = False  # the caller was told that no recogniser hears them, and none has since
        self._unwritten = 0  # records that the journal has not taken since the last that it took
        usage = dict(restored.usage) if restored else {}
        self._happenings = Happenings(setup.id, setup.definition.name, usage)
        self.follow: Callable[[Event], None] = _unseen
        self.act: Callable[[Act], object] = _unheard
        self.background: Callable[[Coroutine[Any, Any, None]], object] = _undone
        self.announce: Callable[[], None] = _nobody  # the result of a call has come for which no reply waits
        self.is_silent: Callable[[], bool] = _silent  # neither side speaks, or is about to
        self._fillers = random.Random(setup.id)

    def record(self, kind: str, /, **data: Any) -> None:
        """Journals what happened and tells the observer. A journal that cannot be written never stops a call; when it
        can be again, it says how much is missing."""
        self.setup.audit(kind, data)
        try:
            record = self.setup.journal.append(kind, data)
        except JournalError:
            if not self._unwritten:
                log.exception("journal_failed")
            self._unwritten += 1
            return
        self.setup.observe(record)
        for event in self._happenings.take(record):
            self.setup.publish(event)
            self.follow(event)
        if self._unwritten:
            missing, self._unwritten = self._unwritten, 0
            self.record("error", where="journal", message=f"{missing} records are missing before the one before this")

    def become(self, equipment: Equipment, *, edited: bool = False) -> None:
        """The conversation goes on as this agent. What is said and known stays, its own variables are beside it, and
        what was changed of the agent before is gone with that; but not where it is the same agent, `edited`."""
        definition, language = equipment.definition, self.language
        self.first_hook += len(self.definition.hooks)
        self.setup = replace(self.setup, definition=definition, providers=equipment.providers, tools=equipment.tools)
        tools = self.tools.renewed(equipment.tools) if edited else SessionTools(equipment.tools)
        self.definition, self.tools = definition, tools
        declared = definition.declared_languages
        language = match(language, declared) or definition.language
        self.languages = LanguageTracker(declared, definition.language_detection, language)
        self.variables = {**self.variables, **definition.variables, **self.assigned}
        self.adjustments = self.adjustments if edited else Adjustments()

    def adjust(self, act: Adjustment) -> None:
        """The agent is told otherwise, or has other tools, until the call is handed over."""
        if isinstance(act, UpdateInstructions):
            self.adjustments = self.adjustments.with_(act)
            self.record("agent.adjusted", edit=act.edit, text=act.text)
        elif isinstance(act, GiveUp):
            rule = "entered" if act.step > self.busy.step else "left"
            self.busy = act
            self._record_busy(rule)
        else:
            self.change_tools({**dict.fromkeys(act.disable), **dict.fromkeys(act.enable, True)})

    def _record_busy(self, rule: str) -> None:
        busy = self.busy
        model = self.setup.providers.llm[0].name if self.setup.llm_step is not None else ""
        self.record("busy", rule=rule, step=busy.step, load=round(busy.load, 3), early=busy.early, llm=model)

    def record_start(self) -> None:
        """The first record of this session, or of its next incarnation."""
        setup = self.setup
        if setup.restored is None:
            self.record(
                "session.started",
                agent=setup.definition.name,
                revision=setup.definition.revision,
                source=setup.definition.source,
                places=dict(setup.definition.places),
                room=setup.room_name,
                job_id=setup.job_id,
                metadata=setup.metadata,
                variables=dict(self.variables),
            )
            if setup.requested is not None:
                self.record("session.requested", **setup.requested)
            if setup.waited_s is not None:
                self.record("session.queued", waited_s=round(setup.waited_s, 3))
            if setup.busy.step:
                self._record_busy("began")
        else:
            gap_s = round(max(0.0, time.time() - setup.restored.last_record_at), 3)
            revision = self.definition.revision
            self.record("session.resumed", incarnation=setup.incarnation, gap_s=gap_s, revision=revision)

    @property
    def caller(self) -> Caller:
        """The linked participant, or one of those who are here."""
        return self.people.caller

    # The turns of the caller.

    def take_turn(self, turn: CommitTurn, language: str, **changed: str) -> int:
        """Puts a turn into the history, or where it waits for its answer; its number. `changed`: what a hook did."""
        people, number = self.people, self.next_turn()
        speaker = people.speaker(turn.voice)
        self.waiting.add(WaitingTurn(number=number, text=turn.text, speaker=speaker))
        if not people.take_turns:
            self.waiting.admit(number)
        self.record(
            "turn.user",
            turn=number,
            text=turn.text,
            rule=turn.rule,
            value=turn.value,
            delay_s=round(now() - turn.ended_at, 4),
            source=turn.source,
            language=language,
            revision=self.definition.revision,
            **self.whose(turn.voice),
            **changed,
        )
        return number

    def whose(self, voice: Voice) -> dict[str, Any]:
        """The fields of a turn's records that tell who said it."""
        people, speaker = self.people, self.people.speaker(voice)
        return {
            "speaker": people.identity(voice),
            **({"label": speaker.label, "other_voice": speaker.other_voice} if speaker else {}),
            **({"waits": True} if people.take_turns else {}),
        }

    # The language.

    @property
    def language(self) -> str:
        return self.languages.current

    @property
    def providers(self) -> Providers:
        """Those of the present language."""
        return self.setup.providers.in_language(self.language)

    @property
    def in_language(self) -> LanguageOverride:
        """What the agent file wants different in the present language."""
        return self.definition.in_language(self.language)

    @property
    def turn_settings(self) -> Turn:
        """Turn-taking, with the present language's phrases."""
        turn, phrases = self.definition.turn, self.in_language.acknowledgements
        if self.definition.room.participants == "push_to_talk":
            turn = replace(turn, detection="manual")
        return replace(turn, interruption=replace(turn.interruption, acknowledgements=phrases)) if phrases else turn

    @property
    def pronunciations(self) -> Mapping[str, str]:
        voice = self.in_language.tts or self.definition.tts
        return voice.settings.pronunciations if voice and isinstance(voice.settings, TTSSettings) else {}

    @property
    def pace(self) -> float:
        """How much faster than usual the agent speaks, as far as the file tells."""
        voice = self.in_language.tts or self.definition.tts or self.definition.realtime
        own = voice.settings.pace if voice and isinstance(voice.settings, TTSSettings | RealtimeSettings) else 1.0
        return own * self.definition.room.transcription_speed_factor

    def hear_language(self, turn: CommitTurn) -> str:
        """The language of this turn, which may change the conversation's."""
        if len(self.languages.declared) == 1 or turn.text == NOT_TRANSCRIBED:
            return turn.language or self.language
        try:
            with plugin_code("language_id"):
                evidence = evidence_of(turn.text, turn.language, self.languages, self.setup.providers.language_id)
        except ProviderError as error:
            self.record("error", where="language_id", message=error.message)
            return self.language
        if evidence is None:
            return self.language
        decision = self.languages.hear(evidence)
        self._decided(decision)
        return decision.language if isinstance(decision, SwitchLanguage) else decision.heard or self.language

    def meet(self, caller: Caller) -> None:
        """A caller may say beforehand which language they speak: a front end knows its user's."""
        language = caller.attributes.get(LANGUAGE_ATTRIBUTE, "")
        if self.setup.restored is None and match(language, self.languages.declared):
            self.choose_language(
                language, "caller_attribute", f"participant.attributes.{LANGUAGE_ATTRIBUTE}={language}"
            )

    def idle_text(self, prompt: IdlePrompt) -> str:
        return self.render(self.in_language.idle_prompt or prompt.say)

    def choose_language(self, language: str, rule: str, value: str = "") -> None:
        """Somebody names it. Raises KeyError for one that the agent does not declare."""
        self._decided(self.languages.choose(language, rule, value))

    def _decided(self, decision: LanguageDecision) -> None:
        if isinstance(decision, SwitchLanguage):
            self.record(
                "language",
                language=decision.language,
                before=decision.before,
                rule=decision.rule,
                value=decision.value,
            )
            self.language_changed()
        elif decision.rule == "not_enough":
            self.record("decision", rule=decision.rule, action="KeepLanguage", value=decision.value)

    def set_variables(self, values: Mapping[str, Any]) -> None:
        if values:
            self.variables.update(values)
            self.assigned.update(values)
            self.record("variables", values=dict(values))

    def change_tools(self, changes: Mapping[str, Any]) -> None:
        """See `ChangeTools`: the model knows of it when it is asked next."""
        if done := self.tools.change(changes):
            self.record("tools.changed", changes=done)

    def render(self, template: str, **more: Any) -> str:
        """A text of the agent file over the session's variables, and `more`; as it stands when one is missing."""
        filled = self.filled(template, more)
        return template if filled is None else filled

    def filled(self, template: str, more: Mapping[str, Any]) -> str | None:
        """The same; None when one is missing."""
        try:
            return filled(template, {**self.variables, **more})
        except TemplateError as error:
            self.record("error", where="template", message=str(error))
            return None

    def refusal(self, tool: str) -> str | None:
        """Why the model may not call it now; None when it may."""
        if tool not in self.ways_out():
            return None
        agent = next(each.agent for each in self.definition.handoffs if each.tool_name == tool)
        if not self.ways_out()[tool]:
            return f"The call cannot be handed over to {agent} now."
        why_not = self.trail.objection(agent, self.definition.limits.max_handoffs)
        return f"The call cannot be handed over to {agent}: {why_not.why}. Go on yourself." if why_not else None

    def ways_out(self) -> Mapping[str, bool]:
        """The tools that hand the call over, and whether each may be called as things stand."""
        return ways_out(self.definition.handoffs, self.variables)

    def tool_context(self, say: Any, voice: Voice = THE_CALLER) -> ToolContext:
        """`voice`: whose turn led to the call."""
        return ToolContext(
            session_id=self.setup.id,
            agent=self.definition.name,
            revision=self.definition.revision,
            room=self.setup.room_name,
            job_id=self.setup.job_id,
            started_at=datetime.fromtimestamp(self.started_at, UTC).isoformat(timespec="seconds"),
            language=self.language,
            caller=self.people.participant(voice),
            present=self.people.all_here,
            variables=dict(self.variables),
            say=say,
            act=self.act,
            history=self.history.context,
            front_end=self.setup.room.front_end,
        )

    def fillers(self, tool: str) -> Iterator[str]:
        """What to say while this tool runs, without end: in turn, from anywhere."""
        filler = self.tools.options(tool).while_waiting
        texts = self.in_language.fillers or (filler.say if filler else ())
        first = self._fillers.randrange(len(texts)) if texts else 0
        return cycle((*texts[first:], *texts[:first]))

    def next_turn(self) -> int:
        self.turns += 1
        return self.turns

    def next_reply(self) -> int:
        self.replies += 1
        return self.replies
