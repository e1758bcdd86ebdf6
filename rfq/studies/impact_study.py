"""What our own orders do to the simulated price: the law of impact, measured on metaorders in paired markets.

A metaorder buys or sells a share of the day's volume in even slices over its duration, by market orders. The same
markets, left alone, see the same anonymous flow; the difference of the mids is the impact, with hardly any noise.
Peak: at the end of the order, in standard deviations of the day's price, against what was executed, as a share of the
day's volume; the square-root law says Y (Q/V)^1/2 with Y near one (Tóth et al. 2011; Sato and Kanazawa 2025). What is
left of it is measured after one further duration (half to two thirds: Bucci et al. 2018).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from lit_router.market.batch.market import BatchedMarket, Character
from lit_router.market.batch.recording import FIRST_BID
from lit_router.market.parameters import BookParameters
from rfq.domain.errors import BadInput
from rfq.studies.figures import Figures

if TYPE_CHECKING:
    from rfq.studies.realism_page import Impact

Floats = npt.NDArray[np.float64]

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Sizes of metaorders, of the day's volume."""
DURATIONS_S = (300.0, 1800.0, 7200.0)
SLICE_S = 15.0
DECAY = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
"""When what is left is looked at, in durations after the end."""
OPENED_S, WARM_UP_S = 3600.0, 900.0
RESAMPLES = 1000
EXPONENT, PREFACTOR, LEFT = (0.4, 0.6), (0.3, 1.5), (0.5, 0.8)
"""What the law should be."""


class Size(NamedTuple):
    """`quick` is a rough answer in well under a minute."""

    markets: int = 8200
    durations_s: tuple[float, ...] = DURATIONS_S
    seed: int = 7


QUICK = Size(markets=1000, durations_s=DURATIONS_S[:2])


class Metaorders(NamedTuple):
    """Metaorders of one duration, one a market; arrays [M], `sigmas` [times of DECAY, M].

    `of_volume` is what was executed and `wanted` what should have been, over the day's volume; `sides` 1 buys, -1
    sells. `sigmas` is the move of the mid in the order's direction, in daily volatilities, after so many durations from
    the end.
    """

    duration_s: float
    wanted: Floats
    of_volume: Floats
    sides: npt.NDArray[np.int64]
    sigmas: Floats


class Law(NamedTuple):
    """Of metaorders of one duration: `prefactor * of_volume ** exponent` daily volatilities at the peak, the share
    `left` of it after one further duration, and `asymmetry`, buys less sells relative to their mean."""

    exponent: float
    prefactor: float
    left: float
    asymmetry: float


