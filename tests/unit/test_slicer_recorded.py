"""Residuals worked on recorded days: orders do there what they do at the exchange that replays them, and every lot is
accounted for."""

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from recordings import ASK, BID, random_recording
from slicers import a_slicer
from tick_days import random_tick_day

from lit_router.market.counterfactual import work_alone
from lit_router.market.lobster import TRADES, Recording
from lit_router.market.orders import AnyReport, Executed, Ticket
from lit_router.market.recorded import HIDDEN, RecordedExchange
from lit_router.market.recorded_book import RecordedBook
from lit_router.market.top_of_book import recording as ticks
from lit_router.venues.lit import LIT_FEES
from ml.slicer.execution import ADDED, CROSSING, RESTING
from ml.slicer.features import NAMES, features
from ml.slicer.playing import by_rule
from ml.slicer.recorded import RecordedExecution, Start, Usual, usual_of
from ml.slicer.recorded_orders import DARK, HIDDEN_POOL, RecordedOrders
from ml.slicer.rules import TWAP, Rule, intend
from ml.slicer.situation import POOLS, Intent, remembered
from rfq.domain.errors import BadInput
from rfq.domain.values import Price, Quantity, Side
from rfq.studies.slicer_policies import learned, ruled
from rfq.studies.slicer_recorded import Size, run

USUAL = Usual(day_lots=100_000.0, spread=200.0, event_lots=20.0, curve=(1.0,) * 13)
HORIZON_S, DECISIONS = 60.0, 6
STRONG = a_slicer().rule


def a_day(seed: int) -> Recording:
    return random_recording(random.Random(seed), 400)


def a_tick_day(seed: int) -> Recording:
    return ticks(random_tick_day(random.Random(seed), 800))


def execution(day: Recording, *starts: Start, dark: bool = True) -> RecordedExecution:
    return RecordedExecution(RecordedBook(day), USUAL, starts, HORIZON_S, DECISIONS, dark=dark)


def many(lots: int) -> list[Start]:
    return [Start(at_s, side, lots) for at_s in (30.0, 70.0, 110.0) for side in (1, -1)]


def intent(cross: int = 0, rest: int = 0, price: int = BID, dark: int = 0) -> Intent:
    pools = torch.zeros(1, POOLS, dtype=torch.int64)
    pools[:, HIDDEN_POOL] = dark
    return Intent(torch.tensor([cross]), torch.tensor([rest]), torch.tensor([price]), pools)


