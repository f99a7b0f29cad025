"""The reservation book of the sample restaurant: in memory, because a sample should leave nothing behind."""

from agentd.tools import RunContext

LARGEST_PARTY = 12


def book(ctx: RunContext, name: str, people: int, day: str, time: str) -> str:
    """Books a table and says so in words for the caller.

    Args:
        name: Who the table is for.
        people: How many will come.
        day: The day as the caller said it, such as "tomorrow" or "Friday".
        time: The time, such as "7:30 pm".
    """
    if people > LARGEST_PARTY:
        return f"Too many people: at most {LARGEST_PARTY}."
    if "monday" in day.lower():
        return "Closed on Mondays."
    bookings = [*ctx.variables.get("bookings", []), f"{name}, {people}, {day}, {time}"]
    ctx.variables["bookings"] = bookings
    return f"Your table is booked, {name}: {people} {'person' if people == 1 else 'people'}, {day} at {time}."
