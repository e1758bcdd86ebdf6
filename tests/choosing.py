"""What the suites of choosing share: requests, panels drawn at random, and sets of them priced."""

import datetime as dt

import numpy as np

from ml.dealer_models import Forecast
from ml.expected_cost import BlockTerms, ExpectedCost, default_rest
from ml.features import FEATURES
from ml.residual_cost import SquareRootResidual
from ml.selection import Exploration
from rfq.domain.rfq import Leg, RequestSide, ResidualTerms, RfqTerms
from rfq.domain.values import DealerId, Price, Quantity, Side, Symbol
from rfq.instruments import directory
from rfq.ports import MarketView, ResidualRequest, SelectionRequest

NOON = dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC)
QDI = directory()[Symbol("QDI")].instrument
PANEL = tuple(DealerId(f"D{i:02d}") for i in range(1, 13))
NO_DRAW = Exploration(swap=0.0, count=0.0)


def forecast(seed: int, dealers: int = 6, **changes) -> Forecast:
    """A panel drawn at random, alike for every number asked."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(8, 25, dealers)
    spread = rng.uniform(1, 6, dealers)
    cost = middle[:, None] + spread[:, None] * np.array([-1.7, -1.3, -0.7, 0.0, 0.8, 1.7, 2.4])
    asked = tuple(range(1, dealers + 1))
    values = dict(
        dealers=PANEL[:dealers],
        asked=asked,
        response=np.tile(rng.uniform(0.4, 0.95, dealers), (dealers, 1)),
        cost_bps=np.tile(cost, (dealers, 1, 1)),
        leakage_bps=np.tile(rng.exponential(1.0, dealers), (dealers, 1)),
        fade=rng.uniform(0.01, 0.3, dealers),
        quoted_size=rng.uniform(0.01, 0.08, dealers),
        seen=np.ones(dealers, dtype=bool),
        x=np.zeros((dealers, dealers, len(FEATURES)), dtype=np.float32),
    )
    return Forecast(**(values | changes))


def cost_of(made: Forecast, size: float = 0.05, scale: float = 1.0, **terms) -> ExpectedCost:
    rest = scale * default_rest(size, 150.0, 5.0)
    return ExpectedCost(made, BlockTerms(size=size, **terms), rest, np.random.default_rng(5))


def request(panel=PANEL, quantity: int = 100_000, seed: int = 1, side: str = "buy", **terms) -> SelectionRequest:
    intent = Side.BUY if side == "two_way" else None
    made = RfqTerms(
        legs=(Leg(QDI.symbol, RequestSide(side), Quantity(quantity), intent=intent),),
        **({"residual": ResidualTerms(horizon_s=10_800.0)} | terms),
    )
    market = MarketView(QDI.symbol, Price(19_995), Price(20_005), Quantity(1), Quantity(1), None, Quantity(0), NOON)
    curve = None
    if made.residual is not None:
        curve = SquareRootResidual().curve(ResidualRequest(QDI, Side.BUY, Quantity(quantity), market, made))
    return SelectionRequest(made, QDI, market, NOON, tuple(panel), curve, seed)
