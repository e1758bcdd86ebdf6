"""What winners' hedging is said to add to a residual is held to what it adds in the simulated market: the same
residuals worked evenly in the same anonymous flow, with the winners' flow beside them and without."""

from typing import NamedTuple

import numpy as np
import pytest

from lit_router.market.batch.market import STEP_S
from lit_router.market.parameters import load
from ml.hedging_cost import Hedging
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.playing import by_rule
from ml.slicer.rules import TWAP

MARKETS = 16
"""Of each size of award."""
AWARDED = (1.0, 4.0, 12.0)
"""Lots awarded for each lot that is worked."""
WITHIN = 0.08
"""Of what is told; beside it chance, at 3 standard errors."""


class Case(NamedTuple):
    book: str
    horizon_s: float
    hedging_s: float
    participation: float
    """Of the residual, in the volume that comes meanwhile."""


CASES = (
    Case("small_tick", 1800.0, 1800.0, 0.03),
    Case("small_tick", 600.0, 1800.0, 0.15),
    Case("small_tick", 1800.0, 600.0, 0.06),
    Case("large_tick", 1800.0, 1800.0, 0.06),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.book} {c.horizon_s:.0f} {c.hedging_s:.0f}")
def test_a_residual_is_dearer_beside_winners_hedging_by_what_is_told(case: Case):
    hedging = Hedging(horizon_s=case.hedging_s)
    law = EpisodeLaw(
        horizon_s=case.horizon_s,
        decisions=round(case.horizon_s / 30.0),
        participation=(case.participation, case.participation),
        ahead=0.0,
        pace=(1.0, 1.0),
        evenly=False,
    )
    book = load(case.book)
    alone = Execution(book, range(MARKETS), law)
    beside = Execution(book, [*range(MARKETS)] * len(AWARDED), law)
    s, lots = beside.market.state, beside.lots.numpy()
    awarded = np.repeat(AWARDED, MARKETS) * lots
    hedged = np.rint(hedging.share * awarded).astype(np.int64)
    s.pending.numpy()[:, 1] = beside.side.numpy() * hedged
    s.pace_lots.numpy()[:, 1] = hedged * STEP_S / case.hedging_s

    arrival, day_lots = beside.residual.arrival.numpy(), s.day_lots.numpy()
    more = by_rule(TWAP, beside).numpy() - np.tile(by_rule(TWAP, alone).numpy(), len(AWARDED))
    volatility_bps = book.day_sigma_grids * s.grid.numpy() / arrival * 1e4
    beside_own, by_itself = (
        [hedging.per_lot(own, given, case.horizon_s) for own, given in zip(worked, awarded / day_lots, strict=True)]
        for worked in (lots / day_lots, np.zeros(len(lots)))
    )
    found, told, too_high = (
        values.reshape(len(AWARDED), MARKETS)
        for values in (more / arrival * 1e4, volatility_bps * beside_own, volatility_bps * by_itself)
    )
    mean, error, said = found.mean(1), found.std(1) / MARKETS**0.5, told.mean(1)
    assert (np.abs(mean - said) <= WITHIN * said + 3 * error).all(), (mean, said, error)
    assert (mean > 5 * error).all(), "it is measured, not noise"
    assert too_high[0].mean() > 1.5 * mean[0], "the desk's own trading is under the same root"
