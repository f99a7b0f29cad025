"""The console's room as hooks see it and act on it."""

from __future__ import annotations

import pytest

from agentd.cli.console_room import ConsoleRoom
from agentd.errors import ToolError


async def test_hooks_find_the_caller_and_the_agent_and_keep_attributes_of_both() -> None:
    control = ConsoleRoom([], lambda who, text: None).control
    await control.set_attributes({"stage": "greeting", "old": "x"}, "")
    await control.set_attributes({"old": ""}, "agent")
    await control.set_attributes({"vip": "yes"}, "console")
    await control.set_metadata("m", "console")
    view = control.view()
    assert (view.local.identity, view.local.attributes) == ("agent", {"stage": "greeting"})
    (caller,) = view.remote
    assert (caller.identity, caller.linked, caller.attributes, caller.metadata) == (
        "console",
        True,
        {"vip": "yes"},
        "m",
    )
    with pytest.raises(ToolError, match="nobody ann"):
        await control.set_attributes({"a": "b"}, "ann")
    with pytest.raises(ToolError, match="no front end"):
        await control.send_text("Hello.", "lk.chat", ())
