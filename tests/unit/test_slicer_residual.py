"""The cost of a residual as the slicer's critic foretells it, and the law that takes over where it was not taught."""

import pytest
import torch
from residuals import MARKET, QDI, request
from slicers import a_slicer

from ml.hedging_cost import Hedging
from ml.residual_cost import SquareRootResidual
from ml.slicer.network import LEVELS
from ml.slicer.residual import DAY_S, LONGEST_S, MOST_SHARE, CriticResidual
from ml.slicer.weights import Slicer
from rfq.domain.values import Quantity

HALF_HOUR = {"horizon_s": LONGEST_S}
WITHIN = int(MOST_SHARE * QDI.adv * LONGEST_S / DAY_S)
"""Lots that it was taught with."""
UNHEDGED = SquareRootResidual(hedging=Hedging(share=0.0))


def always(low: float, high: float) -> Slicer:
    """A critic that foretells the same of everything, usual spreads a lot: evenly between two costs."""
    slicer = a_slicer()
    with torch.no_grad():
        slicer.critic.quantiles.get_parameter("4.weight").zero_()
        slicer.critic.quantiles.get_parameter("4.bias").copy_(torch.linspace(low, high, len(LEVELS)))
    return slicer


def test_within_what_it_was_taught_it_costs_what_the_critic_says():
    curve = CriticResidual(always(-0.1, 0.5), UNHEDGED).curve(request(WITHIN, **HALF_HOUR))
    spread_bps = 5.0
    for lots, cost, low, high in zip(curve.lots, curve.cost, curve.low, curve.high, strict=True):
        assert cost == pytest.approx(lots * 0.2 * spread_bps, rel=1e-4)
        assert low == pytest.approx(lots * (-0.1 + 0.6 * 4 / 19) * spread_bps, rel=1e-3)
        assert low <= cost <= high
    leaking = CriticResidual(always(-0.1, 0.5)).curve(request(WITHIN, leakage_bps=3.0, **HALF_HOUR))
    assert leaking.cost[-1] == pytest.approx(curve.cost[-1] + 3.0 * WITHIN)


def test_what_winners_hedge_makes_each_lot_dearer_as_the_law_says_at_every_quantile():
    slicer, asked, law = always(-0.1, 0.5), request(WITHIN, **HALF_HOUR), SquareRootResidual()
    alone, beside = CriticResidual(slicer, UNHEDGED).curve(asked), CriticResidual(slicer, law).curve(asked)
    added = [n * law.hedging_bps(asked, n) for n in alone.lots]
    for field in ("cost", "low", "high"):
        more = [b - a for a, b in zip(getattr(alone, field), getattr(beside, field), strict=True)]
        assert more == pytest.approx(added, abs=1e-6)
    assert min(added[1:-1]) > 0 and beside.cost[-1] == alone.cost[-1], "what is worked whole costs what it did"


def test_beyond_it_every_lot_costs_more_as_the_square_root_says():
    critic, law = CriticResidual(always(0.2, 0.2)), SquareRootResidual()

    def per_lot(quantity: int, horizon_s: float) -> float:
        return critic.curve(request(quantity, horizon_s=horizon_s)).cost[-1] / quantity

    twice = request(2 * WITHIN, **HALF_HOUR)
    more = law.per_lot_bps(twice, 2 * WITHIN, LONGEST_S) - law.per_lot_bps(twice, WITHIN, LONGEST_S)
    assert more > 1.0 and per_lot(2 * WITHIN, LONGEST_S) == pytest.approx(1.0 + more, rel=1e-3)
    # The same share of the volume over a longer horizon is more of the day.
    assert per_lot(WITHIN, LONGEST_S) < per_lot(6 * WITHIN, 6 * LONGEST_S)
    assert per_lot(WITHIN // 10, 600.0) == pytest.approx(1.0, rel=1e-3)


def test_the_book_as_it_is_counts():
    critic = CriticResidual(a_slicer())
    other = MARKET.but(bid_quantity=Quantity(4000))
    there, here = (critic.curve(request(WITHIN, market=market, **HALF_HOUR)) for market in (other, MARKET))
    assert there.cost[1:] != here.cost[1:] and there.cost[0] == here.cost[0] == 0


def test_without_a_side_or_without_prices_the_law_alone_speaks():
    critic, law = CriticResidual(a_slicer()), SquareRootResidual()
    for made in (request().but(side=None), request(market=MARKET.but(ask=None))):
        assert critic.curve(made) == law.curve(made)
