"""Estimates the queue-reactive book from a recorded day: rates by level and queue size as count over exposure.

Exposure is weighted with the day's volume curve (a second of a half hour at twice the mean pace counts for two), so
that the rates are those at pace 1, whatever part of the day they are from. The estimate is then the maximum likelihood
one of a Poisson process whose rate is pace x rate(level, size), with standard error sqrt(count) / exposure. A cell has
exposure, and its events count, only while it lies wholly within the recorded depth.
Method: Huang, Lehalle, Rosenbaum (JASA 2015), section 2.3, with both sides pooled.
"""

from datetime import timedelta

import numpy as np

from lit_router.market import event_sizes
from lit_router.market.cells import ASKS, BIDS, Cells, Events, Grid, cells_of, events_of
from lit_router.market.lobster import EXECUTION, HIDDEN_EXECUTION, NEW_YORK, PRICE_UNIT, TICK, Recording
from lit_router.market.nbbo import TickDay
from lit_router.market.parameters import LARGEST, BookParameters, Evidence, Floats, SizeLaw
from lit_router.market.pooled_rates import NAMES, Bins, Rates, rounded
from lit_router.market.stream import CANCEL, LIMIT, MARKET
from rfq.domain.errors import BadInput

BINS = Bins((0, 1, 2, 3, 4, 6, 9, 14, 21))
LEVELS = 10
THIN_QUEUE = 3
SPREAD_CELLS = 5
"""The grid is chosen so that the median spread spans about this many cells."""
LEAST_VIEW = 0.1
"""A level that lies within the recorded depth for less of the time is not calibrated: it is seen in odd books only."""


