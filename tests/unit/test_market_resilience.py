"""Participants' impact: it decays, grows more slowly than size, and leaves the exogenous path as it was."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from lit_router.market.counterfactual import work_alone
from lit_router.market.exchange import Listing, SimulatedExchange
from lit_router.market.own_orders import OwnOrder
from lit_router.market.queue_reactive import QueueReactiveBook
from lit_router.market.resilience import come_back_probability
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol, TickBand

OPENS = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
ACME = Symbol("ACME")


def book(seed: int, resilience_s: float | None = 100.0) -> QueueReactiveBook:
    one = QueueReactiveBook(
        np.random.SeedSequence(seed), best_bid=20_000, grid=10, mean_lots=100, resilience_s=resilience_s
    )
    one.advance(60.0)
    return one


def sweep(one: QueueReactiveBook, levels: int) -> None:
    lots = sum(lots for _, lots in one.depth(False, levels))
    one.execute(OwnOrder("desk", "s", True, None, lots), rests=False)


def exchange(seed: int) -> SimulatedExchange:
    what = Instrument(
        symbol=ACME,
        currency="USD",
        price_unit=Decimal("0.005"),
        tick_bands=(TickBand(Price(0), 2),),
        adv=Quantity(2_000_000),
    )
    made = SimulatedExchange([Listing(what, Price(20_000))], seed=seed, opens_at=OPENS, pools=())
    made.advance_to(OPENS + timedelta(seconds=60))
    return made


def test_nothing_comes_back_undisplaced_and_more_comes_back_sooner() -> None:
    assert come_back_probability(0, 100.0) == 0.0
    assert come_back_probability(-3, 100.0) == come_back_probability(3, 100.0)
    chances = [come_back_probability(steps, 100.0) for steps in range(8)]
    assert chances == sorted(set(chances)) and chances[-1] < 1.0


def test_what_a_sweep_displaced_comes_back_and_in_the_plain_model_stays() -> None:
    ends: dict[float | None, list[int]] = {100.0: [], None: []}
    for resilience_s, moves in ends.items():
        for seed in range(16):
            one = book(seed, resilience_s)
            untouched = one.fork()
            sweep(one, 5)
            displaced = one.displacement
            assert 0 <= displaced <= 5
            for each in (one, untouched):
                each.advance(360.0)
            moves.append(one.first_bid - untouched.first_bid)
            assert resilience_s is None or abs(one.displacement) <= max(1, displaced)
            assert resilience_s is not None or one.displacement == displaced
    assert np.mean(ends[100.0]) < 0.6 * np.mean(ends[None])


def test_coming_back_does_not_depend_on_how_time_is_stepped_and_forks_agree() -> None:
    whole, pieces = book(3), book(3)
    for each in (whole, pieces):
        sweep(each, 5)
    fork = whole.fork()
    whole.advance(400.0)
    fork.advance(400.0)
    for step in range(1, 3401):
        pieces.advance(60.0 + step * 0.1)
    pieces.advance(400.0)
    assert whole.displacement == pieces.displacement == fork.displacement
    assert whole.queues == pieces.queues == fork.queues
    assert list(whole.tape.trades) == list(pieces.tape.trades) == list(fork.tape.trades)


def test_a_resting_bid_that_the_price_comes_back_through_is_filled() -> None:
    for seed in range(20):
        one = book(seed)
        sweep(one, 5)
        if one.displacement < 3:
            continue
        mine = OwnOrder("desk", "b", True, one.first_bid, 50)
        one.execute(mine, rests=True)
        for second in range(61, 400):
            one.advance(float(second))
            bid, ask = one.best(True), one.best(False)
            assert bid is None or ask is None or bid < ask
        if mine.price is not None and one.first_bid < mine.price:
            assert mine.filled == 50
            return
    pytest.fail("the price never came back through the bid")


def test_steady_buying_displaces_with_the_square_root_of_what_it_pushes() -> None:
    """The plain model adds up every push; with resilience the displacement settles near the root of their rate."""

    def displacement(lots: int, resilience_s: float | None) -> float:
        seen = []
        for seed in range(3):
            one = book(seed, resilience_s)
            for number in range(1, 181):
                one.execute(OwnOrder("desk", str(number), True, None, lots), rests=False)
                one.advance(60.0 + number * 20.0)
                if number > 60:
                    seen.append(one.displacement)
        return float(np.mean(seen))

    pushes = displacement(3_000, None) / displacement(750, None)
    settled = displacement(3_000, 200.0) / displacement(750, 200.0)
    assert pushes > 2.5
    assert pushes**0.5 * 0.75 < settled < pushes**0.5 * 1.35


def test_a_counterfactual_leaves_the_market_it_was_forked_from_alone() -> None:
    core = exchange(2)
    before = core.view(ACME)
    worked = work_alone(core.fork("w"), ACME, Side.SELL, Quantity(5_000), 600.0, lambda s: s / 600.0)
    assert worked.average.quantity == 5_000 and core.view(ACME) == before
    with_fee = worked.cost_bps(Side.SELL, Price(20_000), 1.0)
    without = worked.cost_bps(Side.SELL, Price(20_000), 0.0)
    assert with_fee is not None and without is not None and with_fee == pytest.approx(without + 1.0)
