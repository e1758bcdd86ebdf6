"""Stories at the router of two orders of ours in one instrument: they do not trade with each other."""

import pytest
from order_floor import ASK, BID, parent
from order_stage import Stage, Wants, cross, rest

from rfq.domain.rfq import Schedule
from rfq.domain.values import Side

pytestmark = pytest.mark.virtual_time


async def test_we_do_not_trade_with_ourselves(stage: Stage) -> None:
    buys, sells = Wants(rest(100)), Wants()
    stage.route({Schedule.TWAP: buys, Schedule.VWAP: sells})
    buyer, _ = stage.work(parent())
    seller, _ = stage.work(parent(side=Side.SELL, schedule=Schedule.VWAP, name="parent-2"))
    at_send: list[list[Side]] = []
    stage.lit.on_send = lambda order: at_send.append(
        [o.side for o in stage.lit.resting() if order.side is Side.SELL and o.side is Side.BUY]
    )
    await stage.market_s(12)
    assert len(stage.lit.resting()) == 1
    sells.proposals = (cross(50),)
    buys.proposals = ()
    await stage.market_s(22)
    assert seller.worked.parent.filled >= 50
    assert all(not resting for resting in at_send)
    assert ("cancel", next(iter(buyer.worked.children))) in stage.lit.calls
    buys.proposals, sells.proposals = (rest(10, ASK, "pool"),), (rest(10, BID, "pool"),)
    await stage.market_s(60)
    assert len(stage.pool.resting()) == 1
    for working in (buyer, seller):
        await working.cancel("desk")
        await working.done()


async def test_a_cancel_while_making_way_sends_nothing(stage: Stage) -> None:
    policies = {Schedule.TWAP: Wants(rest(100)), Schedule.VWAP: Wants()}
    stage.route(policies)
    buyer, _ = stage.work(parent())
    seller, _ = stage.work(parent(side=Side.SELL, schedule=Schedule.VWAP, name="parent-2"))
    await stage.market_s(7)
    stage.lit.mute = True
    policies[Schedule.VWAP].proposals = (cross(50),)
    await stage.market_s(12)
    assert ("cancel", stage.lit.sent()[0]) in stage.lit.calls  # The seller waits for the buyer's order to go.
    await seller.cancel("desk")
    stage.lit.mute = False
    await seller.done()
    assert not seller.worked.children and all(o.side is Side.BUY for o in stage.lit.orders.values())
    await buyer.cancel("desk")