@pytest.mark.parametrize("day_of", [a_day, a_tick_day])
def test_whatever_is_intended_every_lot_is_filled_once_and_none_is_promised_twice(
    day_of: Callable[[int], Recording],
) -> None:
    g, passive, dark = np.random.default_rng(5), 0, 0
    for seed in range(8):
        run, before = execution(day_of(seed), *many(90)), np.zeros(6)
        while not run.over:
            lots = [torch.as_tensor(g.integers(-20, 120, 6) * (g.random(6) < 0.6)) for _ in range(2 + POOLS)]
            price = torch.as_tensor(100 * g.integers(BID // 100 - 4, ASK // 100 + 4, 6))
            run.step(Intent(lots[0] // 8, lots[1], price, torch.stack(lots[2:], 1)))
            for each, was in zip(run.orders, before, strict=True):
                promised = sum(each.leaves(slot) for slot in (RESTING, ADDED, DARK))
                assert promised <= each.left and each.filled >= was
            before = run.by_slot.sum(1).numpy()
        assert (run.by_slot.sum(1) + run.left == run.lots).all() and (run.by_slot >= 0).all()
        for each in run.orders:
            assert each.left == 0 or each.book.over
            assert not each.book.bids and not each.book.asks and not each.book.hidden, "nothing rests at the end"
        passive += int(run.by_slot[:, [RESTING, ADDED]].sum())
        dark += int(run.by_slot[:, DARK].sum())
    assert passive > 100 and dark > 20


def test_market_orders_cost_what_they_cost_at_the_exchange_that_replays_the_day() -> None:
    equal = 0
    for seed in range(12):
        day = a_day(seed)
        exchange = RecordedExchange([day])
        exchange.advance_to(day.begins_at + timedelta(seconds=50.0))
        alone = work_alone(exchange, day.symbol, Side.SELL, Quantity(120), HORIZON_S, lambda s: s / HORIZON_S,
                           slice_s=HORIZON_S / DECISIONS)  # fmt: skip
        if alone.unfilled:
            continue
        equal += 1
        run = execution(day, Start(50.0, -1, 120))
        shortfall = by_rule(TWAP, run)
        assert run.by_slot[0, CROSSING] == 120 and run.orders[0].cash == alone.average.notional
        fee = run.orders[0].cash * LIT_FEES.take_bps * 1e-4
        expected = run.residual.arrival - (run.orders[0].cash - fee) / 120
        assert torch.allclose(shortfall, expected)
    assert equal > 6


def test_what_rests_is_filled_as_at_the_exchange_that_replays_the_day() -> None:
    filled = np.zeros(2)
    for seed in range(12):
        day = a_day(seed) if seed % 2 else a_tick_day(seed)
        run, exchange, heard = execution(day, Start(50.0, 1, 60)), RecordedExchange([day]), list[AnyReport]()
        exchange.advance_to(day.begins_at + timedelta(seconds=50.0))
        exchange.connect("us", heard.append)
        seen = run.view()
        price, limit = int(seen.bid[0]), int(seen.ask[0])
        for name, lots, at, book in (("lit", 30, price, "lit"), ("dark", 20, limit, HIDDEN)):
            exchange.submit("us", Ticket(order_id=name, symbol=day.symbol, side=Side.BUY, quantity=Quantity(lots),
                                         price=Price(at), book=book))  # fmt: skip
        run.step(intent(rest=30, price=price, dark=20))
        exchange.advance_to(day.begins_at + timedelta(seconds=60.0))
        got = [report for report in heard if isinstance(report, Executed)]
        by_book = [sum(one.quantity for one in got if one.order_id == name) for name in ("lit", "dark")]
        assert run.by_slot[0, [RESTING, DARK]].tolist() == by_book
        assert run.orders[0].cash == sum(one.quantity * one.price for one in got)
        filled += by_book
    assert (filled > 20).all()


def test_an_order_keeps_its_place_while_its_price_is_wanted_and_what_is_added_stands_behind() -> None:
    book = RecordedBook(a_day(2))
    book.advance(60.0)
    orders = RecordedOrders(book, 1, 50)
    price = orders.bid
    orders.send(0, 20, price, 0)
    first = book.bids[price].orders[0]
    orders.send(0, 30, price, 0)
    assert book.bids[price].orders[0] is first and [o.leaves for o in book.bids[price].orders] == [20, 10]
    orders.send(0, 8, price, 0)
    assert book.bids[price].orders == [first] and first.leaves == 8
    orders.send(0, 8, price - 100, 0)
    assert price not in book.bids and book.bids[price - 100].orders[0] is not first
    orders.send(0, 0, price, 40)
    assert not book.bids and book.hidden[0].leaves == 40
    orders.send(0, 30, price, 40)
    assert book.hidden[0].leaves == 20, "lit comes first"


def test_what_is_seen_is_what_the_recording_shows_less_ours() -> None:
    day = a_day(4)
    run = execution(day, Start(80.0, 1, 40))
    seen, row = run.view(), int(np.searchsorted(day.times_s, 80.0, side="right")) - 1
    assert seen.bid.item() == day.bids[row, 0, 0] and seen.ask.item() == day.asks[row, 0, 0]
    assert seen.bid_lots.item() == day.bids[row, 0, 1] and seen.volume.item() == 0
    run.step(intent(rest=10, price=int(seen.bid)))
    later, traded = run.view(), np.isin(day.kinds, TRADES) & (day.times_s > 80.0) & (day.times_s <= 90.0)
    assert later.volume.item() == day.sizes[traded].sum() > 0, "passive executions are the recording's own"
    assert later.left + run.by_slot.sum() == 40 and later.resting <= 10
    numbers = features(run.residual, later, remembered(None, later), run.moment(),
                       intend(Rule(), run.residual, later, run.moment()))  # fmt: skip
    assert numbers.shape == (1, len(NAMES)) and bool(torch.isfinite(numbers).all())


def test_without_dark_liquidity_nothing_is_sent_there() -> None:
    eager = Rule(grace=1.0, lead=0.0, block=1.0, broker=1.0, stream=1.0)
    open_dark, closed = (execution(a_day(1), *many(60), dark=dark) for dark in (True, False))
    by_rule(eager, open_dark)
    by_rule(eager, closed)
    assert open_dark.by_slot[:, DARK].sum() > 0 and closed.by_slot[:, DARK].sum() == 0
    assert not closed.residual.pools.any() and open_dark.residual.pools.sum() == len(open_dark.orders)


def test_starts_that_leave_no_horizon_are_refused() -> None:
    day = a_day(1)
    for start in (Start(day.ends_s - HORIZON_S + 1, 1, 10), Start(-1.0, 1, 10), Start(10.0, 1, 0)):
        with pytest.raises(BadInput, match="starts"):
            execution(day, start)
    with pytest.raises(BadInput, match="both sides"):
        execution(day, Start(0.0, 1, 10))


def test_what_is_usual_is_measured_on_a_day() -> None:
    day = a_day(3)._replace(ends_s=23_400.0)
    usual = usual_of(day)
    assert usual.day_lots == day.sizes[np.isin(day.kinds, TRADES)].sum() == usual.curve[0]
    assert usual.event_lots == day.sizes[day.kinds == 1].mean() and 0 < usual.spread < ASK - BID + 400


def test_policies_on_a_real_day_of_ticks(data_folder: Path) -> None:
    size = Size(("20131008",), 6_000.0, (300.0,), shares=(0.02,), decisions=10, stocks=("IBM",))
    policies = {"twap": ruled(TWAP), "strong": ruled(STRONG), "slicer": learned(a_slicer((0, 0, 0)))}
    found = run(policies, ["slicer"], "strong", data_folder, size=size)
    assert [goal.met for goal in found.goals] == [True], "no lot is discarded"
    figures = {name: value for name, value in found.figures.items() if isinstance(value, float | int)}
    assert figures["starts"] == 4 and figures["residuals"] == 8
    assert figures["twap_crossed_share"] == 1 and figures["strong_dark_share"] > 0.2
    # A crossing costs half a spread or more; a slicer that leaves everything to its rule does what that does.
    assert 0.2 < figures["twap_shortfall_spreads"] < 2
    assert figures["slicer_less_strong_spreads"] == figures["slicer_less_strong_ibm_5_min_spreads"] == 0
    low, high = (figures[f"slicer_less_twap_{side}_spreads"] for side in ("low", "high"))
    assert low <= figures["slicer_less_twap_spreads"] <= high
    with pytest.raises(BadInput, match="policies"):
        run(policies, ["nobody"], "strong", data_folder, size=size)
