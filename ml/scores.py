"""Held-out measures, in plain numpy: all are means, lower is better except AUC and rank correlation."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def ranks(values: ArrayLike) -> Array:
    """Ranks from 1, ties sharing their mean rank."""
    found = np.asarray(values, dtype=np.float64)
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]


def auc(happened: ArrayLike, probability: ArrayLike) -> float:
    """Area under the ROC curve; .5 when only one class is present."""
    hit = np.asarray(happened, dtype=bool)
    hits, misses = int(hit.sum()), int((~hit).sum())
    if not hits or not misses:
        return 0.5
    return float((ranks(probability)[hit].sum() - hits * (hits + 1) / 2) / (hits * misses))


def brier(happened: ArrayLike, probability: ArrayLike) -> float:
    gap = np.asarray(probability, dtype=np.float64) - np.asarray(happened, dtype=np.float64)
    return float(np.mean(gap**2))


def log_loss(happened: ArrayLike, probability: ArrayLike) -> float:
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1 - 1e-12)
    return float(-np.mean(np.log(np.where(np.asarray(happened, dtype=bool), p, 1 - p))))


def calibration_error(happened: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: the gap between mean probability and frequency in bins of equal width of [0, 1],
    weighted by rows (Naeini et al. 2015)."""
    p, hit = np.asarray(probability, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = np.bincount(place, p - hit, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


def pinball(actual: ArrayLike, quantiles: ArrayLike, levels: ArrayLike, weights: ArrayLike = 1.0) -> float:
    """Mean pinball loss over rows and levels; `quantiles` has shape (rows, levels) or (levels,)."""
    gap = np.asarray(actual, dtype=np.float64)[:, None] - np.asarray(quantiles, dtype=np.float64)
    level = np.asarray(levels, dtype=np.float64)
    loss = np.maximum(level * gap, (level - 1) * gap).mean(1)
    return float(np.mean(loss * np.asarray(weights, dtype=np.float64)))


def rank_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Spearman's; 0 when either side is constant."""
    left, right = ranks(a), ranks(b)
    if left.std() == 0 or right.std() == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
