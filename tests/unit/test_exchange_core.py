"""The simulated exchange as participants meet it: orders, reports, dark pools, halts, forks."""

import pickle
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from lit_router.market.batch.pools import STREAM, PoolCharacter
from lit_router.market.exchange import SLOTS, Listing, SimulatedExchange
from lit_router.market.orders import (
    LIT,
    Accepted,
    AnyReport,
    Cancelled,
    CancelRejected,
    Executed,
    Expired,
    OrderState,
    OrderStatus,
    Rejected,
    Replaced,
    Ticket,
)
from rfq.domain.errors import BadInput, NotFound
from rfq.domain.order import TimeInForce
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol, TickBand

OPENS = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ACME = Symbol("ACME")
CALM = PoolCharacter("calm", 0.05, 0.001, 0.5, 0.0, 600.0, 0.0, 0.0)


def instrument(symbol: Symbol = ACME) -> Instrument:
    return Instrument(
        symbol=symbol,
        currency="USD",
        price_unit=Decimal("0.005"),
        tick_bands=(TickBand(Price(0), 2),),
        adv=Quantity(2_000_000),
    )


def exchange(
    seed: int = 7, pools: tuple[PoolCharacter, ...] = (CALM, STREAM), latency_s: float = 0.0
) -> SimulatedExchange:
    listings = [Listing(instrument(), Price(20_000)), Listing(instrument(Symbol("OTHER")), Price(8_000))]
    made = SimulatedExchange(listings, seed=seed, opens_at=OPENS, name="X1", pools=pools, latency_s=latency_s)
    made.advance_to(at(60))
    return made


def at(seconds: float) -> datetime:
    return OPENS + timedelta(seconds=seconds)


def order(
    order_id: str,
    side: Side,
    quantity: int,
    price: int | None,
    *,
    tif: TimeInForce = TimeInForce.DAY,
    book: str = LIT,
    minimum: int = 0,
) -> Ticket:
    return Ticket(
        order_id=order_id,
        symbol=ACME,
        side=side,
        quantity=Quantity(quantity),
        price=None if price is None else Price(price),
        tif=tif,
        book=book,
        minimum=Quantity(minimum),
    )


@pytest.fixture
def sim() -> SimulatedExchange:
    return exchange()


def listen(sim: SimulatedExchange, who: str = "desk") -> list[AnyReport]:
    reports: list[AnyReport] = []
    sim.connect(who, reports.append)
    return reports


def executed(reports: list[AnyReport]) -> list[Executed]:
    return [report for report in reports if isinstance(report, Executed)]


def test_market_order_pays_the_offered_prices_and_says_the_mid_before(sim: SimulatedExchange) -> None:
    reports, before = listen(sim), sim.depth(ACME)
    sim.submit("desk", order("a", Side.BUY, before.asks[0][1] + 5, None, tif=TimeInForce.IOC))
    assert isinstance(reports[0], Accepted)
    first, second = executed(reports)
    assert (first.price, first.quantity, first.leaves, first.maker) == (*before.asks[0], 5, False)
    assert (second.price, second.leaves) == (before.asks[1][0], 0)
    assert first.mid == before.mid
    assert sim.depth(ACME).volume == before.volume + before.asks[0][1] + 5
    assert {first.fill_id, second.fill_id} == {"X1-1", "X1-2"}


def test_ioc_rest_expires_and_a_day_rest_stays(sim: SimulatedExchange) -> None:
    reports, before = listen(sim), sim.depth(ACME)
    price, lots = before.asks[0]
    sim.submit("desk", order("a", Side.BUY, lots + 100, price, tif=TimeInForce.IOC))
    assert isinstance(reports[-1], Expired) and reports[-1].leaves == 100
    sim.submit("desk", order("b", Side.BUY, 100, before.bids[0][0]))
    sim.status("desk", "b")
    assert reports[-1] == OrderStatus(order_id="b", at=sim.now, state=OrderState.LIVE, leaves=Quantity(100))


def test_resting_order_is_filled_by_the_market_and_counted_once(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    quantity = 400
    sim.submit("desk", order("a", Side.SELL, quantity, sim.depth(ACME).asks[0][0]))
    sim.advance_to(at(3600))
    fills = executed(reports)
    assert fills and all(fill.maker for fill in fills)
    filled = sum(fill.quantity for fill in fills)
    assert filled + fills[-1].leaves == quantity
    assert [fill.at for fill in fills] == sorted(fill.at for fill in fills)


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (order("a", Side.BUY, 10, 20_001), "multiple of the tick"),
        (order("a", Side.BUY, 0, 20_000), "must be positive"),
        (order("a", Side.BUY, 10, None), "must be ioc"),
        (order("a", Side.BUY, 10, 20_000, book="nowhere"), "unknown book"),
        (Ticket(order_id="a", symbol=Symbol("NONE"), side=Side.BUY, quantity=Quantity(1)), "unknown symbol"),
    ],
)
def test_bad_orders_are_rejected_with_the_reason(sim: SimulatedExchange, ticket: Ticket, reason: str) -> None:
    reports = listen(sim)
    sim.submit("desk", ticket)
    (report,) = reports
    assert isinstance(report, Rejected) and reason in report.reason


