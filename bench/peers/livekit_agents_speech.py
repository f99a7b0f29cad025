"""An agent on livekit-agents that hears and speaks with agentd's local recogniser and voice. Runs in the peer's
environment, with this repository on PYTHONPATH.

Turns are the peer's own: its bundled VAD and, unless BENCH_DETECTOR is "vad", its bundled end-of-turn model. Both come
in livekit-agents' own wheels, are used by livekit-agents alone and only to be measured, which their licence allows.
"""

import asyncio
import json
import logging
import os

from agentd_local import hibari_tts, whisper
from agentd_local.config import HibariSettings, WhisperSettings
from livekit import rtc
from livekit.agents import NOT_GIVEN, Agent, AgentSession, JobContext, JobProcess, inference, llm, stt, tts
from livekit.local_inference import init_eot, init_vad
from livekit_agents_worker import serve

from agentd.audio import INPUT_HZ, AudioFrame, resample


class WhisperSTT(stt.STT):
    def __init__(self, recognizer: whisper.WhisperSTT) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._recognizer = recognizer

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options):
        frame = rtc.combine_audio_frames(buffer)
        audio = resample(AudioFrame(bytes(frame.data), frame.sample_rate), INPUT_HZ)
        transcript = await self._recognizer.recognize(audio, language="en")
        said = stt.SpeechData(language="en", text=transcript.text, confidence=transcript.confidence or 0.0)
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])


class HibariTTS(tts.TTS):
    def __init__(self, voice: hibari_tts.HibariTTS) -> None:
        capabilities = tts.TTSCapabilities(streaming=False)
        super().__init__(capabilities=capabilities, sample_rate=voice.sample_rate_hz, num_channels=1)
        self.voice = voice

    def synthesize(self, text, *, conn_options):
        return Spoken(tts=self, input_text=text, conn_options=conn_options)


class Spoken(tts.ChunkedStream):
    async def _run(self, output_emitter) -> None:
        hz = self._tts.sample_rate
        output_emitter.initialize(request_id="spoken", sample_rate=hz, num_channels=1, mime_type="audio/pcm")
        async for chunk in self._tts.voice.synthesize(_once(self.input_text), language="en"):
            output_emitter.push(chunk.frame.data)
        output_emitter.flush()


async def _once(text):
    yield text


class ScriptedLLM(llm.LLM):
    """The first, second ... answer to the caller's first, second ... turn."""

    def __init__(self, replies: list[str]) -> None:
        super().__init__()
        self.replies = replies

    def chat(self, *, chat_ctx, tools=None, conn_options, **ignored):
        return ScriptedAnswer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class ScriptedAnswer(llm.LLMStream):
    async def _run(self) -> None:
        turns = sum(1 for item in self._chat_ctx.items if item.type == "message" and item.role == "user")
        replies = self._llm.replies
        delta = llm.ChoiceDelta(role="assistant", content=replies[(max(1, turns) - 1) % len(replies)])
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


def prepare(process: JobProcess) -> None:
    init_vad()
    if os.environ["BENCH_DETECTOR"] != "vad":
        init_eot()
    process.userdata["recognizer"] = whisper.load(WhisperSettings())
    process.userdata["voice"] = hibari_tts.load(HibariSettings())


async def entrypoint(ctx: JobContext) -> None:
    vad_only = os.environ["BENCH_DETECTOR"] == "vad"
    detector = "vad" if vad_only else inference.TurnDetector(version="v1-mini")
    session = AgentSession(
        stt=WhisperSTT(ctx.proc.userdata["recognizer"]),
        llm=ScriptedLLM(json.loads(os.environ["BENCH_REPLIES"])),
        tts=HibariTTS(ctx.proc.userdata["voice"]),
        turn_handling={"turn_detection": detector},
    )
    session.on("close", lambda event: ctx.shutdown())
    await session.start(agent=Agent(instructions="Answer."), room=ctx.room)
    session.say(os.environ["BENCH_GREETING"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(entrypoint, prepare))
