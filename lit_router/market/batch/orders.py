"""Participants in the book as tensor operations: the definition of what `compiled_orders.py` does on a processor.

An order meets what is displayed: the anonymous queues less what participants took of them, and the others' orders, by
price, then time. One rule, `before`, says how many lots come before an order; whoever walks the book, anonymous or not,
gives it what is left of their lots after those. Nothing is had twice: what a participant takes of a queue is remembered
in `taken` until it is replenished, and what an order gets is at most what came.
"""

import torch

from lit_router.market.batch import draws
from lit_router.market.batch.book import best_of, room_below, shifted
from lit_router.market.batch.rules import CancelAssumption, Rules
from lit_router.market.batch.state import FLOWS, State

NO_LIMIT = 1 << 30
UNKNOWN_AHEAD = 1 << 30
"""The order rests beyond the cells in view; what stands ahead becomes known when its price comes into view."""
FRACTION = 1 << 20


def shown(s: State) -> torch.Tensor:
    """Displayed anonymous lots, int64 [B, 2L]."""
    return (s.queues - s.taken).clamp(min=0).long()


def prices(s: State) -> torch.Tensor:
    """Price of every cell, int64 [B, 2L]."""
    place = torch.arange(s.queues.shape[1], device=s.queues.device) - s.queues.shape[1] // 2 + 1
    return s.first_bid[:, None].long() + place * s.grid[:, None]


def facing(values: torch.Tensor, bids: torch.Tensor) -> torch.Tensor:
    """The bid side of a ladder where `bids` [B], else the ask side; best first, [B, L]."""
    levels = values.shape[1] // 2
    return torch.where(bids[:, None], values[:, :levels].flip(1), values[:, levels:])


def lit(s: State, bids: torch.Tensor) -> torch.Tensor:
    """Whose orders rest in the lit book on that side, bool [B, K]."""
    return (s.venue == 0) & torch.where(bids[:, None], s.side > 0, s.side < 0)


