"""Requests for the cost of a residual: one instrument, one market, terms to be changed."""

import datetime as dt

from rfq.domain.rfq import Leg, RequestSide, ResidualTerms, RfqTerms
from rfq.domain.values import Price, Quantity, Side, Symbol
from rfq.instruments import directory
from rfq.ports import MarketView, ResidualRequest

QDI = directory()[Symbol("QDI")].instrument
NOON = dt.datetime(2026, 3, 2, 17, 0, tzinfo=dt.UTC)
MARKET = MarketView(QDI.symbol, Price(19_995), Price(20_005), Quantity(1), Quantity(1), None, Quantity(0), NOON)


def request(quantity: int = 40_000, leakage_bps: float = 0.0, market: MarketView = MARKET, **residual):
    terms = RfqTerms(
        legs=(Leg(QDI.symbol, RequestSide.BUY, Quantity(quantity)),),
        residual=ResidualTerms(**({"horizon_s": 10_800.0, "max_participation": 0.2} | residual)),
    )
    return ResidualRequest(QDI, Side.BUY, Quantity(quantity), market, terms, leakage_bps=leakage_bps)
