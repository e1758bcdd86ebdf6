"""The anonymous book as tensor operations: the definition of its step, on any device, without looking at a value.

Fields of the state are read at the width that sums need (int64) and written back in place. `compiled_book.py` is the
same for a processor; a test holds the two equal, bit by bit.
"""

from typing import NamedTuple

import torch

from lit_router.market.batch import alias, draws, flow, makers, news
from lit_router.market.batch.laws import (
    COLUMNS,
    COUNT_COLUMNS,
    COUNTS,
    HALF_OCTAVE,
    LEAST_ARRIVALS,
    OCTAVE,
    PACE_REACH,
    PACES,
    Laws,
)
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import State
from lit_router.market.batch.strain import STRAINS
from lit_router.market.parameters import LARGEST, QUANTILES

SIZES = LARGEST + 1
HALF = 1 << 20


class Weather(NamedTuple):
    """What one step is played under, int64 [B] each, in OCTAVEs."""

    pace: torch.Tensor
    bid_strain: torch.Tensor
    ask_strain: torch.Tensor
    tilt: torch.Tensor
    """Of buy orders; sell orders have the opposite."""


def levels_of(cells: int, device: torch.device) -> torch.Tensor:
    """Level of each cell of the ladder, 0 the nearest, int64 [cells]."""
    place = torch.arange(cells, device=device)
    return torch.where(place < cells // 2, cells // 2 - 1 - place, place - cells // 2)


def side_of(ladder: torch.Tensor, bids: bool) -> torch.Tensor:
    """One side of a ladder [B, 2L], best first, int64 [B, L]."""
    levels = ladder.shape[1] // 2
    return (ladder[:, :levels].flip(1) if bids else ladder[:, levels:]).long()


def size_of(lots: torch.Tensor, mean_lots: torch.Tensor) -> torch.Tensor:
    """Queue size in average events, rounded up, at most LARGEST."""
    inverse = (1.0 / mean_lots.double()).float()
    return ((lots.float() - 0.5) * inverse + 1.0).long().clamp(max=LARGEST)


def best_of(s: State, bids: bool) -> torch.Tensor:
    """How many cells are empty before the best anonymous bid or ask, int64 [B]; L if all are."""
    empty = side_of(s.queues, bids) <= 0
    return empty.long().cumprod(1).sum(1)


def conditions(s: State, r: Rules) -> Weather:
    """Moves the conditions on by one step."""
    pace = s.log_pace.long()
    if not r.conditions:
        none = torch.zeros_like(pace)
        return Weather(pace, none, none, none)
    noise = draws.words(s.key, s.step, draws.CONDITIONS)
    switches = draws.words(s.key, s.step, draws.SWITCHES)
    spare = draws.words(s.key, s.step, draws.SWITCHES + 1)
    switched = draws.bits(switches, 0, 21) < r.regime_switch
    chosen = (draws.bits(switches, 21, 21)[:, None] >= r.regime_bounds).sum(1)
    sign = torch.where(draws.bits(noise, 63, 1) > 0, 1, -1)
    s.regime.copy_(torch.where(switched, chosen, s.regime))
    s.drift.copy_(torch.where(switched, sign * r.regime_drift[chosen], s.drift))
    fresh = r.regime_news[chosen]
    s.news.copy_(torch.where(switched & (fresh > 0), sign * fresh, s.news))
    burst = draws.bits(spare, 21, 6)
    s.burst.copy_(torch.where(draws.bits(spare, 0, 21) < r.burst_switch, burst, s.burst))
    lull = draws.bits(spare, 27, 12) < r.lull
    halted = (s.halt == 0) & (draws.bits(draws.words(s.key, s.step, draws.HALTS), 0, 40) < r.halt_chance)
    s.halt.copy_(torch.where(halted, r.halt_steps, s.halt))
    latent = torch.zeros_like(s.news)
    for i in range(s.flow.shape[1]):
        kick = (draws.bits(noise, 21 * i, 21) - HALF).double() / HALF
        s.flow[:, i] = s.flow[:, i] * r.flow_decay[i] + r.flow_kick[i] * kick
        latent = latent + s.flow[:, i]
    s.news.mul_(r.news_decay)
    strength = s.news.abs()
    half_hour = ((s.opened + s.step) // r.steps_a_half_hour).clamp(0, len(r.curve) - 1)
    pace = pace + (r.curve[half_hour] + r.burst_logs[s.burst.long()] + r.regime_pace[s.regime.long()])
    pace = pace + torch.where(lull, r.lull_log, r.stir_log) + (strength * news.PACE * OCTAVE).long()
    most = flow.MOST_TILT * OCTAVE
    tilt = (latent * OCTAVE).clamp(-most, most)
    drift = s.drift + (s.news * news.DRIFT * OCTAVE).long()
    most_load, most_fear = makers.MOST_LOAD * OCTAVE, makers.MOST_FEAR * OCTAVE
    load = (s.inventory.abs() / s.liveliness * r.load).clamp(max=most_load)
    fear = ((s.heat / s.liveliness - r.usual_heat) * r.fear).clamp(0.0, most_fear)
    usual = r.regime_strain[s.regime.long()] + (fear + load - makers.EASE * OCTAVE)
    against_bids = torch.where(s.news < 0, 1.0, news.OTHER_SIDE)
    against_asks = torch.where(s.news > 0, 1.0, news.OTHER_SIDE)
    leaning = tilt * r.adapts
    return Weather(
        pace,
        (usual + strength * against_bids * OCTAVE + leaning).long(),
        (usual + strength * against_asks * OCTAVE - leaning).long(),
        tilt.long() + drift,
    )


def row_between(log: torch.Tensor, least: int, rows: int, uniform: torch.Tensor, laws: Laws) -> torch.Tensor:
    """The table's row for a logarithm: the one below or, by chance, above, so that the mean is exact."""
    above = (log - least).clamp(0, (rows - 1) * HALF_OCTAVE)
    row = above // HALF_OCTAVE
    return (row + (uniform < laws.between[above % HALF_OCTAVE])).clamp(max=rows - 1)


def strain_row(strain: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Row of the strain, by chance the one above, so that the mean is exact."""
    above = strain.clamp(STRAINS[0] * OCTAVE, STRAINS[-1] * OCTAVE) - STRAINS[0] * OCTAVE
    return above // OCTAVE + (uniform < above % OCTAVE)


def lots_of(events: torch.Tensor, size: torch.Tensor, mean_lots: torch.Tensor) -> torch.Tensor:
    """Lots of so many events of a size, at least one."""
    return ((events * size * mean_lots + OCTAVE // 2) >> 8).clamp(min=1)


def first_queues(s: State) -> torch.Tensor:
    """Lots at the two cells next to the reference price, bid and ask, int32 [B, 2]."""
    levels = s.queues.shape[1] // 2
    return s.queues[:, levels - 1 : levels + 1]


def arrivals(
    s: State,
    laws: Laws,
    r: Rules,
    weather: Weather,
    chances: torch.Tensor,
    live: torch.Tensor,
    emptied: torch.Tensor,
) -> torch.Tensor:
    """Limit orders and cancels of one step in every cell; returns what was cancelled of what stood there, [B, 2L].

    First queues that were `emptied` [B, 2] stay so where the reference price follows an empty first queue; see `laws`.
    """
    cells = s.queues.shape[1]
    levels = cells // 2
    place = torch.arange(cells, device=s.queues.device)
    pace_row = row_between(weather.pace, -PACE_REACH * OCTAVE, PACES, draws.bits(chances, 33, 8), laws)
    bid_row = strain_row(weather.bid_strain, draws.bits(chances, 41, 8)) * PACES + pace_row
    ask_row = strain_row(weather.ask_strain, draws.bits(chances, 49, 8)) * PACES + pace_row
    row = torch.where(place < levels, bid_row[:, None], ask_row[:, None]) * levels + levels_of(cells, place.device)
    lots, mean_lots = s.queues.long(), s.mean_lots.long()[:, None]
    size = size_of(s.queues, s.mean_lots[:, None])
    seed = draws.words(s.key, s.step, draws.ARRIVALS) & 0xFFFFFFFF
    part = draws.mixed((seed[:, None] + place * draws.CELL) & 0xFFFFFFFF)
    entry = laws.arrivals[(row * SIZES + size) * COLUMNS + (part & 63)]
    found = alias.drawn(entry, (part >> 5) & 0x7FFE) * live[:, None]
    if r.follow == 1:
        found[:, levels - 1 : levels + 1] *= ~emptied
    came, went = found >> 4, found & 15
    thick = torch.where(size > r.thin_queue, QUANTILES, 0)
    more = lots_of(came, laws.sizes[thick + draws.bits(part, 20, 6)], mean_lots) * (came > 0)
    less = lots_of(went, laws.sizes[2 * QUANTILES + thick + draws.bits(part, 26, 6)], mean_lots) * (went > 0)
    s.queues.copy_((lots + more - less).clamp(min=0))
    return torch.minimum(less, lots)


def imbalance(s: State) -> torch.Tensor:
    """Class of the imbalance at the first cells, 0 (all asks) to IMBALANCES (all bids), int64 [B]."""
    levels = s.queues.shape[1] // 2
    bids, both = s.queues[:, levels - 1].long(), first_queues(s).long().sum(1)
    return torch.where(both == 0, flow.IMBALANCES // 2, bids * flow.IMBALANCES // both.clamp(min=1))


def market_orders(
    s: State, laws: Laws, r: Rules, weather: Weather, lean: torch.Tensor, bids: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws the market orders that hit one side: their number and lots, int64 [B] each."""
    level = best_of(s, bids)
    queue = side_of(s.queues, bids)
    there = level < queue.shape[1]
    level = level.clamp(max=queue.shape[1] - 1)
    best = queue.gather(1, level[:, None])[:, 0]
    size = size_of(best, s.mean_lots)
    part = draws.words(s.key, s.step, draws.MARKET_ORDERS) >> (0 if bids else 32) & 0xFFFFFFFF
    log = laws.market_logs[level * SIZES + size] + weather.pace + (-weather.tilt if bids else weather.tilt)
    if r.conditions:
        log = log + r.tactical[flow.IMBALANCES - lean if bids else lean]
    row = row_between(log, LEAST_ARRIVALS * OCTAVE, COUNTS, draws.bits(part, 25, 7) << 1, laws)
    entry = laws.counts[row * COUNT_COLUMNS + (part & 31)]
    many = alias.drawn(entry, draws.bits(part, 5, 14) << 1) * (there & (log >= LEAST_ARRIVALS * OCTAVE))
    thick = torch.where(size > r.thin_queue, QUANTILES, 0)
    lots = lots_of(many, laws.sizes[4 * QUANTILES + thick + draws.bits(part, 19, 6)], s.mean_lots.long())
    return many, lots * (many > 0)


def walk(s: State, bids: bool, lots: torch.Tensor) -> torch.Tensor:
    """Takes lots from the anonymous bids or asks, best first; returns what was there to be taken, int64 [B]."""
    levels = s.queues.shape[1] // 2
    queue = side_of(s.queues, bids)
    better = queue.cumsum(1) - queue
    taken = torch.minimum((lots[:, None] - better).clamp(min=0), queue)
    left = (queue - taken).to(torch.int32)
    if bids:
        s.queues[:, :levels] = left.flip(1)
    else:
        s.queues[:, levels:] = left
    return taken.sum(1)


def redrawn(s: State, laws: Laws) -> torch.Tensor:
    """Every queue drawn anew from the law of its level at the present step, int32 [B, 2L]."""
    cells = s.queues.shape[1]
    place = torch.arange(cells, device=s.queues.device)
    drawn = draws.words(s.key[:, None], s.step, draws.FRESH + place // 3)
    part = draws.bits(drawn, 21 * (place % 3), 21)
    entry = laws.fresh[levels_of(cells, s.queues.device) * SIZES + (part & 63)]
    return (alias.drawn(entry, part >> 6) * s.mean_lots[:, None]).to(torch.int32)


def shifted(cells: torch.Tensor, moved: torch.Tensor, edge: torch.Tensor) -> torch.Tensor:
    """The ladder after the reference price moved by `moved` cells (-1, 0, 1; [B]): contents stay at their price.

    `edge` [B, 2L] gives what comes in at the end; the cell that changed sides is empty.
    """
    levels = cells.shape[1] // 2
    none = torch.zeros_like(cells[:, :1])
    up = torch.cat([cells[:, 1:levels], none, cells[:, levels + 1 :], edge[:, -1:]], 1)
    down = torch.cat([edge[:, :1], cells[:, : levels - 1], none, cells[:, levels:-1]], 1)
    way = moved[:, None]
    return torch.where(way > 0, up, torch.where(way < 0, down, cells))


def room_below(s: State) -> torch.Tensor:
    """Whether the book may move down and all its prices stay positive, bool [B]."""
    return s.first_bid - (s.queues.shape[1] // 2 + 2) * s.grid > 0


def follow(
    s: State, laws: Laws, r: Rules, weather: Weather, chances: torch.Tensor, live: torch.Tensor
) -> torch.Tensor:
    """Lets the reference price follow the mid; returns the cells it moved, int64 [B], up to r.strides either way."""
    above, below = best_of(s, False), best_of(s, True)
    before = s.tilt.long()
    up = above - below > before
    way = torch.where(up, 1, -1)
    against = torch.where(up, s.trend, -s.trend) * r.contrarian
    goes_on = live & (draws.bits(chances, 0, 21) < (s.theta * (1.0 - against).clamp(0.0, 2.0)).long())
    redraws = draws.bits(chances, 21, 12) < r.theta_reinit
    edges = redrawn(s, laws)
    # Who withdraws under strain is not back at the new price at once: the first queues may come in empty.
    reluctant = draws.bits(chances, 57, 6) * (2 * OCTAVE // 64)
    fresh, levels = edges.clone(), edges.shape[1] // 2
    fresh[:, levels - 1] *= reluctant >= weather.bid_strain
    fresh[:, levels] *= reluctant >= weather.ask_strain
    none, total = torch.zeros_like(s.taken), torch.zeros_like(before)
    for _ in range(r.strides):
        further = torch.where(up, above - below > before, above - below < before)
        goes_on = goes_on & further & (torch.where(up, above, below) >= r.follow) & (up | room_below(s))
        moved, anew = way * goes_on, (goes_on & redraws)[:, None]
        s.queues.copy_(torch.where(anew, fresh, shifted(s.queues, moved, edges)))
        s.taken.copy_(torch.where(anew, 0, shifted(s.taken, moved, none)))
        s.first_bid.add_((moved * s.grid).to(torch.int32))
        above, below = best_of(s, False), best_of(s, True)
        goes_on, total = goes_on & ~redraws, total + moved
    s.tilt.copy_(torch.where(live, above - below, s.tilt))
    return total
