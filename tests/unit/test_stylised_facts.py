"""Streams of recorded orders, and stylised facts of handmade streams whose answers are known."""

import random
from pathlib import Path

import numpy as np
import pytest
from recordings import ASK, BID, random_recording, recording, shows

from lit_router.market.lobster import ADD, DELETE, EXECUTION, PARTIAL_CANCEL, read
from lit_router.market.recorded_stream import stream_of
from lit_router.market.stream import CANCEL, LIMIT, MARKET, BookStream
from rfq.domain.errors import BadInput
from rfq.studies import stylised_facts as facts

GOOG = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
BUYERS, SELLERS = False, True  # Whose market orders: buyers hit the ask queue.


def stream(
    *events: tuple[float, int, bool, int, int, float],
    mids: list[float] | None = None,
    every_s: float = 1.0,
    ends_s: float | None = None,
) -> BookStream:
    """Events (time, kind, bid side, ticks, lots, mid after), and a sampled book of 100 shares a side around `mids`."""
    columns = list(zip(*events, strict=True)) or [[]] * 6
    sampled = np.array([100.0] if mids is None else mids)
    ticks = np.array(columns[3], dtype=np.int32)
    lots = np.full(len(sampled), 100)

    def side(distance: float) -> np.ndarray:
        return np.stack([sampled + distance, lots], axis=-1)[:, None].astype(np.int64)

    return BookStream(
        times_s=np.array(columns[0], dtype=float),
        kinds=np.array(columns[1], dtype=np.int8),
        bid_queue=np.array(columns[2], dtype=bool),
        ticks=ticks,
        rank=np.sign(ticks).astype(np.int8),
        lots=np.array(columns[4], dtype=np.int64),
        mids=(np.array(columns[5], dtype=float) * 2).astype(np.int64),
        sampled_s=np.arange(len(sampled)) * every_s,
        bids=side(-1),
        asks=side(1),
        begins_s=0.0,
        ends_s=float(len(sampled) * every_s if ends_s is None else ends_s),
    )


def market_orders(*buyers: bool, lots: int = 1) -> BookStream:
    return stream(*((float(n), MARKET, not buyer, 0, lots, 100.0) for n, buyer in enumerate(buyers)))


# --- a recording as a stream -------------------------------------------------------------------------------------


def test_orders_of_a_recording_with_their_place_in_the_book_before() -> None:
    made = stream_of(
        recording(
            ((1.0, ADD, 1, 100, BID, 1), shows(100, 100)),
            ((2.0, ADD, 2, 50, BID + 100, 1), shows(50, 100, bid_price=BID + 100)),  # Inside the spread.
            ((3.0, PARTIAL_CANCEL, 2, 10, BID + 100, 1), shows(40, 100, bid_price=BID + 100)),
            ((4.0, ADD, 3, 70, BID - 200, 1), shows(40, 100, bid_price=BID + 100)),  # Three ticks behind the best.
            ((5.0, ADD, 4, 70, ASK + 300, -1), shows(40, 100, bid_price=BID + 100)),  # A third level of offers.
            ((6.0, 5, 0, 999, BID + 150, 1), shows(40, 100, bid_price=BID + 100)),  # Hidden.
            ((7.0, DELETE, 2, 40, BID + 100, 1), shows(100, 100)),
        )
    )
    assert made.times_s.tolist() == [2, 3, 4, 5, 7]  # Not the first: what was there before it is not known.
    assert made.kinds.tolist() == [LIMIT, CANCEL, LIMIT, LIMIT, CANCEL]
    assert made.bid_queue.tolist() == [True, True, True, False, True]
    assert made.ticks.tolist() == [-1, 0, 3, 3, 0]
    assert made.rank.tolist() == [-1, 0, 1, 2, 0]
    assert made.lots.tolist() == [50, 10, 70, 70, 40]
    assert made.mids.tolist() == [20_005, 20_005, 20_005, 20_005, 20_004]


