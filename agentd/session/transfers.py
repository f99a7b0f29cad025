"""Putting a caller through to a telephone, or to another agent. The conversation goes on
meanwhile, and after a transfer that fails."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from agentd.aio import Channel
from agentd.config.builtins import Destination, TransferTool
from agentd.errors import ProviderError, TransferFailed
from agentd.session.controls import Controls
from agentd.session.conversation import Conversation
from agentd.session.phrases import phrase
from agentd.session.room import AudioOut, Number, Phone
from agentd.session.synthesis import Segments, at_rate, voiced
from agentd.tools.acts import HandOff, TransferCall

log = logging.getLogger(__name__)

_FAILED = "The caller could not be put through to {name}: {reason}. Tell them so in a few words and go on helping them."
_LOST = "a fault of the agent's broke it off"


class Transfers:
    """One session's: one at a time. `group` owns the one under way; `say` and the end of the call go by `controls`."""

    def __init__(self, conversation: Conversation, controls: Controls, group: asyncio.TaskGroup) -> None:
        self._conversation = conversation
        self._controls = controls
        self._group = group
        self._task: asyncio.Task[None] | None = None

    def begin(self, wanted: TransferCall) -> None:
        tool = transfer_tool(self._conversation)
        found = [each for each in tool.destinations if each.name == wanted.destination] if tool is not None else []
        if tool is None or not found:
            known = ", ".join(each.name for each in tool.destinations) if tool else "none"
            self._conversation.record(
                "error", where="transfer", message=f"there is no destination {wanted.destination}; there are: {known}"
            )
        elif found[0].agent is not None:
            value = f"tools.{tool.name}.destinations.{wanted.destination}"
            self._conversation.act(HandOff(agent=found[0].agent, rule="tool", value=value))
        elif self._task is not None and not self._task.done():
            self._told(found[0], "failed", "another transfer is under way")
        else:
            self._task = self._group.create_task(self._put_through(found[0], tool, wanted.summary))

    def resume(self) -> None:
        """An earlier incarnation died while it put the caller through: where that has not come about, it has failed."""
        restored = self._conversation.setup.restored
        tool = transfer_tool(self._conversation)
        for each in tool.destinations if tool is not None and restored is not None else ():
            if restored is not None and each.name == restored.transfer:
                self._failed(each, _LOST)

    async def _put_through(self, destination: Destination, tool: TransferTool, summary: str) -> None:
        conversation = self._conversation
        phone = conversation.setup.room.phone
        self._told(destination, "started")
        try:
            if phone is None:
                raise TransferFailed("there is no telephone here")
            words = conversation.render(tool.say) if tool.say else phrase("transfer", conversation.language)
            await self._controls.say(words, interruptible=False)
            if destination.mode == "cold":
                await phone.refer(conversation.caller.identity, _number(destination))
            else:
                await self._bring_together(phone, destination, summary)
        except TransferFailed as error:
            self._failed(destination, str(error))
            return
        self._told(destination, "completed")
        self._controls.leave("transferred")

    async def _bring_together(self, phone: Phone, destination: Destination, summary: str) -> None:
        """Raises TransferFailed."""
        guest = await phone.ring(_number(destination), destination.name)
        try:
            self._told(destination, "answered")
            await self._brief(await phone.aside(guest), destination, summary)
            if destination.accept_key is not None:
                await self._accepted(phone, guest, destination)
            await phone.introduce(guest)
        except BaseException:  # cancelled as well: nobody may be left waiting on the line
            await phone.hang_up(guest)
            raise

    async def _brief(self, voice: AudioOut, destination: Destination, summary: str) -> None:
        """Tells whoever has answered what the call is about. Raises TransferFailed."""
        conversation = self._conversation
        text = conversation.render(destination.briefing, summary=summary)
        segments: Segments = Channel(1)
        segments.force(text)
        segments.close()
        try:
            stream = voiced(conversation, segments, conversation.record)
            async with aclosing(at_rate(stream, voice.sample_rate_hz)) as chunks:
                async for chunk in chunks:
                    if chunk.frame.data:
                        await voice.write(chunk.frame)
        except ProviderError as error:
            log.warning("briefing_failed", extra={"reason": error.message})
            raise TransferFailed("who answered could not be told about the call") from error
        await asyncio.sleep(voice.queued_s)

    async def _accepted(self, phone: Phone, guest: str, destination: Destination) -> None:
        """Raises TransferFailed."""
        try:
            async with asyncio.timeout(destination.accept_within):
                while await phone.pressed(guest) != destination.accept_key:
                    pass
        except TimeoutError:
            raise TransferFailed("who answered did not take the call") from None

    def _failed(self, destination: Destination, reason: str) -> None:
        self._told(destination, "failed", reason)
        instructions = _FAILED.format(name=destination.name, reason=reason)
        self._controls.generate_reply(instructions=instructions)

    def _told(self, destination: Destination, state: str, reason: str = "") -> None:
        self._conversation.record(
            "transfer", destination=destination.name, mode=destination.mode, state=state, reason=reason
        )


def transfer_tool(conversation: Conversation) -> TransferTool | None:
    """Where the agent may put callers through to."""
    return next((tool for tool in conversation.definition.tools if isinstance(tool, TransferTool)), None)


def _number(destination: Destination) -> Number:
    return Number(to=destination.to or "", trunk=destination.trunk, ringing_s=float(destination.ring_for))
