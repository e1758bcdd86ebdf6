"""What the dealer suites share: a wall clock, a listening engine's end, a ledger, and one dealer that a test drives."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from rfq.domain.errors import NotFound, PeerFault, Refusal
from rfq.domain.fill import Fill, Where
from rfq.domain.quote import Lift, QuoteSide, Request, quote_key
from rfq.domain.rfq import RequestSide
from rfq.domain.values import (
    AuctionId,
    DealerId,
    FillId,
    Instrument,
    LiftId,
    Price,
    Quantity,
    QuoteId,
    RequestId,
    RfqId,
    Side,
    Symbol,
    TickBand,
)
from rfq.ports import DealerMessage, DealerQuoted, LineDown, LineUp, Trade

ACME = Instrument(
    symbol=Symbol("ACME"),
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    lot=Decimal(100),
    adv=Quantity(20_000),
    sector="technology",
)
INSTRUMENTS = {ACME.symbol: ACME}
D1, D2 = DealerId("D01"), DealerId("D02")


class WallClock:
    """The real session clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 - this is the adapter

    async def sleep_until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self.now()).total_seconds()))


class Inbox:
    """The engine's end: keeps what was said, and refuses what a test tells it to refuse."""

    def __init__(self) -> None:
        self.taken: list[tuple[DealerId, DealerMessage, datetime]] = []
        self.refusal: PeerFault | Refusal | Exception | None = None
        self._changed = asyncio.Event()

    def take(self, dealer_id: DealerId, message: DealerMessage, received_at: datetime) -> None:
        line = isinstance(message, LineUp | LineDown)
        if self.refusal is not None and not line:
            refusal, self.refusal = self.refusal, None
            raise refusal
        self.taken.append((dealer_id, message, received_at))
        self._changed.set()

    def of(self, kind: type, dealer_id: DealerId = D1) -> list[Any]:
        return [m for d, m, _ in self.taken if d == dealer_id and isinstance(m, kind)]

    async def until(self, condition: Callable[[], object], within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def next(self, kind: type, count: int = 1, dealer_id: DealerId = D1, *, within_s: float = 5.0) -> Any:
        """The count-th message of a kind, waited for."""
        await self.until(lambda: len(self.of(kind, dealer_id)) >= count, within_s)
        return self.of(kind, dealer_id)[count - 1]


class Ledger:
    """A TradeLedger that outlives gateways, as the database does. Can be switched off."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[DealerId, LiftId], Trade] = {}
        self.known: set[tuple[DealerId, LiftId]] = set()
        self.away: Exception | None = None
        self._acknowledged = asyncio.Event()

    async def settled(self, within_s: float = 5.0) -> None:
        """Until every trade is acknowledged."""
        async with asyncio.timeout(within_s):
            while self.waiting:
                self._acknowledged.clear()
                await self._acknowledged.wait()

    def confirmed(self, trade: Trade) -> None:
        key = (trade.lift.dealer_id, trade.lift.lift_id)
        self.waiting[key] = trade
        self.known.add(key)

    async def unacknowledged(self, dealer_id: DealerId) -> list[Trade]:
        if self.away:
            raise self.away
        return [trade for (dealer, _), trade in self.waiting.items() if dealer == dealer_id]

    async def acknowledge(self, dealer_id: DealerId, lift_id: LiftId) -> None:
        if self.away:
            raise self.away
        if (dealer_id, lift_id) not in self.known:
            raise NotFound("lift", lift_id)
        self.waiting.pop((dealer_id, lift_id), None)
        self._acknowledged.set()


def request(name: str, now: datetime, *, dealer: DealerId = D1, window_s: float = 10.0, **changes: Any) -> Request:
    given: dict[str, Any] = {
        "request_id": RequestId(name),
        "rfq_id": RfqId("rfq-1"),
        "auction_id": AuctionId("auction-1"),
        "dealer_id": dealer,
        "symbol": ACME.symbol,
        "side": RequestSide.BUY,
        "quantity": Quantity(50),
        "deadline": now + timedelta(seconds=window_s),
        "asked_at": now,
        "market_asked_at": now,
        "mid_at_ask": Price(20_000),
    }
    return Request(**(given | changes))


def lift_of(quoted: DealerQuoted, now: datetime, *, name: str = "lift-1", dealer: DealerId = D1, answer_s=5.0) -> Lift:
    assert quoted.offer is not None
    return Lift(
        lift_id=LiftId(name),
        rfq_id=RfqId("rfq-1"),
        auction_id=AuctionId("auction-1"),
        request_id=quoted.request_id,
        quote_id=quote_key(quoted.request_id, quoted.quote_id),
        revision=quoted.revision,
        dealer_id=dealer,
        symbol=ACME.symbol,
        side=Side.BUY,
        price=quoted.offer.price,
        quantity=quoted.offer.quantity,
        sent_at=now,
        answer_by=now + timedelta(seconds=answer_s),
    )


def trade_of(lift: Lift, now: datetime) -> Trade:
    fill = Fill(
        fill_id=FillId(f"fill-{lift.lift_id}"),
        rfq_id=lift.rfq_id,
        symbol=lift.symbol,
        side=lift.side,
        price=lift.price,
        quantity=lift.quantity,
        where=Where.QUOTE,
        venue=lift.dealer_id,
        filled_at=now,
        market_filled_at=now,
        mid_at_fill=Price(20_000),
        dealer_id=lift.dealer_id,
        lift_id=lift.lift_id,
    )
    return Trade(lift, fill)


OFFER = QuoteSide(Price(20_010), Quantity(30), Quantity(10))
QUOTE_1 = QuoteId("q1")