def test_executions_at_one_time_on_one_side_are_one_market_order() -> None:
    made = stream_of(
        recording(
            ((1.0, ADD, 1, 100, BID, 1), shows(100, 100)),
            ((2.0, EXECUTION, 7, 60, ASK, -1), shows(100, 40)),
            ((2.0, 5, 0, 500, ASK - 100, -1), shows(100, 40)),  # A hidden order eaten on the way.
            ((2.0, EXECUTION, 8, 40, ASK, -1), shows(100, 500, ask_price=ASK + 100)),
            ((2.0, EXECUTION, 9, 25, ASK + 100, -1), shows(100, 475, ask_price=ASK + 100)),
            ((2.0, EXECUTION, 1, 5, BID, 1), shows(95, 475, ask_price=ASK + 100)),
            ((2.5, EXECUTION, 1, 5, BID, 1), shows(90, 475, ask_price=ASK + 100)),
        )
    )
    assert made.kinds.tolist() == [MARKET] * 3
    assert made.lots.tolist() == [125, 5, 5]
    assert made.bid_queue.tolist() == [BUYERS, SELLERS, SELLERS]
    assert made.ticks.tolist() == made.rank.tolist() == [0, 0, 0]
    assert made.mids.tolist() == [20_005, 20_005, 20_005]  # After the last of its executions.


def test_an_order_on_an_empty_side_is_the_best_and_there_is_no_mid_before_it() -> None:
    none = ([], [(ASK, 10)])
    made = stream_of(
        recording(
            ((1.0, ADD, 1, 10, ASK, -1), none),
            ((2.0, ADD, 2, 10, ASK, -1), ([], [(ASK, 20)])),
            ((3.0, ADD, 3, 10, BID, 1), ([(BID, 10)], [(ASK, 20)])),
        )
    )
    assert made.mids.tolist() == [-1, 20_004]
    assert (made.ticks[1], made.rank[1]) == (0, 0)
    assert facts.spread([made]).tolist() == [4.0] * 98  # From the third second to the hundredth.


def test_the_book_is_sampled_as_it_was_and_a_part_has_its_own_times() -> None:
    rows = [((t, ADD, n, 100, BID, 1), shows(100 * (n + 1), 100)) for n, t in enumerate((1.0, 2.25, 3.0))]
    whole = stream_of(recording(*rows, ends_s=4.0))
    assert whole.sampled_s.tolist() == [1, 2, 3, 4]
    assert whole.bids[:, 0].tolist() == [[10_000, 100], [10_000, 100], [10_000, 300], [10_000, 300]]
    part = stream_of(recording(*rows, ends_s=4.0), 2.0, 3.0, every_s=0.25)
    assert part.sampled_s.tolist() == [2, 2.25, 2.5, 2.75, 3]
    assert part.bids[:, 0, 1].tolist() == [100, 200, 200, 200, 300]
    assert part.times_s.tolist() == [2.25]  # What happens at its end belongs to the next.
    assert (part.begins_s, part.ends_s) == (2.0, 3.0)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_stream_adds_and_takes_is_how_its_book_changed(seed: int) -> None:
    recorded = random_recording(random.Random(seed), 300)
    made = stream_of(recorded)
    for side, bid in ((recorded.bids, True), (recorded.asks, False)):
        mine = made.bid_queue == bid
        added = made.lots[mine & (made.kinds == LIMIT)].sum() - made.lots[mine & (made.kinds != LIMIT)].sum()
        assert added == side[-1, :, 1].sum() - side[0, :, 1].sum()


@pytest.mark.parametrize(
    ("begins_s", "ends_s", "every_s", "field"),
    [(-1.0, None, 1.0, "begins_s"), (5.0, 5.0, 1.0, "begins_s"), (0.0, 101.0, 1.0, "ends_s"), (0, 9, 0, "every_s")],
)
def test_a_part_that_is_not_there_is_refused(begins_s, ends_s, every_s, field) -> None:
    with pytest.raises(BadInput, match=field):
        stream_of(recording(((1.0, ADD, 1, 1, BID, 1), shows(1, 1))), begins_s, ends_s, every_s)


