"""The room as hooks act on it: what counts as an answer, and what cannot be done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from agentd.errors import ToolError
from agentd.transport import room_control
from agentd.transport.room_control import LiveKitRoomControl
from tests.fakes.clock import run_virtual


@dataclass
class Own:
    """The agent's participant over an SDK that waits for ever; `shows`: the room tells of the change."""

    shows: bool = True
    identity: str = "agent-1"
    name: str = "desk"
    kind: int = 4
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    async def set_attributes(self, attributes: dict[str, str]) -> None:
        asyncio.get_running_loop().call_later(0.2, self._take, attributes)
        await asyncio.Event().wait()

    async def set_metadata(self, metadata: str) -> None:
        raise RuntimeError("closed")

    def _take(self, attributes: dict[str, str]) -> None:
        if self.shows:
            self.attributes.update(attributes)


def control_of(own: Own) -> LiveKitRoomControl:
    room: Any = SimpleNamespace(
        local_participant=own, remote_participants={}, name="room-1", metadata="m", isconnected=lambda: True
    )
    return LiveKitRoomControl(lambda: room, None, lambda identity: False)


def test_that_the_room_shows_it_is_an_answer_where_the_servers_was_lost() -> None:
    own = Own()
    run_virtual(control_of(own).set_attributes({"stage": "billing"}, ""))
    assert own.attributes == {"stage": "billing"}


def test_what_is_never_shown_is_an_error_after_a_while_and_so_is_what_the_sdk_refuses() -> None:
    control = control_of(Own(shows=False))
    with pytest.raises(ToolError, match=f"no answer within {room_control.ANSWER_TIMEOUT_S:g} s"):
        run_virtual(control.set_attributes({"stage": "billing"}, "agent-1"))
    with pytest.raises(ToolError, match="it could not be sent: closed"):
        run_virtual(control.set_metadata("m", ""))


def test_others_must_be_there_and_take_a_key_and_nothing_is_done_in_a_room_that_was_left() -> None:
    control = control_of(Own())
    with pytest.raises(ToolError, match="nobody ann"):
        run_virtual(control.set_attributes({"a": "b"}, "ann"))
    control._room().remote_participants["ann"] = SimpleNamespace()  # type: ignore[index]
    with pytest.raises(ToolError, match="API key"):
        run_virtual(control.set_metadata("m", "ann"))
    left = LiveKitRoomControl(lambda: None, None, lambda identity: False)
    with pytest.raises(ToolError, match="was left"):
        run_virtual(left.send_text("Hello.", "notes", ()))


def test_the_room_is_shown_as_it_was_when_it_was_left() -> None:
    own = Own(attributes={"stage": "talking"})
    room: Any = SimpleNamespace(
        local_participant=own, remote_participants={}, name="room-1", metadata="m", isconnected=lambda: True
    )
    rooms: list[Any] = [room]
    control = LiveKitRoomControl(lambda: rooms[0], None, lambda identity: False)
    before = control.view()
    rooms[0] = None
    assert control.view() == before
    assert (before.name, before.local.kind, dict(before.local.attributes)) == ("room-1", "agent", {"stage": "talking"})
