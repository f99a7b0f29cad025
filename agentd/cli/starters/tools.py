"""Tools of an agent. Each call runs in a process of its own, so that nothing here can stop a call's sound."""

from agentd.tools import RunContext

ORDERS = {"1042": "shipped on Monday", "1043": "being packed"}  # your database, in truth


def find_order(number: str) -> str:
    """Looks up how far an order is.

    Args:
        number: The order's number, digits only.
    """
    return ORDERS.get(number, "There is no order of this number.")


def cancel_order(ctx: RunContext, number: str) -> str:
    """Cancels an order that has not been shipped.

    Args:
        number: The order's number, digits only.
    """
    if ORDERS.get(number) != "being packed":
        return "This order cannot be cancelled any more."
    ctx.variables["cancelled"] = number  # the agent's templates and its next tools see it
    return "It is cancelled."