def test_prices_between_ticks_are_refused() -> None:
    with pytest.raises(BadInput, match=r"ACME.*multiple of 100"):
        stream_of(recording(((1.0, ADD, 1, 1, BID, 1), shows(1, 1, bid_price=BID + 50))))


def test_a_real_day_keeps_every_order_and_its_parts_are_the_whole(data_folder: Path) -> None:
    recorded = read(data_folder / GOOG)
    whole = stream_of(recorded)
    kinds, sizes = recorded.kinds[1:], recorded.sizes[1:]
    assert np.sum(whole.kinds == LIMIT) == np.sum(kinds == ADD)
    assert np.sum(whole.kinds == CANCEL) == np.sum(np.isin(kinds, (PARTIAL_CANCEL, DELETE)))
    assert whole.lots[whole.kinds == MARKET].sum() == sizes[kinds == EXECUTION].sum()
    assert not whole.ticks[whole.kinds == MARKET].any() and not whole.rank[whole.kinds == MARKET].any()
    assert np.all(np.diff(whole.times_s) >= 0)
    cancels = whole.kinds == CANCEL
    assert whole.rank[cancels].min() == 0 and whole.rank[cancels].max() == 9  # All where something stood, in view.
    parts = stream_of(recorded, 0.0, 11_700.0), stream_of(recorded, 11_700.0)
    assert np.array_equal(np.concatenate([part.lots for part in parts]), whole.lots)
    assert parts[1].sampled_s[0] == parts[0].sampled_s[-1] == 11_700.0


def test_fewer_levels_show_fewer_orders() -> None:
    made = stream_of(random_recording(random.Random(3), 300))
    shallow = made.within(2)
    assert shallow.bids.shape[1] == shallow.asks.shape[1] == 2
    assert len(shallow.times_s) == np.sum(made.rank < 2) < len(made.times_s)
    assert np.sum(shallow.kinds == MARKET) == np.sum(made.kinds == MARKET)


# --- facts of the book -------------------------------------------------------------------------------------------


def test_spread_depth_and_imbalance_are_of_the_samples() -> None:
    one = stream(mids=[100, 100, 100])
    bids = np.array([[[99, 300], [98, 20]], [[99, 100], [0, 0]], [[0, 0], [0, 0]]])
    asks = np.array([[[101, 100], [102, 7]], [[104, 100], [105, 8]], [[101, 5], [102, 9]]])
    one = one._replace(bids=bids, asks=asks)
    assert facts.spread([one]).tolist() == [2, 5]  # None while a side is empty.
    assert facts.imbalance([one]).tolist() == [0.5, 0]
    assert sorted(facts.depth([one]).tolist()) == sorted(
        [[300, 20], [100, 0], [0, 0], [100, 7], [100, 8], [5, 9]]
    )  # fmt: skip
    assert facts.spread([one, one]).tolist() == [2, 5, 2, 5]


def test_times_sizes_and_levels_are_of_the_events() -> None:
    one = stream(
        (1.0, LIMIT, True, -2, 100, 100), (1.5, LIMIT, False, 3, 40, 100), (1.5, CANCEL, True, 1, 30, 100),
        (3.5, MARKET, True, 0, 20, 100),
    )  # fmt: skip
    assert facts.inter_arrivals([one]).tolist() == [500, 0, 2000]
    assert facts.inter_arrivals([one, one]).tolist() == [500, 0, 2000] * 2  # Not from one stream to the next.
    assert facts.sizes([one], LIMIT).tolist() == [100, 40]
    assert facts.sizes([one], CANCEL).tolist() == [30]
    assert facts.sizes([one, one], MARKET).tolist() == [20, 20]
    assert facts.levels([one], LIMIT).tolist() == [-2, 3]
    assert facts.levels([one], CANCEL).tolist() == [1]


