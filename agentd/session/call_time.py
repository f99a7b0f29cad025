"""What a session does because time goes by: it asks a quiet caller, warns of the end, says goodbye."""

from __future__ import annotations

import time

from agentd.aio import now
from agentd.session.controls import GOODBYE_S
from agentd.session.conversation import Conversation
from agentd.session.phrases import phrase
from agentd.session.plan import Plan, goodbye
from agentd.session.quiet import Due, QuietCaller
from agentd.session.speech import HIGH
from agentd.session.speeches import Speeches


class CallTime:
    """One session's clock. Owned by the session's task."""

    def __init__(self, conversation: Conversation, speeches: Speeches) -> None:
        restored = conversation.setup.restored
        earlier_s = max(0.0, time.time() - conversation.started_at) if restored else 0.0
        began = now() - earlier_s  # an earlier incarnation's time counts
        self._conversation = conversation
        self._speeches = speeches
        self._quiet = QuietCaller(
            conversation.definition.limits, began, now(), warned=restored is not None and restored.warned
        )
        self._end_by: tuple[float, str] | None = None  # when the call ends without its goodbye, and why

    def follow_agent(self) -> None:
        """Another agent has the call: its limits hold, and count from the beginning of the call."""
        self._quiet.limits = self._conversation.definition.limits

    @property
    def last_heard(self) -> float:
        """When either side was, idle prompts left out."""
        return self._quiet.last_heard

    @property
    def last_sound(self) -> float:
        """When either side was heard last, or began or ended to say something."""
        return self._quiet.last_sound

    # What is heard.

    def speaks(self, *, speaking: bool) -> None:
        """The caller begins or ends to make sound."""
        before = self._quiet.state
        self._quiet.speaks(now(), speaking=speaking)
        self._tell(before, "speech")

    def spoke(self) -> None:
        """The caller said or typed words."""
        before = self._quiet.state
        self._quiet.spoke(now())
        self._tell(before, "words")

    def touched(self, *, prompt: bool = False) -> None:
        """The agent begins or ends to say something, or the caller came; `prompt`: it was an idle prompt."""
        self._quiet.touched(now(), prompt=prompt)

    def wait(self, seconds: float) -> None:
        """The caller wants a moment: until they speak, their silence counts from when it is over."""
        self._conversation.record("decision", rule="asked_to_wait", action="Wait", value=f"{seconds:g} s")
        self._quiet.wait(now() + seconds)

    # What is due.

    def deadline(self, *, silent: bool) -> float | None:
        times = (self._quiet.deadline(silent=silent), self._end_by[0] if self._end_by else None)
        return min((at for at in times if at is not None), default=None)

    def pass_by(self, *, silent: bool) -> str | None:
        """Does one thing that is due; the reason for which the call is to end at once, if it is."""
        if self._end_by is not None and now() >= self._end_by[0]:
            return self._end_by[1]
        before = self._quiet.state
        due = self._quiet.due(now(), silent=silent)
        if due is not None:
            self._do(due, before)
        return None

    def say_goodbye(self, text: str, reason: str) -> None:
        """The call ends for this reason after these words, or after `GOODBYE_S`."""
        self._speeches.add(goodbye(text, reason))
        self._end_by = self._end_by or (now() + GOODBYE_S, reason)

    def _do(self, due: Due, before: str) -> None:
        conversation, limits = self._conversation, self._conversation.definition.limits
        if due.what == "away":
            self._tell(before, due.rule, due.value)
            return
        conversation.record("decision", rule=due.rule, action=_ACTIONS[due.what], value=due.value)
        language = conversation.language
        match due.what:
            case "prompt" if limits.idle_prompt is not None:
                self._speeches.add(Plan(purpose="idle", text=conversation.idle_text(limits.idle_prompt)))
            case "warn":
                text = conversation.render(limits.warning) if limits.warning else phrase("warning_time", language)
                self._speeches.add(Plan(purpose="warning", text=text, priority=HIGH))
            case "give_up":
                self.say_goodbye(phrase("goodbye_idle", language), "idle")
            case "time_up":
                self.say_goodbye(phrase("goodbye_time", language), "max_duration")

    def _tell(self, before: str, rule: str, value: str = "") -> None:
        state = self._quiet.state
        if state != before:
            self._conversation.record("user.state", state=state, before=before, rule=rule, value=value)


_ACTIONS = {"prompt": "IdlePrompt", "warn": "WarnOfEnd", "give_up": "GiveUp", "time_up": "TimeUp"}
