"""Limit orders and cancels of one step on a processor: `book.arrivals` is the definition, a test holds them equal.

All is done on a desk: one array of four rows of lanes, a lane for each cell of the ladder, up to whole vectors. So no
part of it can overlap with a market's record, and no loop over it has a remainder: then the compiler makes vector
instructions of them. The rows are: rows of the table; sizes in average events; entries found; uniforms and then the
lots cancelled of what stood there.
"""

import numpy as np

from lit_router.market.batch import draws
from lit_router.market.batch.compilation import compiled, inlined
from lit_router.market.batch.compiled_book import SIZES, lots_of, outcome, row_between, size_of
from lit_router.market.batch.laws import COLUMNS, OCTAVE, PACE_REACH, PACES, SIZE_UNIT
from lit_router.market.batch.strain import STRAINS
from lit_router.market.parameters import LARGEST, QUANTILES

VECTOR = 8
"""Lanes of 32 bits in the vectors of most processors."""
MIX_1, MIX_2, CELL = np.uint32(draws.MIX_1), np.uint32(draws.MIX_2), np.uint32(draws.CELL)
MOST_SIZE, LOW, OUTCOME = np.int32(LARGEST), np.uint32(COLUMNS - 1), np.int32(0xFF)
LEAST_PACE = -PACE_REACH * OCTAVE
LEAST_STRAIN, MOST_STRAIN = STRAINS[0] * OCTAVE, STRAINS[-1] * OCTAVE


@inlined
def lanes_of(cells):
    return (cells + VECTOR - 1) // VECTOR * VECTOR


@inlined
def new_desk(cells):
    return np.zeros(4 * lanes_of(cells), np.int32)


@inlined
def mixed(x):
    """The murmur3 finalizer on 32 bits: as `draws.mixed`."""
    x = np.uint32(x)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(16))) * MIX_1)
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(13))) * MIX_2)
    return np.uint32(x ^ np.uint32(x >> np.uint32(16)))


@inlined
def part_of(seed, cell):
    """The 32 bits of a cell's own, from the step's `seed`."""
    return mixed(np.uint32(seed + np.uint32(np.uint32(cell) * CELL)))


@compiled
def all_alike(sizes):
    """Whether every event is of the average size."""
    alike = True
    for size in sizes:
        alike &= size == SIZE_UNIT
    return alike


@inlined
def strain_row(strain, uniform):
    """Row of the strain, by chance the one above, so that the mean is exact."""
    above = max(LEAST_STRAIN, min(MOST_STRAIN, strain)) - LEAST_STRAIN
    return (above >> 8) + (1 if uniform < (above & 0xFF) else 0)


@inlined
def side_rows(laws, chances, weather):
    """Rows of the arrivals' table for the bids and the asks under the conditions of a step; see conditions_of."""
    pace_row = row_between(weather[0], LEAST_PACE, PACES, (chances >> 33) & 0xFF, laws.between)
    bid_row = strain_row(weather[1], (chances >> 41) & 0xFF) * PACES + pace_row
    return bid_row, strain_row(weather[2], (chances >> 49) & 0xFF) * PACES + pace_row


@inlined
def set_rows(desk, levels, bid_row, ask_row):
    for level in range(levels):
        desk[levels - 1 - level] = (bid_row * levels + level) * SIZES
        desk[levels + level] = (ask_row * levels + level) * SIZES


@compiled
def set_sizes(m, desk, alike, mean_lots, inverse):
    """Sizes of all queues in average events, rounded up; whole ones, however many, where events are all alike."""
    lanes = lanes_of(len(m.queues))
    for cell in range(len(m.queues)):
        lots = m.queues[cell]
        desk[lanes + cell] = lots // mean_lots if alike else size_of(lots, inverse)


@inlined
def size_at(m, desk, cell):
    return min(LARGEST, desk[lanes_of(len(m.queues)) + cell])


@compiled
def find_arrivals(m, table, seed, desk):
    """Finds what the table says of every cell. Only the looking up is no vector instruction."""
    lanes = lanes_of(len(m.queues))
    sizes, found, uniforms = lanes, 2 * lanes, 3 * lanes
    for lane in range(lanes):
        part = part_of(seed, lane)
        row = np.int32(desk[lane] + min(desk[sizes + lane], MOST_SIZE))
        desk[found + lane] = np.int32(row * np.int32(COLUMNS) + np.int32(part & LOW))
        desk[uniforms + lane] = np.int32((part >> np.uint32(5)) & np.uint32(0x7FFE))
    for cell in range(len(m.queues)):
        desk[found + cell] = table[np.uint64(desk[found + cell])]
    for lane in range(len(m.queues), lanes):
        desk[found + lane] = 0


@inlined
def keep_empty(m, desk, first_bid, first_ask):
    """No arrivals in this step at a first queue that market orders emptied: so many lots stood there before."""
    levels = len(m.queues) // 2
    found = 2 * lanes_of(2 * levels) + levels
    if first_bid and m.queues[levels - 1] == 0:
        desk[found - 1] = 0
    if first_ask and m.queues[levels] == 0:
        desk[found] = 0


@compiled
def count_arrivals(m, mean_lots, desk):
    """Lets the arrivals found happen where events are all alike. Returns how many."""
    lanes, events = lanes_of(len(m.queues)), np.int32(0)
    sizes, found, cut = lanes, 2 * lanes, 3 * lanes
    for lane in range(lanes):
        entry, size = desk[found + lane], desk[sizes + lane]
        chosen = np.int32(np.int32(entry >> 8) if desk[cut + lane] < np.int32(entry >> 16) else entry) & OUTCOME
        came, went = np.int32(chosen >> 4), np.int32(chosen & 15)
        events = np.int32(events + came + went)
        desk[cut + lane] = np.int32(min(went, size) * mean_lots)
        desk[sizes + lane] = max(np.int32(0), np.int32(size + came - went))
    for cell in range(len(m.queues)):
        m.queues[cell] = np.int32(desk[sizes + cell] * mean_lots)
    return np.int64(events)


@compiled
def size_arrivals(m, law, thin_queue, mean_lots, inverse, seed, desk):
    """Lets the arrivals found happen where their sizes differ. Returns how many."""
    lanes, events = lanes_of(len(m.queues)), 0
    sizes, found, cut = lanes, 2 * lanes, 3 * lanes
    for cell in range(len(m.queues)):
        gone, chosen = 0, outcome(desk[found + cell], desk[cut + cell])
        if chosen:
            came, went, lots = chosen >> 4, chosen & 15, m.queues[cell]
            part = np.int64(part_of(seed, cell))
            events += came + went
            thick = QUANTILES if desk[sizes + cell] > thin_queue else 0
            left = np.int64(lots)
            if came:
                left += lots_of(came, law[thick + ((part >> 20) & 63)], mean_lots)
            if went:
                gone = lots_of(went, law[2 * QUANTILES + thick + (part >> 26)], mean_lots)
                left = max(0, left - gone)
                gone = min(gone, lots)
            m.queues[cell] = left
            desk[sizes + cell] = size_of(left, inverse)
        desk[cut + cell] = gone
    return events
