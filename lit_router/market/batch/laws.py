"""What may happen to one queue within one step, tabulated once for each parameter set.

While the reference price stands still, a queue of the queue-reactive model is a birth-death chain of its own. So a step
need not be leapt over with frozen rates: the joint law of (arrivals, cancels) over the whole step is worked out exactly
for every level, size, pace and strain, and drawing from it is one look-up. Market orders, which are few, are drawn
before it.

Logarithms are kept as whole numbers, OCTAVE to a factor of two: sums of them are exact, so that a step gives the same
result on every device.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import poisson

from lit_router.market.batch import alias
from lit_router.market.batch.compilation import compiled
from lit_router.market.batch.strain import CANCEL_EXPONENT, LIMIT_EXPONENT, STRAINS
from lit_router.market.parameters import LARGEST, QUANTILES, BookParameters, Floats, SizeLaw

OCTAVE = 256
HALF_OCTAVE = OCTAVE // 2
PACE_REACH = 5
"""Paces are tabulated from 2^-PACE_REACH to 2^PACE_REACH, in half octaves."""
PACES = 4 * PACE_REACH + 1
LEAST_ARRIVALS, MOST_ARRIVALS = -12, 4
"""Expected market orders a step are tabulated between two to the power of these."""
COUNTS = 2 * (MOST_ARRIVALS - LEAST_ARRIVALS) + 1
COLUMNS, COUNT_COLUMNS = 64, 32
NEVER = -(1 << 20)
"""The logarithm of a rate of zero."""
SIZE_UNIT = 256
MOST = 16
"""Arrivals and cancels in one cell and step are told apart up to one less than this."""


class Laws(NamedTuple):
    """Tables of one parameter set, as flat int32 tensors on one device."""

    arrivals: torch.Tensor
    """Entries by (strain, pace, level, queue size, column): arrivals << 4 | cancels."""
    counts: torch.Tensor
    """Entries by (expected market orders, column): how many."""
    market_logs: torch.Tensor
    """Logarithm of the expected market orders a step at pace 1, by (level, queue size)."""
    fresh: torch.Tensor
    """Entries by (level, column): the size of a redrawn queue, in average events."""
    sizes: torch.Tensor
    """Size of an event in SIZE_UNITs of the average, by (limit thin, thick, cancel thin, thick, market thin, thick;
    class)."""
    between: torch.Tensor
    """By the fraction of a half octave: chance in 256 of the pace above, so that the mean pace is exact."""


@lru_cache(maxsize=8)
def laws_of(parameters: BookParameters, step_s: float, device: torch.device) -> Laws:
    """The tables for steps of `step_s` seconds."""
    limit, cancel, market = map(parameters.by_size, (parameters.limit, parameters.cancel, parameters.market))
    paces = 2.0 ** (np.arange(PACES) / 2 - PACE_REACH)
    entries = []
    for strain in STRAINS:
        strained = np.array(LIMIT_EXPONENT + (0.0,) * limit.shape[0])[: limit.shape[0], None] * strain
        eased = np.array(CANCEL_EXPONENT + (0.0,) * limit.shape[0])[: limit.shape[0], None] * strain
        entries += [_entries(limit * 2.0**-strained, cancel * 2.0**eased, pace * step_s, parameters) for pace in paces]
    expected = 2.0 ** np.linspace(LEAST_ARRIVALS, MOST_ARRIVALS, COUNTS)
    many = np.arange(COUNT_COLUMNS)
    counts = poisson.pmf(many, expected[:, None])
    counts[:, -1] += poisson.sf(COUNT_COLUMNS - 1, expected)
    with np.errstate(divide="ignore"):
        logs = np.where(market > 0, np.rint(np.log2(market * step_s) * OCTAVE), NEVER)
    parts = np.arange(HALF_OCTAVE) / OCTAVE
    between = np.rint(256 * (2.0**parts - 1) / (2.0**0.5 - 1))
    laws = (parameters.limit_sizes, parameters.cancel_sizes, parameters.market_sizes)
    sizes = np.array([row for law in laws for row in (_classes(law))])

    def table(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values.reshape(-1), dtype=torch.int32, device=device)

    return Laws(
        table(np.concatenate(entries)),
        table(alias.packed(counts, many)),
        table(logs),
        table(alias.packed(parameters.laws(), np.arange(LARGEST + 1))),
        table(sizes),
        table(between),
    )


def _classes(law: SizeLaw | None) -> list[list[float]]:
    if law is None:
        return [[SIZE_UNIT] * QUANTILES] * 2
    return [[max(1, round(multiple * SIZE_UNIT)) for multiple in row] for row in (law.thin, law.thick)]


def _entries(limit: Floats, cancel: Floats, pace_s: float, parameters: BookParameters) -> np.ndarray:
    """Alias entries of (arrivals, cancels) over a step, one row for each level and queue size."""
    # The first queue, once it emptied or came to be, stays so until the step ends: the reference price must get its
    # chance to follow.
    stops = np.zeros(len(limit), np.bool_)
    stops[0] = parameters.follow == 1
    joint = _joint(limit * pace_s, cancel * pace_s, stops)
    rows = joint.reshape(-1, MOST * MOST)
    likely = np.argsort(-rows, axis=1, kind="stable")[:, :COLUMNS]
    return alias.packed(np.take_along_axis(rows, likely, axis=1), likely)


@compiled
def _joint(limit: np.ndarray, cancel: np.ndarray, stops: np.ndarray) -> np.ndarray:  # pragma: no cover (compiled)
    """P(arrivals, cancels) from each (level, size) by uniformisation; rates are expected events a step."""
    levels, sizes = limit.shape
    joint = np.zeros((levels, sizes, MOST, MOST))
    for level in range(levels):
        top = limit[level].max() + cancel[level].max()
        for size in range(sizes):
            now = np.zeros((MOST, MOST))
            now[0, 0] = 1.0
            weight, left, jump = np.exp(-top), 1.0, 0
            while left > 1e-12 and jump < 400:
                joint[level, size] += weight * now
                left -= weight
                jump += 1
                weight *= top / jump
                after = np.zeros((MOST, MOST))
                for came in range(MOST):
                    for went in range(MOST):
                        mass = now[came, went]
                        if mass == 0.0:
                            continue
                        there = min(size + came - went, sizes - 1)
                        up = limit[level, there] / top if came < MOST - 1 else 0.0
                        down = cancel[level, there] / top if went < MOST - 1 and there > 0 else 0.0
                        if stops[level] and (there == 0) != (size == 0):
                            up = down = 0.0
                        after[came, went] += mass * (1.0 - up - down)
                        if up > 0.0:
                            after[came + 1, went] += mass * up
                        if down > 0.0:
                            after[came, went + 1] += mass * down
                now = after
    return joint
