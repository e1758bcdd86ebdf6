"""Writes docs/state-diagrams.md from the transition tables: `python docs/make_state_diagrams.py`.

The tables are the truth; the page is never edited by hand, and a test fails when it is stale.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from lit_router.domain.child import CHILD_TABLE, ChildStatus
from lit_router.domain.parent import PARENT_TABLE, ParentStatus
from rfq.domain.award import AUCTION_TABLE, AuctionStatus
from rfq.domain.lifecycle import Table, mermaid, terminal
from rfq.domain.quote import LIFT_TABLE, QUOTE_TABLE, REQUEST_TABLE, LiftStatus, QuoteStatus, RequestStatus
from rfq.domain.rfq import RFQ_TABLE, RfqStatus

PAGE = Path(__file__).with_name("state-diagrams.md")


class Life(NamedTuple):
    """One noun's states, where it begins, and what a reader should know beside the picture."""

    noun: str
    states: type[StrEnum]
    table: Table[Any]
    start: StrEnum
    note: str
    apart: tuple[StrEnum, ...] = ()
    """States that a noun is born in and never leaves."""


LIVES = (
    Life(
        "RFQ",
        RfqStatus,
        RFQ_TABLE,
        RfqStatus.RECEIVED,
        "Beside any state stand two flags: `cancelling` (the desk wants out) and `needs a person` (with the reason).",
    ),
    Life(
        "Auction",
        AuctionStatus,
        AUCTION_TABLE,
        AuctionStatus.OPEN,
        "`ask` again is a further wave; `award` again falls to the next best after a refusal.",
    ),
    Life(
        "Request",
        RequestStatus,
        REQUEST_TABLE,
        RequestStatus.ASKED,
        "One dealer asked once. A decline is an answer; a dealer may still change its mind until the deadline.",
    ),
    Life(
        "Quote",
        QuoteStatus,
        QUOTE_TABLE,
        QuoteStatus.LIVE,
        "A quote that came after the deadline is recorded as `late` from the start and never wins. `unknown`: the line "
        "went down while lifting; the lots stay reserved until the dealer has said what became of the lift.",
        (QuoteStatus.LATE,),
    ),
    Life(
        "Lift",
        LiftStatus,
        LIFT_TABLE,
        LiftStatus.SENT,
        "Its lots are reserved from `sent` on. A partial confirmation gives the rest back.",
    ),
    Life(
        "Parent order",
        ParentStatus,
        PARENT_TABLE,
        ParentStatus.PENDING,
        "A parent ends for a reason that is kept: filled, horizon over, cancelled.",
    ),
    Life(
        "Child order",
        ChildStatus,
        CHILD_TABLE,
        ChildStatus.CREATED,
        "A partial fill is arithmetic, not a state. A fill that arrives after the end is a fact: it is recorded and "
        "moves lots, and the state stays what it was.",
    ),
)


def page() -> str:
    """The whole page."""
    parts = [
        "# Lives of the nouns\n\n"
        "Generated from the transition tables by `python docs/make_state_diagrams.py`. What a table does not list is "
        "illegal: it raises `IllegalTransition` and changes nothing.\n"
    ]
    for life in LIVES:
        ends = ", ".join(f"`{state}`" for state in sorted(terminal(life.table, life.states)))
        picture = "\n".join([mermaid(life.table, life.start), *(f"    [*] --> {state}" for state in life.apart)])
        parts.append(f"## {life.noun}\n\n{life.note} Ends: {ends}.\n\n```mermaid\n{picture}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