def test_volume_is_of_market_orders_by_whole_minute_of_its_stream() -> None:
    orders = [(t, MARKET, True, 0, lots, 100.0) for t, lots in ((0.0, 1), (59.9, 2), (180.0, 4), (250.0, 8))]
    one = stream(*orders, (70.0, LIMIT, True, 0, 99, 100.0), ends_s=250.5)
    assert facts.volume([one]).tolist() == [3, 0, 0, 4]
    later = one._replace(times_s=one.times_s + 1000, begins_s=1000.0, ends_s=1240.0)
    assert facts.volume([later]).tolist() == [3, 0, 0, 4]


# --- facts of prices and signs -----------------------------------------------------------------------------------


def test_minute_moves_are_absolute_of_every_minute_and_left_out_while_a_side_is_empty() -> None:
    one = stream(mids=[100] * 30 + [104] * 60 + [101] * 30)
    assert facts.minute_move([one]).tolist() == [4] * 30 + [3] * 30
    assert facts.minute_move([one, one]).tolist() == ([4] * 30 + [3] * 30) * 2  # No move from one stream to the next.
    asks = one.asks.copy()
    asks[0] = 0
    assert facts.minute_move([one._replace(asks=asks)]).tolist() == [4] * 29 + [3] * 30


def test_the_signature_of_a_bounce_falls_and_that_of_a_trend_rises() -> None:
    bounce = stream(mids=[100 + n % 2 for n in range(400)])
    # A tick each odd lag: 1 a second at lag 1, 1/5 at lag 5, nothing at even lags; their mean is 1.2 / 8.
    assert facts.signature([bounce]) == pytest.approx(np.array([1, 0, 1 / 5, 0, 0, 0, 0, 0]) / 0.15)
    trend = stream(mids=[100 + n for n in range(400)])
    lags = np.array(facts.SIGNATURE_S)
    assert facts.signature([trend, trend]) == pytest.approx(lags / lags.mean())


