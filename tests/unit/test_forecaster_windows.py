"""Windows and what comes after them: nothing of the future in an input, parts of the day that lie apart, copies that do
not disturb the market they are of."""

import numpy as np
import pytest
import torch
from recordings import recording, shows

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.lobster import EXECUTION, HIDDEN_EXECUTION, Recording
from lit_router.market.parameters import load
from ml.forecasters import recorded, simulated
from ml.forecasters.gathering import Markets, gathered
from ml.forecasters.samples import (
    FILLS,
    HORIZON_S,
    IMPACTS,
    TARGETS,
    TEST,
    TRAIN,
    UNUSED,
    VALIDATE,
    outcomes,
    part_of,
    windows,
)
from ml.forecasters.windows import LOOKS, Snapshots, Usual, Watch, about, inputs, mirrored, order_inputs
from ml.slicer.episodes import DAY_S, EpisodeLaw, drawn
from ml.slicer.execution import Execution

SET = load("large_tick")
LAW = EpisodeLaw(horizon_s=140.0, warm_up_s=10.0)
SECONDS = 200


def usual(count: int) -> Usual:
    one = torch.ones(count, dtype=torch.float64)
    return Usual(2.0 * one, one, 50.0 * one, 100.0 * one)


def a_day(seed: int, count: int = 3, seconds: int = SECONDS) -> Snapshots:
    g = np.random.default_rng(seed)
    bid = 1000 + g.integers(-1, 2, (count, seconds)).cumsum(1)
    volume = g.integers(0, 200, (count, seconds))
    columns = (bid, bid + g.integers(1, 5, bid.shape), *g.integers(1, 900, (2, *bid.shape)),
               volume * g.choice((-1, 1), bid.shape), volume)  # fmt: skip
    return Snapshots(*(torch.as_tensor(column, dtype=torch.float64) for column in columns))


def spoiled(day: Snapshots, from_second: int) -> Snapshots:
    """Everything from a second on in another order."""
    order = torch.cat([torch.arange(from_second), from_second + torch.randperm(day.bid.shape[1] - from_second)])
    return Snapshots(*(field[:, order] for field in day))


def test_what_comes_after_a_window_changes_no_input_and_what_is_in_it_does() -> None:
    day, end = a_day(1), 90
    x, kind = windows(day, usual(3), [end])
    later, again = windows(spoiled(day, end + 1), usual(3), [end])
    assert torch.equal(x, later) and torch.equal(kind, again)
    for name in day._fields:
        changed = getattr(day, name).clone()
        changed[:, end] += 3
        assert not torch.equal(windows(day._replace(**{name: changed}), usual(3), [end])[0], x), name
    y = outcomes(day, usual(3), [end])
    assert not torch.allclose(outcomes(spoiled(day, end + 1), usual(3), [end]), y, equal_nan=True)


def test_outcomes_are_what_came_second_by_second() -> None:
    day, u, ends = a_day(2), usual(3), (LOOKS - 1, 100, SECONDS - HORIZON_S - 1)
    hidden = day.volume * 3
    y = outcomes(day, u, ends, hidden)
    for place, end in enumerate(ends):
        for b in range(3):
            def said(name: str, b: int = b, place: int = place) -> float:
                return float(y[b, place, TARGETS.index(name)])

            mid = day.mid[b]
            for after in (5, 15, 60):
                assert said(f"move_{after}") == pytest.approx(float(mid[end + after] - mid[end]) / 2)
            spreads = (day.ask - day.bid)[b, end + 1 : end + 16]
            assert said("spread_15") == pytest.approx(float(spreads.mean()) / 2)
            for after in (15, 60):
                came = float(day.volume[b, end + 1 : end + 1 + after].sum())
                assert said(f"volume_{after}") == pytest.approx(np.log1p(came / (50 * after)), rel=1e-5)
            came = float(hidden[b, end + 1 : end + 61].sum())
            assert said("hidden_60") == pytest.approx(np.log1p(came / 3000), rel=1e-5)
    for bad in (LOOKS - 2, SECONDS - HORIZON_S):
        with pytest.raises(IndexError):
            outcomes(day, u, [bad])


