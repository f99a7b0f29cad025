"""Changes of the conversation from outside: what the model knows is no longer only what was said.

Only what is settled can be replaced: a reply under way, and calls that run, keep their place behind it.
"""

from __future__ import annotations

from agentd.providers.chat import ChatContext, is_pinned
from agentd.session.conversation import Conversation
from agentd.tools.acts import EditHistory


def edit_history(conversation: Conversation, act: EditHistory, rule: str) -> None:
    """Does it, and journals it, so that a restored call has it too."""
    history = conversation.history
    settled = [item for item in history.items()[: history.settled()] if not is_pinned(item)]
    context, count = act.context, len(settled)
    match act.edit:
        case "add":
            history.append(context.entries)
            count = 0
        case "replace":
            history.replace(count, context.entries)
        case "keep":
            context = ChatContext()
            count -= len(ChatContext.of(settled).truncate(act.keep).entries)
            history.forget(count)
    conversation.record(
        "context.edited",
        edit=act.edit,
        items=count,
        context=context.to_dict(),
        rule=rule,
        value=f"{act.edit} {len(context.entries) or act.keep}",
    )