def test_the_signature_knows_seconds_from_samples_and_needs_moves_within_a_stream() -> None:
    lags = np.array(facts.SIGNATURE_S)
    fine = stream(mids=[100 + n // 2 for n in range(801)], every_s=0.5)
    assert facts.signature([fine]) == pytest.approx(lags / lags.mean(), rel=1e-2)
    short = stream(mids=[100 + n for n in range(150)])
    assert np.isnan(facts.signature([short, short])[-1])
    assert facts.signature([short, short])[:-1] == pytest.approx(lags[:-1] / lags[:-1].mean())
    with pytest.raises(BadInput, match="2 s apart"):
        facts.signature([stream(mids=[100.0] * 10, every_s=2.0)])


def test_sign_autocorrelation_of_known_orders() -> None:
    alternating = facts.sign_autocorrelation([market_orders(*[True, False] * 60)])
    assert alternating == pytest.approx([(-1.0) ** lag for lag in facts.SIGN_LAGS])
    # Buyers one day and sellers the next: within each, every pair agrees.
    assert facts.sign_autocorrelation([market_orders(*[True] * 60), market_orders(*[False] * 60)]) == pytest.approx(1)
    few = facts.sign_autocorrelation([market_orders(True, False, True, False)])
    assert few[:3] == pytest.approx([-1, 1, -1]) and np.isnan(few[3:]).all()
    assert np.isnan(facts.sign_autocorrelation([market_orders(*[True] * 60)])).all()  # Nothing varies.


def test_orders_that_are_not_market_orders_have_no_part_in_their_signs() -> None:
    signs = market_orders(*[True, False] * 60)
    with_limits = signs._replace(kinds=np.where(np.arange(120) % 2, LIMIT, MARKET).astype(np.int8))
    assert np.isnan(facts.sign_autocorrelation([with_limits])).all()  # Buyers only are left.


def test_return_autocorrelation_of_known_paths() -> None:
    alternating = stream(mids=[100 + n % 2 for n in range(101)])
    odd_even = [(-1.0) ** lag for lag in facts.RETURN_LAGS]
    assert facts.return_autocorrelation([alternating], 1) == pytest.approx(odd_even)
    wave = [100 + min(n % 20, 20 - n % 20) for n in range(610)]  # Ten seconds up, ten seconds down.
    assert facts.return_autocorrelation([stream(mids=wave)], 10) == pytest.approx(odd_even)
    twice = [mid for mid in wave for _ in range(2)]
    assert facts.return_autocorrelation([stream(mids=twice, every_s=0.5)], 10) == pytest.approx(odd_even, abs=1e-3)


def test_a_walk_has_no_autocorrelation_and_a_flat_signature() -> None:
    rng = np.random.default_rng(7)
    days = [stream(mids=(10_000 + rng.choice((-1, 1), 20_000).cumsum()).tolist()) for _ in range(3)]
    assert np.abs(facts.return_autocorrelation(days, 1)).max() < 5 / np.sqrt(60_000)
    assert facts.signature(days) == pytest.approx(1, abs=0.25)


def test_an_empty_side_leaves_out_moves_and_only_those() -> None:
    one = stream(mids=[100 + n % 2 for n in range(101)])
    asks = one.asks.copy()
    asks[50] = 0
    assert facts.return_autocorrelation([one._replace(asks=asks)], 1)[0] == pytest.approx(-1)


# --- the mid's response ------------------------------------------------------------------------------------------

EVENTS = (
    (0.0, LIMIT, True, 3, 10, 10.0),  # Deep in the book: no event of the best.
    (1.0, MARKET, BUYERS, 0, 10, 12.0),
    (2.0, LIMIT, True, -1, 10, 12.5),
    (3.0, CANCEL, False, 2, 10, 12.5),  # Deep again.
    (4.0, CANCEL, False, 0, 10, 13.5),
    (5.0, LIMIT, False, 0, 10, 13.5),
    (6.0, MARKET, SELLERS, 0, 10, 11.0),
)


@pytest.mark.parametrize(
    ("event", "moves"),
    [
        # After 1, 2 and 5 events at the best. A buyer's order moves 2, a seller's 2.5 its own way.
        ("market", [(2 + 2.5) / 2, 2.5, 11 - 10]),
        ("limit_inside", [0.5, 1.5, np.nan]),
        ("cancel_at_best", [1.0, 1.0, np.nan]),
        ("limit_at_best", [0.0, 2.5, np.nan]),  # An offer counts downwards.
    ],
)
def test_the_response_is_signed_by_the_event_and_counts_events_at_the_best(event, moves) -> None:
    found = facts.response([stream(*EVENTS)], event)
    assert found[:3] == pytest.approx(moves, nan_ok=True)
    assert np.isnan(found[3:]).all()


def test_the_response_mirrors_and_pools() -> None:
    up = stream(*EVENTS)
    down = up._replace(bid_queue=~up.bid_queue, mids=200 - up.mids)
    for event in ("market", "limit_inside", "cancel_at_best", "limit_at_best"):
        alone = facts.response([up], event)
        assert facts.response([down], event) == pytest.approx(alone, nan_ok=True)
        assert facts.response([up, down, up], event) == pytest.approx(alone, nan_ok=True)


def test_a_response_from_or_to_an_empty_side_is_left_out() -> None:
    one = stream(*EVENTS)
    mids = one.mids.copy()
    mids[0] = -1
    assert facts.response([one._replace(mids=mids)], "market")[:2] == pytest.approx([2.5, np.nan], nan_ok=True)


def test_every_fact_of_a_stream_without_events_is_empty_or_not_a_number() -> None:
    nothing = stream(mids=[])
    for fact in facts.FACTS:
        measured = fact.measure([nothing])
        assert measured.shape == (len(fact.points),) if fact.points else len(measured) == 0
        assert not np.isfinite(measured).any()
