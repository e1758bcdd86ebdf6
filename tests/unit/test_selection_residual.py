"""The first residual cost: its law, its signs and its table."""

import pytest
from residuals import MARKET, request

from ml.residual_cost import Impact, SquareRootResidual
from rfq.domain.rfq import Urgency
from rfq.domain.values import Price
from rfq.ports import ResidualRequest


def cost_bps(made: ResidualRequest) -> float:
    return SquareRootResidual().curve(made).cost[-1] / made.quantity


def test_it_is_spread_plus_two_thirds_of_the_square_root_law():
    # 40,000 of 2,000,000 at 150 bps a day; 5 bps wide; medium urgency pays .6 of half of it.
    assert cost_bps(request()) == pytest.approx(0.6 * 2.5 + 2 / 3 * 150 * 0.02**0.5, rel=1e-3)


def test_signs():
    assert cost_bps(request(400_000)) > cost_bps(request(40_000))
    assert cost_bps(request(urgency=Urgency.LOW)) < cost_bps(request()) < cost_bps(request(urgency=Urgency.HIGH))
    assert cost_bps(request(400_000, max_participation=0.05)) > cost_bps(request(400_000, max_participation=0.5))
    assert cost_bps(request(400_000, horizon_s=1_800.0)) > cost_bps(request(400_000, horizon_s=20_000.0))
    assert cost_bps(request(leakage_bps=4.0)) == pytest.approx(cost_bps(request()) + 4.0)
    wide = MARKET.but(bid=Price(19_980), ask=Price(20_020))
    assert cost_bps(request(market=wide)) > cost_bps(request())


@pytest.mark.parametrize("quantity", [1, 2, 7, 1_000, 500_000])
def test_the_table_rises_from_nothing_to_the_quantity_within_its_band(quantity):
    curve = SquareRootResidual(Impact(impact=1.0)).curve(request(quantity))
    assert curve.lots[0] == 0 and curve.lots[-1] == quantity
    assert list(curve.cost) == sorted(curve.cost) and curve.cost[0] == 0
    assert all(a <= b <= c for a, b, c in zip(curve.low, curve.cost, curve.high, strict=True))
    marginal = [b - a for a, b in zip(curve.cost, curve.cost[1:], strict=False)]
    assert all(m > 0 for m in marginal)
