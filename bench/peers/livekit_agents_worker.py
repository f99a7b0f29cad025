"""An agent on livekit-agents whose recogniser, model and synthesiser cost nothing. Runs in the peer's environment.

Its own defaults where nothing is said: a process a call, warm processes in reserve, its bundled Silero VAD. Turns end
by VAD alone, as ours do here. The load is told as nil, since server and callers share the machine and would make it
refuse calls. Prints one line when it is registered.
"""

import array
import asyncio
import logging
import math
import os
import signal

from livekit.agents import NOT_GIVEN, Agent, AgentServer, AgentSession, JobContext, inference, llm, stt, tts

HZ = 24_000
CHARACTER_S = 0.04
LEVEL = 0.3

FASTEST = {
    "endpointing": {"min_delay": 0.1},
    "interruption": {"min_duration": 0.05},
    "preemptive_generation": {"preemptive_tts": True},
}


class FixedSTT(stt.STT):
    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options):
        said = stt.SpeechData(language="en", text="This is an utterance.")
        return stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])


class FixedLLM(llm.LLM):
    def __init__(self, reply: str) -> None:
        super().__init__()
        self.reply = reply

    def chat(self, *, chat_ctx, tools=None, conn_options, **ignored):
        return FixedAnswer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class FixedAnswer(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content=self._llm.reply)
        self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


class ToneTTS(tts.TTS):
    def __init__(self) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=HZ, num_channels=1)
        steps = (2 * math.pi * 440 * number / HZ for number in range(HZ))
        self.second = array.array("h", (round(LEVEL * 32767 * math.sin(step)) for step in steps)).tobytes()

    def synthesize(self, text, *, conn_options):
        return Tone(tts=self, input_text=text, conn_options=conn_options)


class Tone(tts.ChunkedStream):
    async def _run(self, output_emitter) -> None:
        output_emitter.initialize(request_id="tone", sample_rate=HZ, num_channels=1, mime_type="audio/pcm")
        wanted = 2 * round(len(self.input_text.strip()) * CHARACTER_S * HZ)
        second = self._tts.second
        output_emitter.push((second * (wanted // len(second) + 1))[:wanted])
        output_emitter.flush()


async def entrypoint(ctx: JobContext) -> None:
    fastest = os.environ["BENCH_SETTINGS"] == "fastest"
    session = AgentSession(
        stt=FixedSTT(),
        llm=FixedLLM(os.environ["BENCH_REPLY"]),
        tts=ToneTTS(),
        vad=inference.VAD(min_silence_duration=0.1) if fastest else NOT_GIVEN,
        turn_handling={"turn_detection": "vad", **(FASTEST if fastest else {})},
    )
    session.on("close", lambda event: ctx.shutdown())
    await session.start(agent=Agent(instructions="Answer."), room=ctx.room)
    if greeting := os.environ["BENCH_GREETING"]:
        session.say(greeting)


async def serve(answer, prepare=None) -> None:
    """Takes jobs for the function `answer`, in processes that `prepare` has made ready, until SIGTERM."""
    server = AgentServer(
        load_fnc=lambda: 0.0,
        load_threshold=math.inf,
        host="127.0.0.1",
        port=0,
        setup_fnc=prepare,
        initialize_process_timeout=60,
    )
    server.rtc_session(answer, agent_name=os.environ["BENCH_AGENT_NAME"])
    server.on("worker_registered", lambda *told: print("registered", flush=True))
    running = asyncio.create_task(server.run())
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    told = asyncio.create_task(stopped.wait())
    await asyncio.wait([running, told], return_when=asyncio.FIRST_COMPLETED)
    await server.aclose()
    await running


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(entrypoint))