def test_parts_of_the_day_follow_each_other_with_room_for_a_window_and_what_comes_after_it() -> None:
    at_s = torch.arange(0, 23_400, dtype=torch.float64)
    part = part_of(at_s, 23_400.0)
    last = -float("inf")
    for number in (TRAIN, VALIDATE, TEST):
        own = at_s[part == number]
        assert len(own) > 1000 and float(own.min()) - LOOKS > last
        last = float(own.max()) + HORIZON_S
    assert (part == UNUSED).any()


def test_a_mirror_image_is_what_the_other_side_sees() -> None:
    day, u = a_day(4), usual(3)
    top = 2 * float(day.mid[0, 80])
    turned = Snapshots(top - day.ask, top - day.bid, day.ask_lots, day.bid_lots, -day.signed, day.volume)
    x, other = inputs(day.until(80), u), inputs(turned.until(80), u)
    assert torch.allclose(mirrored(x), other, atol=1e-5) and not torch.allclose(x, other)
    assert torch.equal(mirrored(mirrored(x)), x)
    order = torch.tensor([500.0, -20.0, 0.0], dtype=torch.float64)
    assert torch.equal(order_inputs(order, day.until(80), u), -order_inputs(-order, turned.until(80), u))


def test_a_watch_sees_what_is_displayed_each_second_however_it_is_played() -> None:
    market, again = (BatchedMarket(SET, range(5)) for _ in range(2))
    watch, other = Watch(market), Watch(again)
    first = watch.seen
    assert torch.equal(first.bid[:, 0], first.bid[:, -1]) and not first.volume.any()
    watch.advance(400)
    for steps in (1, 6, 93, 300):
        other.advance(steps)
    assert all(torch.equal(a, b) for a, b in zip(watch.seen, other.seen, strict=True))
    seen, s = watch.seen, market.state
    levels, place = s.queues.shape[1] // 2, 2
    own = s.queues[place]
    best_bid = max(k for k in range(levels) if own[k] > 0)
    best_ask = min(k for k in range(levels, 2 * levels) if own[k] > 0)
    assert seen.bid[place, -1] == s.first_bid[place] + (best_bid - levels + 1) * s.grid[place]
    assert seen.ask[place, -1] == s.first_bid[place] + (best_ask - levels + 1) * s.grid[place]
    assert (seen.bid_lots[place, -1], seen.ask_lots[place, -1]) == (own[best_bid], own[best_ask])
    assert (seen.volume >= 0).all() and seen.volume.any() and (seen.signed.abs() <= seen.volume).all()


def test_markets_of_a_part_lie_in_it_and_copies_leave_the_market_as_it_was() -> None:
    seeds = simulated.seeds_within(LAW, (0.6, 0.75), 24)
    opened = drawn(LAW, seeds).opened_s
    assert float(opened.min()) >= 0.6 * DAY_S and float(opened.max()) + 150 <= 0.75 * DAY_S
    found = simulated.source(SET, seeds, LAW)
    ends = len(range(LOOKS - 1, 140 - HORIZON_S, simulated.APART_S))
    assert len(found.x) == 24 * ends and not found.x.isnan().any()
    y = found.y.unflatten(0, (24, ends))
    known = ~y.isnan()
    plain = [TARGETS.index(name) for name in ("move_5", "move_60", "spread_15", "volume_15")]
    extra = [TARGETS.index(name) for name in (*IMPACTS, *FILLS)]
    assert known[:, :, plain].all() and known[:, :: simulated.PAIRED, extra].all()
    assert not known[:, 1, extra].any() and not known[:, :, TARGETS.index("hidden_60")].any()
    # The market without copies shows the same windows and goes the same way.
    execution = Execution(SET, seeds, LAW)
    alone, u = Watch(execution.market), simulated.usual_of(execution.residual, execution.market)
    alone.advance(4 * (LOOKS - 1))
    x, was = found.x.unflatten(0, (24, ends)), alone.seen.mid[:, -1]
    assert torch.equal(inputs(alone.seen, u), x[:, 0])
    alone.advance(4 * simulated.APART_S)
    assert torch.equal(inputs(alone.seen, u), x[:, 1])
    alone.advance(4 * (HORIZON_S - simulated.APART_S))
    moved = (alone.seen.mid[:, -1] - was) / u.spread
    assert torch.allclose(moved.float(), y[:, 0, TARGETS.index("move_60")])


