"""A room of two, the agent and one caller, as hooks see it where there is no LiveKit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agentd.errors import ToolError
from agentd.tools.spec import Caller, RoomMember, RoomView


class PairControl:
    """Implements `agentd.tools.spec.RoomControl`: both participants' particulars are kept here."""

    def __init__(self, name: str, caller: Caller) -> None:
        self._name = name
        self._members = {
            "agent": RoomMember(identity="agent", kind="agent"),
            caller.identity: RoomMember(identity=caller.identity, name=caller.name, linked=True),
        }

    def view(self) -> RoomView:
        local, *remote = self._members.values()
        return RoomView(name=self._name, local=local, remote=tuple(remote))

    async def set_attributes(self, attributes: Mapping[str, str], identity: str) -> None:
        member = self._member(identity)
        left = {name: value for name, value in {**member.attributes, **attributes}.items() if value}
        self._members[member.identity] = replace(member, attributes=left)

    async def set_metadata(self, metadata: str, identity: str) -> None:
        member = self._member(identity)
        self._members[member.identity] = replace(member, metadata=metadata)

    async def send_text(self, text: str, topic: str, identities: Sequence[str]) -> None:
        raise ToolError("there is no front end here that could take it")

    def _member(self, identity: str) -> RoomMember:
        """Raises ToolError."""
        member = self._members.get(identity or "agent")
        if member is None:
            raise ToolError(f"there is nobody {identity} in the room")
        return member
