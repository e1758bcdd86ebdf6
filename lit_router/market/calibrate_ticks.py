"""What a day of best bids and offers (NBBO) and trades says about a large-tick book: the top of it, and the pace.

Of the depth below it says nothing, so the rates of a set from ticks are the published ones of Huang, Lehalle and
Rosenbaum; what was measured at the best queue stands beside them as evidence.
"""

from typing import NamedTuple

import numpy as np

from lit_router.market import event_sizes, published
from lit_router.market.calibration import window
from lit_router.market.lobster import PRICE_UNIT, TICK
from lit_router.market.nbbo import TickDay
from lit_router.market.parameters import LARGEST, BookParameters, ByLevel, Evidence, Floats
from lit_router.market.pooled_rates import Bins, Rates, rounded
from lit_router.market.stream import CANCEL, LIMIT, MARKET
from rfq.domain.errors import BadInput

BINS = Bins((0, 1, 3, 8, 15, 35))
"""One bin of queue sizes for each published point."""
LEVELS = 5
WIDEST = 5
"""The spread law ends with this many ticks or more."""


class TopOfBook(NamedTuple):
    """A set on published rates, and the rates measured at the best queue, by kind: one level."""

    parameters: BookParameters
    measured: dict[int, ByLevel]


def calibrate(day: TickDay, *, name: str, begins_s: float = 0.0, until_s: float = 11_700.0) -> TopOfBook:
    """From the part of the day between two times, seconds after the open; the volume curve is from all of it.

    An increase of a best queue at an unchanged price is a limit order; a decrease, or the loss of the price, is a
    cancel or a trade. Ordinary exchange prints of one millisecond at the best price of one side are one market order,
    and cancels are the decreases in excess of market orders. While the market is crossed or locked nothing counts.
    Raises BadInput for times that are not possible or a part without quotes.
    """
    if not 0 <= begins_s < until_s <= day.ends_s:
        raise BadInput("from, until", (begins_s, until_s), f"must be in order, within 0 to {day.ends_s:g} s")
    curve = event_sizes.volume_curve(day.trade_times_s[day.ordinary], day.ends_s)
    burst, burst_s = event_sizes.bursts(day.quote_times_s, begins_s, until_s)
    inside = (day.quote_times_s[1:] >= begins_s) & (day.quote_times_s[1:] < until_s)
    inside &= ~(day.crossed[1:] | day.crossed[:-1])
    sides = [(day.bids, day.bid_lots), (-day.asks, day.ask_lots)]
    changes = [np.where(np.diff(prices) == 0, np.diff(lots), 0)[inside] for prices, lots in sides]
    sizes = np.abs(np.concatenate(changes))
    if not sizes.any():
        raise BadInput("from, until", (begins_s, until_s), "must hold changes of the best queues")
    mean_lots = max(1, round(float(sizes[sizes > 0].mean())))
    until = np.append(day.quote_times_s[1:], day.ends_s)
    stood, ended = (
        event_sizes.paced(np.clip(at, begins_s, until_s), curve, day.ends_s) for at in (day.quote_times_s, until)
    )
    lasts = np.where(day.crossed, 0.0, ended - stood)
    limit, decreases, market, exposure = (np.zeros(len(BINS)) for _ in range(4))
    for (prices, lots), facing, change in zip(sides, (day.asks, day.bids), changes, strict=True):
        bins = BINS.of(np.minimum(-(-lots // mean_lots), LARGEST))
        before = bins[:-1][inside]
        gone = np.diff(prices)[inside] < 0
        exposure += np.bincount(bins, lasts * (facing > 0), len(BINS))
        limit += np.bincount(before[change > 0], minlength=len(BINS))
        decreases += np.bincount(before[(change < 0) | gone], minlength=len(BINS))
        market += np.bincount(bins[_market_orders(day, np.abs(prices), begins_s, until_s)], minlength=len(BINS))
    counts = {LIMIT: limit[None], CANCEL: np.maximum(decreases - market, 0.0)[None], MARKET: market[None]}
    found = Rates(BINS, counts, dict.fromkeys(counts, exposure[None]))
    parameters = BookParameters(
        name=name,
        source=(
            "Rates, theta and theta_reinit: Huang, Lehalle, Rosenbaum (JASA 2015), model I, France Telecom; levels 4 "
            f"and 5 take the third's. NBBO and trades of {window(day, begins_s, until_s)}: mean_lots, bursts, share "
            "off exchange, and the evidence (best queue only, beside the published rates). Volume curve: trade prints "
            "of the whole day."
        ),
        tick=str((PRICE_UNIT * TICK).normalize()),
        grid_ticks=1,
        mean_lots=mean_lots,
        queue_sizes=tuple(map(float, published.SIZES)),
        limit=_published(published.LIMIT),
        cancel=_published(published.CANCEL),
        market=_published(published.MARKET),
        theta=published.THETA,
        theta_reinit=published.THETA_REINIT,
        volume_curve=curve,
        burst=burst,
        burst_s=burst_s,
        hidden_share=_off_exchange(day, begins_s, until_s),
        evidence=Evidence(
            limit_counts=rounded(counts[LIMIT]),
            cancel_counts=rounded(counts[CANCEL]),
            market_counts=rounded(counts[MARKET]),
            exposure_s=rounded(exposure[None]),
            limit_errors=found.errors[LIMIT],
            cancel_errors=found.errors[CANCEL],
            market_errors=found.errors[MARKET],
            thin=found.thin,
            market_exposure_s=rounded(exposure[None]),
            spread_law=_spread_law(day, ended - stood),
        ),
    )
    return TopOfBook(parameters, found.rates)


def _market_orders(day: TickDay, prices: np.ndarray, begins_s: float, until_s: float) -> np.ndarray:
    """The row of quotes before each market order on one side, whose best prices these are."""
    times = day.trade_times_s
    rows = np.searchsorted(day.quote_times_s, times, side="left") - 1
    taken = day.ordinary & ~day.off_exchange & (times >= begins_s) & (times < until_s) & (rows >= 0)
    taken &= ~day.crossed[rows] & (day.trade_prices == prices[rows])
    _, first = np.unique(times[taken], return_index=True)
    return rows[taken][first]


def _off_exchange(day: TickDay, begins_s: float, until_s: float) -> float:
    lots = np.where((day.trade_times_s >= begins_s) & (day.trade_times_s < until_s), day.trade_lots, 0)
    return float(f"{lots[day.off_exchange].sum() / max(1, lots.sum()):.4g}")


def _spread_law(day: TickDay, lasts: Floats) -> tuple[float, ...]:
    both = (day.bids > 0) & (day.asks > 0)
    ticks = np.clip((day.asks - day.bids) // TICK, 0, WIDEST)
    law = np.bincount(ticks[both], lasts[both], WIDEST + 1)
    return rounded([law / law.sum()])[0]


def _published(by_level: tuple[tuple[float, ...], ...]) -> ByLevel:
    return tuple(tuple(map(float, by_level[min(level, len(by_level) - 1)])) for level in range(LEVELS))
