"""How far a task has come: what was given, and what is to be asked next. Pure values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal

from agentd.config.tasks import CardNumberField, FieldDefinition, Task
from agentd.session.reading.lexicon import Lexicon, or_english

Outcome = Literal["", "complete", "given_up", "exhausted"]
Stage = Literal["ask", "confirm", "read_back", "over"]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that was read and checked. `said`: as it is read back. `settled`: it needs no confirmation, or has it."""

    value: Any
    said: str
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """`run`: which task of the call it is. `ask`: instead of the first field's question. `misses`: by field, of the
    question under way; "" is the reading back. `agreed`: what was read back is right."""

    task: str
    run: int = 1
    ask: str = ""
    given: Mapping[str, Given] = field(default_factory=dict)
    skipped: frozenset[str] = frozenset()
    misses: Mapping[str, int] = field(default_factory=dict)
    agreed: bool = False
    outcome: Outcome = ""
    failed: str = ""  # the field whose retries were exhausted
    partial: str = ""  # the first digits of a longer number; never on record

    def with_given(self, name: str, given: Given) -> TaskState:
        return replace(self, given={**self.given, name: given}, skipped=self.skipped - {name}, agreed=False)

    def without(self, name: str) -> TaskState:
        given = {key: value for key, value in self.given.items() if key != name}
        return replace(self, given=given, skipped=self.skipped - {name}, agreed=False)

    def with_miss(self, name: str) -> TaskState:
        return replace(self, misses={**self.misses, name: self.misses.get(name, 0) + 1})

    def without_misses(self, name: str) -> TaskState:
        return replace(self, misses={key: count for key, count in self.misses.items() if key != name})

    def as_data(self, task: Task) -> dict[str, Any]:
        """For the journal; what is secret is left out, and is asked for again by an incarnation that reads it."""
        given = {name: [g.value, g.said, g.settled] for name, g in self.given.items() if not is_secret(task, name)}
        return {
            "task": self.task,
            "run": self.run,
            "ask": self.ask,
            "given": given,
            "skipped": sorted(self.skipped),
            "misses": dict(self.misses),
            "agreed": self.agreed,
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TaskState:
        return cls(
            task=data["task"],
            run=data["run"],
            ask=data["ask"],
            given={name: Given(*each) for name, each in data["given"].items()},
            skipped=frozenset(data["skipped"]),
            misses=data["misses"],
            agreed=data["agreed"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A task, and what asking for it depends on. `render`: fills the author's templates."""

    task: Task
    language: str
    today: date
    render: Callable[[str], str] = str

    @property
    def lexicon(self) -> Lexicon:
        return or_english(self.language)

    def stage(self, state: TaskState) -> tuple[Stage, FieldDefinition | None]:
        """What is to be done now, and of which field: the first that is not settled comes first."""
        if state.outcome:
            return "over", None
        for each in self.task.fields:
            given = state.given.get(each.name)
            if given is None and each.name not in state.skipped:
                return "ask", each
            if given is not None and not given.settled:
                return "confirm", each
        return ("read_back", None) if self.task.read_back and not state.agreed else ("over", None)

    def question(self, state: TaskState) -> str:
        """What the caller is asked now; "" when nothing is."""
        says = self.lexicon.say
        stage, wanted = self.stage(state)
        if stage == "ask" and wanted is not None:
            if state.ask and wanted is self.task.fields[0]:
                return state.ask
            return self.render(wanted.ask) if wanted.ask else says[wanted.type].format_map(self._words_of(wanted))
        if stage == "confirm" and wanted is not None:
            return says["confirm"].format(value=self.read_out(state, wanted))
        if stage == "read_back":
            return says["read_back"].format(items=self._items(state))
        return ""

    def label(self, wanted: FieldDefinition) -> str:
        return wanted.label or wanted.name.replace("_", " ")

    def read_out(self, state: TaskState, wanted: FieldDefinition) -> str:
        said = state.given[wanted.name].said
        secret = isinstance(wanted, CardNumberField)
        return self.lexicon.say["ending_in"].format(value=said) if secret else said

    def _items(self, state: TaskState) -> str:
        item = self.lexicon.say["item"]
        given = [each for each in self.task.fields if each.name in state.given]
        return "; ".join(item.format(label=self.label(each), value=self.read_out(state, each)) for each in given)

    def _words_of(self, wanted: FieldDefinition) -> dict[str, str]:
        options = list(getattr(wanted, "options", {}))
        choice = f" {self.lexicon.say['or']} ".join(
            filter(None, (", ".join(options[:-1]), options[-1] if options else ""))
        )
        return {"label": self.label(wanted), "options": choice}


def is_secret(task: Task, name: str) -> bool:
    """Whether only the end of the value may be kept."""
    return any(isinstance(each, CardNumberField) for each in task.fields if each.name == name)


def shown(task: Task, state: TaskState) -> dict[str, Any]:
    """The values, as variables, events and the model may see them."""
    return {
        name: f"•••• {str(given.value)[-4:]}" if is_secret(task, name) else given.value
        for name, given in state.given.items()
    }
