"""The queue-reactive book stepped exactly, event by event (Gillespie 1977): what the batched market is tested against.

One market at a time, compiled. Every queue's limit orders and cancels come at the rates of its level and present size,
market orders at the rates of the best queue, which they may walk beyond; when the mid moves, the reference price gets
its chance to follow at once. Pace, strain and tilt are constant here. The batched market plays the same in steps of a
quarter of a second; nothing but the parameter set and the exponents of `strain` is shared between the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lit_router.market.batch.rules import CancelAssumption
from lit_router.market.batch.strain import CANCEL_EXPONENT, LIMIT_EXPONENT
from lit_router.market.exact_events import Book, play
from lit_router.market.parameters import QUANTILES, BookParameters, Floats, SizeLaw
from rfq.domain.errors import BadInput


class Resting(NamedTuple):
    """A participant's order. At every sample it joins the back of its side's best queue anew; what was left of the one
    before is gone."""

    buys: bool
    lots: int


class Stepped(NamedTuple):
    """What happened in M markets over N intervals between samples."""

    spread_cells: Floats
    """[M]: mean over time of the distance between best bid and ask; a side that is empty ends just out of view."""
    changes_cells: Floats
    """[M, N]: changes of the mid from sample to sample."""
    lots: npt.NDArray[np.int64]
    """[M]: of market orders that found a queue to hit."""
    events: npt.NDArray[np.int64]
    """[M]: limit orders, cancels and market orders."""
    filled_s: Floats
    """[M, N, orders]: seconds until an order had been filled whole, infinite if it was not."""


def stepped(
    parameters: BookParameters,
    seeds: Sequence[int],
    samples: int,
    *,
    sample_s: float = 60.0,
    mean_lots: int = 1,
    pace: float = 1.0,
    strains: tuple[float, float] = (0.0, 0.0),
    tilt: float = 0.0,
    orders: Sequence[Resting] = (),
    cancels: CancelAssumption = CancelAssumption.RANDOM,
) -> Stepped:
    """Plays one market for each seed, each for `samples` times `sample_s` seconds.

    `pace` multiplies every rate; `strains` of bids and asks are those of `strain`; `tilt` multiplies market orders that
    buy by 2^tilt and those that sell by 2^-tilt. `mean_lots` is the average event, in lots. `orders` rest in every
    market, and the anonymous book does not react to them; `cancels` is where it is cancelled relative to them. Raises
    BadInput for numbers of which there is no such market.
    """
    for field, value in (("samples", samples), ("sample_s", sample_s), ("mean_lots", mean_lots), ("pace", pace)):
        if not value > 0:
            raise BadInput(field, value, "must be positive")
    if any(order.lots < 1 for order in orders):
        raise BadInput("orders", min(order.lots for order in orders), "must be of at least one lot")
    sizes, book = _sizes(parameters, mean_lots), _book(parameters, mean_lots, pace, strains, tilt)
    own = np.array([(order.buys, order.lots, 0, 0, 0) for order in orders], np.int64) if orders else None
    markets = len(seeds)
    mids, filled = np.zeros((markets, samples + 1)), np.full((markets, samples, len(orders)), np.inf)
    spreads, lots, events = np.zeros(markets), np.zeros(markets, np.int64), np.zeros(markets, np.int64)
    for m, seed in enumerate(seeds):
        key = np.random.SeedSequence(int(seed)).generate_state(1, np.uint64)[0]
        spreads[m], lots[m], events[m] = play(key, book, sample_s, mids[m], sizes, own, int(cancels), filled[m])
    return Stepped(spreads, np.diff(mids, axis=1), lots, events, filled)


def _book(
    parameters: BookParameters, mean_lots: int, pace: float, strains: tuple[float, float], tilt: float
) -> Book:
    p = parameters
    limit, cancel, market = (pace * p.by_size(rates) for rates in (p.limit, p.cancel, p.market))

    def strained(rates: Floats, exponents: tuple[float, ...], strain: float) -> Floats:
        by_level = np.zeros(len(rates))
        by_level[: len(exponents)] = exponents[: len(rates)]
        return rates * 2.0 ** (by_level * strain)[:, None]

    def ladder(bids: Floats, asks: Floats) -> Floats:
        return np.ascontiguousarray(np.concatenate([bids[::-1], asks]))

    limits = ladder(*(strained(limit, LIMIT_EXPONENT, -strain) for strain in strains))
    both = limits + ladder(*(strained(cancel, CANCEL_EXPONENT, strain) for strain in strains))
    law = p.laws().cumsum(axis=1)
    law[:, -1] = 1.0
    markets = ladder(market * 2.0**-tilt, market * 2.0**tilt)
    fresh = ladder(law, law)
    bids, asks = (min(1.0, max(0.0, strain / 2)) for strain in strains)
    return Book(
        limits, both, markets, fresh, p.follow, p.theta, p.theta_reinit, bids, asks, mean_lots, p.thin_queue
    )


def _sizes(parameters: BookParameters, mean_lots: int) -> npt.NDArray[np.int64] | None:
    """Lots of an event by (limit thin, thick, cancel thin, thick, market thin, thick; class); None: all alike."""
    p, alike = parameters, SizeLaw(thin=(1.0,) * QUANTILES, thick=(1.0,) * QUANTILES)
    laws = (p.limit_sizes, p.cancel_sizes, p.market_sizes)
    if laws == (None, None, None):
        return None
    rows = [row for law in laws for row in ((law or alike).thin, (law or alike).thick)]
    return np.maximum(1, np.rint(np.array(rows) * mean_lots)).astype(np.int64)
