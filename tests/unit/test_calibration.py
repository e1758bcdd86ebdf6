"""Calibration: known rates come back from a market simulated with them, the reference follows its rule on a path made
by hand, bad input leaves nothing behind."""

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
from recordings import ASK, BID, recording, shows

from lit_router.market.calibration import BINS, calibrate, seconds_at
from lit_router.market.cells import NO_ASK, Grid, cells_of, events_of, reference_path
from lit_router.market.lobster import HALT, TICK, Recording
from lit_router.market.parameters import LARGEST, QUANTILES
from lit_router.market.stream import CANCEL, LIMIT, MARKET
from rfq.cli import main
from rfq.domain.errors import BadInput
from rfq.domain.values import Symbol

KINDS = {LIMIT: "limit", CANCEL: "cancel", MARKET: "market"}


# --- a market with known rates --------------------------------------------------------------------------------------


LEVELS, LOTS, FOLLOW = 3, 100, 1
TRUE_LIMIT = np.array([[0.6, 0.9, 0.7, 0.4], [0.8, 0.6, 0.5, 0.3], [0.9, 0.5, 0.4, 0.3]])
TRUE_CANCEL = np.array([[0.0, 0.3, 0.4, 0.6], [0.0, 0.4, 0.6, 0.8], [0.0, 0.3, 0.5, 0.9]])
TRUE_MARKET = np.array([[0.0, 0.4, 0.3, 0.2], [0.0, 0.2, 0.3, 0.4], [0.0, 0.1, 0.1, 0.1]])
"""By level and queue size 0, 1, 2, 3 or more."""


def simulated(rng: np.random.Generator, ends_s: float) -> Recording:
    """A queue-reactive book of unit orders, recorded: one tick between cells, theta 1, shifted and never redrawn."""
    true = [table.tolist() for table in (TRUE_LIMIT, TRUE_CANCEL, TRUE_MARKET)]
    queues, reference, now, last = [[1] * LEVELS, [1] * LEVELS], 1_000, 0.0, 0
    rows: list[tuple[float, int, int, bool]] = []
    books: list[np.ndarray] = []
    while True:
        possible = [
            (kind, side, cell, true[kind][cell][min(3, queues[side][cell])])
            for side in (0, 1)
            for cell in range(LEVELS)
            for kind in KINDS
            if kind != MARKET or cell == best(queues[side])
        ]
        total = sum(rate for *_, rate in possible)
        now += rng.exponential(1 / total)
        if now >= ends_s:
            break
        upto = accumulate(rate for *_, rate in possible)
        kind, side, cell, _ = possible[bisect_right(list(upto), rng.uniform(0, total))]
        queues[side][cell] += 1 if kind == LIMIT else -1
        rows.append((now, (1, 3, 4)[kind], reference - cell if side == 0 else reference + 1 + cell, side == 0))
        below, above = map(best, queues)
        if max(below, above) < LEVELS:
            up, down = above - below > last and above >= FOLLOW, above - below < last and below >= FOLLOW
            if up or down:
                reference += 1 if up else -1
                nearer, farther = (1, 0) if up else (0, 1)
                queues[nearer] = [*queues[nearer][1:], int(rng.integers(1, 4))]
                queues[farther] = [0, *queues[farther][:-1]]
            below, above = map(best, queues)
            last = above - below
        books.append(displayed(np.array(queues), reference))
    times, kinds, prices, buys = zip(*rows, strict=True)
    book = np.array(books)
    count = len(rows)
    return Recording(
        symbol=Symbol("ACME"),
        begins_at=datetime(2012, 6, 21, 13, 30, tzinfo=UTC),
        ends_s=ends_s,
        times_s=np.array(times),
        kinds=np.array(kinds),
        sizes=np.full(count, LOTS),
        prices=np.array(prices) * TICK,
        buys=np.array(buys),
        bids=book[:, 0],
        asks=book[:, 1],
        added_at=np.full(count, -1),
    )


