"""Dark pools as tensor operations: the definition of what `compiled_dark.py` does on a processor; see `pools`."""

import torch

from lit_router.market.batch import draws, flow
from lit_router.market.batch.book import Weather, side_of
from lit_router.market.batch.laws import OCTAVE
from lit_router.market.batch.orders import deal
from lit_router.market.batch.pools import BOOK_LEAN
from lit_router.market.batch.rules import LEAN_STEP, LEANS, Rules
from lit_router.market.batch.state import State


def pool_step(
    s: State, r: Rules, pool: int, weather: Weather, twice_mid: torch.Tensor, live: torch.Tensor
) -> None:
    """Hidden interest arrives in one pool, meets resting orders at the mid, and fades. `twice_mid` -1: no mid."""
    coarse = draws.bits(draws.words(s.key, s.step, draws.POOLS), 16 * pool, 16)
    first = draws.words(s.key, s.step, draws.POOLS + 2 * pool + 1)
    second = draws.words(s.key, s.step, draws.POOLS + 2 * pool + 2)
    sides = torch.arange(2, device=first.device)
    fades = draws.bits(second[:, None], 21 * sides, 21) < r.pool_fade[pool]
    hidden = s.hidden[:, pool].long() * ~(fades & live[:, None])
    # A market's own pace is in its day's volume already, and so in the sizes.
    log = r.pool_logs[pool] + weather.pace - s.log_pace
    # Arrivals are rare: one a step at most, with a chance of 40 bits, of which the first 16 nearly always tell.
    octave = torch.div(log, OCTAVE, rounding_mode="floor").clamp(-62, 0)
    uniform = coarse << 24 | draws.bits(first, 0, 2) << 22 | draws.bits(second, 42, 22)
    arrives = live & (uniform < r.powers[log % OCTAVE] >> -octave)
    favour = weather.tilt + (lean_of_best(s) - flow.IMBALANCES // 2) * BOOK_LEAN
    lean = (torch.div(favour, LEAN_STEP, rounding_mode="floor") + LEANS // 2).clamp(0, LEANS)
    sells = draws.bits(first, 25, 21) >= r.pool_lean[pool][lean]
    size = (r.pool_sizes[pool][draws.bits(first, 19, 6)] * s.day_lots).long().clamp(min=1) * arrives
    came = size[:, None] * (sells.long()[:, None] == sides)
    s.hidden[:, pool] = (hidden + came).to(torch.int32)
    meet_hidden(s, r, pool, twice_mid, live)
    fleeting = draws.bits(first, 46, 12) < r.pool_fleeting[pool]
    left = (s.hidden[:, pool] - came * fleeting[:, None]).clamp(min=0)
    s.hidden[:, pool] = torch.where((came > 0) & fleeting[:, None], left, s.hidden[:, pool]).to(torch.int32)


def lean_of_best(s: State) -> torch.Tensor:
    """Class of the imbalance of the best anonymous queues, 0 (all asks) to IMBALANCES (all bids), int64 [B].

    Unlike that of the first cells it says where the mid will go, not where it has just been."""
    bids, asks = (_best_queue(side_of(s.queues, of_bids)) for of_bids in (True, False))
    both = bids + asks
    return torch.where(both == 0, flow.IMBALANCES // 2, bids * flow.IMBALANCES // both.clamp(min=1))


def _best_queue(queues: torch.Tensor) -> torch.Tensor:
    """The first queue [B, L] that is not empty, 0 if none is."""
    first = (queues > 0).to(torch.int64).argmax(1)
    return queues.gather(1, first[:, None])[:, 0]


def meet_hidden(s: State, r: Rules, pool: int, twice_mid: torch.Tensor, live: torch.Tensor) -> None:
    """Participants' orders in a pool trade at the midpoint with what is hidden there, first come first served."""
    smallest = (r.pool_least[pool] * s.day_lots).long()
    order = s.rank.argsort(1)
    for place in range(s.side.shape[1]):
        k = order[:, place, None]
        side, leaves = s.side.gather(1, k)[:, 0], s.leaves.gather(1, k)[:, 0].long()
        here = live & (twice_mid >= 0) & (side != 0) & (s.venue.gather(1, k)[:, 0] == pool + 1)
        here = here & (side * (2 * s.price.gather(1, k)[:, 0].long() - twice_mid) >= 0)
        contra = (side > 0).long()
        there = s.hidden[:, pool].long().gather(1, contra[:, None])[:, 0]
        lots = torch.minimum(leaves, there)
        least = torch.minimum(torch.maximum(s.least.gather(1, k)[:, 0].long(), smallest), leaves)
        lots = lots * (here & (lots > 0) & (lots >= least))
        taken = torch.stack([lots * (contra == 0), lots * (contra == 1)], 1)
        s.hidden[:, pool] -= taken.to(torch.int32)
        s.dark_volume.add_(lots)
        got = torch.zeros_like(s.paid)
        got.scatter_(1, k, lots[:, None])
        deal(s, got, twice_mid[:, None])


def meet_participants(s: State, r: Rules, pool: int, slot: int, twice_mid: torch.Tensor, here: torch.Tensor) -> None:
    """The order that has just come to a pool in `slot` trades at the midpoint with other owners' orders resting there,
    first come first served."""
    smallest = (r.pool_least[pool] * s.day_lots).long()
    side = s.side[:, slot].clone()
    here = here & (twice_mid >= 0) & (side != 0) & (side * (2 * s.price[:, slot].long() - twice_mid) >= 0)
    order = s.rank.argsort(1)
    for place in range(s.side.shape[1]):
        k = order[:, place, None]
        theirs = {name: getattr(s, name).gather(1, k)[:, 0] for name in ("side", "venue", "owner", "price")}
        meets = here & (k[:, 0] != slot) & (theirs["side"] == -side) & (theirs["venue"] == pool + 1)
        meets = meets & (theirs["owner"] != s.owner[:, slot])
        meets = meets & (theirs["side"] * (2 * theirs["price"].long() - twice_mid) >= 0)
        leaves = torch.stack([s.leaves[:, slot].long(), s.leaves.gather(1, k)[:, 0].long()], 1)
        least = torch.stack([s.least[:, slot].long(), s.least.gather(1, k)[:, 0].long()], 1)
        lots = leaves.amin(1)
        least = torch.minimum(torch.maximum(least, smallest[:, None]), leaves)
        lots = lots * (meets & (lots > 0) & (lots[:, None] >= least).all(1))
        s.dark_volume.add_(lots)
        got = torch.zeros_like(s.paid)
        got.scatter_(1, k, lots[:, None])
        got[:, slot] += lots * (k[:, 0] != slot)
        deal(s, got, twice_mid[:, None])
