"""A floor to work orders on in tests: market and venues run by hand, a store that folds the real block."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from virtual_time import START

from lit_router.domain.observation import Observation
from lit_router.domain.parent import begin
from lit_router.observe import observe
from lit_router.ports import ExecutionReport, Fees, ReportKind, ReportSink
from lit_router.volume_curve import CONTINUOUS, VolumeCurve
from rfq.domain import events as ev
from rfq.domain.block import Block
from rfq.domain.errors import NotFound, PeerGone
from rfq.domain.fill import Where
from rfq.domain.order import ChildOrder, ParentOrder, TimeInForce
from rfq.domain.rfq import Arrival, Leg, RequestSide, ResidualTerms, RfqTerms, Schedule, Urgency
from rfq.domain.values import (
    ChildId,
    DeskId,
    Instrument,
    ParentId,
    Price,
    Quantity,
    RfqId,
    Side,
    Symbol,
    TickBand,
)
from rfq.ports import MarketClock, MarketView

SYMBOL = Symbol("QDI")
INSTRUMENT = Instrument(
    symbol=SYMBOL,
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    adv=Quantity(2_000_000),
    volatility_bps=150.0,
    spread_bps=5.0,
)
BID, ASK = Price(19_990), Price(20_000)
DARK = ("pool_a", "pool_b")


def parent(
    quantity: int = 1000,
    *,
    side: Side = Side.BUY,
    horizon_s: float = 600.0,
    schedule: Schedule = Schedule.TWAP,
    max_participation: float = 1.0,
    urgency: Urgency = Urgency.MEDIUM,
    limit_price: Price | None = None,
    venues: tuple[str, ...] = (),
    starts_at: datetime = START,
    name: str = "parent-1",
) -> ParentOrder:
    return ParentOrder(
        parent_id=ParentId(name),
        rfq_id=RfqId(f"rfq-{name}"),
        symbol=SYMBOL,
        side=side,
        quantity=Quantity(quantity),
        arrival=Price(19_995),
        starts_at=starts_at,
        horizon_s=horizon_s,
        max_participation=max_participation,
        urgency=urgency,
        schedule=schedule,
        venues=venues,
        limit_price=limit_price,
    )


def seen(
    order: ParentOrder,
    at_s: float,
    *,
    filled: int = 0,
    decision_s: float = 5.0,
    volume: int = 0,
    curve: VolumeCurve = CONTINUOUS,
    bid: Price | None = BID,
    ask: Price | None = ASK,
    shown: int = 10_000,
) -> Observation:
    """Of an order that has nothing resting, `at_s` market seconds after it began."""
    at = order.starts_at + timedelta(seconds=at_s)
    view = MarketView(SYMBOL, bid, ask, Quantity(shown), Quantity(shown), bid, Quantity(volume), at)
    observation = observe(
        begin(order),
        view,
        INSTRUMENT,
        at,
        decision_s=decision_s,
        market_volume=Quantity(volume),
        dark_filled={},
        sent_at={},
        lit_venue="lit",
        dark_venues=DARK,
        curve=curve,
    )
    return observation.but(filled=Quantity(filled), free=Quantity(order.quantity - filled))


class FoldingStore:
    """The OrderStore port over the RFQ's real fold, in memory. `fail` makes every write raise it."""

    def __init__(self, order: ParentOrder) -> None:
        self.block = Block()
        self.events: list[ev.AnyEvent] = []
        self.durable = 0
        self.fail: Exception | None = None
        self.takes_s = 0.0
        leg = Leg(order.symbol, RequestSide(order.side.value), order.quantity, limit_price=order.limit_price)
        terms = RfqTerms((leg,), residual=ResidualTerms(order.horizon_s))
        arrival = Arrival(BID, ASK, Price((BID + ASK) // 2), START)
        self._fold(ev.RfqReceived(order.rfq_id, DeskId("desk"), terms, arrival))
        self._fold(ev.ParentCreated(order))

    def _fold(self, event: ev.AnyEvent) -> None:
        self.block.apply(ev.Stamped(self.block.sequence + 1, event, START, START))
        self.events.append(event)

    def record_soon(self, events: Sequence[ev.AnyEvent], touched: Sequence[object]) -> None:
        if self.fail is not None:
            raise self.fail
        for event in events:
            self._fold(event)

    async def record(self, events: Sequence[ev.AnyEvent], touched: Sequence[object]) -> None:
        self.record_soon(events, touched)
        await asyncio.sleep(self.takes_s)
        if self.fail is not None:
            raise self.fail
        self.durable = len(self.events)

    @property
    def orders(self) -> list:
        """What a restart would find: the order events, without the RFQ's own."""
        return [e for e in self.events if isinstance(e, ev.OrderEvent | ev.BreakFound)]

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]


class HandMarket:
    """The MarketData port, set by hand; volume comes at `pace` lots a market second."""

    def __init__(self, clock: MarketClock, pace: float = 1000.0) -> None:
        self._clock, self.pace = clock, pace
        self.bid: Price | None = BID
        self.ask: Price | None = ASK
        self.bid_quantity = self.ask_quantity = Quantity(500)
        self.halted = False
        self.behind_s = 0.0
        self.gone = False
        self.traded = 0

    @property
    def volume(self) -> Quantity:
        return Quantity(int((self._clock.now() - START).total_seconds() * self.pace) + self.traded)

    def view(self, symbol: Symbol) -> MarketView:
        if self.gone:
            raise NotFound("market", symbol)
        source_at = self._clock.now() - timedelta(seconds=self.behind_s)
        return MarketView(
            symbol,
            self.bid,
            self.ask,
            self.bid_quantity,
            self.ask_quantity,
            self.bid,
            self.volume,
            source_at,
            self.halted,
        )

    async def mid_at(self, symbol: Symbol, at: datetime) -> Price | None:
        return self.view(symbol).mid

    async def control_bps(self, symbol: Symbol, since: datetime, until: datetime) -> float | None:
        return None


class HandVenue:
    """A venue that keeps real order states; what it says, and when, the test decides.

    By default it acknowledges, cancels and replaces at once, fills marketable orders whole (`liquid`) and never
    fills what rests. `mute` drops its answers, `gone` raises PeerGone, `deaf` loses what it is sent. Asked for an
    order's status it tells the executions again (`retells`), then the state.
    """

    def __init__(self, name: str, where: Where, market: HandMarket, clock: MarketClock) -> None:
        self.name, self.where, self.fees = name, where, Fees(take_bps=0.3, make_bps=-0.2)
        self._market, self._clock = market, clock
        self._sink: ReportSink | None = None
        self.orders: dict[ChildId, ChildOrder] = {}
        self.filled: dict[ChildId, int] = {}
        self.live: set[ChildId] = set()
        self.calls: list[tuple[str, ChildId]] = []
        self.liquid = where is Where.LIT
        self.mute = self.gone = self.deaf = False
        self.refuse_cancels = 0
        self.refuse_replaces = False
        self.reject: str | None = None
        self.most_live_lots = 0
        self.on_send: Callable[[ChildOrder], None] = lambda order: None
        self.retells = True
        self._executions = 0
        self._told: dict[ChildId, list[dict[str, object]]] = {}

    def attach(self, sink: ReportSink) -> None:
        self._sink = sink

    def say(self, child_id: ChildId, kind: ReportKind, **more: object) -> None:
        if self.mute or self._sink is None:
            return
        self._sink.take(ExecutionReport(child_id, kind, self._clock.now(), **more))  # type: ignore[arg-type]

    async def send(self, order: ChildOrder) -> None:
        self.calls.append(("send", order.child_id))
        if self.gone:
            raise PeerGone(self.name)
        if self.deaf or order.child_id in self.orders:
            return
        self.on_send(order)
        self.orders[order.child_id] = order
        self.filled[order.child_id] = 0
        if self.reject is not None:
            return self.say(order.child_id, ReportKind.REJECTED, reason=self.reject)
        self.live.add(order.child_id)
        self.say(order.child_id, ReportKind.ACKNOWLEDGED, leaves=order.quantity)
        touch = self._market.ask if order.side is Side.BUY else self._market.bid
        assert touch is not None and order.price is not None
        if self.liquid and order.side.sign * (order.price - touch) >= 0:
            self.fill(order.child_id, order.quantity, touch)
        if order.time_in_force is TimeInForce.IOC and order.child_id in self.live:
            self.live.discard(order.child_id)
            self.say(order.child_id, ReportKind.EXPIRED)

    def fill(self, child_id: ChildId, quantity: int, price: Price | None = None, execution_id: str = "") -> None:
        """Trades, whatever state the order is in: a test may want a late or an excessive fill."""
        order = self.orders[child_id]
        self._executions += 1
        self.filled[child_id] += quantity
        self._market.traded += quantity
        if self.filled[child_id] >= order.quantity:
            self.live.discard(child_id)
        execution = {
            "execution_id": execution_id or f"e{self._executions}",
            "price": price or order.price,
            "quantity": Quantity(quantity),
            "mid": Price((BID + ASK) // 2),
        }
        self._told.setdefault(child_id, []).append(execution)
        self.say(child_id, ReportKind.FILLED, **execution)

    async def replace(self, child_id: ChildId, quantity: Quantity, price: Price | None) -> None:
        self.calls.append(("replace", child_id))
        if self.gone:
            raise PeerGone(self.name)
        if self.deaf:
            return
        if child_id not in self.live or self.refuse_replaces:
            return self.say(child_id, ReportKind.CANCEL_REJECTED, reason="over")
        self.orders[child_id] = self.orders[child_id].but(quantity=quantity, price=price)
        self.say(child_id, ReportKind.REPLACED)

    async def cancel(self, child_id: ChildId) -> None:
        self.calls.append(("cancel", child_id))
        if self.gone:
            raise PeerGone(self.name)
        if self.deaf:
            return
        if child_id not in self.live or self.refuse_cancels:
            self.refuse_cancels = max(0, self.refuse_cancels - 1)
            return self.say(child_id, ReportKind.CANCEL_REJECTED, reason="too late")
        self.live.discard(child_id)
        self.say(child_id, ReportKind.CANCELLED, cumulative=Quantity(self.filled[child_id]))

    async def status(self, child_id: ChildId) -> None:
        self.calls.append(("status", child_id))
        if self.gone:
            raise PeerGone(self.name)
        if self.deaf:
            return
        order = self.orders.get(child_id)
        if order is None:
            return self.say(child_id, ReportKind.UNKNOWN)
        for execution in self._told.get(child_id, []) if self.retells else []:
            self.say(child_id, ReportKind.FILLED, **execution)
        done = Quantity(self.filled[child_id])
        leaves = Quantity(max(0, order.quantity - done))
        if child_id in self.live:
            self.say(child_id, ReportKind.ACKNOWLEDGED, leaves=leaves, cumulative=done)
        else:
            kind = ReportKind.CANCELLED if leaves else ReportKind.FILLED
            self.say(child_id, kind, cumulative=done)

    def resting(self) -> list[ChildOrder]:
        return [self.orders[child_id] for child_id in self.orders if child_id in self.live]

    def sent(self) -> list[ChildId]:
        return [child_id for verb, child_id in self.calls if verb == "send"]
