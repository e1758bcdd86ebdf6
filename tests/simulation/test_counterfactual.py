"""A block worked by market orders alone, on a twin of the market at arrival."""

from datetime import timedelta

import pytest
from virtual_time import START

from lit_router.market.counterfactual import work_alone
from lit_router.market.exchange import Listing, SimulatedExchange
from rfq.benchmarks import volume_share
from rfq.domain.values import Price, Quantity, Side, Symbol
from rfq.instruments import directory

QDI = Symbol("QDI")
HOUR_S = 3600.0


@pytest.fixture
def market() -> SimulatedExchange:
    exchange = SimulatedExchange([Listing(*listing) for listing in directory().values()], seed=5, opens_at=START)
    exchange.advance_to(START + timedelta(minutes=5))
    return exchange


def test_it_completes_at_a_cost_and_leaves_the_market_as_it_was(market: SimulatedExchange) -> None:
    arrival = market.view(QDI).mid
    assert arrival is not None
    worked = work_alone(market.fork("twap"), QDI, Side.BUY, Quantity(60_000), HOUR_S, lambda s: s / HOUR_S)
    assert (worked.average.quantity, worked.unfilled) == (60_000, 0)
    cost = worked.cost_bps(Side.BUY, arrival, 0.3)
    assert cost is not None and worked.cost_bps(Side.BUY, arrival, 0.0) == pytest.approx(cost - 0.3)
    assert market.now == START + timedelta(minutes=5) and market.view(QDI).mid == arrival
    again = work_alone(market.fork("again"), QDI, Side.BUY, Quantity(60_000), HOUR_S, lambda s: s / HOUR_S)
    assert again == worked, "the same path"


def test_what_could_not_be_filled_is_priced_at_the_end(market: SimulatedExchange) -> None:
    fork = market.fork("halted", (QDI,))
    fork.halt(QDI)
    worked = work_alone(fork, QDI, Side.SELL, Quantity(1000), 600.0, lambda s: s / 600.0)
    assert (worked.average.quantity, worked.unfilled) == (0, 1000)
    mid = worked.last_mid
    assert mid is not None and worked.cost_bps(Side.SELL, Price(mid), 0.3) == 0.0


def test_vwap_follows_the_volume_of_the_untouched_path(market: SimulatedExchange) -> None:
    share = volume_share(market, QDI, HOUR_S)
    before = market.view(QDI).volume
    market.advance_to(market.now + timedelta(minutes=20))
    passed = market.view(QDI).volume - before
    market.advance_to(market.now + timedelta(minutes=40))
    assert share(20 * 60.0) == pytest.approx(passed / (market.view(QDI).volume - before))
    assert (share(0.0), share(HOUR_S)) == (0.0, 1.0)
