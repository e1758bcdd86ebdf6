"""Whatever is sent against whatever recording: lots are conserved, nothing recorded is had twice, and skipping what
cannot touch our orders changes nothing."""

import random
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import ACME, BID, random_recording
from tick_days import random_tick_day

from lit_router.market import lobster, nbbo, recorded_book, top_of_book
from lit_router.market.lobster import ADD, DARK_PRINT, EXECUTION, FALL, HIDDEN_EXECUTION, Recording
from lit_router.market.orders import LIT, AnyReport, Cancelled, Executed, Expired, Rejected, Ticket
from lit_router.market.recorded import HIDDEN, RecordedExchange
from lit_router.market.recorded_book import RecordedBook
from rfq.domain.order import TimeInForce
from rfq.domain.values import Price, Quantity, Side

acts = st.lists(
    st.tuples(
        st.sampled_from(["submit", "submit", "submit", "cancel", "replace"]),
        st.integers(1, 150),
        st.integers(-5, 9),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.floats(0.0, 8.0),
    ),
    max_size=20,
)


def recorded(seed: int, ticks: bool, messages: int = 80) -> Recording:
    rng = random.Random(seed)
    return top_of_book.recording(random_tick_day(rng, messages)) if ticks else random_recording(rng, messages)


class Trader:
    """Sends what it is told to an exchange, remembering tickets and reports."""

    def __init__(self, core: RecordedExchange, who: str = "desk") -> None:
        self.core, self.who, self.sent = core, who, 0
        self.reports: list[AnyReport] = []
        self.tickets: dict[str, Ticket] = {}
        core.connect(who, self.reports.append)

    def act(self, what: str, lots: int, price: Price, buys: bool, ioc: bool, dark: bool) -> None:
        order_id = str(self.sent)
        self.sent += 1
        if what == "submit":
            self.tickets[order_id] = Ticket(
                order_id=order_id,
                symbol=self.core.symbols()[0],
                side=Side.BUY if buys else Side.SELL,
                quantity=Quantity(lots),
                price=price,
                tif=TimeInForce.IOC if ioc else TimeInForce.DAY,
                book=HIDDEN if dark else LIT,
            )
            self.core.submit(self.who, self.tickets[order_id])
        elif what == "cancel" and self.tickets:
            self.core.cancel(self.who, str(lots % self.sent))
        elif self.tickets:
            self.core.replace(self.who, str(price // 100 % self.sent), Quantity(lots), price)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10_000), ticks=st.booleans(), play=acts, latency_s=st.sampled_from([0.0, 0.7]))
def test_nothing_recorded_is_had_twice(seed: int, ticks: bool, play: list, latency_s: float) -> None:
    recording = recorded(seed, ticks)
    core = RecordedExchange([recording], latency_s=latency_s)
    desk = Trader(core)
    at_s = 0.0
    for what, lots, steps, *how, wait_s in play:
        at_s += wait_s
        core.advance_to(core._time(at_s))
        desk.act(what, lots, Price(BID + 100 * steps), *how)
        check_queues(core)
    core.advance_to(core._time(max(at_s, recording.ends_s) + 1.0))
    reports, tickets = desk.reports, desk.tickets
    fills = [report for report in reports if isinstance(report, Executed)]
    check_orders(reports, tickets, fills)

    added: Counter[tuple[bool, int]] = Counter()
    executed = hidden = 0
    for row, (kind, lots, price, of_buyer) in enumerate(
        zip(recording.kinds.tolist(), recording.sizes.tolist(), recording.prices.tolist(), recording.buys, strict=True)
    ):
        if kind == FALL:  # What comes into view.
            price, lots = (recording.bids if of_buyer else recording.asks)[row, 0].tolist()
        if kind in (ADD, FALL):
            added[bool(of_buyer), price] += lots
        executed += lots * (kind == EXECUTION)
        hidden += lots * (kind in (HIDDEN_EXECUTION, DARK_PRINT))
    taken: Counter[tuple[bool, int]] = Counter()
    for fill in fills:
        buys = tickets[fill.order_id].side is Side.BUY
        if not fill.maker:
            taken[not buys, fill.price] += fill.quantity
    for place, lots in taken.items():
        assert lots <= added[place], "more was taken at a price than was ever added there"
    assert (
        sum(taken.values()) + sum(f.quantity for f in fills if f.maker) <= sum(added.values()) + executed + 2 * hidden
    )


class RowByRow(RecordedBook):
    """Plays every message."""

    def _touching(self, begin: int, end: int) -> list[int]:
        return list(range(begin, end))


def both_ways(recording: Recording, latency_s: float) -> tuple[RecordedExchange, RecordedExchange]:
    fast, slow = (RecordedExchange([recording], latency_s=latency_s) for _ in range(2))
    slow._books[recording.symbol] = RowByRow(recording)
    return fast, slow


def state(core: RecordedExchange) -> dict[str, object]:
    """All of a book that anything to come can depend on."""
    (book,) = core._books.values()
    return {
        "queues": [
            {
                price: [(o.order_id, o.leaves, o.ahead, book._arrived[o.participant, o.order_id]) for o in queue.orders]
                for price, queue in book.own(bids).items()
            }
            for bids in (True, False)
        ],
        "hidden": [(order.order_id, order.leaves) for order in book.hidden],
        "taken": [{price: lots for price, lots in book._consumed[bids].items() if lots} for bids in (True, False)],
        "shown": (book.row, book.depth(True), book.depth(False), book.mid, book.volume, book.halted, core.now),
    }


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    ticks=st.booleans(),
    play=acts,
    latency_s=st.sampled_from([0.0, 0.7]),
    stretch=st.sampled_from([1, 7, 1024]),
)
def test_skipping_what_touches_nothing_changes_nothing(
    seed: int, ticks: bool, play: list, latency_s: float, stretch: int
) -> None:
    recording = recorded(seed, ticks, 160)
    sides = [(core, Trader(core, "desk"), Trader(core, "dealer")) for core in both_ways(recording, latency_s)]
    at_s = 0.0
    with patch.object(recorded_book, "STRETCH", stretch):
        for number, (what, lots, steps, *how, wait_s) in enumerate([*play, ("cancel", 1, 0, True, True, True, 99.0)]):
            at_s += wait_s
            for core, *traders in sides:
                core.advance_to(core._time(at_s))
                traders[number % 2].act(what, lots, Price(BID + 100 * steps), *how)
            (fast, *fast_traders), (slow, *slow_traders) = sides
            assert state(fast) == state(slow)
            for one, other in zip(fast_traders, slow_traders, strict=True):
                assert one.reports == other.reports


@pytest.mark.parametrize("name", ["GOOG", "AAPL", "IBM", "BAC"])
def test_skipping_changes_nothing_on_real_days(data_folder: Path, name: str) -> None:
    """Twenty minutes of random orders near the best prices."""
    recording = real(data_folder, name)
    fast, slow = both_ways(recording, 0.01)
    sides = [(core, Trader(core)) for core in (fast, slow)]
    rng = random.Random(7)
    at_s = 1_800.0
    for _ in range(300):
        at_s += rng.expovariate(0.25)
        what = rng.choice(("submit", "submit", "cancel", "replace"))
        lots, ticks = rng.randint(1, 800), rng.randint(-3, 2)
        buys, ioc, dark = rng.random() < 0.5, rng.random() < 0.3, rng.random() < 0.3
        for core, trader in sides:
            core.advance_to(core._time(at_s))
            levels = core.depth(recording.symbol).bids if buys else core.depth(recording.symbol).asks
            price = levels[0][0] + (100 if buys else -100) * ticks if levels else 100
            trader.act(what, lots, Price(price), buys, ioc, dark)
        assert state(fast) == state(slow)
    assert sides[0][1].reports == sides[1][1].reports
    assert sum(isinstance(report, Executed) and report.maker for report in sides[0][1].reports) > 10


def real(data_folder: Path, name: str) -> Recording:
    if name in ("GOOG", "AAPL"):
        levels = 10 if name == "GOOG" else 1
        return lobster.read(data_folder / "lobster" / f"LOBSTER_SampleFile_{name}_2012-06-21_{levels}.zip")
    folder = data_folder / "us_equity_tick_nbbo" / name.lower()
    return top_of_book.recording(nbbo.read(folder / "20131008_trade.zip", folder / "20131008_quote.zip"))


def check_queues(core: RecordedExchange) -> None:
    book = core._books[ACME]
    for bids in (True, False):
        displayed = dict(book.depth(bids, 100))
        assert all(lots >= 0 for lots in displayed.values())
        for queue in book.own(bids).values():
            aheads = [order.ahead for order in queue.orders]
            assert aheads == sorted(aheads) and aheads[0] >= 0
            assert all(order.leaves > 0 for order in queue.orders)


def check_orders(reports: list[AnyReport], tickets: dict[str, Ticket], fills: list[Executed]) -> None:
    assert len({fill.fill_id for fill in fills}) == len(fills)
    for order_id, ticket in tickets.items():
        mine = [report for report in reports if report.order_id == order_id]
        if any(isinstance(report, Rejected) for report in mine) or not mine:
            continue
        limit_kept = [
            fill.price <= ticket.price if ticket.side is Side.BUY else fill.price >= ticket.price
            for fill in mine
            if isinstance(fill, Executed) and ticket.price is not None
        ]
        replaced = [report for report in mine if type(report).__name__ == "Replaced"]
        asked = replaced[-1].quantity if replaced else ticket.quantity  # type: ignore[attr-defined]
        assert replaced or all(limit_kept)
        filled = sum(fill.quantity for fill in mine if isinstance(fill, Executed))
        ended = [report for report in mine if isinstance(report, Cancelled | Expired)]
        assert len(ended) <= 1
        shrunk = ended and ended[0].reason.startswith("quantity reduced")
        assert shrunk or filled + sum(report.leaves for report in ended) == asked
