"""A plan: whom Sotto would ask and what it expects to pay, without asking anyone."""

from rfq.domain.blend import ResidualCurve
from rfq.domain.selection import Selection
from rfq.domain.values import Frozen
from rfq.ports import MarketView


class PlanAnswer(Frozen, frozen=True):
    """The ranking and the choice, the market they were made in, and what working the whole block would cost."""

    selection: Selection
    market: MarketView
    residual: ResidualCurve | None
    expected_cost_bps: float