def test_an_order_pushes_the_price_its_way_and_pools_fill_some() -> None:
    market = BatchedMarket(SET, range(256))
    watch, u = Watch(market), usual(256)._replace(spread=torch.full((256,), 2.6, dtype=torch.float64))
    u = u._replace(volume_s=torch.full_like(u.spread, 165.0), event_lots=torch.full_like(u.spread, 1175.0))
    watch.advance(4 * 60)
    before = {name: getattr(market.state, name).clone() for name in ("queues", "volume", "side", "filled", "net")}
    order, y = simulated._paired(market, watch, u, np.random.default_rng(1))
    assert all(torch.equal(value, getattr(market.state, name)) for name, value in before.items())
    impact = y[:, [TARGETS.index(name) for name in IMPACTS]] * order[:, :1].sign()
    large = order[:, 0].abs() > order[:, 0].abs().median()
    assert (impact[large].mean(0) > 0).all() and (impact[large].mean(0) > impact[~large].mean(0)).all()
    fills = y[:, [TARGETS.index(name) for name in FILLS]]
    assert ((fills == 0) | (fills == 1)).all() and 0.02 < float(fills.mean()) < 0.9


def trading_day(seconds: int = 3000, seed: int = 5) -> Recording:
    """Trades, shown and hidden, that take turns in a market that goes nowhere far."""
    g, rows = np.random.default_rng(seed), []
    for second in range(seconds):
        kind = int(g.choice((EXECUTION, HIDDEN_EXECUTION)))
        message = (second + 0.5, kind, second, int(g.integers(1, 90)), 1_000_000, int(g.choice((1, -1))))
        rows.append((message, shows(int(g.integers(1, 300)), int(g.integers(1, 300)))))
    return recording(*rows, ends_s=float(seconds))


def test_recorded_trades_count_for_who_took_and_hidden_ones_apart() -> None:
    day = trading_day()
    seen, hidden = recorded.snapshots(day)
    assert seen.bid.shape == (1, 3000)
    lit = day.kinds == EXECUTION
    assert np.array_equal(seen.volume[0].numpy(), np.where(lit, day.sizes, 0))
    assert np.array_equal(seen.signed[0].numpy(), np.where(lit, np.where(day.buys, -day.sizes, day.sizes), 0))
    assert np.array_equal(hidden[0].numpy(), np.where(lit, 0, day.sizes))
    assert np.array_equal(seen.bid_lots[0].numpy(), day.bids[:, 0, 1])


def test_what_is_tested_on_changes_nothing_of_what_is_trained_on() -> None:
    day = trading_day()
    late = np.arange(3000) > 0.75 * 3000
    sizes = np.where(late, day.sizes * 7, day.sizes)
    asks = np.where(late[:, None, None] & (np.arange(2) == 1), day.asks * 5, day.asks)
    found = [recorded.source([one])[0] for one in (day, day._replace(sizes=sizes, asks=asks))]
    part = part_of(found[0].at_s, 3000.0)
    for number, same in ((TRAIN, True), (VALIDATE, True), (TEST, False)):
        one, other = (samples.where(part == number) for samples in found)
        assert torch.equal(one.x, other.x) is same and torch.equal(one.about, other.about)
        assert torch.equal(one.y.nan_to_num(), other.y.nan_to_num()) is same


def test_sources_are_gathered_with_their_parts() -> None:
    said: list[str] = []
    law = EpisodeLaw(horizon_s=100.0, warm_up_s=10.0)
    data = gathered([SET], {"acme": [trading_day()]}, said.append, Markets(6, 4, 5), law=law)
    assert data.names == ("large_tick", "acme") and any("acme" in line for line in said)
    for number in (TRAIN, VALIDATE, TEST):
        own = data.of(number)
        assert own.source.unique().tolist() == [0, 1]
    train, test = data.of(TRAIN), data.of(TEST)
    for place in (0, 1):
        assert train.at_s[train.source == place].max() < test.at_s[test.source == place].min()
    assert about(usual(2)).shape == (2, train.about.shape[1])