def cells_of(s: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Cell of every order's price and whether it is in view, exactly on a cell of its own side: int64, bool [B, K]."""
    levels = s.queues.shape[1] // 2
    away, grid = s.price.long() - s.first_bid[:, None], s.grid[:, None].long()
    cell = torch.div(away, grid, rounding_mode="floor") + levels - 1
    own_side = (cell < levels) == (s.side > 0)
    return cell, (away % grid == 0) & (cell >= 0) & (cell < 2 * levels) & own_side


def before(s: State, displayed: bool) -> torch.Tensor:
    """Lots that whoever walks the book must take before each lit order, int64 [B, K]. With `displayed`, nothing
    anonymous stands beyond the cells in view."""
    depth, price = shown(s)[:, None, :], prices(s)[:, None, :]
    levels = depth.shape[2] // 2
    mine, buys = s.price.long()[:, :, None], (s.side > 0)[:, :, None]
    of_bids = torch.arange(2 * levels, device=depth.device) < levels
    better = torch.where(buys, of_bids & (price > mine), ~of_bids & (price < mine))
    at = torch.where(buys, of_bids, ~of_bids) & (price == mine)
    deepest = torch.where(buys[:, :, 0], price[:, :, 0], price[:, :, -1])
    beyond = torch.where(buys[:, :, 0], mine[:, :, 0] < deepest, mine[:, :, 0] > deepest)
    unseen = torch.zeros_like(s.paid) if displayed else torch.where(beyond, s.ahead.long(), 0)
    ahead = torch.where(at.any(2), torch.minimum(s.ahead.long(), (depth * at).sum(2)), unseen)
    side = s.side.long()
    better_price = side[:, :, None] * (s.price.long()[:, None, :] - s.price.long()[:, :, None])
    first = (better_price > 0) | ((better_price == 0) & (s.rank[:, None, :] < s.rank[:, :, None]))
    same = (side[:, :, None] == side[:, None, :]) & (s.venue == 0)[:, None, :]
    others = first & same & ~torch.eye(s.side.shape[1], dtype=torch.bool, device=depth.device)
    return (depth * better).sum(2) + ahead + (others * s.leaves.long()[:, None, :]).sum(2)


def give(
    s: State, bids: torch.Tensor, lots: torch.Tensor, limit: torch.Tensor, displayed: bool
) -> torch.Tensor:
    """An incoming `lots` [B] against the bids (or asks) down to `limit`: what each resting order gets, int64 [B, K]."""
    within = torch.where(bids[:, None], s.price >= limit[:, None], s.price <= limit[:, None])
    got = torch.minimum((lots[:, None] - before(s, displayed)).clamp(min=0), s.leaves.long())
    return got * (lit(s, bids) & within)


def deal(s: State, lots: torch.Tensor, twice_price: torch.Tensor) -> None:
    """Gives `lots` [B, K] to the orders. An order with nothing left frees its slot."""
    s.leaves.sub_(lots.to(torch.int32))
    s.filled.add_(lots.to(torch.int32))
    s.paid.add_(twice_price * lots)
    s.net.add_((s.side * lots).sum(1).to(torch.int32))
    s.side.mul_(~((lots > 0) & (s.leaves == 0)))


def hit(s: State, bids: bool, lots: torch.Tensor) -> torch.Tensor:
    """Anonymous market orders of `lots` [B] reach the participants' orders. Returns the lots these got, int64 [B]."""
    side = torch.full_like(lots, bids, dtype=torch.bool)
    limit = torch.full_like(lots, -NO_LIMIT if bids else NO_LIMIT)
    got = give(s, side, lots, limit, False)
    move_up(s, side, lots, limit, got, False)
    deal(s, got, 2 * s.price.long())
    return got.sum(1)


def move_up(
    s: State, bids: torch.Tensor, lots: torch.Tensor, limit: torch.Tensor, got: torch.Tensor, displayed: bool
) -> None:
    """Places of the resting orders after `lots` [B] reached their side down to `limit`, of which they `got` [B, K]:
    what was executed in front of an order no longer stands there. To be told before `got` is dealt."""
    side = lit(s, bids)
    within = torch.where(bids[:, None], s.price >= limit[:, None], s.price <= limit[:, None])
    earlier = side[:, :, None] & side[:, None, :] & (s.price[:, :, None] == s.price[:, None, :])
    earlier = earlier & (s.rank[:, None, :] < s.rank[:, :, None])
    cell, mine = cells_of(s)
    ahead = torch.minimum(s.ahead.long(), shown(s).gather(1, cell.clamp(0, s.queues.shape[1] - 1)))
    waiting = (earlier * s.leaves.long()[:, None, :]).sum(2)
    reached = (lots[:, None] - (before(s, displayed) - ahead - waiting)).clamp(min=0)
    eaten = (reached - (earlier * got[:, None, :]).sum(2)).clamp(min=0)
    s.ahead.copy_(torch.where(side & mine & within, (ahead - eaten).clamp(min=0), s.ahead))


def own_limit(
    s: State, bids: torch.Tensor, lots: torch.Tensor, limit: torch.Tensor, owner: torch.Tensor
) -> torch.Tensor:
    """How far an incoming order of `owner` may go before it would meet an order of its own (self-trade prevention)."""
    within = torch.where(bids[:, None], s.price >= limit[:, None], s.price <= limit[:, None])
    mine = lit(s, bids) & (s.owner == owner[:, None]) & within
    return torch.minimum(lots, torch.where(mine, before(s, True), NO_LIMIT).amin(1))


def sweep(
    s: State, bids: torch.Tensor, lots: torch.Tensor, limit: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Participants' `lots` walk the bids (or asks) down to `limit`: resting orders get theirs, the rest comes from the
    anonymous queues. Returns lots taken and the sum of twice the price times lots, int64 [B] each.

    Orders beyond the cells in view are displayed, and nothing else there is: they come next."""
    levels = s.queues.shape[1] // 2
    got = give(s, bids, lots, limit, True)
    move_up(s, bids, lots, limit, got, True)
    price, there = facing(prices(s), bids), facing(shown(s), bids)
    resting = lit(s, bids)[:, :, None]
    theirs, mine = s.leaves.long()[:, :, None] * resting, s.price.long()[:, :, None]
    level = price[:, None, :]
    better = (theirs * torch.where(bids[:, None, None], mine > level, mine < level)).sum(1)
    at = mine == level
    here, given = (theirs * at).sum(1), (got[:, :, None] * at).sum(1)
    within = torch.where(bids[:, None], price >= limit[:, None], price <= limit[:, None])
    reach = (lots[:, None] - (there.cumsum(1) - there) - better).clamp(min=0)
    taken = (torch.minimum(reach, there + here) - given) * within
    nothing = torch.zeros_like(taken)
    on_bids, on_asks = torch.where(bids[:, None], taken, nothing), torch.where(bids[:, None], nothing, taken)
    s.taken[:, :levels].add_(on_bids.flip(1).to(torch.int32))
    s.taken[:, levels:].add_(on_asks.to(torch.int32))
    twice = 2 * s.price.long()
    done = taken.sum(1) + got.sum(1)
    paid = (2 * price * taken).sum(1) + (twice * got).sum(1)
    first = torch.where(bids, NO_LIMIT * -1, NO_LIMIT)
    touched = torch.where(taken > 0, price, first[:, None])
    touched = torch.cat([touched, torch.where(got > 0, s.price.long(), first[:, None])], 1)
    print_trade(s, done, torch.where(bids, touched.amax(1), touched.amin(1)))
    deal(s, got, twice)
    return done, paid


def anonymous_best(s: State, bids: bool) -> torch.Tensor:
    """Price of the best anonymous queue on one side, or of the deepest cell where there is none; int64 [B]."""
    levels = s.queues.shape[1] // 2
    level = best_of(s, bids).clamp(max=levels - 1)
    return s.first_bid + (-level if bids else level + 1) * s.grid


def print_trade(s: State, lots: torch.Tensor, price: torch.Tensor) -> None:
    """Writes an execution to the tape."""
    s.volume.add_(lots)
    s.last_price.copy_(torch.where(lots > 0, price, s.last_price))
    s.last_lots.copy_(torch.where(lots > 0, lots, s.last_lots))


def settle_places(s: State, r: Rules, cut: torch.Tensor) -> None:
    """After arrivals and cancels: who of the participants' orders moved up in its queue, under the assumption made."""
    cell, mine = cells_of(s)
    at = cell.clamp(0, cut.shape[1] - 1)
    gone, ahead = cut.gather(1, at), s.ahead.long()
    stood = torch.maximum(gone, shown(s).gather(1, at) + gone)
    ahead = torch.minimum(ahead, stood)
    slot = torch.arange(s.side.shape[1], device=s.side.device)
    draw = draws.words(s.key[:, None], s.step, draws.QUEUE_PLACES + slot // 2) >> (32 * (slot % 2)) & 0x7FFFFFFF
    in_front = {
        CancelAssumption.FRONT: torch.ones_like(mine),
        CancelAssumption.RANDOM: draw * stood < ahead << 31,
        CancelAssumption.BACK: torch.zeros_like(mine),
    }[CancelAssumption(r.cancels)]
    fewer = torch.where(in_front, torch.minimum(ahead, gone), (gone - (stood - ahead)).clamp(min=0))
    moves = mine & (s.side != 0) & (s.venue == 0) & (gone > 0) & (s.ahead > 0)
    s.ahead.copy_(torch.where(moves, ahead - fewer, s.ahead))
    # An earlier order at the price stays in front of a later one.
    equal = (s.side[:, :, None] == s.side[:, None, :]) & (s.price[:, :, None] == s.price[:, None, :])
    lit_too = ((s.side != 0) & (s.venue == 0))[:, None, :]
    earlier = equal & lit_too & mine[:, :, None] & (s.rank[:, None, :] < s.rank[:, :, None])
    front = torch.where(earlier, s.ahead[:, None, :], 0).amax(2)
    s.ahead.copy_(torch.where(mine & (s.side != 0) & (s.venue == 0), torch.maximum(s.ahead, front), s.ahead))


def clamp_ahead(s: State, live: torch.Tensor) -> None:
    """Nobody stands behind more than is displayed at the price, once the price is in view."""
    cell, mine = cells_of(s)
    in_view = (cell >= 0) & (cell < s.queues.shape[1]) & (s.side != 0) & (s.venue == 0) & live[:, None]
    here = shown(s).gather(1, cell.clamp(0, s.queues.shape[1] - 1))
    nearer = torch.where(mine, torch.minimum(s.ahead.long(), here), 0)
    s.ahead.copy_(torch.where(in_view, nearer, s.ahead))


def cross(s: State, live: torch.Tensor) -> None:
    """The book came to participants' prices: resting orders trade with the displayed queues they now meet."""
    levels = s.queues.shape[1] // 2
    price = prices(s)
    # By price, then time.
    order = s.rank.argsort(1)
    order = order.gather(1, (-s.side * s.price).gather(1, order).argsort(dim=1, stable=True))
    for place in range(s.side.shape[1]):
        k = order[:, place, None]
        side, venue = s.side.gather(1, k)[:, 0], s.venue.gather(1, k)[:, 0]
        buys = side > 0
        resting = live & (side != 0) & (venue == 0)
        contra, there = facing(price, ~buys), facing(shown(s), ~buys)
        mine = s.price.gather(1, k).long()
        meets = torch.where(buys[:, None], contra <= mine, contra >= mine) & resting[:, None]
        better = there.cumsum(1) - there
        taken = torch.minimum((s.leaves.gather(1, k).long() - better).clamp(min=0), there) * meets
        nothing = torch.zeros_like(taken)
        s.taken[:, :levels].add_(torch.where(buys[:, None], nothing, taken).flip(1).to(torch.int32))
        s.taken[:, levels:].add_(torch.where(buys[:, None], taken, nothing).to(torch.int32))
        got = torch.zeros_like(s.paid)
        got.scatter_(1, k, taken.sum(1, keepdim=True))
        print_trade(s, taken.sum(1), mine[:, 0])
        deal(s, got, 2 * s.price.long())


def press(s: State, r: Rules, live: torch.Tensor) -> None:
    """Participants' executions move the book: see `impact`."""
    pressed = s.pressed * r.pressed_decay + s.net.double() * ((1.0 - r.pressed_decay) / r.step_s)
    # Square roots differ in the last bit from one library to another: rounded, they do not.
    size = (pressed.abs().sqrt() * FRACTION).round() / FRACTION * s.impact_unit
    push = torch.where(pressed >= 0, size, -size)
    total = torch.zeros_like(push)
    for i in range(s.kernel.shape[1]):
        memory = s.kernel[:, i] * r.kernel_decay[i] + r.kernel_weight[i] * push
        s.kernel[:, i] = torch.where(live, memory, s.kernel[:, i])
        total = total + memory
    s.pressed.copy_(torch.where(live, pressed, s.pressed))
    s.net.mul_(~live)
    wanted = total + ((s.key >> 11) & (FRACTION - 1)).double() / FRACTION
    up, down = wanted >= s.shift + 1, (wanted < s.shift) & room_below(s)
    moved = torch.where(live, torch.where(up, 1, torch.where(down, -1, 0)), 0)
    s.shift.add_(moved.to(torch.int32))
    s.first_bid.add_((moved * s.grid).to(torch.int32))
    s.taken.copy_(shifted(s.taken, moved, torch.zeros_like(s.taken)))


def replenish(s: State, r: Rules, live: torch.Tensor) -> None:
    """What participants took comes back little by little, and never exceeds what is there."""
    uniform = (draws.words(s.key, s.step, draws.FADES) & 0xFFFF)[:, None]
    taken = s.taken.long()
    left = torch.minimum(taken - ((taken * r.taken_fade + uniform) >> 16), s.queues.long())
    s.taken.copy_(torch.where(live[:, None] & (taken > 0), left, s.taken))


def best_prices(s: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Best displayed bid and ask, participants included, int64 [B] each; -1 for a side that is empty."""
    levels = s.queues.shape[1] // 2
    price, there, resting = prices(s), shown(s) > 0, s.venue == 0
    own = s.price.long()
    bids = torch.where(there[:, :levels], price[:, :levels], -1).amax(1)
    bids = torch.maximum(bids, torch.where(resting & (s.side > 0), own, -1).amax(1))
    asks = torch.where(there[:, levels:], price[:, levels:], NO_LIMIT).amin(1)
    asks = torch.minimum(asks, torch.where(resting & (s.side < 0), own, NO_LIMIT).amin(1))
    return bids, torch.where(asks == NO_LIMIT, -1, asks)


def dealers_trade(s: State, live: torch.Tensor) -> None:
    """Dealers' flows send market orders at their pace."""
    word = draws.words(s.key, s.step, draws.DEALERS)
    for flow in range(FLOWS):
        left = s.pending[:, flow].long()
        dither = draws.bits(word, 20 * flow, 20).double() / FRACTION
        lots = torch.minimum(left.abs(), (s.pace_lots[:, flow] + dither).long()).clamp(min=0) * live
        sells = left < 0
        done, _ = sweep(s, sells, lots, torch.where(sells, -NO_LIMIT, NO_LIMIT))
        signed = torch.where(sells, -done, done).to(torch.int32)
        s.pending[:, flow] -= signed
        s.net.add_(signed)
