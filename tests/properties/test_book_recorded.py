"""Whatever is sent against whatever recording: lots are conserved and nothing recorded is had twice."""

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import ACME, BID, random_recording

from lit_router.market.lobster import ADD, EXECUTION, HIDDEN_EXECUTION
from lit_router.market.orders import LIT, AnyReport, Cancelled, Executed, Expired, Rejected, Ticket
from lit_router.market.recorded import HIDDEN, RecordedExchange
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


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10_000), play=acts, latency_s=st.sampled_from([0.0, 0.7]))
def test_nothing_recorded_is_had_twice(seed: int, play: list, latency_s: float) -> None:
    recording = random_recording(random.Random(seed), 80)
    core = RecordedExchange([recording], latency_s=latency_s)
    reports: list[AnyReport] = []
    core.connect("desk", reports.append)
    tickets: dict[str, Ticket] = {}
    at_s = 0.0
    for number, (what, lots, ticks, buys, ioc, dark, wait_s) in enumerate(play):
        at_s += wait_s
        core.advance_to(core._time(at_s))
        order_id, price = str(number), Price(BID + 100 * ticks)
        if what == "submit":
            tickets[order_id] = Ticket(
                order_id=order_id,
                symbol=ACME,
                side=Side.BUY if buys else Side.SELL,
                quantity=Quantity(lots),
                price=price,
                tif=TimeInForce.IOC if ioc else TimeInForce.DAY,
                book=HIDDEN if dark else LIT,
            )
            core.submit("desk", tickets[order_id])
        elif what == "cancel" and tickets:
            core.cancel("desk", str(lots % len(play)))
        elif tickets:
            core.replace("desk", str(ticks % len(play)), Quantity(lots), price)
        check_queues(core)
    core.advance_to(core._time(90.0))
    fills = [report for report in reports if isinstance(report, Executed)]
    check_orders(reports, tickets, fills)

    added: Counter[tuple[bool, int]] = Counter()
    executed = hidden = 0
    for kind, lots, price, of_buyer in zip(
        recording.kinds.tolist(), recording.sizes.tolist(), recording.prices.tolist(), recording.buys, strict=True
    ):
        if kind == ADD:
            added[bool(of_buyer), price] += lots
        executed += lots * (kind == EXECUTION)
        hidden += lots * (kind == HIDDEN_EXECUTION)
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
