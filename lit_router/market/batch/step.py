"""One step of B markets as tensor operations, the whole of it on one screen. The definition; see `compiled.play`."""

import torch

from lit_router.market.batch import book, dark, draws, makers, orders
from lit_router.market.batch.laws import Laws
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import State


def step(s: State, laws: Laws, r: Rules) -> None:
    """Plays one step in place. Never reads a value back."""
    weather = book.conditions(s, r)
    live = s.halt == 0
    s.halt.sub_((~live).to(torch.int32))
    chances = draws.words(s.key, s.step, draws.REFERENCE)
    # Market orders first: a queue that they empty is empty when the step ends, and the reference price may follow.
    lean, stood = book.imbalance(s), book.first_queues(s) > 0
    drawn = [book.market_orders(s, laws, r, weather, lean, bids) for bids in (True, False)]
    for bids, (_, lots) in zip((True, False), drawn, strict=True):
        lots = lots * live
        price = orders.anonymous_best(s, bids)
        got = orders.hit(s, bids, lots)
        orders.print_trade(s, torch.maximum(book.walk(s, bids, lots), got), price)
    hits = drawn[0][0] - drawn[1][0]
    emptied = stood & (book.first_queues(s) == 0)
    cut = book.arrivals(s, laws, r, weather, chances, live, emptied)
    orders.settle_places(s, r, cut)
    travelled = s.tilt.long()
    moved = book.follow(s, laws, r, weather, chances, live)
    travelled = s.tilt - travelled + 2 * moved
    orders.press(s, r, live)
    orders.dealers_trade(s, live)
    # What comes back may come to a participant's price: before the orders that it would cross.
    orders.replenish(s, r, live)
    orders.clamp_ahead(s, live)
    orders.cross(s, live)
    bid, ask = orders.best_prices(s)
    twice_mid = torch.where((bid >= 0) & (ask >= 0), bid + ask, -1)
    for pool in range(r.pools):
        dark.pool_step(s, r, pool, weather, twice_mid, live)
    if r.conditions:
        heat = s.heat * r.heat_decay + travelled.abs().double() * 0.5
        trend = s.trend * r.trend_decay + travelled.double() * 0.5
        inventory = s.inventory * r.inventory_decay + makers.SHARE * hits.double()
        s.heat.copy_(torch.where(live, heat, s.heat))
        s.trend.copy_(torch.where(live, trend, s.trend))
        s.inventory.copy_(torch.where(live, inventory, s.inventory))
    s.step.add_(1)
