"""The first residual cost: its law, its signs and its table."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from residuals import MARKET, request

from ml.hedging_cost import Hedging
from ml.residual_cost import Impact, SquareRootResidual
from rfq.domain.errors import BadInput
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


def test_winners_hedging_as_one_would_work_it_out_by_hand():
    # 1% of ADV worked over half an hour, a thirteenth of the day, beside 2% awarded, half of it hedged: each at a pace
    # of .13 ADV a day. The root of both together less that of one, times the horizon to the .6, over .6 times 1.6.
    hedging = Hedging(share=0.5, horizon_s=1_800.0, level=0.55, decay=0.4)
    by_hand = 0.55 * (0.26**0.5 - 0.13**0.5) * (1 / 13) ** 0.6 / (0.6 * 1.6)
    assert hedging.per_lot(0.01, 0.02, 1_800.0) == pytest.approx(by_hand)
    # What is worked in the half of the time meets half of the hedging; what is worked for longer, its decay.
    assert hedging.per_lot(0.005, 0.02, 900.0) == pytest.approx(by_hand / 2**0.6)
    decayed = (2**1.6 - 1) / 2
    assert hedging.per_lot(0.02, 0.02, 3_600.0) == pytest.approx(by_hand * decayed)


@given(
    quantity=st.integers(1, 600_000),
    horizon_s=st.floats(1.0, 86_400.0),
    share=st.floats(0.0, 1.0),
    hedging_s=st.floats(60.0, 23_400.0),
)
def test_awarding_more_never_makes_what_is_left_cheaper_and_awarding_nothing_adds_nothing(
    quantity, horizon_s, share, hedging_s
):
    asked, hedging = request(quantity, horizon_s=horizon_s), Hedging(share=share, horizon_s=hedging_s)
    law, plain = SquareRootResidual(hedging=hedging), SquareRootResidual(hedging=Hedging(share=0.0))
    curve, alone = law.curve(asked), plain.curve(asked)
    assert (curve.cost[0], curve.cost[-1]) == (alone.cost[0], alone.cost[-1])
    per_lot = [law.hedging_bps(asked, n) for n in curve.lots]
    assert per_lot[-1] == 0 and all(fewer >= more - 1e-9 for fewer, more in pairwise(per_lot))
    assert all(hedged >= own for hedged, own in zip(curve.cost, alone.cost, strict=True))
    assert all(a <= b <= c for a, b, c in zip(curve.low, curve.cost, curve.high, strict=True))
    # The same lots worked, more of them awarded beside.
    beside = [hedging.per_lot(0.01, awarded, horizon_s) for awarded in (0.0, 0.001, 0.01, 0.1)]
    assert beside[0] == 0 and beside == sorted(beside)


@pytest.mark.parametrize(
    "wrong", [{"share": 1.1}, {"share": -0.1}, {"horizon_s": 0.0}, {"level": -1.0}, {"decay": 1.0}, {"decay": -0.1}]
)
def test_hedging_that_cannot_be_is_refused(wrong):
    with pytest.raises(BadInput):
        Hedging(**wrong)
