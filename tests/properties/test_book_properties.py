"""Whatever participants do to the book: lots are conserved, nothing trades twice, places in the queue make sense."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.orders import (
    LIT,
    AnyReport,
    Cancelled,
    Executed,
    Expired,
    OrderState,
    OrderStatus,
    Rejected,
    Replaced,
    Ticket,
)
from rfq.domain.order import TimeInForce
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol, TickBand

ACME = Symbol("ACME")
OPENS = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
INSTRUMENT = Instrument(
    symbol=ACME,
    currency="USD",
    price_unit=Decimal("0.005"),
    tick_bands=(TickBand(Price(0), 2),),
    adv=Quantity(2_000_000),
)

Step = tuple[str, str, int, int, bool, bool, int]
steps: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "cancel", "replace", "wait"]),
        st.sampled_from(["desk", "dealer", "other"]),
        st.one_of(st.integers(1, 4_000), st.integers(10_000, 60_000)),
        st.integers(-30, 30),
        st.booleans(),
        st.booleans(),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=25,
)
SLOW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Play:
    """Plays steps on an exchange, collecting reports, and checks its books after each."""

    def __init__(self, seed: int) -> None:
        self.sim = SimulatedExchange([Listing(INSTRUMENT, Price(20_000))], seed=seed, opens_at=OPENS)
        self.reports: dict[str, list[AnyReport]] = {"desk": [], "dealer": [], "other": []}
        for who, reports in self.reports.items():
            self.sim.connect(who, reports.append)
        self.asked: dict[tuple[str, str], int] = {}
        self.now_s = 30.0
        self.sim.advance_to(OPENS + timedelta(seconds=self.now_s))

    def step(self, number: int, step: Step) -> None:
        what, who, lots, ticks, buys, ioc, pick = step
        mine = [order_id for (participant, order_id) in self.asked if participant == who]
        best = self.sim.depth(ACME).mid or 20_000
        price = Price(best // 2 * 2 + 2 * ticks)
        match what:
            case "submit":
                order_id = f"{who}{number}"
                self.asked[who, order_id] = lots
                book = (LIT, LIT, LIT, "dark_stream", "dark_block")[pick % 5]
                tif = TimeInForce.IOC if ioc else TimeInForce.DAY
                side = Side.BUY if buys else Side.SELL
                ticket = Ticket(
                    order_id=order_id,
                    symbol=ACME,
                    side=side,
                    quantity=Quantity(lots),
                    price=price,
                    tif=tif,
                    book=book,
                )
                self.sim.submit(who, ticket)
            case "cancel" if mine:
                self.sim.cancel(who, mine[pick % len(mine)])
            case "replace" if mine:
                order_id = mine[pick % len(mine)]
                before = len(self.reports[who])
                self.sim.replace(who, order_id, Quantity(lots), price)
                if any(isinstance(report, Replaced) for report in self.reports[who][before:]):
                    self.asked[who, order_id] = lots
            case _:
                self.now_s += min(lots, 4_000) / 100
                self.sim.advance_to(OPENS + timedelta(seconds=self.now_s))
        self.check_books()

    def filled(self, who: str, order_id: str) -> int:
        fills = [r for r in self.reports[who] if isinstance(r, Executed) and r.order_id == order_id]
        return sum(fill.quantity for fill in fills)

    def check_books(self) -> None:
        book = self.sim._listed[ACME]
        market = self.sim._batch.processor.records[0]
        assert (market["queues"] >= 0).all() and (market["taken"] >= 0).all()
        bids, asks = book.depth(True, 1), book.depth(False, 1)
        assert not bids or not asks or bids[0][0] < asks[0][0]
        live = market["side"] != 0
        assert (market["leaves"][live] > 0).all() and (market["ahead"][live] >= 0).all()
        assert sum(live) == len(book.orders())
        assert {order.leaves for order in book.orders()} == set(market["leaves"][live].tolist())

    def check_orders(self) -> None:
        """asked = filled + leaves + cancelled, by the reports and by the status."""
        for (who, order_id), asked in self.asked.items():
            reports = [r for r in self.reports[who] if r.order_id == order_id]
            filled = self.filled(who, order_id)
            ended = sum(r.leaves for r in reports if isinstance(r, Cancelled | Expired))
            if any(isinstance(r, Rejected) for r in reports):
                assert not filled
                continue
            before = len(self.reports[who])
            self.sim.status(who, order_id)
            again = self.reports[who][before:]
            status = again.pop()
            assert isinstance(status, OrderStatus)
            assert sum(r.quantity for r in again if isinstance(r, Executed)) == filled
            del self.reports[who][before:]
            assert status.cumulative == filled
            if status.state is OrderState.LIVE:
                assert filled + status.leaves == asked and status.leaves > 0
            else:
                assert filled + ended == asked and status.leaves == 0


@SLOW
@given(seed=st.integers(0, 1000), play=steps)
def test_lots_are_conserved_and_the_book_never_crosses(seed: int, play: list[Step]) -> None:
    one = Play(seed)
    for number, step in enumerate(play):
        one.step(number, step)
    one.check_orders()


@SLOW
@given(seed=st.integers(0, 1000), play=steps)
def test_no_execution_is_reported_twice_and_the_tape_covers_them(seed: int, play: list[Step]) -> None:
    one = Play(seed)
    for number, step in enumerate(play):
        one.step(number, step)
    fills = [r for reports in one.reports.values() for r in reports if isinstance(r, Executed)]
    assert len({fill.fill_id for fill in fills}) == len(fills)
    book = one.sim._listed[ACME]
    public = book.volume + book.dark_volume
    makers = sum(fill.quantity for fill in fills if fill.maker)
    takers = sum(fill.quantity for fill in fills if not fill.maker)
    assert max(makers, takers) <= public


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), play=steps, at=st.integers(0, 24))
def test_same_seed_and_calls_give_the_same_reports_and_a_fork_goes_on_alike(
    seed: int, play: list[Step], at: int
) -> None:
    one, two = Play(seed), Play(seed)
    forked: Play | None = None
    for number, step in enumerate(play):
        if number == at:
            forked = Play(seed)
            forked.sim = two.sim.fork(two.sim.name)
            forked.now_s, forked.asked = two.now_s, dict(two.asked)
            forked.reports = {who: list(reports) for who, reports in two.reports.items()}
            for who, reports in forked.reports.items():
                forked.sim.connect(who, reports.append)
        one.step(number, step)
        two.step(number, step)
        if forked is not None:
            forked.step(number, step)
    assert one.reports == two.reports
    if forked is not None:
        assert forked.reports == one.reports


@SLOW
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=8),
)
def test_liquidity_shown_before_a_run_of_market_orders_bounds_what_they_get(seed: int, sizes: list[int]) -> None:
    """Orders sent together take each displayed lot at most once, at its price."""
    one = Play(seed)
    book = one.sim._listed[ACME]
    shown = dict(book.depth(False, 100))
    for number, lots in enumerate(sizes):
        one.sim.submit(
            "desk",
            Ticket(
                order_id=str(number),
                symbol=ACME,
                side=Side.BUY,
                quantity=Quantity(lots),
                tif=TimeInForce.IOC,
            ),
        )
    got: dict[int, int] = defaultdict(int)
    for report in one.reports["desk"]:
        if isinstance(report, Executed):
            got[report.price] += report.quantity
    assert sum(got.values()) == min(sum(sizes), sum(shown.values()))
    assert all(lots <= shown[price] for price, lots in got.items())
