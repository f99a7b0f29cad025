"""What front ends may call: a checked payload, variables that it sets, and an event for hooks.

Who calls is whom the server says, never what the payload says.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from agentd.aio import now
from agentd.config.rpc import RpcMethod
from agentd.errors import RpcRefused
from agentd.session.conversation import Conversation
from agentd.session.permission import is_one_of

MOST_CALLS = 20
PERIOD_S = 10.0
"""So many of one participant's in so long; more are refused."""


class RpcMethods:
    """Those of one session; a room calls `answer`."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._methods = {each.method: each for each in conversation.definition.rpc}
        self._calls: dict[str, deque[float]] = {}

    def offer(self) -> None:
        self._conversation.setup.room.offer(tuple(self._methods), self.answer)

    def follow_agent(self) -> None:
        """Another agent has the call: front ends may call its methods and no others, as a method's answer is its
        agent's doing. How often somebody has called goes on counting."""
        self._methods = {each.method: each for each in self._conversation.definition.rpc}
        self.offer()

    def answer(self, identity: str, method: str, text: str) -> str:
        """What the front end is told. Raises RpcRefused."""
        wanted = self._methods[method]
        if not self._may(identity, wanted):
            raise RpcRefused(f"{method} is not for you")
        self._count(identity)
        payload = _payload(text, wanted)
        self._conversation.record("rpc.received", method=method, identity=identity, payload=payload)
        self._conversation.set_variables({name: payload[name] for name in wanted.set if name in payload})
        return "ok"

    def _may(self, identity: str, method: RpcMethod) -> bool:
        if method.identities:
            return is_one_of(identity, method.identities)
        people = self._conversation.people
        return identity in people.here and (people.several or identity == people.caller.identity)

    def _count(self, identity: str) -> None:
        calls = self._calls.setdefault(identity, deque(maxlen=MOST_CALLS))
        if len(calls) == MOST_CALLS and now() - calls[0] < PERIOD_S:
            raise RpcRefused(f"too many calls: at most {MOST_CALLS} in {PERIOD_S:g} s")
        calls.append(now())


def _payload(text: str, method: RpcMethod) -> Mapping[str, Any]:
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise RpcRefused(f"the payload is no JSON: {error}") from error
    fault = next(iter(Draft202012Validator(dict(method.parameters)).iter_errors(value)), None)
    if fault is not None or not isinstance(value, dict):
        raise RpcRefused(f"the payload does not fit: {fault.message[:200]}" if fault else "the payload is no object")
    return value
