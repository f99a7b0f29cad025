"""Runs a story against a whole session in virtual time, and tells what happened as lines of text."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from agentd.aio import now
from agentd.audio import INPUT_HZ, AudioFrame
from agentd.config.definition import AgentDefinition
from agentd.config.tools import Filler, ToolOptions
from agentd.errors import ProviderUnavailable
from agentd.providers.fields import Duration
from agentd.providers.llm import ChatRequest, Message, TextDelta, ToolCall, ToolResult
from agentd.providers.stt import STTCapabilities
from agentd.session.records import Record
from agentd.tools.acts import HandOff
from agentd.tools.handoff import HandoffTool
from agentd.tools.spec import ToolContext, ToolOutcome
from tests.config.files import agent as agent_of
from tests.fakes.call import Call, FakeAgents, FakeTools, calling, equipment
from tests.fakes.clock import run_virtual
from tests.fakes.overlaps import FakeInterruptionDetector
from tests.fakes.providers import Answer, FakeLLM, FakeStreamingSTT, FakeSTT, FakeTTS
from tests.fakes.room import FRAME_SAMPLES
from tests.session.test_judging import FakeDetector
from tests.stories.story import Does, Says, Story

FRAME_S = FRAME_SAMPLES / INPUT_HZ
SOUND_GAP_S = 0.02  # shorter silences in the agent's sound are the seam of two frames


def tell(story: Story) -> list[str]:
    """The timeline: `MS what happened`, in order."""
    return run_virtual(_tell(story))


async def _tell(story: Story) -> list[str]:
    seen: list[tuple[float, str]] = []
    agent = _definition(yaml.safe_dump(dict(story.agent)))
    tools = FakeTools(
        run_tool={**{name: _tool(settings) for name, settings in story.tools.items()}, **_ways_out(agent)},
        tool_options={name: _options(settings) for name, settings in story.tools.items()},
    )
    stt = _recogniser(story.recogniser)
    async with calling(
        agent=agent,
        agents=_others(story, stt),
        script=_model(story.replies),
        stt=stt,
        tts=FakeTTS(aligned=bool(story.voice.get("aligned", False)), first_sound_s=story.voice.get("delay_s", 0.05)),
        tools=tools,
        turn_detector=FakeDetector([float(opinion) for opinion in story.judge]) if story.judge else None,
        interruption_detector=_detector(story.detector, stt.texts),
        outbound=not story.inbound,
        observe=lambda record: seen.extend((now(), line) for line in lines_of(record)),
        link=story.people == ("",) and not _joins(story, ""),
    ) as call:
        call.llm.first_token_s = story.model_s
        async with asyncio.TaskGroup() as group:
            for who in story.people:
                if who and not _joins(story, who):
                    call.room.link(identity=who.lower(), name=who, outbound=True)
                group.create_task(_microphone(call, story, who))
            group.create_task(_acts(call, story))
        sounding = _sounding(call)
    return [f"{round(1000 * at)} {line}" for at, line in sorted([*seen, *sounding], key=lambda each: each[0])]


# The caller.


def _joins(story: Story, who: str) -> bool:
    return any(isinstance(act, Does) and act.what == "joins" and act.who == who for act in story.acts)


async def _microphone(call: Call, story: Story, who: str) -> None:
    """One frame after the other, as a track brings them; muted, it brings none."""
    own = [act for act in story.acts if act.who == who]
    sounds = [(act, call.learn(act.text)) for act in own if isinstance(act, Says)]
    call.stt.languages |= {act.text: act.language for act, _ in sounds if act.language}
    mutes = [act for act in own if isinstance(act, Does) and act.what in ("mutes", "unmutes")]
    frames = round(story.until_s / FRAME_S)
    for number in range(frames):
        await asyncio.sleep(FRAME_S)
        at = number * FRAME_S
        value = next((value for act, value in sounds if act.at_s <= at + 1e-6 < act.at_s + act.lasts_s), 0)
        switched = [act.what for act in mutes if act.at_s <= at]
        if not switched or switched[-1] == "unmutes":
            call.room.hear(AudioFrame(value.to_bytes(2, "little") * FRAME_SAMPLES, INPUT_HZ), who.lower())


async def _acts(call: Call, story: Story) -> None:
    for act in story.acts:
        if isinstance(act, Does):
            await asyncio.sleep(max(0.0, act.at_s - now()))
            _do(call, act)


def _do(call: Call, act: Does) -> None:
    room, session = call.room, call.session
    identity = act.who.lower() or "caller"
    match act.what:
        case "types":
            room.type(act.text, identity)
        case "joins":
            room.link(identity=identity, name=act.who, outbound=bool(act.who))
        case "leaves":
            room.leave(identity=identity)
        case "drops":
            room.leave(final=False, identity=identity)
        case "returns":
            room.link(returned=True, identity=identity, name=act.who)
        case "tells":  # an operator
            session.say(act.text)
        case "urges":
            session.say(act.text, priority="high")
        case "insists":
            session.say(act.text, interruptible=False)
        case "interrupts":
            session.interrupt()
        case "presses":
            room.press("begin", identity)
        case "releases":
            room.press("end", identity)
        case "cancels":
            room.press("cancel", identity)
        case "ends":
            session.end("ended_by_operator", goodbye=act.text or None)
        case "hands":
            session.do(HandOff(agent=act.text))
        case "mutes" | "unmutes":
            pass  # the microphone's
        case _:
            raise ValueError(f"nobody can do this: {act.what}")


# The agent.


@cache
def _definition(text: str, name: str = "story") -> AgentDefinition:
    """Through the real loader, so that a story's settings are what a user writes."""
    with tempfile.TemporaryDirectory() as folder:
        return agent_of(Path(folder), f"name: {name}\n{text}")