def best(side: list[int]) -> int:
    return next((cell for cell, size in enumerate(side) if size), LEVELS)


def displayed(queues: np.ndarray, reference: int) -> np.ndarray:
    book = np.zeros((2, LEVELS, 2), np.int64)
    for side, sign in ((0, -1), (1, 1)):
        held = np.flatnonzero(queues[side])
        book[side, : len(held), 0] = (reference + side + sign * held) * TICK
        book[side, : len(held), 1] = queues[side, held] * LOTS
    return book


@pytest.fixture(scope="module")
def market() -> Recording:
    return simulated(np.random.default_rng(20260302), 7_200.0)


def test_known_rates_come_back_within_their_errors(market: Recording) -> None:
    found = calibrate(market, name="acme", until_s=market.ends_s, grid_ticks=1, levels=LEVELS, follow=FOLLOW)
    evidence = found.evidence
    assert evidence is not None and found.mean_lots == LOTS
    true_sizes = np.minimum(BINS.starts, 3)
    compared = 0
    for kind, truth in ((LIMIT, TRUE_LIMIT), (CANCEL, TRUE_CANCEL), (MARKET, TRUE_MARKET)):
        estimates, errors, counts = (
            np.array(table)
            for table in (
                getattr(found, KINDS[kind]),
                getattr(evidence, f"{KINDS[kind]}_errors"),
                getattr(evidence, f"{KINDS[kind]}_counts"),
            )
        )
        exposure = np.array(evidence.market_exposure_s if kind == MARKET else evidence.exposure_s)
        true_rates = truth[:, true_sizes]
        expected = true_rates * exposure
        assert np.all(np.abs(counts - expected) <= 4 * np.sqrt(expected) + 1), KINDS[kind]
        differs = np.diff(estimates, axis=1, prepend=-1.0, append=-1.0) != 0  # Pooled bins have one rate.
        alone = (counts >= 25) & differs[:, 1:] & differs[:, :-1]
        assert np.all(np.abs(estimates - true_rates)[alone] <= 4 * errors[alone]), KINDS[kind]
        assert errors[alone] == pytest.approx(np.sqrt(counts[alone]) / exposure[alone], rel=2e-3)
        compared += int(alone.sum())
    assert compared >= 35


def test_a_part_of_the_day_gives_the_rates_of_the_mean_pace(market: Recording) -> None:
    """The first hour is played in half an hour: alone it gives the rates of the whole day, which is now faster."""
    times = np.where(market.times_s < 3_600, market.times_s / 2, market.times_s - 1_800)
    faster = market._replace(times_s=times, ends_s=market.ends_s - 1_800)
    found = calibrate(faster, name="acme", until_s=1_800.0, grid_ticks=1, levels=LEVELS, follow=FOLLOW)
    mean_pace = market.ends_s / faster.ends_s
    assert found.volume_curve[0] == pytest.approx(2 / mean_pace, rel=0.03)
    assert found.evidence is not None
    for level in range(LEVELS):
        error = found.evidence.limit_errors[level][1] + 0.03 * TRUE_LIMIT[level, 1]
        assert abs(found.limit[level][1] - mean_pace * TRUE_LIMIT[level, 1]) <= 4 * error


def test_the_book_of_a_set_from_data_holds_what_was_seen(market: Recording) -> None:
    found = calibrate(market, name="acme", until_s=market.ends_s, grid_ticks=1, levels=LEVELS)
    assert (found.theta, found.theta_reinit, found.grid_ticks) == (1.0, 0.0, 1)
    laws = found.laws()
    assert laws.shape == (LEVELS, LARGEST + 1)
    assert laws.sum(axis=1) == pytest.approx(1.0)
    assert found.evidence is not None and sum(found.evidence.spread_law) == pytest.approx(1.0, abs=1e-3)
    assert found.evidence.spread_law[0] == 0.0
    assert found.limit_sizes is not None and found.limit_sizes.thin == (1.0,) * QUANTILES
    assert found.hidden_share == 0.0


