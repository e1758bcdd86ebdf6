"""Any event about anything: known nouns and unknown ones, legal by chance at best."""

from collections.abc import Callable
from typing import Any

from examples import AUCTION, MID, lift, parent, quote, quote_fill, received, request, work_fill
from hypothesis import strategies as st

from rfq.domain import events as ev
from rfq.domain.award import Award
from rfq.domain.block import Block
from rfq.domain.fill import Fill
from rfq.domain.quote import Lift
from rfq.domain.selection import WaveDecision
from rfq.domain.values import DealerId, FillId, LiftId, ParentId, Price, Quantity, QuoteId, RequestId, Side


def anything(
    block: Block, data: st.DataObject, name: Callable[[str], str], lots: Quantity, side: Side
) -> list[ev.AnyEvent]:
    """Events of most kinds; `name` gives fresh names, everything else is drawn from what the block knows and more."""

    def one(known: Any, unknown: Any) -> Any:
        return data.draw(st.sampled_from([*known, unknown]))

    auction_id = one(block.auctions, AUCTION)
    request_ = one(block.requests.values(), request("nobody"))
    quote_ = one(block.quotes.values(), quote("nobody"))
    lift_: Lift = one(block.lifts.values(), lift(quote("nobody"), 1))
    order = one(block.parents.values(), parent(1, 99))
    fill: Fill = one(block.fills.values(), work_fill(order, 1, name="nowhere"))
    price = Price(data.draw(st.sampled_from([MID + 2, MID + 4, -1])))
    again = lift_.but(lift_id=LiftId(name("lift")), quote_id=quote_.quote_id, quantity=lots, side=side)
    return [
        received(),
        ev.RfqRejected("no"),
        ev.RfqCancelled("no"),
        ev.RfqExpired("no"),
        ev.RfqDone("no"),
        ev.AuctionOpened(auction_id),
        ev.DealersAsked(auction_id, 1, request_.deadline, (request_,)),
        ev.WaveDecided(auction_id, WaveDecision(2, (DealerId("nobody"),), "rule", "no")),
        ev.RequestsUnreached((request_.request_id, RequestId("nobody"))),
        ev.RequestDeclined(request_.request_id, "busy"),
        ev.QuoteReceived(quote_),
        ev.QuoteReceived(quote_.but(revision=quote_.revision + 1, dealer_id=DealerId("thief"))),
        ev.QuoteWithdrawn(quote_.quote_id),
        ev.QuotesExpired((quote_.quote_id, quote_.quote_id)),
        ev.QuotesLost((quote_.quote_id, QuoteId("none"))),
        ev.AuctionClosed(auction_id, (request_.request_id,)),
        ev.AwardDecided(Award(auction_id, side, ())),
        ev.QuoteLifted(again),
        ev.QuoteLifted(again.but(price=price, revision=quote_.revision, dealer_id=quote_.dealer_id)),
        ev.LiftConfirmed(lift_.lift_id, quote_fill(lift_, lots, fill_id=FillId(name("fill")))),
        ev.LiftConfirmed(lift_.lift_id, quote_fill(lift_, 1, price=price)),
        ev.LiftConfirmed(lift_.lift_id, fill),
        ev.LiftRefused(lift_.lift_id, "again"),
        ev.LiftUnknown(lift_.lift_id, "again"),
        ev.AuctionSettled(auction_id, None, None),
        ev.LosersTold(auction_id, ()),
        ev.BreakFound(fill, lots),
        ev.ParentCreated(order.but(quantity=lots, side=side)),
        ev.ParentCreated(order.but(parent_id=ParentId(name("parent")), quantity=lots, side=side)),
        ev.ParentDone(order.parent_id, "again"),
        ev.ChildFilled(fill),
        ev.ChildFilled(work_fill(order, lots, name=name("n"))),
        ev.KillSwitchThrown("somebody", "not of this stream"),
    ]