def _others(story: Story, stt: FakeSTT) -> FakeAgents:
    """`{billing: {agent: {...}, replies: [...], ready_s: 0.5}}`."""
    agents = FakeAgents({}, max((float(each.get("ready_s", 0.0)) for each in story.others.values()), default=0.0))
    for name, told in story.others.items():
        settings = {"turn": {"preemptive": {"llm": False}}, **told.get("agent", {})}
        other = _definition(yaml.safe_dump(settings), name)
        model = FakeLLM(_model(tuple(told.get("replies", ["Fine."]))), first_token_s=story.model_s)
        agents.ready[name] = equipment(other, model, stt=stt, tools=FakeTools(_ways_out(other)))
    return agents


def _ways_out(agent: AgentDefinition) -> dict[str, Any]:
    """The model's tools for handing over."""
    made = [HandoffTool(each, number) for number, each in enumerate(agent.handoffs) if each.when]
    return {tool.schema.name: tool.run for tool in made}


def _model(replies: tuple[Any, ...]) -> Any:
    """`replies`: text, or `{calls: [name, ...]}`, or `{fails: true}`; the last one again and again."""
    left = list(replies)

    def script(request: ChatRequest) -> Answer:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, str):
            return [TextDelta(word + " ") for word in _about(reply, request).split(" ")]
        if "fails" in reply:
            return [ProviderUnavailable("fake", "down")]
        said = [TextDelta(word + " ") for word in reply.get("says", "").split(" ") if word]
        return [*said, *(ToolCall(id=f"{name}-1", name=name, arguments="{}") for name in reply["calls"])]

    return script


def _about(reply: str, request: ChatRequest) -> str:
    """`{speaker}` and `{words}`: of the last message that the model was shown."""
    asked = [item for item in request.items if isinstance(item, Message) and item.role == "user"]
    if not asked:
        return reply
    speaker = asked[-1].speaker
    return reply.replace("{speaker}", speaker.label if speaker else "caller").replace("{words}", asked[-1].words)


def _recogniser(settings: Mapping[str, Any]) -> FakeSTT:
    delay_s, punctuates = float(settings.get("delay_s", 0.14)), bool(settings.get("punctuates", False))
    if settings.get("streaming"):
        return FakeStreamingSTT(delay_s=delay_s, end_of_turn=bool(settings.get("end_of_turn", False)))
    return FakeSTT(delay_s=delay_s, capabilities=STTCapabilities(streaming=False, punctuates=punctuates))


def _detector(settings: Mapping[str, Any], texts: Mapping[int, str]) -> FakeInterruptionDetector | None:
    """`hears`: its opinion by what is said, "" of what has no words; [[0, 0.5], [0.6, 0.95]] after so much speech."""
    if not settings:
        return None
    fails = ProviderUnavailable("lynx", "asleep") if settings.get("fails") else None
    takes_s = float(settings.get("takes_s", 0.02))
    return FakeInterruptionDetector(
        lambda value: texts.get(value, ""), settings.get("hears", {}), takes_s=takes_s, fails=fails
    )


def _tool(settings: Mapping[str, Any]) -> Any:
    async def run(call: ToolCall, context: ToolContext) -> Any:
        takes_s, holds_s = float(settings.get("takes_s", 0.1)), float(settings.get("holds_after_s", 0))
        await asyncio.sleep(holds_s)
        if "holds_after_s" in settings and context.hold is not None:
            context.hold()
        await asyncio.sleep(takes_s - holds_s)
        if not settings.get("fails"):
            return settings.get("answers", "done")
        result = ToolResult(call_id=call.id, name=call.name, content="it failed", is_error=True)
        return ToolOutcome(result=result, outcome="error")

    return run


def _options(settings: Mapping[str, Any]) -> ToolOptions:
    filler = Filler(after=Duration(1.2), say=(settings["filler"],)) if "filler" in settings else None
    return ToolOptions(while_waiting=filler, cancel_on_interrupt=bool(settings.get("cancels")))


# What happened.


def lines_of(record: Record) -> list[str]:
    """The lines of a record; most kinds tell nothing that a story is about."""
    data = record.data
    match record.kind:
        case "turn.user":
            who = f"of {data['label']} " if "label" in data else ""
            return [f'turn {who}"{data["text"]}" by {data["rule"]}']
        case "turn.agent" if data["text"]:
            return [f'said "{data["text"]}"' + (" (cut)" if data["interrupted"] else "")]
        case "decision" if data["action"] in _DECISIONS:
            return [f"{_DECISIONS[data['action']]} by {data['rule']}"]
        case "handoff":
            return [f"to {data['to']} by {data['rule']}"]
        case "tool.called":
            return [f"calls {data['name']}"]
        case "tool.completed":
            return [f"{data['name']}: {data['content']}"]
        case "session.ended" if data["reason"] != "cancelled":
            return [f"ends by {data['reason']}"]
    return []


_DECISIONS = {
    "PauseSpeech": "holds",
    "ResumeSpeech": "resumes",
    "Interrupt": "cuts",
    "Ignore": "ignores",
    "StartEarly": "begins early",
    "DropEarly": "drops",
    "SkipEarly": "waits",
    "RefuseHandoff": "stays",
}


def _sounding(call: Call) -> list[tuple[float, str]]:
    """When the agent began to be heard, and when it fell silent."""
    spans: list[list[float]] = []
    for begin, end, _ in sorted(call.room.audio_out.played):
        if spans and begin - spans[-1][1] < SOUND_GAP_S:
            spans[-1][1] = max(end, spans[-1][1])
        elif end > begin:
            spans.append([begin, end])
    return [line for begin, end in spans for line in ((begin, "agent heard"), (end, "agent silent"))]
