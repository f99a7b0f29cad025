"""`/v1/sessions/{id}/history`: what the model knows of a call, told and changed; and its variables."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from agentd.admin.acts import MAX_CHARACTERS
from agentd.admin.answers import Edited, History, LiveKitHistory, OpenAIHistory, Variables, told
from agentd.admin.deeds import note
from agentd.admin.kept import made_of_journal
from agentd.admin.problems import BETWEEN_WORKERS_RETRY_S, Overloaded, Refused, json_body
from agentd.providers.chat import ChatContext, Entry
from agentd.providers.llm import Message
from agentd.runtime.status import BetweenWorkers, Daemon
from agentd.session.restore import history_of, restore
from agentd.tools.acts import EditHistory

_Fields = Callable[[ChatContext], dict[str, Any]]

ROLES = ("system", "user", "assistant")
CONTENT = frozenset({"text", "content", "output", "arguments"})
"""Fields of items, in every format, that hold what people said or tools were asked and answered."""
MAX_ITEMS = 1_000


class HistoryApi:
    """`tells_content`: readers are known by a token; to others, what people said is not told."""

    def __init__(self, daemon: Daemon, *, tells_content: bool) -> None:
        self._daemon = daemon
        self._tells_content = tells_content

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/sessions/{id}/history", self.history),
            web.post("/v1/sessions/{id}/history", self.edit),
            web.get("/v1/sessions/{id}/variables", self.variables),
        ]

    async def history(self, request: web.Request) -> web.Response:
        """As the journal has it, so also of a call that has ended; `?format=` agentd, livekit or openai."""
        session_id, wanted = request.match_info["id"], request.query.get("format", "agentd")
        if wanted not in FORMATS:
            raise Refused(422, f"format is one of {', '.join(FORMATS)}")
        context = await asyncio.to_thread(made_of_journal, self._daemon.state_directory(), session_id, history_of)
        kind, made = FORMATS[wanted]
        fields = made(context)
        return told(kind(session=session_id, **(fields if self._tells_content else _masked(fields))))

    async def variables(self, request: web.Request) -> web.Response:
        """As the journal has them, so also of a call that has ended."""
        session_id = request.match_info["id"]
        restored = await asyncio.to_thread(made_of_journal, self._daemon.state_directory(), session_id, restore)
        values = {name: value if self._tells_content else None for name, value in restored.variables.items()}
        return told(Variables(session=session_id, variables=values))

    async def edit(self, request: web.Request) -> web.Response:
        """Adds a message, replaces the conversation, or cuts it to its end."""
        session_id = request.match_info["id"]
        act = edit_of(await json_body(request))
        note(request, edit=act.edit)
        try:
            await self._daemon.control(session_id, act)
        except KeyError as error:
            raise Refused(404, f"there is no session {session_id!r} under way; GET /v1/sessions lists them") from error
        except BetweenWorkers as error:
            raise Overloaded(str(error), retry_after_s=BETWEEN_WORKERS_RETRY_S) from error
        return told(Edited(session=session_id, edit=act.edit), status=202)


def edit_of(body: Mapping[str, Any]) -> EditHistory:
    """Raises Refused with what to send instead."""
    if len(body) != 1 or not body.keys() <= {"add", "replace", "keep"}:
        hint = '{"add": {"role": "user", "text": "..."}}, {"replace": {"items": [...]}} or {"keep": 4}'
        raise Refused(422, f"send one of {hint}")
    ((edit, value),) = body.items()
    match edit:
        case "add":
            return EditHistory(edit="add", context=ChatContext((_added(value),)))
        case "replace":
            return EditHistory(edit="replace", context=_given(value))
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_ITEMS:
        raise Refused(422, f"keep is a number of items, at most {MAX_ITEMS}")
    return EditHistory(edit="keep", keep=value)


def _added(value: Any) -> Entry:
    role, text = (value.get("role"), value.get("text")) if isinstance(value, Mapping) else (None, None)
    if role not in ROLES or not isinstance(text, str) or not text.strip() or len(value) != 2:
        raise Refused(422, f'add is {{"role": "...", "text": "..."}}, and role one of {", ".join(ROLES)}')
    if len(text) > MAX_CHARACTERS:
        raise Refused(422, f"text has {len(text)} characters; {MAX_CHARACTERS} are taken at once")
    return Entry(f"added_{secrets.token_hex(4)}", Message(role=role, text=text))


def _given(value: Any) -> ChatContext:
    """In any format; a masked one is refused, as its texts are null."""
    try:
        if isinstance(value, list) or (isinstance(value, Mapping) and "messages" in value):
            context = ChatContext.from_openai(value if isinstance(value, list) else value["messages"])
        elif isinstance(value, Mapping) and "format" in value:
            context = ChatContext.from_dict({key: value[key] for key in ("format", "items") if key in value})
        else:
            context = ChatContext.from_livekit(value)
    except (ValueError, TypeError) as error:
        raise Refused(422, f"replace: {error}") from error
    if len(context.entries) > MAX_ITEMS:
        raise Refused(422, f"replace has {len(context.entries)} items; {MAX_ITEMS} are taken")
    return context


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: None if key in CONTENT else _masked(each) for key, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value


FORMATS: Mapping[str, tuple[Callable[..., History | LiveKitHistory | OpenAIHistory], _Fields]] = {
    "agentd": (History, ChatContext.to_dict),
    "livekit": (LiveKitHistory, ChatContext.to_livekit),
    "openai": (OpenAIHistory, lambda context: {"messages": context.to_openai()}),
}
"""What each answers, and how its fields are made."""