# --- cells and the reference ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ticks", [1, 2, 3, 4, 5, 10])
def test_prices_go_to_the_nearest_grid_price_and_never_past_each_other(ticks: int) -> None:
    grid = Grid(ticks, 5, 1)
    prices = np.arange(1, 200)
    bids, asks = (grid.prices(prices * TICK, buys) for buys in (True, False))
    assert np.all(np.abs(bids * ticks - prices) <= ticks / 2)
    assert np.all(np.abs(asks * ticks - prices) <= ticks / 2)
    assert np.all(bids <= asks)
    assert np.all(asks - bids <= (ticks % 2 == 0))  # They differ only where a price is half way.


def path(follow: int, *best: tuple[int, int, bool] | tuple[int, int]) -> list[int]:
    bids, asks, closes = zip(*((*row, True)[:3] for row in best), strict=True)
    return reference_path(np.array(bids), np.array(asks), np.array(closes), Grid(1, 10, follow)).tolist()


def test_the_reference_follows_a_move_of_the_mid_into_empty_cells() -> None:
    assert path(1, (100, 101), (100, 103), (100, 103), (102, 103)) == [100, 101, 101, 102]
    assert path(1, (100, 101), (98, 101), (98, 99)) == [100, 99, 98]


def test_the_reference_waits_until_enough_cells_are_empty() -> None:
    # The middle of 98 and 103 is 100: ask cell 2 is occupied, bid cell 2 too.
    assert path(2, (98, 103), (99, 103)) == [100, 101]
    assert path(3, (98, 103), (99, 103)) == [100, 100]
    assert path(3, (98, 103), (99, 103), (99, 104)) == [100, 100, 101]
    assert path(2, (98, 103), (98, 102)) == [100, 99]


def test_a_bid_past_the_reference_stands_in_the_first_cell_and_moves_nothing_by_itself() -> None:
    assert path(2, (100, 101), (100, 102), (101, 102), (101, 104)) == [100, 100, 100, 101]


def test_the_reference_moves_once_for_an_order_and_not_at_all_beside_an_empty_side() -> None:
    assert path(1, (100, 101), (100, 102, False), (100, 103, True)) == [100, 100, 101]
    assert path(1, (100, 101), (100, NO_ASK), (100, 101)) == [100, 100, 100]


def test_executions_of_one_time_and_side_are_one_market_order() -> None:
    bids = [(BID, 50)]
    told = recording(
        ((1.0, 1, 1, 50, BID, 1), shows(50, 30)),
        ((2.0, 4, 2, 30, ASK, -1), (bids, [(ASK + 100, 500)])),
        ((2.0, 4, 3, 10, ASK + 100, -1), (bids, [(ASK + 100, 490)])),
        ((2.0, 4, 1, 20, BID, 1), shows(30, 0)),
        ((2.5, 5, 0, 99, BID + 100, 1), shows(30, 0)),
        ((3.0, 2, 1, 10, BID, 1), shows(20, 0)),
    )
    events = events_of(told)
    assert events.kinds.tolist() == [LIMIT, MARKET, MARKET, CANCEL]
    assert events.lots.tolist() == [50, 40, 20, 10]
    assert events.before.tolist() == [-1, 0, 2, 4]
    assert events.done.tolist() == [0, 2, 3, 5]


def test_cells_beyond_the_recorded_depth_are_not_seen() -> None:
    told = recording(
        ((1.0, 1, 1, 50, BID, 1), ([(BID, 50), (BID - 500, 70)], [(BID + 500, 10), (BID + 1_000, 20)])),
        ((2.0, 1, 2, 60, BID - 100, 1), ([(BID, 50), (BID - 100, 60)], [(BID + 500, 10)])),
    )
    cells = cells_of(told, events_of(told), Grid(5, 4, 1))
    assert cells.lots[0].tolist() == [[50, 70, 0, 0], [10, 20, 0, 0]]
    # A cell of five ticks reaches two ticks below its grid price; a side that shows fewer levels shows all there is.
    assert cells.seen[0].tolist() == [[True, False, False, False]] * 2
    assert cells.seen[1].tolist() == [[False] * 4, [True] * 4]
    assert cells.lots[1, 0].tolist() == [110, 0, 0, 0]
    assert cells.best.tolist() == [[0, 0], [0, 0]]


