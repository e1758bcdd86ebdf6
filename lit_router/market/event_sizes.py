"""How large events are and how they cluster in time: the laws beside the rates, measured from a list of events.

Laws are given as means of equiprobable classes, QUANTILES of them, so that a draw is a look-up and the mean is kept.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import curve_fit

from lit_router.market.parameters import QUANTILES, Floats, SizeLaw
from rfq.domain.errors import BadInput

HALF_HOUR_S = 1800.0
MINUTE_S = 60
GAP_S = 0.25
"""Events closer than this belong to one burst."""
LAGS_S = 10
"""The autocorrelation of the pace is fitted up to this lag."""
SHORTEST_BURST_S, LONGEST_BURST_S = 0.25, 30.0
FEWEST = 2 * QUANTILES
"""A law of fewer observations than this is not worth its classes."""


def classes(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Means of QUANTILES equiprobable classes, smallest first; their mean is that of `values`.

    An observation on the border of two classes counts in both, in part. Raises BadInput if there is none.
    """
    if not len(values):
        raise BadInput("values", 0, "must not be empty")
    mass = np.concatenate([[0.0], np.cumsum(np.sort(values))])
    at_borders = np.interp(np.linspace(0, len(values), QUANTILES + 1), np.arange(len(values) + 1), mass)
    means = np.diff(at_borders) * QUANTILES / len(values)
    return tuple(float(f"{mean:.5g}") for mean in means)


def size_law(multiples: Floats, thin: npt.NDArray[np.bool_]) -> SizeLaw | None:
    """Sizes of one kind of event, as multiples of the average, where the queue was `thin` and elsewhere.

    Where one of both has too few events, both share one law; None if there are too few in all.
    """
    if len(multiples) < FEWEST:
        return None
    few = min(thin.sum(), (~thin).sum()) < FEWEST
    parts = (multiples, multiples) if few else (multiples[thin], multiples[~thin])
    return SizeLaw(thin=classes(parts[0]), thick=classes(parts[1]))


def volume_curve(times_s: Floats, ends_s: float) -> tuple[float, ...]:
    """Pace of events by half hour of the session, mean 1, from their times (seconds after the open).

    Raises BadInput if nothing at all happened in one of them.
    """
    halves = max(1, round(ends_s / HALF_HOUR_S))
    which = np.minimum((times_s / ends_s * halves).astype(np.int64), halves - 1)
    counts = np.bincount(which, minlength=halves)
    if counts.min() <= 0:
        raise BadInput("half hour", int(np.argmin(counts)) + 1, "must have events, as every part of the session")
    return tuple(float(f"{pace:.5g}") for pace in counts / counts.mean())


def paced(times_s: Floats, curve: Sequence[float], ends_s: float) -> Floats:
    """Seconds at pace 1 from the open to each time: those of a half hour at twice the mean pace count for two."""
    borders = np.linspace(0.0, ends_s, len(curve) + 1)
    passed = np.concatenate([[0.0], np.cumsum(np.array(curve) * np.diff(borders))])
    return np.interp(times_s, borders, passed)


def bursts(times_s: Floats, begins_s: float, until_s: float) -> tuple[tuple[float, ...], float]:
    """Classes of (events in a second) / (mean events a second of its minute), and the seconds that a class lasts.

    The latter is the decay time of the ratio's autocorrelation within minutes: A exp(-lag / burst_s) - C fitted by
    least squares over lags of 1 to LAGS_S seconds. A is left free because what is white within a second is no lasting
    pace, and C because deviations from the mean of one's own minute are correlated below their true value. Only
    whole minutes with an event count. Raises BadInput if there is no such minute.
    """
    minutes = int((until_s - begins_s) // MINUTE_S)
    inside = times_s[(times_s >= begins_s) & (times_s < begins_s + minutes * MINUTE_S)] - begins_s
    counts = np.bincount(inside.astype(np.int64), minlength=minutes * MINUTE_S).reshape(minutes, MINUTE_S)
    counts = counts[counts.sum(axis=1) > 0]
    if not len(counts):
        raise BadInput("from, until", (begins_s, until_s), "must hold a whole minute with events")
    ratio = counts / counts.mean(axis=1, keepdims=True)
    return classes(ratio.ravel()), _decay_s(ratio - 1.0)


def _decay_s(deviations: Floats) -> float:
    lags = np.arange(1, LAGS_S + 1)
    variance = np.mean(deviations**2)
    if variance == 0:
        return 1.0
    decay = np.array([np.mean(deviations[:, lag:] * deviations[:, :-lag]) for lag in lags]) / variance
    (_, decay_s, _), _ = curve_fit(
        lambda lag, height, decay_s, below: height * np.exp(-lag / decay_s) - below,
        lags,
        decay,
        p0=(0.5, 1.0, 0.0),
        bounds=((0.0, SHORTEST_BURST_S, 0.0), (10.0, LONGEST_BURST_S, 1.0)),
    )
    return float(f"{decay_s:.4g}")


def gaps(times_s: Floats) -> tuple[float, ...]:
    """Classes of the seconds between successive events, of those below GAP_S; empty if there are too few."""
    between = np.diff(times_s)
    short = between[between < GAP_S]
    return classes(short) if len(short) >= FEWEST else ()
