"""Calibration from ticks, and the shipped sets: they are what the data give."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lit_router.market import calibrate_ticks, lobster, nbbo, published
from lit_router.market.cells import Grid, cells_of, events_of
from lit_router.market.lobster import TICK
from lit_router.market.parameters import LARGEST, BookParameters, check, load, shipped
from lit_router.market.stream import CANCEL, LIMIT, MARKET
from rfq.cli import main
from rfq.domain.values import Symbol

GOOG = Path("lobster") / "LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
BAC = Path("us_equity_tick_nbbo") / "bac"
KINDS = {LIMIT: "limit", CANCEL: "cancel", MARKET: "market"}


# --- ticks ----------------------------------------------------------------------------------------------------------


def tick_day() -> nbbo.TickDay:
    """A bid of 1,000 shares that changes each minute: +100, -100 by a trade, +100, -100 by itself; the ask stands.
    Half of the prints, by volume, are off exchange."""
    minutes = np.arange(0, 23_400, 60)
    times = np.append(minutes, 23_000.5).astype(float)
    times.sort()
    lots = 1_000 + 100 * (np.arange(len(times)) % 2)
    traded = minutes[2::4].astype(np.float64)  # A trade just as the bid falls for it.
    trades = np.repeat(traded, 2)
    off = np.tile([False, True], len(traded))
    ones = np.ones(len(times), np.int64)
    return nbbo.TickDay(
        symbol=Symbol("ACME"),
        begins_at=datetime(2013, 10, 8, 13, 30, tzinfo=UTC),
        ends_s=23_400.0,
        quote_times_s=times,
        bids=138_000 * ones,
        bid_lots=lots,
        asks=138_100 * ones,
        ask_lots=500 * ones,
        crossed=np.zeros(len(times), np.bool_),
        trade_times_s=trades,
        trade_prices=np.full(len(trades), 138_000),
        trade_lots=np.full(len(trades), 100),
        off_exchange=off,
        ordinary=np.ones(len(trades), np.bool_),
        dropped=0,
    )


def test_the_top_of_the_book_is_counted_from_ticks() -> None:
    parameters, measured = calibrate_ticks.calibrate(tick_day(), name="acme", until_s=7_200.0)
    evidence = parameters.evidence
    assert evidence is not None
    assert (parameters.mean_lots, parameters.hidden_share) == (100, 0.5)
    limit, cancel, market, exposure = (
        np.array(table)[0]
        for table in (evidence.limit_counts, evidence.cancel_counts, evidence.market_counts, evidence.exposure_s)
    )
    assert (limit.sum(), cancel.sum(), market.sum()) == (60, 29, 30)
    assert exposure.sum() == pytest.approx(14_400, rel=0.05)
    # The ask stands at five average events, the bid at ten and eleven.
    assert exposure[[2, 3]] == pytest.approx([7_200, 7_200], rel=0.05)
    assert limit[3] == 60
    # Bins without events have no rate of their own.
    assert measured[LIMIT][0][3] == pytest.approx(60 / exposure.sum(), rel=1e-3)
    assert evidence.spread_law[1] == 1.0


def test_a_set_from_ticks_keeps_the_published_rates() -> None:
    parameters = calibrate_ticks.calibrate(tick_day(), name="acme").parameters
    check(parameters, "acme")
    by_size = {KINDS[kind]: parameters.by_size(getattr(parameters, KINDS[kind])) for kind in KINDS}
    theirs = {"limit": published.LIMIT, "cancel": published.CANCEL, "market": published.MARKET}
    for level in range(parameters.levels):
        for kind, table in by_size.items():
            expected = np.interp(np.arange(LARGEST + 1), published.SIZES, theirs[kind][min(level, 2)])
            assert table[level] == pytest.approx(expected)


# --- the shipped sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["large_tick", "small_tick"])
def test_the_shipped_sets_load_and_say_where_they_are_from(name: str) -> None:
    assert name in shipped()
    found = load(name)
    assert found.name == name and found.evidence is not None
    assert len(found.volume_curve) == 13 and np.mean(found.volume_curve) == pytest.approx(1.0, abs=1e-4)
    assert ("Huang, Lehalle, Rosenbaum" in found.source) == (name == "large_tick")


def test_the_large_tick_book_is_the_published_one() -> None:
    found = load("large_tick")
    assert found.queue_sizes == published.SIZES
    assert (found.theta, found.theta_reinit, found.follow, found.grid_ticks) == (0.7, 0.85, 1, 1)
    tables = (published.LIMIT, published.CANCEL, published.MARKET)
    for own, theirs in zip((found.limit, found.cancel, found.market), tables, strict=True):
        assert own == tuple(theirs[min(level, 2)] for level in range(5))
    assert (found.occupancy, found.limit_sizes, found.cancel_sizes, found.market_sizes) == ((), None, None, None)


def same(found: BookParameters, kept: BookParameters) -> None:
    """Equal but for the last digit, which another machine may round otherwise."""
    assert (found.name, found.source, found.follow, found.mean_lots) == (
        kept.name,
        kept.source,
        kept.follow,
        kept.mean_lots,
    )
    for field in ("queue_sizes", "limit", "cancel", "market", "occupancy", "volume_curve", "burst", "gaps_s"):
        assert np.array(getattr(found, field)) == pytest.approx(np.array(getattr(kept, field)), rel=2e-4), field
    for field in ("limit_sizes", "cancel_sizes", "market_sizes"):
        ours, theirs = getattr(found, field), getattr(kept, field)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.thin == pytest.approx(theirs.thin, rel=2e-4)
            assert ours.thick == pytest.approx(theirs.thick, rel=2e-4)
    assert found.burst_s == pytest.approx(kept.burst_s, rel=0.01)
    assert found.hidden_share == pytest.approx(kept.hidden_share, rel=2e-4)
    assert found.evidence is not None and kept.evidence is not None
    assert found.evidence.thin == kept.evidence.thin
    assert found.evidence.limit_counts == kept.evidence.limit_counts


def test_the_goog_recording_gives_the_shipped_small_tick_set(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "goog.json"
    assert main(["calibrate", "--book", str(data_folder / GOOG), "--name", "small_tick", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    kept = load("small_tick")
    same(load(out), kept)
    assert kept.evidence is not None and printed.count("warning: thin") == len(kept.evidence.thin)
    rows = [line.split() for line in printed.splitlines()]
    assert sum(row[:1] == ["0"] and "±" in row for row in rows) == len(kept.queue_sizes)


def test_the_bac_ticks_give_the_shipped_large_tick_set(data_folder: Path) -> None:
    day = nbbo.read(data_folder / BAC / "20131008_trade.zip", data_folder / BAC / "20131008_quote.zip")
    found = calibrate_ticks.calibrate(day, name="large_tick").parameters
    same(found, load("large_tick"))
    assert found.evidence is not None and found.evidence.spread_law[1] > 0.99


def test_the_grid_of_goog_fits_its_spread(data_folder: Path) -> None:
    """The recorded spread in cells agrees with the recorded spread in ticks."""
    day = lobster.read(data_folder / GOOG)
    kept = load("small_tick")
    grid = Grid(kept.grid_ticks, kept.levels, kept.follow)
    cells = cells_of(day, events_of(day), grid)
    lasts = np.diff(day.times_s, append=day.ends_s)
    spread_ticks = (day.asks[:, 0, 0] - day.bids[:, 0, 0]) / TICK
    in_cells = grid.ticks * (cells.best.sum(axis=1) + 1)
    assert lasts @ in_cells == pytest.approx(lasts @ spread_ticks, rel=0.06)
