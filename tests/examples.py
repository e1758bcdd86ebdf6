"""Nouns of the trade for tests: one instrument, one block, and whatever a test wants different about them."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from virtual_time import START

from rfq.domain import events as ev
from rfq.domain.fill import Fill, Where
from rfq.domain.order import ParentOrder
from rfq.domain.quote import Lift, Quote, QuoteSide, Request
from rfq.domain.rfq import Arrival, Leg, RequestSide, ResidualTerms, RfqTerms, Schedule, Urgency
from rfq.domain.values import (
    AuctionId,
    DealerId,
    DeskId,
    FillId,
    Instrument,
    LiftId,
    ParentId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    RfqId,
    Side,
    Symbol,
    TickBand,
)

ACME = Instrument(
    symbol=Symbol("ACME"),
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    lot=Decimal(100),
    adv=Quantity(20_000),
)
"""A share at a cent's tick in lots of 100, two million a day: price 20000 is $100.00, and 5000 lots are 500,000."""

MID = Price(20_000)
RFQ = RfqId("rfq-1")
AUCTION = AuctionId("auction-1")
WINDOW_S = 10.0


def at(seconds: float) -> datetime:
    """So long after the request came in, on either clock."""
    return START + timedelta(seconds=seconds)


def terms(side: RequestSide = RequestSide.BUY, quantity: int = 100, **changes: Any) -> RfqTerms:
    leg = {"intent": changes.pop("intent", None), "limit_price": changes.pop("limit_price", None)}
    return RfqTerms(legs=(Leg(ACME.symbol, side, Quantity(quantity), **leg),), **changes)


RESIDUAL = ResidualTerms(horizon_s=3600.0)


def arrival(mid: int = MID, half_spread: int = 10) -> Arrival:
    return Arrival(Price(mid - half_spread), Price(mid + half_spread), Price(mid), at(0))


def received(terms_: RfqTerms | None = None) -> ev.RfqReceived:
    return ev.RfqReceived(RFQ, DeskId("desk-1"), terms_ or terms(), arrival())


def request(dealer: str, side: RequestSide = RequestSide.BUY, quantity: int = 100, **changes: Any) -> Request:
    given: dict[str, Any] = {
        "request_id": RequestId(f"request-{dealer}"),
        "rfq_id": RFQ,
        "auction_id": AUCTION,
        "dealer_id": DealerId(dealer),
        "symbol": ACME.symbol,
        "side": side,
        "quantity": Quantity(quantity),
        "deadline": at(WINDOW_S),
        "asked_at": at(0),
        "market_asked_at": at(0),
        "mid_at_ask": MID,
    }
    return Request(**(given | changes))


def quote(
    dealer: str,
    offer: int | None = None,
    quantity: int = 100,
    *,
    bid: int | None = None,
    minimum: int = 0,
    received_s: float = 1.0,
    expires_s: float = 60.0,
    last_look_s: float = 0.0,
    revision: int = 1,
    **changes: Any,
) -> Quote:
    """A quote of `quantity` lots on each side that has a price; MID + 10 offered if neither has."""
    if offer is None and bid is None:
        offer = MID + 10
    sides = {
        name: None if price is None else QuoteSide(Price(price), Quantity(quantity), Quantity(minimum))
        for name, price in (("offer", offer), ("bid", bid))
    }
    given: dict[str, Any] = {
        "quote_id": QuoteId(f"quote-{dealer}"),
        "request_id": RequestId(f"request-{dealer}"),
        "auction_id": AUCTION,
        "dealer_id": DealerId(dealer),
        "revision": revision,
        "received_at": at(received_s),
        "market_received_at": at(received_s),
        "mid_at_quote": MID,
        "expires_at": at(expires_s),
        "firm": last_look_s == 0,
        "last_look_s": last_look_s,
    }
    return Quote(**(given | sides | changes))


def lift(of: Quote, quantity: int, side: Side = Side.BUY, **changes: Any) -> Lift:
    offered = of.for_desk(side)
    assert offered is not None
    given: dict[str, Any] = {
        "lift_id": LiftId(f"lift-{of.quote_id}"),
        "rfq_id": RFQ,
        "auction_id": of.auction_id,
        "request_id": of.request_id,
        "quote_id": of.quote_id,
        "revision": of.revision,
        "dealer_id": of.dealer_id,
        "symbol": ACME.symbol,
        "side": side,
        "price": offered.price,
        "quantity": Quantity(quantity),
        "sent_at": at(WINDOW_S),
        "answer_by": at(WINDOW_S + 2),
    }
    return Lift(**(given | changes))


def quote_fill(of: Lift, quantity: int | None = None, **changes: Any) -> Fill:
    given: dict[str, Any] = {
        "fill_id": FillId(f"fill-{of.lift_id}"),
        "rfq_id": of.rfq_id,
        "symbol": of.symbol,
        "side": of.side,
        "price": of.price,
        "quantity": Quantity(of.quantity if quantity is None else quantity),
        "where": Where.QUOTE,
        "venue": str(of.dealer_id),
        "filled_at": at(WINDOW_S + 1),
        "market_filled_at": at(WINDOW_S + 1),
        "mid_at_fill": MID,
        "dealer_id": of.dealer_id,
        "lift_id": of.lift_id,
    }
    return Fill(**(given | changes))


def parent(quantity: int, number: int = 1, side: Side = Side.BUY, **changes: Any) -> ParentOrder:
    given: dict[str, Any] = {
        "parent_id": ParentId(f"parent-{number}"),
        "rfq_id": RFQ,
        "symbol": ACME.symbol,
        "side": side,
        "quantity": Quantity(quantity),
        "arrival": MID,
        "starts_at": at(WINDOW_S + 2),
        "horizon_s": 3600.0,
        "max_participation": 0.1,
        "urgency": Urgency.MEDIUM,
        "schedule": Schedule.TWAP,
    }
    return ParentOrder(**(given | changes))


def work_fill(of: ParentOrder, quantity: int, price: int = MID, name: str = "1", **changes: Any) -> Fill:
    """A fill of a parent's child at the lit venue, unless told otherwise."""
    given: dict[str, Any] = {
        "fill_id": FillId(f"fill-{of.parent_id}-{name}"),
        "rfq_id": of.rfq_id,
        "symbol": of.symbol,
        "side": of.side,
        "price": Price(price),
        "quantity": Quantity(quantity),
        "where": Where.LIT,
        "venue": "lit",
        "filled_at": at(60),
        "market_filled_at": at(60),
        "mid_at_fill": MID,
        "parent_id": of.parent_id,
    }
    return Fill(**(given | changes))


def stamp(sequence: int, event: ev.AnyEvent, seconds: float | None = None) -> ev.Stamped:
    """The event as the log holds it; without a time, a second after the one before."""
    when = at(float(sequence) if seconds is None else seconds)
    return ev.Stamped(sequence, event, when, when)
