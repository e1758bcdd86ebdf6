"""The named scenario comes out as it is told, on every path, and every lot of the block is sold."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from slicers import a_slicer

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.regimes import CALM, SHOCK
from lit_router.market.parameters import load
from ml.slicer.playing import by_rule
from ml.slicer.rules import TWAP, Rule
from ml.slicer.scenario import QDI, StagedExecution, Turn
from rfq.domain.errors import BadInput
from rfq.instruments import directory
from rfq.studies.slicer_policies import learned, ruled
from rfq.studies.slicer_scenario import SYMBOL, run, square_root_law_bps, staged, weather_of
from rfq.studies.slicer_scenario_page import followed

PATHS = 24
PASSIVE = Rule(steepness=0.0, grace=0.2)
STRONG = a_slicer().rule
SHORT = QDI._replace(
    lots=60_000,
    law=QDI.law._replace(horizon_s=1800.0, decisions=30),
    turns=(Turn(10, SHOCK, 2.0), Turn(20, CALM, 0.0)),
)
"""The same story in half an hour."""


def test_the_story_is_as_told_and_selling_moves_the_price_as_the_law_of_impact_says() -> None:
    begun = staged(range(PATHS))
    alone = begun.copy()
    (spread, bid_lots, adverse), untouched = weather_of(alone)
    cents = spread * 5
    before, after, end = slice(40, 80), slice(83, 90), slice(-40, None)
    assert 4.5 < cents[before].mean() < 6.5 and 4.5 < cents[end].mean() < 6.5
    assert 13 < cents[after].mean() < 18, "the spread triples with the news"
    shown = bid_lots[before].mean()
    assert bid_lots[after].mean() < 0.15 * shown and bid_lots[end].mean() > shown / 3, "the bids leave, and come back"
    assert (adverse[159] - adverse[80]).mean() > 10, "bad news for a seller"
    state = alone.market.state
    assert (state.regime == CALM).all() and (state.drift == 0).all() and state.news.abs().max() < 0.01
    by_rule(TWAP, begun)
    moved = (untouched - begun.view().mid) / begun.residual.arrival * 1e4
    assert float(moved.mean()) == pytest.approx(square_root_law_bps(), rel=0.25)


def test_the_block_is_half_of_what_trades_in_its_hours() -> None:
    r = staged(range(4)).residual
    assert (r.lots == 500_000).all() and (r.side == -1).all() and (r.spread == 10).all() and r.pools.all()
    assert 0.48 < 500_000 / float(r.volume_s[0] * r.horizon_s[0]) < 0.54
    assert torch.allclose(r.arrival * 0.005, torch.tensor(100.0).double(), atol=1.0)


def test_it_can_be_copied_and_a_path_that_is_followed_is_the_same_path() -> None:
    begun = staged([7], scenario=SHORT)
    path, alone = followed(ruled(PASSIVE), begun.copy()), begun.copy()
    assert by_rule(PASSIVE, alone).item() == path.shortfall and not begun.paid_by_slot.any()
    assert path.sold.sum() == 60_000 and (path.sold.sum(0) == alone.by_slot[0].numpy()).all()
    assert np.nansum(path.sold * np.nan_to_num(path.prices)) == pytest.approx(alone.paid_by_slot.sum().item())
    assert path.usual[-1] == 1 and (np.diff(path.usual) > 0).all() and path.turns == ((10.0, True), (20.0, False))
    spread = path.asks - path.bids
    assert (spread > 0).all() and spread[13:20].mean() > 1.5 * spread[:10].mean()


def test_policies_meet_the_same_paths_and_the_page_is_drawn(tmp_path: Path) -> None:
    policies = {"twap": ruled(TWAP), "strong": ruled(STRONG), "slicer": learned(a_slicer((0, 0, 0)))}
    page = tmp_path / "qdi.png"
    found = run(policies, ["slicer"], page, paths=4, scenario=SHORT)
    assert [goal.met for goal in found.goals] == [True], "no lot is discarded"
    figures = {name: value for name, value in found.figures.items() if isinstance(value, float | int)}
    assert figures["twap_crossed_share"] == 1 and figures["strong_passive_share"] > 0.3
    assert figures["slicer_less_strong_spreads"] == 0, "it leaves everything to its rule"
    apart = figures["slicer_shortfall_spreads"] - figures["twap_shortfall_spreads"]
    assert figures["slicer_less_twap_spreads"] == pytest.approx(apart, abs=2e-3)
    assert page.read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(BadInput, match="judged"):
        run(policies, ["nobody"])
    with pytest.raises(BadInput, match="page"):
        run(policies, ["slicer"], tmp_path / "none" / "qdi.png")


def test_turns_outside_the_horizon_are_refused() -> None:
    listing, large_tick = directory()[SYMBOL], load("large_tick")
    for turns in ((Turn(240, CALM, 0.0),), (Turn(5, SHOCK, 2.0), Turn(5, CALM, 0.0))):
        with pytest.raises(BadInput, match="turns"):
            StagedExecution(QDI._replace(turns=turns), listing.instrument, listing.opening_mid, large_tick, [1])


def test_regimes_that_are_held_last() -> None:
    held, free = (BatchedMarket(load("large_tick"), range(8)) for _ in range(2))
    held.hold_regimes()
    for market in (held, free):
        market.advance(20_000)
    assert not held.state.regime.any() and free.state.regime.any()
    again = pickle.loads(pickle.dumps(held))
    again.advance(20_000)
    held.copy().advance(20_000)
    assert not again.state.regime.any()
