"""What a session offers a hook besides its event: the job, the room, handles of speech, and to be called at the end."""

from __future__ import annotations

from collections.abc import Callable

from agentd.errors import ToolError
from agentd.session.conversation import Conversation
from agentd.session.speech import SpeechHandle
from agentd.tools.acts import GenerateReply, SayText
from agentd.tools.spec import (
    AddShutdownCallback,
    JobRequest,
    JobView,
    PerformRpc,
    PublishData,
    SendText,
    SetAttributes,
    SetMetadata,
)


class JobDesk:
    """One hook's; implements agentd.tools.job.JobDesk. `speak` has something said; `call_at_end` takes a function's
    reference."""

    def __init__(
        self,
        conversation: Conversation,
        speak: Callable[[SayText | GenerateReply], object],
        call_at_end: Callable[[str], None],
    ) -> None:
        self._conversation = conversation
        self._speak = speak
        self._call_at_end = call_at_end

    def view(self) -> JobView:
        setup = self._conversation.setup
        return JobView(id=setup.job_id, metadata=setup.metadata, room=setup.room.control.view())

    def speak(self, act: SayText | GenerateReply) -> SpeechHandle:
        handle = self._speak(act)
        assert isinstance(handle, SpeechHandle)
        return handle

    async def do(self, request: JobRequest) -> str:
        conversation, room = self._conversation, self._conversation.setup.room
        match request:
            case SetAttributes(attributes=attributes, identity=identity):
                await room.control.set_attributes(attributes, identity)
                if not identity:
                    conversation.record("agent.attributes", attributes=dict(attributes))
            case SetMetadata(metadata=metadata, identity=identity):
                await room.control.set_metadata(metadata, identity)
            case PublishData(data=data, topic=topic, identities=identities):
                await room.front_end.send(data, topic, identities)
            case SendText(text=text, topic=topic, identities=identities):
                await room.control.send_text(text, topic, identities)
            case PerformRpc():
                return await room.front_end.call(request.identity, request.method, request.payload, request.timeout_s)
            case AddShutdownCallback(ref=ref):
                self._call_at_end(ref)
        return ""


async def show_again(conversation: Conversation) -> None:
    """The attributes that hooks have given the agent's participant, after the process that had set them died."""
    restored = conversation.setup.restored
    if restored is None or not restored.attributes:
        return
    try:
        await conversation.setup.room.control.set_attributes(restored.attributes, "")
    except ToolError as error:
        conversation.record("error", where="agent attributes", message=str(error))
