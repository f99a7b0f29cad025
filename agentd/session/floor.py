"""Everybody's turns in one room: a turn machine for each voice, and one agent for all of them. Pure.

What somebody says reaches their own machine only, so two people who speak at once never make one turn. What the agent
does reaches all of them. The agent's sound is held while anybody holds it, and whoever cuts it cuts it for everybody.

The machine of THE_CALLER is always there: where the agent talks with one participant it is theirs, and nothing here
costs anything; where it talks with several, nobody speaks through it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agentd.config.turns import Turn
from agentd.session.endpointing import Wait
from agentd.session.events import (
    THE_CALLER,
    AgentWords,
    CommitRequested,
    Decision,
    Interrupt,
    InterruptionsAllowed,
    LanguageSet,
    PauseSpeech,
    ReplyAudible,
    ReplyEnded,
    ReplyStarted,
    ResumeSpeech,
    Tick,
    ToolsRunning,
    TurnDropped,
    TurnEvent,
    Voice,
)
from agentd.session.turns import NOISE_S, TurnMachine, TurnState

_OF_ALL = (ReplyStarted, ReplyAudible, AgentWords, ToolsRunning, InterruptionsAllowed, ReplyEnded, LanguageSet, Tick)
_BY_OPERATORS = (CommitRequested, TurnDropped)


@dataclass(slots=True)
class Floor:
    """One session's. `turn`, `streaming`, `language` and `warm` are those of every machine (`TurnMachine`)."""

    turn: Turn
    streaming: bool
    language: str = "en"
    warm: bool = False
    machines: dict[Voice, TurnMachine] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self._machine(THE_CALLER)

    def step(self, event: TurnEvent, now: float, voice: Voice = THE_CALLER) -> list[Decision]:
        """Takes what one voice did, or what concerns all; answers what is to be done, in order."""
        self.now = now
        if isinstance(event, LanguageSet):
            self.language = event.language
        decisions: list[Decision] = []
        for each in self._concerned(event, voice):
            decisions += self._settled(each, self._machine(each).step(event, now))
        self._mark_noise()
        return decisions

    def leave(self, identity: str, now: float) -> list[Decision]:
        """Nothing more comes from them; what they had not said to the end is no turn."""
        self.now = now
        gone = [voice for voice in self.machines if voice.identity == identity and voice != THE_CALLER]
        held = any(self.machines.pop(voice).state.held for voice in gone)
        lets_go = held and not self.state.held
        return [ResumeSpeech(rule="speaker_left", voice=Voice(identity))] if lets_go else []

    # What the session asks.

    @property
    def deadline(self) -> float | None:
        """When the floor wants to be stepped although nothing happened."""
        due = [at for machine in self.machines.values() if (at := machine.deadline) is not None]
        due += [at for machine in self.machines.values() if (at := self._noise_at(machine)) is not None]
        return min(due, default=None)

    @property
    def caller_has_turn(self) -> bool:
        """Somebody speaks, or has said what is about to become a turn; of several, also who holds a button."""
        if len(self.machines) == 1:
            return self.machines[THE_CALLER].caller_has_turn
        return any(machine.caller_has_turn or machine.state.pushing for machine in self.machines.values())

    @property
    def user_speaking(self) -> bool:
        return any(machine.user_speaking for machine in self.machines.values())

    @property
    def voice(self) -> Voice:
        """Who alone has the turn; THE_CALLER where nobody or more than one has."""
        if len(self.machines) == 1:
            return THE_CALLER
        having = [voice for voice, machine in self.machines.items() if machine.caller_has_turn]
        return having[0] if len(having) == 1 else THE_CALLER

    @property
    def state(self) -> TurnState:
        """Of who alone has the turn. The agent's side of it is everybody's."""
        state = self.machines[self.voice].state
        if len(self.machines) == 1:
            return state
        held = any(machine.state.held for machine in self.machines.values())
        return state if held == state.held else replace(state, held=held)

    @property
    def ending(self) -> Wait | None:
        """The silence that would end the turn of who alone has it."""
        return self.machines[self.voice].ending

    @property
    def overlaps(self) -> frozenset[Voice]:
        """Whose sound over the agent's an opinion is wanted of."""
        return frozenset(voice for voice, machine in self.machines.items() if machine.overlaps)

    def is_done(self, voice: Voice) -> bool:
        """Nothing of theirs is under way: no button, no words, no answer of a recogniser."""
        state = self._machine(voice).state
        waits = state.recognizing or state.commit_asked is not None or state.finals or state.interim
        return not (state.pushing or state.speaking_since is not None or waits)

    # The machines.

    def _concerned(self, event: TurnEvent, voice: Voice) -> list[Voice]:
        if isinstance(event, _OF_ALL):
            return list(self.machines)
        if isinstance(event, _BY_OPERATORS) and voice == THE_CALLER and len(self.machines) > 1:
            return [each for each, machine in self.machines.items() if machine.caller_has_turn]
        return [voice]

    def _machine(self, voice: Voice) -> TurnMachine:
        machine = self.machines.get(voice)
        if machine is None:
            state = _newcomer(self.machines[THE_CALLER].state) if self.machines else TurnState()
            machine = TurnMachine(self.turn, self.streaming, self.language, self.warm, state)
            self.machines[voice] = machine
        machine.turn, machine.streaming, machine.warm = self.turn, self.streaming, self.warm
        return machine

    def _settled(self, voice: Voice, decisions: list[Decision]) -> list[Decision]:
        """What one machine decided, as it is for the whole room."""
        others = [machine for each, machine in self.machines.items() if each != voice]
        if not others:
            return decisions
        settled: list[Decision] = []
        for decision in decisions:
            if isinstance(decision, PauseSpeech | ResumeSpeech) and any(other.state.held for other in others):
                continue  # it is held already, or is held still
            settled.append(decision if voice == THE_CALLER else replace(decision, voice=voice))
            if isinstance(decision, Interrupt):
                settled += [overlap for other in others for overlap in other.agent_cut(self.now)]
        return settled

    # Noise: an answer must not wait for ever for words that nobody says.

    def _noise_at(self, machine: TurnMachine) -> float | None:
        """When the sound at one microphone is taken for none of anybody's words."""
        state = machine.state
        if len(self.machines) == 1 or state.speaking_since is None or state.noisy:
            return None
        return max(state.speaking_since, state.words_at) + NOISE_S

    def _mark_noise(self) -> None:
        for machine in self.machines.values():
            at = self._noise_at(machine)
            if at is not None and self.now >= at:
                machine.state = replace(machine.state, noisy=True)


def _newcomer(state: TurnState) -> TurnState:
    """Somebody who has said nothing yet, while the agent does what it does. Their echo canceller has not heard it."""
    return TurnState(
        agent=state.agent,
        interruptible=state.interruptible,
        tools=state.tools,
        said=state.said,
        asked=state.asked,
        replying_anew=state.replying_anew,
    )