def test_sending_an_order_again_changes_nothing(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    ticket = order("a", Side.BUY, 30, None, tif=TimeInForce.IOC)
    sim.submit("desk", ticket)
    volume = sim.depth(ACME).volume
    sim.submit("desk", ticket)
    assert sim.depth(ACME).volume == volume
    assert isinstance(reports[-1], OrderStatus)
    assert (reports[-1].state, reports[-1].cumulative) == (OrderState.FILLED, 30)


def test_cancel_is_confirmed_once_and_then_refused(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    sim.submit("desk", order("a", Side.BUY, 100, sim.depth(ACME).bids[-1][0]))
    sim.cancel("desk", "a")
    sim.cancel("desk", "a")
    sim.cancel("desk", "never sent")
    kinds = [type(report) for report in reports]
    assert kinds == [Accepted, Cancelled, CancelRejected, CancelRejected]
    assert isinstance(reports[1], Cancelled) and reports[1].leaves == 100


def test_replace_keeps_priority_only_when_it_asks_for_less_at_the_same_price(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    price = Price(sim.depth(ACME).bids[0][0] - 2)
    others = listen(sim, "dealer")
    sim.submit("desk", order("a", Side.BUY, 100, price))
    sim.submit("dealer", order("z", Side.BUY, 100, price))
    sim.replace("desk", "a", Quantity(60), price)
    assert isinstance(reports[-1], Replaced) and reports[-1].leaves == 60
    taken = sum(lots for level, lots in sim.depth(ACME).bids if level > price)
    sim.submit("third", order("s", Side.SELL, taken + 60, price, tif=TimeInForce.IOC))
    assert sum(fill.quantity for fill in executed(reports)) == 60
    assert not executed(others)


def test_replace_to_a_larger_size_goes_to_the_back(sim: SimulatedExchange) -> None:
    reports, others = listen(sim), listen(sim, "dealer")
    price = Price(sim.depth(ACME).bids[0][0] - 2)
    sim.submit("desk", order("a", Side.BUY, 100, price))
    sim.submit("dealer", order("z", Side.BUY, 100, price))
    sim.replace("desk", "a", Quantity(120), price)
    taken = sum(lots for level, lots in sim.depth(ACME).bids if level > price)
    sim.submit("third", order("s", Side.SELL, taken + 100, price, tif=TimeInForce.IOC))
    assert sum(fill.quantity for fill in executed(others)) == 100
    assert not executed(reports)


def test_replace_below_what_was_filled_cancels_the_rest(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    price, lots = sim.depth(ACME).asks[0]
    sim.submit("desk", order("a", Side.BUY, lots + 100, price))
    sim.replace("desk", "a", Quantity(lots), price)
    assert isinstance(reports[-1], Cancelled)


def test_halt_refuses_orders_and_lets_cancels_through(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    sim.submit("desk", order("a", Side.BUY, 100, sim.depth(ACME).bids[1][0]))
    sim.halt(ACME)
    volume = sim.depth(ACME).volume
    sim.submit("desk", order("b", Side.BUY, 100, None, tif=TimeInForce.IOC))
    assert isinstance(reports[-1], Rejected) and reports[-1].reason == "halted"
    sim.cancel("desk", "a")
    assert isinstance(reports[-1], Cancelled)
    sim.advance_to(at(600))
    assert sim.depth(ACME).halted and sim.depth(ACME).volume == volume
    sim.resume(ACME)
    sim.advance_to(at(900))
    assert sim.depth(ACME).volume > volume


def test_dark_order_fills_at_the_mid_and_only_there(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    sim.submit("desk", order("d", Side.BUY, 50_000, 20_400, book="calm", minimum=100))
    for minute in range(2, 120):
        sim.advance_to(at(minute * 60))
    fills = executed(reports)
    assert fills, "two hours in a pool that passes 5% of the day's volume"
    assert all(fill.price == fill.mid == sim.mid_at(ACME, fill.at) for fill in fills)
    assert all(fill.quantity >= 100 or fill.leaves == 0 for fill in fills)


def test_dark_limit_is_respected_and_participants_cross_each_other(sim: SimulatedExchange) -> None:
    reports, others = listen(sim), listen(sim, "dealer")
    mid = sim.depth(ACME).mid
    assert mid is not None
    too_low = Price((mid - 20) // 2 * 2)
    sim.submit("desk", order("low", Side.BUY, 5_000, too_low, book="calm"))
    sim.submit("dealer", order("s", Side.SELL, 1_000, None, book="calm"))
    assert not executed(reports)
    sim.submit("desk", order("d", Side.BUY, 5_000, None, book="calm", tif=TimeInForce.IOC))
    assert [(fill.price, fill.quantity) for fill in executed(reports)] == [(mid, 1_000)]
    assert executed(others)[0].maker and not executed(reports)[0].maker
    assert isinstance(reports[-1], Expired) and reports[-1].leaves == 4_000


def test_minimum_execution_holds_off_small_contras(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    sim.submit("desk", order("d", Side.BUY, 5_000, None, book="calm", minimum=2_000))
    sim.submit("dealer", order("s", Side.SELL, 1_999, None, book="calm", tif=TimeInForce.IOC))
    assert not executed(reports)
    sim.submit("dealer", order("t", Side.SELL, 2_000, None, book="calm", tif=TimeInForce.IOC))
    assert [fill.quantity for fill in executed(reports)] == [2_000]


def test_fork_sees_the_same_future_and_what_it_does_stays_in_it(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    sim.submit("desk", order("a", Side.SELL, 300, sim.depth(ACME).asks[1][0]))
    sim.submit("desk", order("d", Side.BUY, 50_000, None, book="calm"))
    twin, third = sim.fork("TWIN"), sim.fork("THIRD")
    in_twin = listen(twin)
    third.submit("x", order("x", Side.BUY, 20_000, None, tif=TimeInForce.IOC))
    for each in (sim, twin, third):
        each.advance_to(at(3_600))
    assert sim.depth(ACME) == twin.depth(ACME) != third.depth(ACME)
    assert [(f.at, f.price, f.quantity) for f in executed(reports)] == [
        (f.at, f.price, f.quantity) for f in executed(in_twin)
    ]
    assert all(fill.fill_id.startswith("TWIN-") for fill in executed(in_twin))


def test_what_we_do_changes_nothing_in_the_anonymous_flow(sim: SimulatedExchange) -> None:
    """The exogenous stream is common: another participant's trading leaves every later anonymous queue as it was."""
    twin = sim.fork("TWIN")
    twin.submit("x", order("x", Side.BUY, 20_000, None, tif=TimeInForce.IOC))
    for each in (sim, twin):
        each.advance_to(at(360))
    (mine, *_), (theirs, *_) = sim._batch.processor.records, twin._batch.processor.records
    assert mine["queues"].tolist() == theirs["queues"].tolist() and mine["tilt"] == theirs["tilt"]
    assert twin.depth(ACME).mid > sim.depth(ACME).mid, "but its buying has moved the price"


def test_orders_are_refused_once_too_many_rest(sim: SimulatedExchange) -> None:
    reports = listen(sim)
    far = sim.depth(ACME).bids[-1][0]
    for number in range(SLOTS):
        sim.submit("desk", order(f"o{number}", Side.BUY, 10, far))
    sim.submit("desk", order("one more", Side.BUY, 10, far))
    assert isinstance(reports[-1], Rejected) and f"{SLOTS} participants' orders" in reports[-1].reason
    sim.cancel("desk", "o7")
    sim.submit("desk", order("again", Side.BUY, 10, far))
    assert isinstance(reports[-1], Accepted)
    sim.status("desk", f"o{SLOTS - 1}")
    assert isinstance(reports[-1], OrderStatus) and reports[-1].state is OrderState.LIVE
    assert dict(sim.depth(ACME).bids)[far] >= 10 * SLOTS


def test_the_past_is_kept_while_the_market_goes_on(sim: SimulatedExchange) -> None:
    seen = {}
    for minute in range(2, 400, 7):
        sim.advance_to(at(60 * minute))
        seen[minute] = (sim.depth(ACME).mid, sim.depth(ACME).volume)
    for minute, (mid, volume) in list(seen.items())[-30:]:
        assert sim.mid_at(ACME, at(60 * minute)) == mid
        assert sim.volume_at(ACME, at(60 * minute)) == volume


def test_a_copy_in_another_process_goes_on_alike(sim: SimulatedExchange) -> None:
    sim.submit("desk", order("a", Side.BUY, 5_000, sim.depth(ACME).bids[0][0]))
    twin = pickle.loads(pickle.dumps(sim.fork("TWIN", [ACME])))
    for each in (sim, twin):
        each.advance_to(at(900))
    assert twin.depth(ACME) == sim.depth(ACME)


def test_what_is_listed_beside_does_not_change_a_book() -> None:
    alone = SimulatedExchange([Listing(instrument(), Price(20_000))], seed=7, opens_at=OPENS, pools=(CALM, STREAM))
    alone.advance_to(at(60))
    assert alone.depth(ACME) == exchange(7).depth(ACME)


def test_mid_is_unknown_for_the_future_and_before_the_opening(sim: SimulatedExchange) -> None:
    assert sim.mid_at(ACME, sim.now + timedelta(seconds=1)) is None
    assert sim.mid_at(ACME, OPENS - timedelta(seconds=1)) is None
    assert sim.mid_at(ACME, sim.now) == sim.depth(ACME).mid
    with pytest.raises(NotFound):
        sim.mid_at(Symbol("NONE"), sim.now)


def test_disconnect_can_pull_live_orders(sim: SimulatedExchange) -> None:
    listen(sim)
    price = sim.depth(ACME).bids[0][0]
    sim.submit("desk", order("a", Side.BUY, 100, price))
    shown = dict(sim.depth(ACME).bids)[price]
    sim.disconnect("desk", cancel=True)
    assert dict(sim.depth(ACME).bids)[price] == shown - 100


def test_what_is_sent_arrives_after_the_latency_in_the_order_in_which_it_was_sent() -> None:
    core = exchange(latency_s=2.0)
    reports, bid = listen(core), core.depth(ACME).bids[0][0]
    core.submit("desk", order("a", Side.BUY, 10, bid - 20))
    core.status("desk", "a")
    core.cancel("desk", "a")
    core.advance_to(at(61.9))
    assert reports == []
    core.advance_to(at(70))
    assert [type(report) for report in reports] == [Accepted, OrderStatus, Cancelled]
    assert {report.at for report in reports} == {at(62)}


def test_an_order_on_its_way_when_its_sender_disconnects_is_pulled_as_well() -> None:
    core = exchange(latency_s=2.0)
    listen(core)
    core.submit("desk", order("a", Side.BUY, 10, core.depth(ACME).bids[0][0] - 20))
    core.disconnect("desk", cancel=True)
    core.advance_to(at(70))
    reports = listen(core)
    core.status("desk", "a")
    core.advance_to(at(80))
    assert [report.state for report in reports if isinstance(report, OrderStatus)] == [OrderState.CANCELLED]


def test_with_latency_an_order_is_executed_as_if_it_had_been_sent_so_much_later() -> None:
    told = []
    for core, sent_at in ((exchange(latency_s=5.0), 60), (exchange(), 65)):
        reports = listen(core)
        core.advance_to(at(sent_at))
        core.submit("desk", order("a", Side.BUY, 3_000, None, tif=TimeInForce.IOC))
        core.advance_to(at(90))
        told.append(reports)
    assert told[0] == told[1] and len(told[0]) > 1


@pytest.mark.parametrize("latency_s", [-0.1, float("nan"), float("inf")])
def test_a_latency_is_a_time(latency_s: float) -> None:
    with pytest.raises(BadInput, match="latency_s"):
        exchange(latency_s=latency_s)


@pytest.mark.parametrize("seller", ["desk", "dealer"])
def test_who_sweeps_what_is_in_view_meets_the_order_displayed_beyond_it(sim: SimulatedExchange, seller: str) -> None:
    """It trades with another's, and stops at its own: the book is never locked."""
    asks = sim.depth(ACME).asks
    beyond = asks[-1][0] + 20
    reports, sellers = listen(sim), listen(sim, "dealer")
    sim.submit(seller, order("s", Side.SELL, 7, beyond))
    all_of_it = sum(lots for _, lots in sim._listed[ACME].depth(False, 100))
    sim.submit("desk", order("b", Side.BUY, all_of_it + 50, beyond))
    bought = [fill for fill in executed(reports) if fill.order_id == "b"]
    depth = sim.depth(ACME)
    if seller == "desk":
        assert sum(fill.quantity for fill in bought) == all_of_it - 7
        assert isinstance(reports[-1], Cancelled) and "itself" in reports[-1].reason
        assert depth.asks == ((beyond, 7),)
    else:
        assert sum(fill.quantity for fill in bought) == all_of_it and bought[-1].price == beyond
        assert [fill.quantity for fill in executed(sellers)] == [7]
        assert depth.bids[0] == (beyond, 50) and not depth.asks
