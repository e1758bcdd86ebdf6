"""A block's whole life as groups of events, each group one append, for tests of what is stored."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from examples import ACME, MID, WINDOW_S, arrival, at, lift, parent, quote, quote_fill, request, terms, work_fill

from db.rfq_store import PostgresRfqStore
from lit_router.domain.parent import WorkedParent, begin
from rfq.domain import events as ev
from rfq.domain.award import Allocation, Award
from rfq.domain.block import Block
from rfq.domain.order import ChildOrder
from rfq.domain.rfq import RfqTerms
from rfq.domain.selection import DealerScore, Selection
from rfq.domain.slicing import SliceDecision
from rfq.domain.values import (
    AuctionId,
    ChildId,
    DealerId,
    DeskId,
    FillId,
    LiftId,
    ParentId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    RfqId,
    Side,
)
from rfq.ports import Idempotency, Lease, StreamId

DEALERS = ("d1", "d2", "d3")


def life_of(rfq_id: str, terms_: RfqTerms | None = None, *, quantity: int = 100, desk: str = "desk-1") -> list[Any]:
    """Asked of three dealers: d1 wins 40 lots, d2 loses (and revises late), d3 declines; 60 worked, 50 filled."""
    auction, lots = AuctionId(f"{rfq_id}/auction"), quantity
    ids: dict[str, Any] = {"rfq_id": RfqId(rfq_id), "auction_id": auction}
    asked = tuple(
        request(d, quantity=lots, **ids, request_id=RequestId(f"{rfq_id}/{d}"), propensity=0.5) for d in DEALERS
    )

    def quoted(dealer: str, offer: int, **changes: Any) -> Any:
        named = {"quote_id": QuoteId(f"{rfq_id}/{dealer}/q"), "request_id": RequestId(f"{rfq_id}/{dealer}")}
        return quote(dealer, offer, lots, auction_id=auction, **named, **changes)

    won, lost = quoted("d1", MID + 4), quoted("d2", MID + 6, received_s=2.5)
    taken = lift(won, 40, rfq_id=RfqId(rfq_id), lift_id=LiftId(f"{rfq_id}/lift"))
    fill = quote_fill(taken, fill_id=FillId(f"{rfq_id}/fill"))
    chosen = tuple(DealerId(d) for d in DEALERS)
    scores = tuple(DealerScore(d, 0.8, (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0), 0.2, 0.05, {"size": 0.1}) for d in chosen)
    selection = Selection(scores, chosen, dict.fromkeys(chosen, 0.5), (9.0, 5.0, 4.0, 3.5), "v1", 7)
    award = Award(
        auction, Side.BUY, (Allocation(won.quote_id, 1, won.dealer_id, taken.price, Quantity(40)),), Quantity(lots - 40)
    )
    order = parent(lots - 40, rfq_id=RfqId(rfq_id), parent_id=ParentId(f"{rfq_id}/parent"))
    child = ChildOrder(ChildId(f"{rfq_id}/child"), order.parent_id, "lit", ACME.symbol, Side.BUY, Quantity(60), MID)
    worked = work_fill(order, 50, rfq_id=RfqId(rfq_id), fill_id=FillId(f"{rfq_id}/work"), child_id=child.child_id)
    told = (ev.Notice(asked[1].request_id, DealerId("d2"), ev.NoticeKind.COVER),)
    return [
        [ev.RfqReceived(RfqId(rfq_id), DeskId(desk), terms_ or terms(quantity=lots), arrival())],
        [ev.PanelScored(selection), ev.AuctionOpened(auction), ev.DealersAsked(auction, 1, at(WINDOW_S), asked)],
        [ev.QuoteReceived(won), ev.QuoteReceived(lost)],
        [ev.RequestDeclined(asked[2].request_id, "no\x00interest")],
        [ev.QuoteCameLate(quoted("d2", MID + 1, received_s=WINDOW_S + 0.1, revision=2))],
        [ev.AuctionClosed(auction), ev.AwardDecided(award)],
        [ev.QuoteLifted(taken)],
        [ev.LiftConfirmed(taken.lift_id, fill), ev.QuotesLost((lost.quote_id,))],
        [ev.AuctionSettled(auction, Price(MID + 4), Price(MID + 6)), ev.ParentCreated(order)],
        [ev.ParentStarted(order.parent_id), ev.SliceDecided(order.parent_id, DECISION)],
        [ev.ChildCreated(child), ev.ChildSent(child.child_id)],
        [ev.ChildAcknowledged(child.child_id), ev.ChildFilled(worked)],
        [ev.ChildCancelling(child.child_id), ev.ChildCancelled(child.child_id)],
        [ev.ParentDone(order.parent_id, "horizon"), ev.LosersTold(auction, told), ev.RfqDone("worked")],
    ]


DECISION = SliceDecision("learned", "v1", "ab" * 32, ("half", "rule", "split"), "", -0.12, (-0.5, 0.1, 1.25))


class Pen:
    """Folds a block's events as the engine does, and appends them under a lease. `when`: each event's time, on both
    clocks; by default one a second."""

    def __init__(self, store: PostgresRfqStore, rfq_id: str, lease: Lease | None = None) -> None:
        self.store, self.stream = store, StreamId("rfq", rfq_id)
        self.lease = lease or store.first_lease(RfqId(rfq_id))
        self.block, self.orders = Block(), WorkedParents()
        self.when: Callable[[ev.AnyEvent], datetime] = lambda event: at(self.block.sequence)

    def note(self, events: Sequence[ev.AnyEvent], created_by: Idempotency | None = None) -> Any:
        stamped, touched = [], []
        for event in events:
            when = self.when(event)
            one = ev.Stamped(self.block.sequence + 1, event, when, when)
            touched += [*self.block.apply(one), *self.orders.apply(event)]
            stamped.append(one)
        return self.store.append(self.stream, stamped, touched, self.lease, created_by)

    async def tell(self, groups: Iterable[Sequence[ev.AnyEvent]]) -> None:
        for events in groups:
            await self.note(events)

    def take_up(self, history: Sequence[ev.Stamped]) -> None:
        for stamped in history:
            self.block.apply(stamped)
            self.orders.apply(stamped.event)


class WorkedParents:
    """One parent at most, as `life_of` has it."""

    def __init__(self) -> None:
        self.worked: WorkedParent | None = None

    def apply(self, event: Any) -> Sequence[object]:
        if isinstance(event, ev.ParentCreated):
            self.worked = begin(event.order)
        elif not isinstance(event, ev.OrderEvent):
            return ()
        assert self.worked
        return self.worked.apply(event)
