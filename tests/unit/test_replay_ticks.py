"""A day of ticks played as a recording: what each quote and trade does to our orders, by hand and on real days."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from recordings import ACME, ASK, BEGINS, BID
from tick_days import Quote, Trade, tick_day

from lit_router.market import nbbo, top_of_book
from lit_router.market.lobster import (
    ADD,
    DARK_PRINT,
    EXECUTION,
    FALL,
    HIDDEN_EXECUTION,
    PARTIAL_CANCEL,
    PRINT,
    UNMOVED,
    instrument_of,
)
from lit_router.market.nbbo import TickDay
from lit_router.market.orders import LIT, AnyReport, Executed, Expired, OrderStatus, Ticket
from lit_router.market.recorded import HIDDEN, RecordedExchange
from rfq.domain.order import TimeInForce
from rfq.domain.values import Price, Quantity, Side

MID = (BID + ASK) // 2
OPEN: Quote = (0.0, BID, 100, ASK, 100)
LOCKED: list[Quote] = [(1.0, BID, 100, BID, 60), (2.0, BID, 100, ASK, 100)]


class Desk:
    def __init__(self, core: RecordedExchange, who: str = "desk") -> None:
        self.core, self.who = core, who
        self.reports: list[AnyReport] = []
        core.connect(who, self.reports.append)

    def send(
        self, order_id: str, side: Side, lots: int, price: int | None, *, ioc: bool = False, book: str = LIT
    ) -> None:
        ticket = Ticket(
            order_id=order_id,
            symbol=ACME,
            side=side,
            quantity=Quantity(lots),
            price=None if price is None else Price(price),
            tif=TimeInForce.IOC if ioc else TimeInForce.DAY,
            book=book,
        )
        self.core.submit(self.who, ticket)

    @property
    def fills(self) -> list[tuple[str, int, int]]:
        return [(r.order_id, r.price, r.quantity) for r in self.reports if isinstance(r, Executed)]


def play(quotes: list[Quote], trades: list[Trade], *, start_s: float = 0.5) -> tuple[RecordedExchange, Desk]:
    core = RecordedExchange([top_of_book.recording(tick_day([OPEN, *quotes], trades))])
    core.advance_to(at(start_s))
    return core, Desk(core)


def at(seconds: float) -> datetime:
    return BEGINS + timedelta(seconds=seconds)


def ahead(core: RecordedExchange, price: int = BID) -> int:
    return core._books[ACME].bids[price].orders[0].ahead


def test_each_quote_and_trade_becomes_the_message_it_is() -> None:
    quotes: list[Quote] = [
        (1.0, BID, 150, ASK, 100),
        (2.0, BID, 120, ASK, 100),
        (3.0, BID + 100, 70, ASK, 100),
        (4.0, BID - 100, 50, ASK, 100),
        (5.0, BID - 100, 50, BID - 100, 10),
        (6.0, BID - 100, 50, ASK, 100),
    ]
    trades: list[Trade] = [
        (4.1, BID - 100, 20, "N"),
        (4.2, ASK, 300, "N"),
        (4.3, ASK - 100, 5, "N"),
        (4.4, ASK - 100, 6, "D"),
        (4.5, ASK, 7, "D"),
        (4.6, BID + 150, 8, "N"),
        (4.7, ASK + 100, 9, "N"),
        (4.8, ASK, 11, "X"),
        (5.5, BID - 100, 12, "N"),
    ]
    day = tick_day([OPEN, *quotes], trades)
    played = top_of_book.recording(day)
    said = list(zip(played.kinds.tolist(), played.sizes.tolist(), played.prices.tolist(), strict=True))
    assert said == [
        (ADD, 100, BID),
        (ADD, 100, ASK),
        (ADD, 50, BID),
        (PARTIAL_CANCEL, 30, BID),
        (ADD, 70, BID + 100),
        (FALL, 70, BID + 100),
        (EXECUTION, 20, BID - 100),
        (EXECUTION, 300, ASK),
        (HIDDEN_EXECUTION, 5, ASK - 100),
        (DARK_PRINT, 6, ASK - 100),
        (DARK_PRINT, 7, ASK),
        (DARK_PRINT, 8, BID + 150),
        (PRINT, 9, ASK + 100),
        (PRINT, 11, ASK),
        (UNMOVED, 0, 0),
        (PRINT, 12, BID - 100),
        (UNMOVED, 0, 0),
    ]
    assert played.mids[-3:].tolist() == [-1, -1, (BID - 100 + ASK) // 2]
    assert played.bids[6:8, 0].tolist() == [[BID - 100, 30], [BID - 100, 30]], "executions are off the display at once"
    assert played.asks[7, 0].tolist() == [ASK, 1], "but a best price stays until a quote says that it is gone"
    assert instrument_of(played).adv == sum(lots for _, _, lots, _ in trades)


def test_a_trade_of_the_same_moment_comes_before_the_quote() -> None:
    day = tick_day([OPEN, (1.0, BID - 100, 50, ASK, 100)], [(1.0, BID, 100, "N")])
    assert top_of_book.recording(day).kinds.tolist() == [ADD, ADD, EXECUTION, FALL]


def test_resting_order_waits_behind_the_displayed_size_and_off_exchange_trades_do_not_reach_it() -> None:
    core, desk = play([], [(1.0, BID, 70, "N"), (2.0, BID, 500, "D"), (3.0, BID, 60, "N"), (4.0, BID, 60, "N")])
    desk.send("a", Side.BUY, 50, BID)
    core.advance_to(at(2.5))
    assert (desk.fills, ahead(core)) == ([], 30)
    core.advance_to(at(3.5))
    assert desk.fills == [("a", BID, 30)]
    core.advance_to(at(4.5))
    assert desk.fills == [("a", BID, 30), ("a", BID, 20)]


def test_a_size_that_shrinks_or_grows_is_behind_us() -> None:
    core, desk = play([(1.0, BID, 170, ASK, 100), (2.0, BID, 120, ASK, 100), (3.0, BID, 40, ASK, 100)], [])
    desk.send("a", Side.BUY, 50, BID)
    core.advance_to(at(2.5))
    assert ahead(core) == 100
    core.advance_to(at(3.5))
    assert ahead(core) == 40, "nobody stands behind more than there is"


def test_a_quote_that_restates_a_trade_does_not_count_it_again() -> None:
    core, desk = play([(1.1, BID, 40, ASK, 100)], [(1.0, BID, 60, "N")])
    desk.send("a", Side.BUY, 50, BID)
    core.advance_to(at(1.05))
    assert ahead(core) == 40 and core.depth(ACME).bids[0] == (BID, 40)
    core.advance_to(at(2.0))
    assert ahead(core) == 40 and core.depth(ACME).bids[0] == (BID, 40)


def test_what_we_took_is_not_had_again_between_a_trade_and_its_quote() -> None:
    core, desk = play([(2.0, BID, 100, ASK, 40)], [(1.0, ASK, 60, "N")])
    desk.send("a", Side.BUY, 100, ASK, ioc=True)
    for second in (1.5, 2.5):
        core.advance_to(at(second))
        desk.send(str(second), Side.BUY, 100, ASK, ioc=True)
    assert desk.fills == [("a", ASK, 100)]


def test_what_comes_back_after_a_fall_is_a_new_queue_behind_us() -> None:
    core, desk = play([(1.0, BID - 300, 80, ASK, 100), (2.0, BID, 90, ASK, 100)], [(3.0, BID, 10, "N")])
    desk.send("sell", Side.SELL, 100, BID, ioc=True)
    desk.send("a", Side.BUY, 50, BID)
    desk.send("b", Side.BUY, 50, BID - 200)
    core.advance_to(at(1.5))
    assert ahead(core) == ahead(core, BID - 200) == 0, "all down to the new best price is gone"
    core.advance_to(at(3.5))
    assert desk.fills == [("sell", BID, 100), ("a", BID, 10)]
    desk.send("again", Side.SELL, 500, BID, ioc=True)
    assert desk.reports[-1].order_id == "again" and "itself" in str(desk.reports[-1])


def test_what_was_taken_at_a_fallen_price_is_forgotten() -> None:
    core, desk = play([(1.0, BID - 300, 80, ASK, 100), (2.0, BID, 90, ASK, 100)], [])
    desk.send("sell", Side.SELL, 100, BID, ioc=True)
    core.advance_to(at(2.5))
    desk.send("again", Side.SELL, 500, BID, ioc=True)
    assert desk.fills == [("sell", BID, 100), ("again", BID, 90)]


def test_a_bid_that_comes_into_view_trades_with_an_offer_that_reaches_it() -> None:
    core, desk = play([(1.0, BID - 100, 80, ASK, 100)], [])
    desk.send("a", Side.SELL, 150, BID - 100)
    assert desk.fills == [("a", BID, 100)]
    core.advance_to(at(1.5))
    assert desk.fills == [("a", BID, 100), ("a", BID - 100, 50)]
    desk.send("b", Side.SELL, 100, BID - 100, ioc=True)
    assert desk.fills[2:] == [("b", BID - 100, 30)], "what it gave is gone"


def test_a_better_order_of_ours_is_hit_before_the_best_price() -> None:
    core, desk = play([], [(1.0, BID, 70, "N")])
    desk.send("a", Side.BUY, 50, BID + 100)
    core.advance_to(at(1.5))
    assert desk.fills == [("a", BID + 100, 50)]


def test_off_exchange_trades_serve_the_side_that_their_price_says() -> None:
    trades: list[Trade] = [(1.0, MID + 100, 40, "D"), (2.0, MID - 100, 30, "D"), (3.0, ASK, 20, "D")]
    core, desk = play([], trades)
    desk.send("buys", Side.BUY, 500, None, book=HIDDEN)
    desk.send("sells", Side.SELL, 500, None, book=HIDDEN)
    core.advance_to(at(3.5))
    assert desk.fills == [("buys", MID + 100, 40), ("sells", MID - 100, 30), ("buys", ASK, 20)]


def test_a_trade_at_the_mid_serves_whoever_was_first_and_only_once() -> None:
    core, desk = play([], [(1.0, MID, 40, "D"), (2.0, MID, 40, "N")])
    desk.send("sells", Side.SELL, 30, MID, book=HIDDEN)
    desk.send("buys", Side.BUY, 30, MID, book=HIDDEN)
    core.advance_to(at(1.5))
    assert desk.fills == [("sells", MID, 30), ("buys", MID, 10)]
    core.advance_to(at(2.5))
    assert desk.fills[2:] == [("buys", MID, 20)]


def test_trades_beyond_the_quotes_and_special_ones_are_volume_only() -> None:
    core, desk = play([], [(1.0, BID - 100, 70, "N"), (2.0, ASK + 100, 70, "D"), (3.0, BID, 900, "X")])
    desk.send("a", Side.BUY, 50, BID)
    desk.send("h", Side.BUY, 50, None, book=HIDDEN)
    core.advance_to(at(3.5))
    assert desk.fills == []
    depth = core.depth(ACME)
    assert (depth.volume, depth.last_price, depth.last_quantity) == (1_040, BID, 900)


def test_while_the_quotes_are_locked_there_is_no_market() -> None:
    trades: list[Trade] = [(1.4, BID, 500, "N"), (1.5, BID, 500, "D"), (3.0, BID, 120, "N")]
    core, desk = play(LOCKED, trades)
    desk.send("rests", Side.BUY, 50, BID)
    desk.send("hides", Side.BUY, 50, None, book=HIDDEN)
    core.advance_to(at(1.6))
    view = core.view(ACME)
    assert view.bid is view.ask is view.mid is core.depth(ACME).mid is core.mid_at(ACME, at(1.5)) is None
    assert not view.halted
    desk.send("takes", Side.BUY, 50, None, ioc=True)
    assert isinstance(desk.reports[-1], Expired) and desk.fills == []
    core.advance_to(at(2.5))
    assert core.mid_at(ACME, at(0.5)) == core.mid_at(ACME, at(2.5)) == MID and ahead(core) == 100
    core.advance_to(at(3.5))
    assert desk.fills == [("rests", BID, 20)]


def test_what_changed_while_the_quotes_were_crossed_happens_when_they_are_not() -> None:
    quotes: list[Quote] = [(1.0, ASK + 100, 30, ASK, 100), (2.0, ASK + 100, 30, ASK + 200, 80)]
    core, desk = play(quotes, [])
    desk.send("sells", Side.SELL, 50, ASK)
    core.advance_to(at(1.5))
    assert desk.fills == []
    core.advance_to(at(2.5))
    assert desk.fills == [("sells", ASK, 30)], "the bid came through our price"
    last = desk.reports[-1]
    assert isinstance(last, Executed) and last.mid is None and last.at == at(2.0)


@pytest.fixture(scope="module")
def bac(data_folder: Path) -> TickDay:
    folder = data_folder / "us_equity_tick_nbbo" / "bac"
    return nbbo.read(folder / "20131008_trade.zip", folder / "20131008_quote.zip")


def test_a_real_day_shows_its_own_quotes_and_volume(bac: TickDay) -> None:
    recording = top_of_book.recording(bac)
    core = RecordedExchange([recording])
    for minute in range(1, 390, 7):
        core.advance_to(bac.begins_at + timedelta(minutes=minute))
        row = int(np.searchsorted(bac.quote_times_s, 60.0 * minute, side="right")) - 1
        depth = core.depth(bac.symbol)
        if bac.crossed[row]:
            assert depth.mid is None
            continue
        ((bid, bid_lots),), ((ask, ask_lots),) = depth.bids, depth.asks
        assert (bid, ask) == (bac.bids[row], bac.asks[row])
        assert 1 <= bid_lots <= bac.bid_lots[row] and 1 <= ask_lots <= bac.ask_lots[row]
        assert depth.volume == bac.trade_lots[bac.trade_times_s <= 60.0 * minute].sum()
    stock = instrument_of(recording)
    assert stock.adv == bac.trade_lots.sum() and 50 < stock.volatility_bps < 200
    assert stock.spread_bps == pytest.approx(1e4 * 100 / np.median(bac.asks), rel=0.01), "one tick"


def test_a_patient_seller_on_the_real_day_gets_no_more_than_was_traded(bac: TickDay) -> None:
    """An hour at the ask, repriced every ten seconds: conserved, and bounded by what was traded on exchanges."""
    core = RecordedExchange([top_of_book.recording(bac)])
    reports: list[AnyReport] = []
    core.connect("desk", reports.append)
    core.advance_to(bac.begins_at + timedelta(minutes=30))
    asked, best = Quantity(20_000), core.depth(bac.symbol).asks[0][0]
    core.submit("desk", Ticket(order_id="s", symbol=bac.symbol, side=Side.SELL, quantity=asked, price=best))
    for tick in range(1, 361):
        core.advance_to(bac.begins_at + timedelta(seconds=1_800 + 10 * tick))
        asks = core.depth(bac.symbol).asks
        if asks and asks[0][0] != best:
            best = asks[0][0]
            core.replace("desk", "s", asked, best)
    core.status("desk", "s")
    filled = sum(report.quantity for report in {r.fill_id: r for r in reports if isinstance(r, Executed)}.values())
    status = reports[-1]
    assert isinstance(status, OrderStatus) and status.cumulative == filled
    during = (bac.trade_times_s > 1_800) & (bac.trade_times_s <= 5_400) & ~bac.off_exchange & bac.ordinary
    assert 0 < filled <= min(asked, bac.trade_lots[during].sum())
