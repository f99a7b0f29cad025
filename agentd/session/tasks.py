"""Tasks in a session: begun, taken from turn to turn, and concluded with a tool, words, and a record of what was given.

What a step means is `agentd.session.task_machine`'s. Everything but the call of the last tool happens at once, in the
session's own task; each step is journaled with the state after it, so that another incarnation goes on from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

from agentd.aio import now
from agentd.config.builtins import CollectDigitsTool
from agentd.config.definition import AgentDefinition
from agentd.config.hooks import HandoffAction
from agentd.config.tasks import DateField, Task, digits_task
from agentd.config.tools import ToolOptions
from agentd.providers.llm import ToolCall, ToolResult, ToolSchema
from agentd.session import task_machine, task_tools
from agentd.session.affirmation import affirmation
from agentd.session.conversation import Conversation
from agentd.session.events import NOT_TRANSCRIBED, CommitTurn
from agentd.session.inbox import InboxEvent, Speak
from agentd.session.keypad import Keypad
from agentd.session.masking import has_card_number, without_digits
from agentd.session.plan import Plan
from agentd.session.reading.lexicon import lexicon, or_english
from agentd.session.reading.read import keys_wanted
from agentd.session.room import KeyPressed
from agentd.session.task_machine import Step
from agentd.session.task_results import TaskResults
from agentd.session.task_state import Asking, TaskState, is_secret, shown
from agentd.tools.acts import BeginTask, EndSession, HandOff
from agentd.tools.spec import ToolContext, ToolOutcome


def tasks_of(definition: AgentDefinition) -> Mapping[str, Task]:
    """Those of the file, and what its tool `collect_digits` asks for."""
    own = {task.name: task for task in definition.tasks}
    digits = [digits_task(tool) for tool in definition.tools if isinstance(tool, CollectDigitsTool)]
    return {**own, **{task.name: task for task in digits}}


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a turn of the caller's: these words are said, or, where they are None, the model is asked; or
    nothing yet, as a tool is at work (`later`)."""

    text: str | None = None
    later: bool = False


THE_MODEL = Answer()
LATER = Answer(later=True)


