# agents.d/tools/visitors.py
import re

from agentd.tools import Event, RunContext, TurnChange

CARD_NUMBER = re.compile(r"\d(?:[ -]?\d){11,18}")


def on_join(ctx: RunContext, event: Event) -> None:
    """Greets who comes, by the name that their front end gives."""
    name = event.data["name"] or "visitor"
    ctx.variables["visitor"] = name
    ctx.say(f"Good day, {name}. Whom do you want to see?")


def before_reply(event: Event) -> TurnChange | None:
    """Keeps card numbers from the model, and leaves "never mind" without an answer."""
    text = event.data["text"]
    if text.lower().strip(" .!") == "never mind":
        return TurnChange(drop=True)
    if CARD_NUMBER.search(text):
        return TurnChange(text=CARD_NUMBER.sub("[a card number]", text), context="Say that no card is needed here.")
    return None


async def on_close(ctx: RunContext, event: Event) -> None:
    """What a hook prints is in the log."""
    turns = sum(getattr(item, "role", "") == "user" for item in ctx.history.items)
    print(f"{ctx.variables.get('visitor', 'nobody')} said {turns} things and left: {event.data['reason']}")  # noqa: T201
