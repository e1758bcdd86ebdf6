"""Whole simulated markets: prices do not drift and are hard to predict, orders move them by the square-root law."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from lit_router.market import lobster
from lit_router.market.batch.day import measured
from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.batch.recording import FIRST_BID
from lit_router.market.parameters import load
from rfq.cli import main
from rfq.domain.errors import BadInput
from rfq.studies import impact_study, market_evaluation
from rfq.studies.figures import Figures
from rfq.studies.impact_study import SHARES, Metaorders, Size, intervals, law_of, metaorders
from rfq.studies.stylised_facts import FACTS, autocorrelation

GOOG = "lobster/LOBSTER_SampleFile_GOOG_2012-06-21_10.zip"
SETS = pytest.mark.parametrize("name", ["large_tick", "small_tick"])
MARKETS, HOURS = 120, 3


@pytest.fixture(scope="module", params=["large_tick", "small_tick"])
def minutes(request: pytest.FixtureRequest) -> np.ndarray:
    """The mid by minute and market, cells; nobody takes part. After half an hour in which conditions get going."""
    parameters = load(request.param)
    character = Character(FIRST_BID, mean_lots=parameters.mean_lots)
    made = BatchedMarket(parameters, range(MARKETS), characters=character, pool_characters=(), threads=2)
    made.advance(round(1800 / STEP_S))
    mids = []
    for _ in range(60 * HOURS + 1):
        made.advance(round(60 / STEP_S))
        mids.append(made.state.first_bid.numpy() / made.state.grid.numpy() + made.state.tilt.numpy() / 2)
    return np.array(mids)


def test_prices_do_not_drift(minutes: np.ndarray) -> None:
    moved = minutes[-1] - minutes[0]
    assert abs(moved.mean()) < 2.6 * moved.std() / MARKETS**0.5
    # Nor is either direction the rarer one.
    assert abs(np.sign(moved).mean()) < 2.6 / MARKETS**0.5
    assert moved.std() > 5


def test_returns_are_hard_to_predict_from_the_last(minutes: np.ndarray) -> None:
    by_market = [(minutes[1:] - minutes[:-1])[:, place] for place in range(MARKETS)]
    lags = autocorrelation(by_market, (1, 2, 5))
    assert np.abs(lags).max() < 0.15
    in_five = [np.diff(minutes[::5, place]) for place in range(MARKETS)]
    assert np.abs(autocorrelation(in_five, (1, 2))).max() < 0.15


@SETS
def test_the_day_of_a_shipped_set_is_what_it_says(name: str) -> None:
    parameters = load(name)
    found = measured(parameters, seed=5, days=48)
    assert found.day_lots == pytest.approx(parameters.day_lots, rel=0.1)
    assert found.day_sigma_grids == pytest.approx(parameters.day_sigma_grids, rel=0.35)
    assert msgspec.structs.replace(
        found, day_lots=parameters.day_lots, day_sigma_grids=parameters.day_sigma_grids
    ) == parameters
    with pytest.raises(BadInput, match="days"):
        measured(parameters, days=1)


# --- impact ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def orders() -> Metaorders:
    return metaorders(load("small_tick"), 300.0, 300, seed=3)


def test_metaorders_move_the_price_their_way_both_sides_alike(orders: Metaorders) -> None:
    for share in SHARES:
        for side in (1, -1):
            peaks = orders.sigmas[0, (orders.wanted == share) & (orders.sides == side)]
            assert len(peaks) > 25 and peaks.mean() > 5 * peaks.std() / len(peaks) ** 0.5
    low, high = intervals(orders, np.random.default_rng(1), 200)
    assert low.asymmetry < 0.01 and high.asymmetry > -0.01


def test_impact_is_a_square_root_and_part_of_it_stays(orders: Metaorders) -> None:
    law, (low, high) = law_of(orders), intervals(orders, np.random.default_rng(1), 200)
    assert 0.4 < low.exponent < law.exponent < high.exponent < 0.6
    assert 0.3 < low.prefactor < law.prefactor < high.prefactor < 1.5
    assert 0.5 < low.left < law.left < high.left < 0.8
    assert (np.diff(orders.sigmas.mean(axis=1)) < 0).all()  # It fades without end.


def test_what_the_book_cannot_fill_is_not_counted(orders: Metaorders) -> None:
    filled = [orders.of_volume[orders.wanted == share].mean() / share for share in SHARES]
    assert filled[0] == pytest.approx(1.0, abs=0.01) and filled[-1] < 0.8
    assert (np.diff(filled) < 0.01).all() and (orders.of_volume <= orders.wanted * 1.01 + 1e-4).all()


def test_a_law_that_is_known_comes_back() -> None:
    wanted = np.repeat(SHARES, 40)
    sides = np.tile([1, -1], 100)
    noise = np.random.default_rng(2).normal(1.0, 0.05, (2, 200))
    peaks = 0.9 * wanted**0.45 * noise[0]
    known = Metaorders(300.0, wanted, wanted, sides, np.array([peaks, 0.6 * peaks * noise[1]]))
    law, (low, high) = law_of(known), intervals(known, np.random.default_rng(1), 200)
    truth = (0.45, 0.9, 0.6, 0.0)
    for at, below, value, above in zip(truth, low, law, high, strict=True):
        assert below < value < above and below - 0.02 < at < above + 0.02
    lopsided = known._replace(sigmas=known.sigmas * np.where(sides > 0, 1.2, 1.0))
    assert law_of(lopsided).asymmetry == pytest.approx(0.2 / 1.1, abs=0.03)


def test_a_study_has_figures_goals_and_a_picture() -> None:
    figures = Figures("impact")
    said: list[str] = []
    impact = impact_study.run(load("small_tick"), Size(markets=80, durations_s=(300.0,)), figures, said.append)
    assert len(said) == 1 and "80 markets" in said[0]
    names = [goal.name for goal in figures.goals]
    assert names.count("impact_5min_exponent") == 2 and names.count("impact_5min_asymmetry") == 1
    low, high = (figures.figures[f"impact_5min_exponent_{end}"] for end in ("low", "high"))
    assert isinstance(low, float) and isinstance(high, float) and low < high
    assert all(f"impact_5min_{share * 100:g}pct_peak_sigmas" in figures.figures for share in SHARES)
    assert (impact.of_volume > 0).all() and (impact.peak_sigmas > 0).all() and (impact.half_widths > 0).all()
    assert impact.decay_shares[0] == pytest.approx(1.0) and impact.decay_shares[-1] < 0.9


def test_studies_that_cannot_be_are_refused() -> None:
    small = load("small_tick")
    with pytest.raises(BadInput, match="must be measured"):
        metaorders(msgspec.structs.replace(small, day_lots=0.0), 300.0, 100, 1)
    with pytest.raises(BadInput, match="whole slices"):
        metaorders(small, 20.0, 100, 1)
    with pytest.raises(BadInput, match="at least 10"):
        metaorders(small, 300.0, 9, 1)


# --- the command -------------------------------------------------------------------------------------------------


def test_the_evaluation_has_every_fact_the_impact_and_a_page(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(impact_study, "QUICK", Size(markets=60, durations_s=(60.0,)))
    monkeypatch.setattr(market_evaluation, "QUICK_DAYS", 2)
    page = tmp_path / "page.png"
    arguments = ["evaluate", "market", "--book", str(data_folder / GOOG), "--page", str(page), "--quick", "--json"]
    assert main(arguments) == 0
    found = msgspec.json.decode(capsys.readouterr().out)
    names = [goal["name"] for goal in found["goals"]]
    assert names[: len(FACTS)] == [f"{fact.name}_ratio" for fact in FACTS]
    assert set(names[len(FACTS) :]) == {
        f"impact_1min_{what}" for what in ("exponent", "prefactor", "left", "asymmetry")
    }
    met = {goal["name"]: goal["met"] for goal in found["goals"]}
    assert met["spread_ratio"] and met["minute_volume_ratio"] and met["limit_sizes_ratio"]
    assert "spread_distance" in found["figures"] and page.read_bytes().startswith(b"\x89PNG")


def test_an_evaluation_that_cannot_be_is_refused_at_once(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = str(data_folder / GOOG)
    for arguments, wrong in (
        (["--book", str(tmp_path / "none.zip")], "none.zip"),
        (["--book", book, "--parameters", "no_such_set"], "no_such_set"),
        (["--book", book, "--page", str(tmp_path / "nowhere" / "page.png")], "folder that exists"),
    ):
        assert main(["evaluate", "market", *arguments]) == 1
        assert wrong in capsys.readouterr().err
    assert lobster.read(data_folder / GOOG).symbol == "GOOG" and not list(tmp_path.iterdir())
