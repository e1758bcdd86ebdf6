"""What the suites of choosing share: requests, panels drawn at random, sets of them priced, and stored outcomes."""

import asyncio
import datetime as dt
from collections.abc import Sequence

import numpy as np

from ml.dealer_models import Forecast
from ml.expected_cost import BlockTerms, ExpectedCost, default_rest
from ml.features import FEATURES
from ml.residual_cost import SquareRootResidual
from ml.selection import Exploration
from rfq.domain.errors import StoreUnavailable
from rfq.domain.rfq import Leg, RequestSide, ResidualTerms, RfqTerms
from rfq.domain.values import DealerId, Price, Quantity, RequestId, RfqId, Side, Symbol
from rfq.instruments import directory
from rfq.ports import DealerOutcome, MarketView, ResidualRequest, SelectionRequest

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
        response_s=np.full(dealers, 3.0),
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


class Rows:
    """A history reader over a list, oldest first as the store's; it may be slow, or away."""

    def __init__(self, rows: Sequence[DealerOutcome] = (), wait_s: float = 0.0, away: bool = False) -> None:
        self.rows, self.wait_s, self.away, self.reads = rows, wait_s, away, 0

    async def outcomes(self, since: dt.datetime, limit: int):
        self.reads += 1
        await asyncio.sleep(self.wait_s)
        if self.away:
            raise StoreUnavailable("away")
        for row in [r for r in self.rows if r.market_at >= since][-limit:]:
            yield row


def asked_once(minute: float, dealer: DealerId, **changes) -> DealerOutcome:
    at = NOON - dt.timedelta(minutes=minute)
    values = dict(
        request_id=RequestId(f"{minute}-{dealer}"), rfq_id=RfqId(f"r{minute}"), dealer_id=dealer, symbol=QDI.symbol,
        side=Side.BUY, shown_side=RequestSide.BUY, quantity=Quantity(50_000), asked=1, propensity=1.0,
        session_at=at, market_at=at, mid_at_ask=Price(20_000), anonymous=False, answered=True, response_s=1.0,
        quote_price=Price(20_020), mid_at_quote=Price(20_000), lifted=False, confirmed=False, refused=False,
        window_s=10.0, withdrawn=False,
        mark_outs=(None,) * 5, controls=(None,) * 5,
    )  # fmt: skip
    return DealerOutcome(**(values | changes))


class StillClock:
    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> dt.datetime:
        return self.at

    async def sleep_until(self, at: dt.datetime) -> None:
        raise AssertionError("the predictor does not sleep")
