"""What the parts of one session share: its definition and providers, history and variables, and the record of it."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agentd.errors import JournalError
from agentd.providers.llm import ChatRequest, Message, ToolChoice
from agentd.providers.tts import TTSSettings
from agentd.session.context import fitted
from agentd.session.echo import EchoWatch
from agentd.session.history import History
from agentd.session.setup import SessionSetup
from agentd.session.voice import WatchedVoice
from agentd.tools.spec import Caller, ToolContext

log = logging.getLogger(__name__)

_templates = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


class Conversation:
    """State of one session that replies, tools and turns work on. Owned by the session."""

    def __init__(self, setup: SessionSetup, started_at: float) -> None:
        self.setup = setup
        self.definition = setup.definition
        self.providers = setup.providers
        self.tools = setup.tools
        self.language = setup.definition.language
        self.caller = Caller()
        restored = setup.restored
        self.variables: dict[str, Any] = {**setup.definition.variables, **setup.variables}
        if restored is not None:
            self.variables.update(restored.variables)
        self.history = History(restored.items, restored.ids) if restored else History()
        self.turns = restored.turns if restored else 0
        self.replies = restored.replies if restored else 0
        self.started_at = started_at
        self.echo = EchoWatch()
        self.voice = WatchedVoice(setup.room.audio_out, self.echo)
        self.agent_silent: float | None = None  # when the agent was heard last, on the session's clock
        tts = setup.definition.tts.settings
        self.pronunciations = tts.pronunciations if isinstance(tts, TTSSettings) else {}
        self._journal_ok = True
        self._fillers = random.Random(setup.id)

    def record(self, kind: str, /, **data: Any) -> None:
        """Journals what happened and tells the observer. A journal that cannot be written never stops a call."""
        try:
            record = self.setup.journal.append(kind, data)
        except JournalError:
            if self._journal_ok:
                self._journal_ok = False
                log.exception("journal_failed")
            return
        self.setup.observe(record)

    def set_variables(self, values: Mapping[str, Any]) -> None:
        if values:
            self.variables.update(values)
            self.record("variables", values=dict(values))

    def render(self, template: str) -> str:
        """A text of the agent file over the session's variables; as it stands when a variable is missing."""
        try:
            return _templates.from_string(template).render(self.variables)
        except TemplateError as error:
            self.record("error", where="template", message=str(error))
            return template

    def request(
        self, *, instruction: str | None = None, tool_choice: ToolChoice = "auto", next_turn: str | None = None
    ) -> ChatRequest:
        """What the model is asked now. `instruction`: one more for this answer only. `next_turn`: as if the caller's
        turn had ended with this text."""
        prompt = self.render(self.definition.prompt)
        head = (Message(role="system", text=prompt),) if prompt else ()
        tail = (Message(role="system", text=self.render(instruction)),) if instruction else ()
        following = (Message(role="user", text=next_turn),) if next_turn is not None else ()
        return ChatRequest(
            items=(*head, *fitted(self.history, following, self.definition.limits.history_tokens, self.record), *tail),
            tools=self.tools.schemas,
            tool_choice=tool_choice,
            session_id=self.setup.id,
            language=self.language,
            variables=dict(self.variables),
        )

    def tool_context(self, say: Any) -> ToolContext:
        return ToolContext(
            session_id=self.setup.id,
            agent=self.definition.name,
            revision=self.definition.digest,
            room=self.setup.room_name,
            job_id=self.setup.job_id,
            started_at=datetime.fromtimestamp(self.started_at, UTC).isoformat(timespec="seconds"),
            language=self.language,
            caller=self.caller,
            variables=dict(self.variables),
            say=say,
        )

    def filler(self, tool: str) -> tuple[float, str] | None:
        """When to speak while this tool runs, in seconds, and what; None for a tool without filler."""
        filler = self.tools.filler(tool)
        return (filler.after, self._fillers.choice(filler.say)) if filler else None

    def next_turn(self) -> int:
        self.turns += 1
        return self.turns

    def next_reply(self) -> int:
        self.replies += 1
        return self.replies
