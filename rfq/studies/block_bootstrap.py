"""What a series of dependent values says of its mean: a bootstrap of blocks, because windows that overlap, and moments
that follow each other, are not independent."""

from collections.abc import Sequence

import numpy as np

from rfq.studies.spread_over import INTERVAL, RESAMPLES, Array


def interval_by_blocks(series: Sequence[Array], block: int) -> tuple[float, float, float]:
    """Mean over all values with its 95% interval. Each series is in the order of time and stands for itself;
    within one, `block` successive values are drawn together, the first following the last (Politis, Romano 1992)."""
    g, sums = np.random.default_rng(0), np.zeros(RESAMPLES)
    for values in series:
        count = len(values)
        length = min(block, count)
        firsts = g.integers(count, size=(RESAMPLES, -(-count // length)))
        places = (firsts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :count] % count
        sums += values[places].sum(1)
    total = sum(map(len, series))
    low, high = np.quantile(sums / total, INTERVAL)
    return float(sum(values.sum() for values in series) / total), float(low), float(high)
