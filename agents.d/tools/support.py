# agents.d/tools/support.py
import json

from agentd.tools import Event, JobContext, JobError, StopResponse


async def on_join(ctx: JobContext) -> None:
    """Greets the caller about the ticket of the dispatch, and shows their front end how far the call is."""
    ticket = str(json.loads(ctx.job.metadata or "{}").get("ticket", "none"))
    ctx.variables["ticket"] = ticket
    ctx.add_shutdown_callback(close_ticket)
    await ctx.room.set_attributes({"ticket": ticket, "stage": "greeting"})
    (caller,) = ctx.room.linked_participants
    greeting = await ctx.say(f"Hello {caller.name or 'there'}, this is about ticket {ticket}.")  # until it was heard
    await ctx.room.set_attributes({"stage": "interrupted" if greeting.interrupted else "talking"})
    try:
        page = await ctx.room.perform_rpc(caller.identity, "current_page", timeout=2)
    except JobError:
        return  # a telephone, or a front end that does not offer it
    ctx.update_instructions(f"The caller is looking at the page {page}.")


def on_gold(ctx: JobContext, event: Event) -> None:
    """Somebody has just logged in."""
    ctx.generate_reply("Thank the caller for being a gold customer, in one sentence.")
    ctx.room.publish_data("gold", topic="badge", identities=[event.data["identity"]])


def on_user_turn_completed(event: Event) -> None:
    """What is said to somebody else in the room gets no answer."""
    if event.data["text"].lower().startswith("not you"):
        raise StopResponse


async def close_ticket(ctx: JobContext, reason: str) -> None:
    """When the call is over. What it prints is in the log."""
    print(f"ticket {ctx.variables['ticket']} of {ctx.room.name}: {reason}")  # noqa: T201