def calibrate(
    recording: Recording,
    *,
    name: str,
    begins_s: float = 0.0,
    until_s: float = 11_700.0,
    grid_ticks: int | None = None,
    levels: int = LEVELS,
    follow: int | None = None,
) -> BookParameters:
    """One set from the part of the recording between two times, seconds after its begin.

    `grid_ticks` None: a fifth of the median spread; `follow` None: half of the median spread, so that the reference
    stays near its middle. The volume curve is from the whole recording. Raises BadInput for arguments that are not
    possible, a part with no events in it, and a recording that does not show as much depth as the levels need.
    """
    if not 0 <= begins_s < until_s <= recording.ends_s:
        raise BadInput("from, until", (begins_s, until_s), f"must be in order, within 0 to {recording.ends_s:g} s")
    grid = _grid(recording, grid_ticks, levels, follow)
    whole = events_of(recording)
    times_s = recording.times_s[whole.done]
    chosen = (times_s >= begins_s) & (times_s < until_s) & (whole.before >= 0)
    if not chosen.any():
        raise BadInput("from, until", (begins_s, until_s), "must hold events")
    curve = event_sizes.volume_curve(times_s, recording.ends_s)
    burst, burst_s = event_sizes.bursts(times_s, begins_s, until_s)
    events = whole.only(chosen)
    mean_lots = max(1, round(float(events.lots.mean())))
    cells = cells_of(recording, whole, grid)
    queues = np.minimum(-(-cells.lots // mean_lots), LARGEST)
    seconds = _seconds(recording, cells, curve, begins_s, until_s)
    by_size = _time_by_size(queues, seconds)
    in_view = by_size.sum(axis=1) / max(1e-9, seconds.max(axis=2).sum())
    if in_view.min() < LEAST_VIEW:
        where, share = int(np.argmin(in_view)), in_view.min()
        raise BadInput("levels", levels, f"must be within the recorded depth: level {where} is in {share:.0%} of time")
    exposures = _exposures(queues, seconds, cells)
    counts = _counts(events, queues, cells)
    rates = Rates(BINS, counts, exposures)
    sizes = _sizes(events, queues, cells, mean_lots)
    return BookParameters(
        name=name,
        source=_source(recording, begins_s, until_s),
        tick=str((PRICE_UNIT * TICK).normalize()),
        grid_ticks=grid.ticks,
        mean_lots=mean_lots,
        queue_sizes=BINS.points(by_size.sum(axis=0)),
        limit=rates.rates[LIMIT],
        cancel=rates.rates[CANCEL],
        market=rates.rates[MARKET],
        occupancy=rounded(by_size / by_size.sum(axis=1, keepdims=True)),
        follow=grid.follow,
        theta=1.0,
        theta_reinit=0.0,
        limit_sizes=sizes[LIMIT],
        cancel_sizes=sizes[CANCEL],
        market_sizes=sizes[MARKET],
        thin_queue=THIN_QUEUE,
        volume_curve=curve,
        burst=burst,
        burst_s=burst_s,
        gaps_s=event_sizes.gaps(times_s[chosen]),
        hidden_share=_hidden_share(recording, begins_s, until_s),
        evidence=Evidence(
            limit_counts=rounded(counts[LIMIT]),
            cancel_counts=rounded(counts[CANCEL]),
            market_counts=rounded(counts[MARKET]),
            exposure_s=rounded(exposures[LIMIT]),
            limit_errors=rates.errors[LIMIT],
            cancel_errors=rates.errors[CANCEL],
            market_errors=rates.errors[MARKET],
            thin=rates.thin,
            market_exposure_s=rounded(exposures[MARKET]),
            spread_law=_spread_law(cells, seconds),
        ),
    )


def seconds_at(day: Recording | TickDay, argument: str, clock: str) -> float:
    """HH:MM in New York as seconds after the begin of a recorded day. Raises BadInput naming the argument."""
    hours, _, minutes = clock.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise BadInput(argument, clock, "must be HH:MM")
    begin = day.begins_at.astimezone(NEW_YORK)
    end = begin + timedelta(seconds=day.ends_s)
    seconds = 3600.0 * (int(hours) - begin.hour) + 60.0 * (int(minutes) - begin.minute) - begin.second
    if not 0 <= seconds <= day.ends_s:
        raise BadInput(argument, clock, f"must be from {begin:%H:%M} to {end:%H:%M}")
    return seconds


def window(day: Recording | TickDay, begins_s: float, until_s: float) -> str:
    """A part of a recorded day in words."""
    begin, end = (day.begins_at.astimezone(NEW_YORK) + timedelta(seconds=at) for at in (begins_s, until_s))
    return f"{day.symbol}, {begin:%Y-%m-%d %H:%M} to {end:%H:%M}"


def _grid(recording: Recording, ticks: int | None, levels: int, follow: int | None) -> Grid:
    if levels < 2:
        raise BadInput("levels", levels, "must be at least 2")
    if ticks is not None and ticks < 1:
        raise BadInput("grid_ticks", ticks, "must be at least 1")
    if follow is not None and not 1 <= follow < levels:
        raise BadInput("follow", follow, f"must be at least 1 and below {levels} levels")
    both = (recording.asks[:, 0, 1] > 0) & (recording.bids[:, 0, 1] > 0)
    lasts = np.diff(recording.times_s, append=recording.ends_s)[both]
    if not lasts.sum() > 0:
        raise BadInput(recording.symbol, "the book", "must have bids and asks at some time")
    spreads = (recording.asks[both, 0, 0] - recording.bids[both, 0, 0]) / TICK
    order = np.argsort(spreads)
    passed = np.cumsum(lasts[order])
    median = float(spreads[order][np.searchsorted(passed, passed[-1] / 2)])
    ticks = ticks or max(1, round(median / SPREAD_CELLS))
    return Grid(ticks, levels, follow or min(levels - 1, max(1, round(median / ticks) // 2)))


def _seconds(
    recording: Recording, cells: Cells, curve: tuple[float, ...], begins_s: float, until_s: float
) -> Floats:
    """Seconds at pace 1 for which each cell stood as after each row, of those between the two times in which it was
    seen whole and there was a market; shape (rows, 2, levels)."""
    until = np.append(recording.times_s[1:], recording.ends_s)
    begin, end = (
        event_sizes.paced(np.clip(at, begins_s, until_s), curve, recording.ends_s) for at in (recording.times_s, until)
    )
    lasts = np.where(cells.still, 0.0, end - begin)
    return np.where(cells.seen, lasts[:, None, None], 0.0)


def _time_by_size(queues: np.ndarray, seconds: Floats) -> Floats:
    levels = range(queues.shape[2])
    return np.array([_sums(queues[..., level], LARGEST + 1, seconds[..., level]) for level in levels])


def _exposures(queues: np.ndarray, seconds: Floats, cells: Cells) -> dict[int, Floats]:
    """By kind, the exposure of each (level, bin). To market orders a cell is exposed while it is the best."""
    levels = cells.grid.levels
    places = np.arange(levels) * len(BINS) + BINS.of(queues)
    at_best = np.where(np.arange(levels) == cells.best[..., None], seconds, 0.0)
    anywhere, best = (_sums(places, levels * len(BINS), time).reshape(levels, -1) for time in (seconds, at_best))
    return {LIMIT: anywhere, CANCEL: anywhere, MARKET: best}


def _counts(events: Events, queues: np.ndarray, cells: Cells) -> dict[int, Floats]:
    """By kind, the events on each (level, bin)."""
    levels = cells.grid.levels
    row, side, cell = events.before, np.where(events.buys, BIDS, ASKS), cells.hit(events)
    inside = cell < levels
    cell = np.minimum(cell, levels - 1)
    inside &= cells.seen[row, side, cell] & ~cells.still[row]
    places = cell * len(BINS) + BINS.of(queues[row, side, cell])
    whole = levels * len(BINS)
    return {kind: _sums(places[inside & (events.kinds == kind)], whole).reshape(levels, -1) for kind in NAMES}


def _sizes(events: Events, queues: np.ndarray, cells: Cells, mean_lots: int) -> dict[int, SizeLaw | None]:
    """Size laws by kind. A cancel that left a thin queue empty counts as large as a thin queue can be.

    Most cancels take away whole orders. Were their sizes drawn without regard to what is there, scraps would stay
    behind, queues would empty too rarely and the spread would be too narrow.
    """
    row, side = events.before, np.where(events.buys, BIDS, ASKS)
    cell = np.minimum(cells.hit(events), cells.grid.levels - 1)
    thin = queues[row, side, cell] <= THIN_QUEUE
    emptied = thin & (events.kinds == CANCEL) & (events.lots >= cells.lots[row, side, cell])
    multiples = np.where(emptied, float(THIN_QUEUE), events.lots / mean_lots)
    by_kind = {kind: events.kinds == kind for kind in NAMES}
    return {kind: event_sizes.size_law(multiples[mine], thin[mine]) for kind, mine in by_kind.items()}


def _sums(places: np.ndarray, length: int, weights: Floats | None = None) -> Floats:
    return np.bincount(places.ravel(), None if weights is None else weights.ravel(), length).astype(float)


def _spread_law(cells: Cells, seconds: Floats) -> tuple[float, ...]:
    """Share of time by cells from best to best, of the time in which both best cells were within the ladder."""
    within = (cells.best < cells.grid.levels).all(axis=1)
    law = _sums(cells.best.sum(axis=1)[within] + 1, 2, seconds.max(axis=(1, 2))[within])
    return rounded([law / law.sum()])[0]


def _hidden_share(recording: Recording, begins_s: float, until_s: float) -> float:
    inside = (recording.times_s >= begins_s) & (recording.times_s < until_s)
    displayed, hidden = (
        recording.sizes[inside & (recording.kinds == kind)].sum() for kind in (EXECUTION, HIDDEN_EXECUTION)
    )
    return float(f"{hidden / max(1, displayed + hidden):.4g}")


def _source(recording: Recording, begins_s: float, until_s: float) -> str:
    return (
        f"LOBSTER recording of {window(recording, begins_s, until_s)}: rates at pace 1, sizes, occupancy, bursts, "
        "gaps, hidden share. Volume curve: counts of displayed events of the whole day. Sizes of cancels that emptied "
        "a thin queue are set to a whole thin queue. Grid: a fifth of the median spread, and follow half of it, unless "
        "chosen. Theta 1 and theta_reinit 0 by construction."
    )
