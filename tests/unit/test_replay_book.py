"""Our orders against a recorded book: each declared rule on a handmade recording, and the whole on a real one."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from recordings import ACME, ASK, BEGINS, BID, Levels, Message, recording, shows

from lit_router.market.lobster import EXECUTION, HIDDEN_EXECUTION, Recording, read
from lit_router.market.orders import (
    LIT,
    Accepted,
    AnyReport,
    Cancelled,
    Executed,
    Expired,
    OrderState,
    OrderStatus,
    Rejected,
    Ticket,
)
from lit_router.market.recorded import HIDDEN, RecordedExchange
from rfq.domain.errors import BadInput
from rfq.domain.order import TimeInForce
from rfq.domain.values import Price, Quantity, Side, Symbol

START = ((0.0, 1, 1, 100, BID, 1), shows(100, 100))


class Desk:
    def __init__(self, core: RecordedExchange, who: str = "desk") -> None:
        self.core, self.who = core, who
        self.reports: list[AnyReport] = []
        core.connect(who, self.reports.append)

    def send(
        self,
        order_id: str,
        side: Side,
        lots: int,
        price: int | None,
        *,
        ioc: bool = False,
        book: str = LIT,
        minimum: int = 0,
    ) -> None:
        self.core.submit(
            self.who,
            Ticket(
                order_id=order_id,
                symbol=ACME,
                side=side,
                quantity=Quantity(lots),
                price=None if price is None else Price(price),
                tif=TimeInForce.IOC if ioc else TimeInForce.DAY,
                book=book,
                minimum=Quantity(minimum),
            ),
        )

    @property
    def fills(self) -> list[tuple[int, int]]:
        return [(r.price, r.quantity) for r in self.reports if isinstance(r, Executed)]


def play(*rows: tuple[Message, Levels], latency_s: float = 0.0, start_s: float = 0.5) -> tuple[RecordedExchange, Desk]:
    core = RecordedExchange([recording(START, *rows)], latency_s=latency_s)
    core.advance_to(at(start_s))
    return core, Desk(core)


def at(seconds: float) -> datetime:
    return BEGINS + timedelta(seconds=seconds)


def test_market_order_walks_the_recorded_depth_once() -> None:
    core, desk = play(((50.0, 1, 9, 10, BID - 200, 1), shows(100, 100)))
    desk.send("a", Side.BUY, 150, None, ioc=True)
    desk.send("b", Side.BUY, 1_000, None, ioc=True)
    assert desk.fills == [(ASK, 100), (ASK + 100, 50), (ASK + 100, 450)]
    assert isinstance(desk.reports[-1], Expired) and desk.reports[-1].leaves == 550
    core.advance_to(at(60))
    desk.send("c", Side.BUY, 10, ASK, ioc=True)
    assert len(desk.fills) == 3, "nothing happened at the ask, so nothing is to be had there again"
    assert core.depth(ACME).asks[0] == (ASK, 0)
    assert core.depth(ACME).mid == (BID + ASK) // 2, "the market does not react"


def test_what_is_added_after_we_took_can_be_taken_and_no_more() -> None:
    core, desk = play(((1.0, 1, 5, 30, ASK, -1), shows(100, 130)))
    desk.send("a", Side.BUY, 100, ASK, ioc=True)
    core.advance_to(at(2))
    desk.send("b", Side.BUY, 100, ASK, ioc=True)
    assert desk.fills == [(ASK, 100), (ASK, 30)]


def test_recorded_executions_eat_what_we_took_before_they_free_anything() -> None:
    core, desk = play(((1.0, 4, 2, 60, ASK, -1), shows(100, 40)), ((2.0, 1, 6, 10, ASK, -1), shows(100, 50)))
    desk.send("a", Side.BUY, 80, ASK, ioc=True)
    core.advance_to(at(1))
    assert core.depth(ACME).asks[0] == (ASK, 20)
    core.advance_to(at(2))
    assert core.depth(ACME).asks[0] == (ASK, 30)


def test_a_level_that_empties_and_returns_is_a_new_queue() -> None:
    core, desk = play(((1.0, 3, 2, 100, ASK, -1), shows(100, 0)), ((2.0, 1, 6, 70, ASK, -1), shows(100, 70)))
    desk.send("a", Side.BUY, 100, ASK, ioc=True)
    core.advance_to(at(3))
    desk.send("b", Side.BUY, 100, ASK, ioc=True)
    assert desk.fills == [(ASK, 100), (ASK, 70)]


def test_resting_order_waits_for_what_was_displayed_before_it() -> None:
    core, desk = play(
        ((1.0, 1, 3, 50, BID, 1), shows(150, 100)),
        ((2.0, 4, 1, 100, BID, 1), shows(50, 100)),
        ((3.0, 4, 3, 30, BID, 1), shows(20, 100)),
    )
    desk.send("a", Side.BUY, 40, BID)
    core.advance_to(at(2.5))
    assert desk.fills == []
    core.advance_to(at(4))
    assert desk.fills == [(BID, 30)]
    last = desk.reports[-1]
    assert isinstance(last, Executed) and last.maker and last.at == at(3) and last.mid == (BID + ASK) // 2


def test_a_cancel_moves_us_up_only_if_its_order_was_there_first() -> None:
    def ahead_after(order_id: int) -> int:
        core, desk = play(
            ((1.0, 1, 3, 100, BID, 1), shows(200, 100)),
            ((2.0, 2, order_id, 60, BID, 1), shows(140, 100)),
        )
        desk.send("a", Side.BUY, 40, BID)
        core.advance_to(at(2.5))
        return core._books[ACME].bids[BID].orders[0].ahead

    assert ahead_after(1) == 40
    assert ahead_after(3) == 100


def test_an_execution_at_a_worse_price_fills_our_better_one_first_and_only_once() -> None:
    core, desk = play(((1.0, 4, 1, 70, BID, 1), shows(30, 100)))
    desk.send("a", Side.BUY, 50, BID + 200)
    desk.send("b", Side.BUY, 50, BID + 100)
    core.advance_to(at(2))
    assert desk.fills == [(BID + 200, 50), (BID + 100, 20)]


def test_a_recorded_order_that_crosses_ours_trades_with_it_and_is_used_up() -> None:
    core, desk = play(((1.0, 1, 7, 80, BID + 200, -1), shows(100, 80, ask_price=BID + 200)))
    desk.send("a", Side.BUY, 50, BID + 200)
    core.advance_to(at(2))
    assert desk.fills == [(BID + 200, 50)]
    desk.send("b", Side.BUY, 50, BID + 200, ioc=True)
    assert desk.fills[1:] == [(BID + 200, 30)]


def test_hidden_execution_inside_the_spread_serves_a_hidden_order_on_the_other_side() -> None:
    core, desk = play(
        ((1.0, 5, 0, 60, BID + 150, -1), shows(100, 100)),
        ((2.0, 5, 0, 60, BID + 150, 1), shows(100, 100)),
        ((3.0, 5, 0, 60, BID + 250, -1), shows(100, 100)),
        ((4.0, 5, 0, 10, BID + 100, -1), shows(100, 100)),
        ((5.0, 5, 0, 90, BID, -1), shows(100, 100)),
    )
    desk.send("a", Side.BUY, 100, BID + 200, book=HIDDEN, minimum=20)
    core.advance_to(at(6))
    assert desk.fills == [(BID + 150, 60)], "one was a buyer's, one beyond the limit, one too small, one at the bid"


def test_two_hidden_orders_share_one_hidden_execution() -> None:
    core, desk = play(((1.0, 5, 0, 60, BID + 150, -1), shows(100, 100)))
    desk.send("a", Side.BUY, 40, None, book=HIDDEN)
    desk.send("b", Side.BUY, 40, None, book=HIDDEN)
    core.advance_to(at(2))
    assert desk.fills == [(BID + 150, 40), (BID + 150, 20)]


def test_an_order_beyond_the_recorded_levels_learns_its_place_from_the_first_message_there() -> None:
    two_bids = ([(BID, 100), (BID - 100, 100)], [(ASK, 100), (ASK + 100, 500)])
    down = ([(BID - 100, 100), (BID - 300, 40)], [(ASK, 100), (ASK + 100, 500)])
    less = ([(BID - 100, 100), (BID - 300, 30)], [(ASK, 100), (ASK + 100, 500)])
    rows = (
        ((0.0, 1, 1, 100, BID, 1), two_bids),
        ((1.0, 3, 1, 100, BID, 1), down),
        ((2.0, 2, 8, 10, BID - 300, 1), less),
    )
    core = RecordedExchange([recording(*rows)])
    core.advance_to(at(0.5))
    desk = Desk(core)
    desk.send("a", Side.BUY, 10, BID - 300)
    core.advance_to(at(1.5))
    (order,) = core._books[ACME].bids[BID - 300].orders
    assert order.ahead > 1_000_000
    core.advance_to(at(2.5))
    assert order.ahead == 30


def test_hidden_buyer_found_by_a_seller_is_behind_our_displayed_bid_at_a_better_price() -> None:
    core, desk = play(((1.0, 5, 0, 60, BID + 150, 1), shows(100, 100)))
    desk.send("a", Side.BUY, 100, BID + 200)
    core.advance_to(at(2))
    assert desk.fills == [(BID + 200, 60)]


def test_latency_is_market_time_and_cancels_can_come_too_late() -> None:
    core, desk = play(((1.0, 4, 1, 100, BID, 1), shows(0, 100)), latency_s=0.25)
    desk.send("a", Side.BUY, 10, BID + 100)
    assert desk.reports == []
    core.advance_to(at(0.9))
    (accepted,) = desk.reports
    assert isinstance(accepted, Accepted) and accepted.at == at(0.75)
    core.cancel("desk", "a")
    core.advance_to(at(2))
    assert [type(report).__name__ for report in desk.reports] == ["Accepted", "Executed", "CancelRejected"]


def test_halt_messages_stop_and_restart_order_entry() -> None:
    core, desk = play(
        ((1.0, 7, 0, 0, -1, -1), shows(100, 100)),
        ((2.0, 7, 0, 0, 0, -1), shows(100, 100)),
        ((3.0, 7, 0, 0, 1, -1), shows(100, 100)),
    )
    halted = []
    for second in (0.9, 1.5, 2.5, 3.5):
        core.advance_to(at(second))
        halted.append(core.depth(ACME).halted)
        desk.send(str(second), Side.BUY, 10, BID)
    assert halted == [False, True, True, False]
    assert [isinstance(report, Rejected) for report in desk.reports] == halted


def test_the_end_of_the_recording_expires_what_is_live() -> None:
    core, desk = play()
    desk.send("a", Side.BUY, 10, BID)
    core.advance_to(at(100))
    assert isinstance(desk.reports[-1], Expired) and desk.reports[-1].leaves == 10
    desk.send("b", Side.BUY, 10, BID)
    assert isinstance(desk.reports[-1], Rejected) and desk.reports[-1].reason == "the recording is over"


def test_cancel_replace_and_status_answer_as_at_any_venue() -> None:
    core, desk = play(((1.0, 4, 1, 100, BID, 1), shows(0, 100)))
    desk.send("a", Side.BUY, 40, BID)
    core.replace("desk", "a", Quantity(20), Price(BID))
    core.replace("desk", "a", Quantity(30), Price(BID + 100))
    core.status("desk", "a")
    assert desk.reports[-1] == OrderStatus(order_id="a", at=at(0.5), state=OrderState.LIVE, leaves=Quantity(30))
    core.cancel("desk", "a")
    core.advance_to(at(2))
    assert isinstance(desk.reports[-1], Cancelled) and desk.fills == []


def test_two_participants_can_trade_with_each_other_and_not_with_themselves() -> None:
    core, desk = play()
    dealer = Desk(core, "dealer")
    desk.send("a", Side.BUY, 40, BID + 200)
    desk.send("b", Side.SELL, 40, BID + 200)
    assert isinstance(desk.reports[-1], Cancelled) and desk.fills == []
    dealer.send("c", Side.SELL, 60, BID + 200, ioc=True)
    assert desk.fills == dealer.fills == [(BID + 200, 40)]


def test_recordings_must_belong_together() -> None:
    one = recording(START)
    with pytest.raises(BadInput, match="same time"):
        RecordedExchange([one, one._replace(symbol=Symbol("B"), begins_at=BEGINS + timedelta(days=1))])
    with pytest.raises(BadInput, match="share a symbol"):
        RecordedExchange([one, one])


@pytest.fixture(scope="module")
def goog(data_folder: Path) -> Recording:
    return read(data_folder / "lobster" / "LOBSTER_SampleFile_GOOG_2012-06-21_10.zip")


def test_a_patient_seller_on_the_real_book_gets_no_more_than_was_traded(goog: Recording) -> None:
    """An hour at the ask, repriced every ten seconds: conserved, and bounded by what the recording traded."""
    core = RecordedExchange([goog])
    core.advance_to(goog.begins_at + timedelta(minutes=30))
    reports: list[AnyReport] = []
    core.connect("desk", reports.append)
    asked = Quantity(3_000)
    best = core.depth(goog.symbol).asks[0][0]
    core.submit("desk", Ticket(order_id="s", symbol=goog.symbol, side=Side.SELL, quantity=asked, price=best))
    begin = core.now
    for tick in range(1, 361):
        core.advance_to(begin + timedelta(seconds=10 * tick))
        new = core.depth(goog.symbol).asks[0][0]
        if new != best:
            core.replace("desk", "s", asked, new)
            best = new
    fills = [report for report in reports if isinstance(report, Executed)]
    filled = sum(fill.quantity for fill in fills)
    during = (goog.times_s > 1_800) & (goog.times_s <= 5_400) & np.isin(goog.kinds, (EXECUTION, HIDDEN_EXECUTION))
    core.status("desk", "s")
    status = reports[-1]
    assert (
        isinstance(status, OrderStatus) and status.cumulative == filled and status.cumulative + status.leaves == asked
    )
    assert 0 < filled <= goog.sizes[during].sum()
    assert core.mid_at(goog.symbol, begin) == int(goog.mids[np.searchsorted(goog.times_s, 1_800.0, "right") - 1])


def test_sweeps_on_the_real_book_never_get_more_than_is_displayed(goog: Recording) -> None:
    core = RecordedExchange([goog])
    reports: list[AnyReport] = []
    core.connect("desk", reports.append)
    for tick in range(1, 200):
        core.advance_to(goog.begins_at + timedelta(seconds=20 * tick))
        row = np.searchsorted(goog.times_s, 20.0 * tick, "right") - 1
        shown = {int(price): int(lots) for price, lots in goog.asks[row]}
        before = len(reports)
        core.submit(
            "desk",
            Ticket(
                order_id=str(tick),
                symbol=goog.symbol,
                side=Side.BUY,
                quantity=Quantity(400),
                tif=TimeInForce.IOC,
            ),
        )
        got = [(r.price, r.quantity) for r in reports[before:] if isinstance(r, Executed)]
        assert got == sorted(got)
        assert all(lots <= shown[price] for price, lots in got)
