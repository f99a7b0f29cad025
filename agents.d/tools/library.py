# agents.d/tools/library.py
import asyncio
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum
from typing import Annotated

from agentd.tools import RunContext


class Branch(Enum):
    CENTRAL = "central"
    HARBOUR = "harbour"


@dataclass(frozen=True)
class Loan:
    """A book that somebody has.

    Args:
        title: As it stands on the cover.
        due: When it must be back.
    """

    title: str
    due: date


class Desk:
    """What anybody may ask. Every public method is a tool."""

    def __init__(self, shelves: dict[str, list[Branch]], members: "Members", cards: set[str]) -> None:
        self._shelves = shelves
        self._members = members
        self._cards = cards

    async def find_book(
        self, ctx: RunContext, title: Annotated[str, "A title, or a part of one."], branch: Branch | None = None
    ) -> str:
        """Looks up in which branch a book is.

        Args:
            branch: Only if the caller asked for one.
        """
        ctx.update("I am going through the catalogue.")  # said if the agent says nothing else, and an event
        await asyncio.sleep(0.2)  # the catalogue takes its time
        found = [
            f"{name} is in the {where.value} branch"
            for name, branches in self._shelves.items()
            for where in branches
            if title.casefold() in name.casefold() and branch in (None, where)
        ]
        return "; ".join(found) or "We do not have it."

    def show_card(self, ctx: RunContext, number: Annotated[str, "The library card's number, digits only."]) -> str:
        """Lets a member renew books, once they have told the number of their card."""
        if number not in self._cards:
            return "There is no such card."
        ctx.variables["card"] = number
        ctx.tools.add(self._members)  # from the model's next step to the end of the call
        ctx.tools.remove("show_card")
        return "Thank you. You can renew your books now."


class Members:
    """What members may ask; the model knows nothing of it before a card was shown."""

    def my_loans(self, ctx: RunContext) -> list[Loan]:
        """The books that the caller has."""
        return [Loan(title, date.fromisoformat(due)) for title, due in self._loans(ctx).items()]

    async def renew(
        self, ctx: RunContext, title: str, weeks: Annotated[int, "How many weeks more, at most 4."] = 2
    ) -> Loan:
        """Renews one of the caller's books."""
        ctx.disallow_interruptions()  # a barge-in does not cut what is said until it is done
        loans = self._loans(ctx)
        if title not in loans or not 1 <= weeks <= 4:
            raise ValueError(f"{title} is no book of yours, or {weeks} weeks are too many")
        loan = Loan(title, date.fromisoformat(loans[title]))
        renewed = replace(loan, due=loan.due + timedelta(weeks=weeks))
        ctx.variables["loans"] = {**loans, title: renewed.due.isoformat()}
        return renewed

    def _loans(self, ctx: RunContext) -> dict[str, str]:
        """In the call's variables, as a sample should leave nothing behind."""
        loans: dict[str, str] = ctx.variables.get("loans", {"Middlemarch": "2030-02-14"})
        return loans


members = Members()
desk = Desk({"Middlemarch": [Branch.CENTRAL], "Moby Dick": [Branch.CENTRAL, Branch.HARBOUR]}, members, {"4711"})
