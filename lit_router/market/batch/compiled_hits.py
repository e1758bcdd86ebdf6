"""Anonymous market orders on a processor: `book.market_orders` is the definition, a test holds them equal."""

from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_arrivals import size_at
from lit_router.market.batch.compiled_book import SIZES, best_of, lots_of, outcome, walk
from lit_router.market.batch.compiled_orders import hit, print_trade
from lit_router.market.batch.flow import IMBALANCES
from lit_router.market.batch.laws import COUNT_COLUMNS, COUNTS, LEAST_ARRIVALS, OCTAVE
from lit_router.market.parameters import QUANTILES


@inlined
def imbalance(m):
    """Class of the imbalance at the first cells, 0 (all asks) to IMBALANCES (all bids)."""
    levels = len(m.queues) // 2
    bids, asks = m.queues[levels - 1], m.queues[levels]
    return IMBALANCES // 2 if bids + asks == 0 else bids * IMBALANCES // (bids + asks)


@inlined
def cell_at(m, bids, level):
    levels = len(m.queues) // 2
    return levels - 1 - level if bids else levels + level


@compiled
def how_many(m, laws, r, word, bids, desk, log, lean):
    """Draws the number of market orders that hit one side (0: the bids' half of the `word`), whose rate is the best
    queue's times two to the power of `log`."""
    level, part = best_of(m, bids), part_of_side(word, bids)
    if level == len(m.queues) // 2:
        return 0
    log += laws.market_logs[level * SIZES + size_at(m, desk, cell_at(m, bids, level))]
    if r.conditions:
        log += r.tactical[IMBALANCES - lean if bids else lean]
    above = log - LEAST_ARRIVALS * OCTAVE
    if above < 0:
        return 0
    row = above >> 7
    if ((part >> 25) & 0x7F) << 1 < laws.between[above & 127]:
        row += 1
    entry = laws.counts[min(row, COUNTS - 1) * COUNT_COLUMNS + (part & 31)]
    return outcome(entry, ((part >> 5) & 0x3FFF) << 1)


@inlined
def part_of_side(word, bids):
    return (word if bids else word >> 32) & 0xFFFFFFFF


@compiled
def lots_hit(m, laws, r, bids, many, word, desk, mean_lots):
    """Lots of so many market orders."""
    if many == 0:
        return 0
    size = size_at(m, desk, cell_at(m, bids, best_of(m, bids)))
    thick = QUANTILES if size > r.thin_queue else 0
    return lots_of(many, laws.sizes[4 * QUANTILES + thick + ((part_of_side(word, bids) >> 19) & 63)], mean_lots)


@compiled
def hit_side(m, bids, lots, lit, given):
    """Market orders of so many lots hit one side: participants' orders in their turn (`lit`: there are some), and the
    queues. Returns the lots they got of the queues."""
    if lots == 0:
        return 0
    level = min(best_of(m, bids), len(m.queues) // 2 - 1)
    price = m.first_bid + (-level if bids else level + 1) * m.grid
    got = hit(m, bids, lots, given) if lit else 0
    walked = walk(m, bids, lots)
    done = max(walked, got)
    if done:
        print_trade(m, done, price)
    return walked