def test_time_in_a_halt_is_no_exposure(market: Recording) -> None:
    def stop(row: int, price: int) -> None:
        kinds[row], prices[row] = HALT, price

    kinds, prices = market.kinds.copy(), market.prices.copy()
    begin, end = np.searchsorted(market.times_s, (2_000.0, 5_000.0)).tolist()
    stop(begin, -1)
    stop(end, 1)
    halted = market._replace(kinds=kinds, prices=prices)
    arguments = {"name": "acme", "until_s": market.ends_s, "grid_ticks": 1, "levels": LEVELS, "follow": FOLLOW}
    plain, less = calibrate(market, **arguments), calibrate(halted, **arguments)
    assert plain.evidence is not None and less.evidence is not None
    assert np.sum(plain.evidence.exposure_s) == pytest.approx(2 * LEVELS * market.ends_s, rel=0.01)
    assert np.sum(less.evidence.exposure_s) == pytest.approx(2 * LEVELS * (market.ends_s - 3_000), rel=0.02)
    assert less.limit[0][0] == pytest.approx(plain.limit[0][0], rel=0.1)


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"begins_s": 200.0, "until_s": 100.0}, "from, until"),
        ({"until_s": 7_201.0}, "from, until"),
        ({"begins_s": -1.0}, "from, until"),
        ({"begins_s": 7_199.9999, "until_s": 7_200.0}, "from, until"),
        ({"grid_ticks": 0}, "grid_ticks"),
        ({"levels": 1}, "levels"),
        ({"follow": 3, "levels": 3}, "follow"),
        ({"follow": 0}, "follow"),
    ],
)
def test_impossible_arguments_are_refused(market: Recording, arguments: dict[str, float], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        calibrate(market, **{"name": "acme", "until_s": 7_200.0, **arguments})
    assert refused.value.field == field


def test_more_levels_than_the_recording_shows_are_refused(market: Recording) -> None:
    two_sided = market.mids > 0
    per_row = {name: column[two_sided] for name, column in market._asdict().items() if isinstance(column, np.ndarray)}
    shallow = market._replace(**per_row)
    shallow = shallow._replace(asks=shallow.asks[:, :1], bids=shallow.bids[:, :1])
    with pytest.raises(BadInput, match="levels: 20 must be within the recorded depth"):
        calibrate(shallow, name="acme", until_s=7_200.0, grid_ticks=1, levels=20)


@pytest.mark.parametrize(("clock", "seconds"), [("09:30", 0.0), ("10:15", 2_700.0), ("11:30", 7_200.0)])
def test_clock_times_are_those_of_new_york(market: Recording, clock: str, seconds: float) -> None:
    assert seconds_at(market, "--from", clock) == seconds


@pytest.mark.parametrize("clock", ["9", "ten", "25:00", "10:61", "09:29", "11:31", "-1:30", "10:00:00"])
def test_clock_times_that_are_not_in_the_recording_are_refused(market: Recording, clock: str) -> None:
    with pytest.raises(BadInput, match="--from"):
        seconds_at(market, "--from", clock)


def test_the_command_refuses_a_bad_file_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, out = tmp_path / "broken.zip", tmp_path / "set.json"
    broken.write_bytes(b"not a zip")
    for source in (["--book", str(broken)], ["--ticks", str(broken), str(broken)]):
        assert main(["calibrate", *source, "--out", str(out)]) == 1
        assert "must be a readable zip file" in capsys.readouterr().err
    assert main(["calibrate", "--ticks", "a", "b", "--levels", "4", "--out", str(out)]) == 1
    assert "--book only" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["broken.zip"]
