"""Windows of simulated markets. What an order moves and whether a pool fills is seen in copies of the market that meet
the same anonymous flow, with the order and without: the difference is the order's doing, exactly."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.parameters import BookParameters
from ml.forecasters.samples import (
    FILLS,
    HORIZON_S,
    IMPACTS,
    MOVES_S,
    POOLS,
    TARGETS,
    Samples,
    outcomes,
    windows,
)
from ml.forecasters.windows import LOOKS, ORDER, Snapshots, Usual, Watch, order_inputs, touch
from ml.slicer.episodes import DAY_S, EpisodeLaw, drawn
from ml.slicer.execution import Execution
from ml.slicer.situation import Residual

LAW = EpisodeLaw(horizon_s=900.0, warm_up_s=60.0)
"""Whose markets are watched: every regime alike, dealers trading ahead in some. The residual itself is not worked."""
FIRST_SEED = 5 * 10**8
"""Markets of forecasters have seeds from here on; nobody else's."""
APART_S, PAIRED = 10, 3
"""Windows end so many seconds apart; with every so many of them copies of the market are played."""
MINUTES = (0.01, 2.0)
"""Orders whose impact is asked, over a usual minute's volume; log-uniform."""
DARK_EVENTS = 5
"""Usual orders that wait in each pool."""
CROSSING = 5


def seeds_within(law: EpisodeLaw, part: tuple[float, float], count: int, first: int = FIRST_SEED) -> list[int]:
    """The first so many seeds whose episodes lie wholly within a part of the session, shares of it."""
    found, low, high = list[int](), part[0] * DAY_S, part[1] * DAY_S - law.horizon_s - law.warm_up_s
    while len(found) < count:
        seeds = range(first, first + 4 * count)
        opened = drawn(law, seeds).opened_s.tolist()
        found += [seed for seed, at in zip(seeds, opened, strict=True) if low <= at <= high]
        first += 4 * count
    return found[:count]


def usual_of(residual: Residual, market: BatchedMarket) -> Usual:
    """What is usual in the markets that residuals are worked in."""
    return Usual(residual.spread, market.state.grid.double(), residual.volume_s, residual.event_lots)


def source(
    parameters: BookParameters, seeds: Sequence[int], law: EpisodeLaw = LAW, after: Callable[[], None] = lambda: None
) -> Samples:
    """Windows of one market for each seed; markets are what is resampled together. `after` is called now and then."""
    execution = Execution(parameters, seeds, law)
    market, usual = execution.market, usual_of(execution.residual, execution.market)
    watch, whole = Watch(market), list[Snapshots]()
    seconds = round(law.horizon_s)
    ends = range(LOOKS - 1, seconds - HORIZON_S, APART_S)
    g = np.random.default_rng([min(seeds), 0xF0])
    orders, extra = [], []
    for second in range(seconds):
        if second:
            watch.advance(round(1 / STEP_S))
        whole.append(watch.last(1))
        if second in ends:
            paired = (second - ends[0]) // APART_S % PAIRED == 0
            order, y = _paired(market, watch, usual, g) if paired else _unpaired(len(seeds))
            orders.append(order)
            extra.append(y)
            after()
    day = Snapshots(*(torch.cat(column, 1) for column in zip(*whole, strict=True)))
    x, kind = windows(day, usual, ends)
    known = torch.stack(extra, 1)
    y = torch.where(known.isnan(), outcomes(day, usual, ends), known)
    opened = drawn(law, seeds).opened_s + law.warm_up_s
    at_s = opened[:, None] + torch.tensor(list(ends), dtype=torch.float64)
    block = torch.arange(len(seeds))[:, None].expand(-1, len(ends)).flatten()
    order = torch.stack(orders, 1).flatten(0, 1)
    return Samples(x, kind, order, y.flatten(0, 1), at_s.flatten(), block, torch.zeros_like(block))


def _unpaired(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(count, ORDER), torch.full((count, len(TARGETS)), torch.nan)


def _paired(
    market: BatchedMarket, watch: Watch, usual: Usual, g: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """An order for each market, and what it moves; and whether orders that wait in the pools are filled."""
    seen, y = watch.seen, _unpaired(market.markets)[1]
    size = MINUTES[0] * (MINUTES[1] / MINUTES[0]) ** torch.as_tensor(g.random(market.markets))
    side = torch.as_tensor(g.integers(0, 2, market.markets) * 2 - 1)
    lots = (size * usual.volume_s * 60.0).round().clamp(min=1).long()
    with_it, without = market.copy(), market.copy()
    with_it.enter(CROSSING, with_it.ticket(side, lots))
    mids = [_mids(one, seen) for one in (with_it, without)]
    for place, name in enumerate(IMPACTS):
        y[:, TARGETS.index(name)] = ((mids[0][place] - mids[1][place]) / usual.spread).float()
    y[:, [TARGETS.index(name) for name in FILLS]] = _filled(market.copy(), seen, usual).float()
    return order_inputs((side * lots).double(), seen, usual), y


def _mids(market: BatchedMarket, seen: Snapshots) -> list[torch.Tensor]:
    """Of a market played on, at each of MOVES_S."""
    bid, ask, now, found = seen.bid[:, -1], seen.ask[:, -1], 0, list[torch.Tensor]()
    for after in MOVES_S:
        market.advance(round((after - now) / STEP_S))
        now = after
        bid, ask, _, _ = touch(market.state, bid, ask)
        found.append((bid + ask) / 2)
    return found


def _filled(market: BatchedMarket, seen: Snapshots, usual: Usual) -> torch.Tensor:
    """Whether orders that wait in each pool on each side, up to the other side's price, got anything: bool [B, FILLS].
    They are one owner's and do not meet."""
    lots = (DARK_EVENTS * usual.event_lots).long()
    bid, ask = seen.bid[:, -1].long(), seen.ask[:, -1].long()
    for slot in range(len(FILLS)):
        side = 1 if slot % 2 == 0 else -1
        price = ask if side > 0 else bid
        market.enter(slot, market.ticket(side, lots, price, venue=slot // 2 + 1, rests=1))
    market.advance(round(HORIZON_S / STEP_S))
    assert len(POOLS) * 2 == len(FILLS)
    return market.state.filled[:, : len(FILLS)] > 0