def metaorders(
    parameters: BookParameters, duration_s: float, markets: int, seed: int, threads: int = 2
) -> Metaorders:
    """Plays `markets` markets with a metaorder in each, sizes and sides in turn, and the same markets without. Those in
    which a side of the book was empty when it was looked at, which is rare, are left out.

    Raises BadInput for a set whose day was not measured, durations that are not whole slices, and too few markets to
    have each size bought and sold.
    """
    if not (parameters.day_lots > 0 and parameters.day_sigma_grids > 0):
        raise BadInput(f"{parameters.name}: day_lots, day_sigma_grids", 0, "must be measured, see `rfq calibrate`")
    slices = round(duration_s / SLICE_S)
    if slices < 1 or abs(slices * SLICE_S - duration_s) > 1e-9:
        raise BadInput("duration_s", duration_s, f"must be whole slices of {SLICE_S:g} s")
    if markets < 2 * len(SHARES):
        raise BadInput("markets", markets, f"must be at least {2 * len(SHARES)}")
    place = np.arange(markets)
    wanted = np.array(SHARES)[place % len(SHARES)]
    sides = np.where(place // len(SHARES) % 2, -1, 1)
    acting, alone = (warmed_markets(parameters, markets, seed, threads) for _ in range(2))
    lots, done = wanted * parameters.day_lots, np.zeros(markets, np.int64)
    steps = round(SLICE_S / acting.step_s)
    for number in range(slices):
        due = np.rint(lots * (number + 1) / slices).astype(np.int64) - done
        ticket = acting.ticket(torch.from_numpy(sides * (due > 0)), torch.from_numpy(np.maximum(due, 1)))
        acting.enter(0, ticket)
        done += np.where(due > 0, acting.state.filled[:, 0].numpy(), 0)
        if number < slices - 1:
            acting.advance(steps)
            alone.advance(steps)
    moves, ahead = [], steps
    for after, until in zip(DECAY, (*DECAY[1:], None), strict=True):
        moves.append(sides * (mid_after(acting, ahead) - mid_after(alone, ahead)))
        ahead = 0 if until is None else round((until - after) * duration_s / acting.step_s)
    sigma = parameters.day_sigma_grids * acting.state.grid.numpy()
    sigmas = np.array(moves) / sigma
    seen = np.isfinite(sigmas).all(axis=0)
    return Metaorders(duration_s, wanted[seen], done[seen] / parameters.day_lots, sides[seen], sigmas[:, seen])


def law_of(orders: Metaorders) -> Law:
    """Least squares on the logarithms of the mean peak and mean executed share of each size."""
    means = np.array([[group.mean(axis=1) for group in of_share] for of_share in _groups(orders)])
    return Law(*(float(value) for value in _fitted(means)))


def intervals(orders: Metaorders, rng: np.random.Generator, resamples: int = RESAMPLES) -> tuple[Law, Law]:
    """Lower and upper ends of 95% bootstrap intervals: markets are drawn anew, as many for each size and side."""

    def resampled(group: Floats) -> Floats:
        return np.array([group[:, rng.integers(group.shape[1], size=group.shape[1])].mean(1) for _ in range(resamples)])

    means = np.array([[resampled(group) for group in of_share] for of_share in _groups(orders)])
    low, high = np.quantile(_fitted(means.transpose(2, 0, 1, 3)), (0.025, 0.975), axis=1)
    return Law(*low.tolist()), Law(*high.tolist())


def _groups(orders: Metaorders) -> list[list[Floats]]:
    """By size, then buys and sells: peak, what is left of it and executed share, [3, markets]."""
    columns = np.array([orders.sigmas[0], orders.sigmas[-1], orders.of_volume])
    return [
        [columns[:, (orders.wanted == share) & (orders.sides == side)] for side in (1, -1)]
        for share in np.unique(orders.wanted)
    ]


def _fitted(means: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The fields of a Law from means by (..., size, side, column of `_groups`)."""
    peaks, ends, volumes = np.moveaxis(means, -1, 0)
    both = np.maximum(peaks.mean(axis=-1), 1e-12)
    x, y = np.log(volumes.mean(axis=-1)), np.log(both)
    about = x - x.mean(axis=-1, keepdims=True)
    exponent = (about * y).sum(axis=-1) / (about**2).sum(axis=-1)
    prefactor = np.exp(y.mean(axis=-1) - exponent * x.mean(axis=-1))
    left = ends.sum(axis=(-2, -1)) / peaks.sum(axis=(-2, -1))
    return exponent, prefactor, left, ((peaks[..., 0] - peaks[..., 1]) / both).mean(axis=-1)


def run(
    parameters: BookParameters,
    size: Size,
    figures: Figures,
    progress: Callable[[str], None] = lambda line: None,
    threads: int = 2,
) -> "Impact":
    """Measures the law for each duration, adds its figures and goals, and returns it for the page: the sizes and the
    fit of all durations together, the decay averaged over them."""
    rng = np.random.default_rng(size.seed)
    measured = []
    for duration_s in size.durations_s:
        minutes = f"{duration_s / 60:g}min"
        progress(f"impact of orders over {duration_s / 60:g} minutes, {size.markets:,} markets")
        orders = metaorders(parameters, duration_s, size.markets, size.seed, threads)
        law, (low, high) = law_of(orders), intervals(orders, rng)
        for share in np.unique(orders.wanted).tolist():
            of_share = orders.wanted == share
            name = f"impact_{minutes}_{share * 100:g}pct"
            figures.add(f"{name}_peak_sigmas", float(orders.sigmas[0, of_share].mean()))
            filled = float(orders.of_volume[of_share].mean() / share)
            if filled < 0.999:
                figures.add(f"{name}_filled_share", filled)
        for field in Law._fields:
            figures.add(f"impact_{minutes}_{field}_low", getattr(low, field))
            figures.add(f"impact_{minutes}_{field}_high", getattr(high, field))
        for field, (least, most) in (("exponent", EXPONENT), ("prefactor", PREFACTOR), ("left", LEFT)):
            figures.goal(f"impact_{minutes}_{field}", getattr(law, field), ">=", least)
            figures.goal(f"impact_{minutes}_{field}", getattr(law, field), "<=", most)
        reach = (high.asymmetry - low.asymmetry) / 2
        figures.goal(f"impact_{minutes}_asymmetry", abs(law.asymmetry), "<=", reach)
        measured.append(orders)
    return _pictured(measured)


def _pictured(measured: Sequence[Metaorders]) -> "Impact":
    from rfq.studies.realism_page import Impact

    shares = np.unique(measured[0].wanted)
    peaks, widths, volumes = [], [], []
    for share in shares:
        chosen = [orders.wanted == share for orders in measured]
        each = np.concatenate([one.sigmas[0, mine] for one, mine in zip(measured, chosen, strict=True)])
        peaks.append(each.mean())
        widths.append(1.96 * each.std() / np.sqrt(len(each)))
        volumes.append(np.mean([one.of_volume[mine].mean() for one, mine in zip(measured, chosen, strict=True)]))
    exponent, level = np.polyfit(np.log(volumes), np.log(peaks), 1)
    left = [orders.sigmas.mean(axis=1) / orders.sigmas[0].mean() for orders in measured]
    return Impact(
        of_volume=np.array(volumes),
        peak_sigmas=np.array(peaks),
        half_widths=np.array(widths),
        exponent=float(exponent),
        prefactor=float(np.exp(level)),
        decay_times=np.array(DECAY),
        decay_shares=np.mean(left, axis=0),
    )


def warmed_markets(parameters: BookParameters, markets: int, seed: int, threads: int) -> BatchedMarket:
    """Markets with all conditions, after a quarter of an hour, an hour and more into the session."""
    character = Character(FIRST_BID, mean_lots=parameters.mean_lots, opened_s=OPENED_S)
    seeds = np.random.SeedSequence(seed).generate_state(markets, np.uint64).tolist()
    made = BatchedMarket(parameters, seeds, characters=character, pool_characters=(), threads=threads)
    made.advance(round(WARM_UP_S / made.step_s))
    return made


def mid_after(market: BatchedMarket, ahead: int) -> Floats:
    """The displayed mid after `ahead` more steps, price units; NaN while a side is empty."""
    if ahead > 1:
        market.advance(ahead - 1)
    mids, _ = market.processor.watch(1)
    return np.where(mids[0] < 0, np.nan, mids[0] / 2)