class Tasks:
    """One session's. For its own task. `post` puts an event before it."""

    def __init__(self, conversation: Conversation, post: Callable[[InboxEvent], None]) -> None:
        self._conversation = conversation
        self._post = post
        self._keypad = Keypad()
        self._spoken: tuple[CommitTurn, str] | None = None  # a turn whose words are masked, and the words
        self._said_no = False
        restored = conversation.setup.restored
        self._results = TaskResults(conversation)
        self._runs = restored.tasks if restored else 0
        self._task: Task | None = None  # the one that runs, with its state
        self._state: TaskState | None = None
        if restored is not None and restored.task is not None:
            self._task = tasks_of(conversation.definition).get(restored.task["task"])
            self._state = TaskState.from_data(restored.task) if self._task else None
        conversation.collecting = self

    def start(self, background: asyncio.TaskGroup) -> None:
        """`background` owns the calls of tools."""
        self._results.start(background)

    @property
    def under_way(self) -> bool:
        return self._state is not None

    @property
    def reads_turns(self) -> bool:
        """Whether the next turn may be answered without the model."""
        return self._state is not None and (self._asking.task.understanding != "model" or self._has_secret)

    @property
    def _has_secret(self) -> bool:
        return self._task is not None and any(is_secret(self._task, each.name) for each in self._task.fields)

    @property
    def question(self) -> str:
        """What the caller is asked now; "" without a task."""
        return self._asking.question(self._state) if self._state is not None else ""

    @property
    def _model_hears(self) -> bool:
        """A realtime model has heard the caller themselves; rules would read what was written down of it."""
        return self._conversation.definition.realtime is not None

    @property
    def _asking(self) -> Asking:
        assert self._state is not None
        assert self._task is not None
        conversation, task = self._conversation, self._task
        if task.understanding == "auto" and (self._model_hears or lexicon(conversation.language) is None):
            task = replace(task, understanding="model")
        so_far = shown(task, self._state)
        return Asking(
            task=task,
            language=conversation.language,
            today=_today(task),
            render=lambda text: conversation.render(text, **so_far),
        )

    # Beginning.

    def begin_with_call(self) -> None:
        """The task that the file wants begun with the call, if it does."""
        for task in tasks_of(self._conversation.definition).values():
            if task.at_start:
                self.begin(BeginTask(task=task.name, by="start"))
                return

    def begin(self, act: BeginTask) -> None:
        """Asks the first question. One that runs already is replaced; one that there is not is an error on record."""
        task = tasks_of(self._conversation.definition).get(act.task)
        if task is None:
            self._conversation.record("error", where=f"task {act.task}", message="there is no such task")
            return
        self.abandon("replaced")
        self._runs += 1
        self._task, self._state = task, TaskState(task=task.name, run=self._runs)
        step = task_machine.begin(self._asking, self._runs, act.known, act.ask)
        self._state = step.state
        self._conversation.record(
            "task.started", task=task.name, run=self._runs, by=act.by, state=step.state.as_data(task)
        )
        if act.by != "tool":
            self._results.begun(task, step.state)
        self._speak(self._after(step))

    def abandon(self, rule: str) -> None:
        """The one that runs, if one does, ends as it is, and nothing is said of it."""
        if self._state is not None:
            self._end(replace(self._state, outcome="given_up"), rule)

    # What the caller does.

    def committed(self, turn: CommitTurn) -> CommitTurn:
        """The turn as it may be kept; what was said is remembered for `answer`."""
        masked = self.masked(turn.text)
        if masked == turn.text:
            self._spoken = None
            return turn
        kept = replace(turn, text=masked)
        self._spoken = (kept, turn.text)
        return kept

    def answer(self, turn: CommitTurn, text: str) -> Answer:
        """To a turn that is in the conversation now with this text."""
        if self._state is None:
            return THE_MODEL
        if self._spoken is not None and self._spoken[0] is turn and text == turn.text:
            text = self._spoken[1]
        self._spoken = None
        self._said_no = affirmation(text, self._conversation.language) == "no"
        asking = self._asking
        _, wanted = asking.stage(self._state)
        secret = wanted is not None and is_secret(asking.task, wanted.name)
        if asking.task.understanding == "model" and not secret:
            return THE_MODEL
        if turn.voice.other:  # somebody else, at their microphone, answers nothing
            return Answer(text=self.question) if asking.task.understanding == "rules" else THE_MODEL
        wordless = NOT_TRANSCRIBED in text
        step = task_machine.wait(asking, self._state) if wordless else task_machine.hear(asking, self._state, text)
        if not step.understood and asking.task.understanding != "rules":
            return THE_MODEL
        return self._taken(step)

    def press(self, event: KeyPressed) -> bool:
        """A key; whether a task waits for keys."""
        conversation = self._conversation
        hidden = self.hides
        conversation.record("dtmf.received", key="•" if hidden else event.key, identity=event.identity)
        if self._state is None:
            return False
        asking = self._asking
        stage, wanted = asking.stage(self._state)
        most = 1 if stage != "ask" or wanted is None else keys_wanted(wanted)
        keys = self._keypad.take(event.key, asking.task.keys, most, now())
        if keys is not None:
            self._pressed(keys)
        return True

    def _pressed(self, keys: str) -> None:
        if self._state is not None:
            self._speak(self._taken(task_machine.press(self._asking, self._state, keys)))

    # Time.

    def deadline(self, quiet_since: float, *, silent: bool) -> float | None:
        """`quiet_since`: when either side was heard last; `silent`: neither speaks."""
        if self._state is None:
            return None
        task = self._asking.task
        keys = self._keypad.deadline(task.keys)
        if keys is not None:
            return keys
        return quiet_since + task.silence if silent and task.silence is not None else None

    def pass_by(self, quiet_since: float, *, silent: bool) -> None:
        """Does what is due."""
        due = self.deadline(quiet_since, silent=silent)
        if due is None or now() < due or self._state is None:
            return
        if self._keypad.pressed:
            self._pressed(self._keypad.empty())
        else:
            self._speak(self._taken(task_machine.wait(self._asking, self._state)))

    # What the model does: agentd.session.collecting.Collecting, and agentd.session.tool_gates.Gate.

    @property
    def instructions(self) -> str:
        return task_tools.instructions(self._asking, self._state) if self._state is not None else ""

    def offered(self, tools: tuple[ToolSchema, ...]) -> tuple[ToolSchema, ...]:
        if self._state is None:
            return tools
        task = self._asking.task
        return (*task_tools.schemas(task), *(tool for tool in tools if tool.name in task.tools))

    def stop(self, call: ToolCall, options: ToolOptions, context: ToolContext) -> ToolOutcome | None:
        """Answers the task's own tools, and keeps the model from others that the task does not allow."""
        if self._state is None:
            return None
        asking = self._asking
        if call.name not in task_tools.NAMES:
            if call.name in asking.task.tools:
                return None
            return _outcome(
                call, f"{call.name} cannot be called before the task {asking.task.name} is over.", "refused"
            )
        step = task_tools.called(asking, self._state, call.name, call.arguments, said_no=self._said_no)
        if isinstance(step, str):
            return _outcome(call, step, "invalid_arguments")
        answer = self._taken(step)
        is_over = bool(step.state.outcome)
        if is_over and not answer.later:
            self._speak(answer)
        return replace(_outcome(call, task_tools.told(step), "ok"), reply=not is_over)

    def masked(self, text: str) -> str:
        if self._state is None:
            return text
        words = or_english(self._conversation.language)
        if self.hides or (self._has_secret and has_card_number(text, words)):
            return without_digits(text, words)
        return text

    @property
    def hides(self) -> bool:
        """Whether the caller is being asked for a secret, or whether it is right."""
        if self._state is None:
            return False
        _, wanted = self._asking.stage(self._state)
        return wanted is not None and is_secret(self._asking.task, wanted.name)

    # What follows.

    def _taken(self, step: Step) -> Answer:
        """The step is made: the state after it is on record."""
        asking = self._asking
        self._state = step.state
        self._conversation.record(
            "task.step",
            task=asking.task.name,
            run=step.state.run,
            rule=step.rule,
            field=step.field,
            state=step.state.as_data(asking.task),
        )
        return self._after(step)

    def _after(self, step: Step) -> Answer:
        return self._conclude(step) if step.state.outcome else Answer(text=step.say)

    def _plan(self, answer: Answer) -> Plan:
        if answer.text is None:
            return Plan(purpose="reply", generate=True)
        return Plan(purpose="say", text=answer.text)

    def _speak(self, answer: Answer) -> None:
        if not answer.later:
            self._post(Speak(self._plan(answer)))

    def _conclude(self, step: Step) -> Answer:
        """The task is over: its values become variables, and its tool is called, or the model told."""
        conversation, task, state = self._conversation, self._task, step.state
        assert task is not None
        self._end(state, step.rule, step.field)
        conversation.set_variables(shown(task, state))
        failed = task.field(state.failed) if state.failed else None
        if failed is not None and failed.then == "end_call":
            conversation.act(EndSession(reason="ended_by_agent", goodbye=conversation.render(failed.say or "")))
            return LATER
        if failed is not None and failed.then == "handoff" and failed.handoff is not None:
            self._results.over(task, state)
            conversation.act(_handoff(failed.handoff, f"tasks.{task.name}.{failed.name}.then=handoff"))
            return LATER
        tool = failed.tool if failed is not None else task.done.tool if state.outcome == "complete" else None
        if tool is None:
            self._results.over(task, state)
            return self._last_words(task, complete=state.outcome == "complete")

        def then(outcome: ToolOutcome) -> None:
            complete = state.outcome == "complete" and outcome.outcome == "ok"
            if outcome.reply:
                self._speak(self._last_words(task, complete=complete))

        self._results.call(task, state, tool, then)
        return LATER

    def _last_words(self, task: Task, *, complete: bool) -> Answer:
        say = task.done.say if complete else None
        return Answer(text=self._conversation.render(say)) if say else THE_MODEL

    def _end(self, state: TaskState, rule: str, field: str = "") -> None:
        assert self._task is not None
        self._conversation.record(
            "task.ended",
            task=state.task,
            run=state.run,
            outcome=state.outcome,
            rule=rule,
            field=state.failed or field,
            values=shown(self._task, state),
        )
        self._state = self._task = None
        self._keypad.empty()


def _handoff(to: HandoffAction, value: str) -> HandOff:
    return HandOff(
        agent=to.agent,
        history=to.history,
        say=to.say or "",
        variables=to.variables,
        enter=to.enter,
        template=True,
        rule="task_exhausted",
        value=value,
    )


def _today(task: Task) -> date:
    """Where the task's dates say that the caller is."""
    zone = next((each.timezone for each in task.fields if isinstance(each, DateField) and each.timezone), None)
    return datetime.now(ZoneInfo(zone) if zone else None).date()


def _outcome(call: ToolCall, text: str, outcome: str) -> ToolOutcome:
    is_error = outcome != "ok"
    result = ToolResult(call_id=call.id, name=call.name, content=text, is_error=is_error)
    return ToolOutcome(result=result, outcome=outcome)
