"""Dark pools on a processor: `dark.py` is the definition, a test holds them equal; see `pools`."""

from lit_router.market.batch import draws
from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_book import word
from lit_router.market.batch.compiled_orders import deal, in_order
from lit_router.market.batch.flow import IMBALANCES
from lit_router.market.batch.pools import BOOK_LEAN
from lit_router.market.batch.rules import LEAN_STEP, LEANS
from lit_router.market.parameters import QUANTILES

POOLS = draws.POOLS


@compiled
def lean_of_best(m):
    """Class of the imbalance of the best anonymous queues; see `dark.lean_of_best`."""
    levels = len(m.queues) // 2
    bids, asks = 0, 0
    for level in range(levels):
        if bids == 0:
            bids = m.queues[levels - 1 - level]
        if asks == 0:
            asks = m.queues[levels + level]
    return IMBALANCES // 2 if bids + asks == 0 else bids * IMBALANCES // (bids + asks)


@inlined
def all_pools(m, r, step, pace, latent, twice_mid, order):
    """A step of every pool. In most nothing is hidden, and 16 bits of the chance tell that nothing comes."""
    coarse = word(m.key, step, POOLS)
    for pool in range(r.pools):
        log = r.pool_logs[pool] + pace - m.log_pace
        chance = r.powers[log & 0xFF] >> min(62, max(0, -(log >> 8)))
        begins = ((coarse >> (16 * pool)) & 0xFFFF) << 24
        if begins < chance or twice_mid >= 0 or m.hidden[pool, 0] != 0 or m.hidden[pool, 1] != 0:
            pool_step(m, r, step, pool, begins, chance, latent, twice_mid, order)


@compiled
def pool_step(m, r, step, pool, begins, chance, latent, twice_mid, order):
    """Hidden interest arrives in one pool, meets resting orders at the mid, and fades. `twice_mid` -1: no mid."""
    first = word(m.key, step, POOLS + 2 * pool + 1)
    second = word(m.key, step, POOLS + 2 * pool + 2)
    for side in range(2):
        if m.hidden[pool, side] and ((second >> (21 * side)) & 0x1FFFFF) < r.pool_fade[pool]:
            m.hidden[pool, side] = 0
    came, side = 0, 0
    if (begins | (first & 3) << 22 | (second >> 42) & 0x3FFFFF) < chance:
        favour = latent + (lean_of_best(m) - IMBALANCES // 2) * BOOK_LEAN
        lean = max(0, min(LEANS, favour // LEAN_STEP + LEANS // 2))
        side = 0 if ((first >> 25) & 0x1FFFFF) < r.pool_lean[pool, lean] else 1
        came = max(1, int(r.pool_sizes[pool, (first >> 19) & (QUANTILES - 1)] * m.day_lots))
        m.hidden[pool, side] += came
    if twice_mid >= 0:
        meet_hidden(m, r, pool, twice_mid, order)
    if came and ((first >> 46) & 0xFFF) < r.pool_fleeting[pool]:
        m.hidden[pool, side] = max(0, m.hidden[pool, side] - came)


@compiled
def meet_hidden(m, r, pool, twice_mid, order):
    """Participants' orders in a pool trade at the midpoint with what is hidden there, first come first served."""
    for place in range(in_order(m, False, order)):
        k = order[place]
        if m.venue[k] != pool + 1:
            continue
        if m.side[k] * (2 * m.price[k] - twice_mid) < 0:
            continue
        contra = 1 if m.side[k] > 0 else 0
        lots = min(m.leaves[k], m.hidden[pool, contra])
        least = max(m.least[k], int(r.pool_least[pool] * m.day_lots))
        if lots and lots >= min(least, m.leaves[k]):
            m.hidden[pool, contra] -= lots
            m.dark_volume += lots
            deal(m, k, lots, twice_mid)


@compiled
def meet_participants(m, r, pool, slot, twice_mid, order):
    """The order that has just come to a pool in `slot` trades at the midpoint with other owners' orders resting there,
    first come first served."""
    side = m.side[slot]
    if side * (2 * m.price[slot] - twice_mid) < 0:
        return
    smallest = int(r.pool_least[pool] * m.day_lots)
    for place in range(in_order(m, False, order)):
        k = order[place]
        if k == slot or m.side[k] != -side or m.venue[k] != pool + 1 or m.owner[k] == m.owner[slot]:
            continue
        if m.side[k] * (2 * m.price[k] - twice_mid) < 0:
            continue
        lots = min(m.leaves[slot], m.leaves[k])
        mine = min(max(m.least[slot], smallest), m.leaves[slot])
        theirs = min(max(m.least[k], smallest), m.leaves[k])
        if lots and lots >= mine and lots >= theirs:
            m.dark_volume += lots
            deal(m, slot, lots, twice_mid)
            deal(m, k, lots, twice_mid)
