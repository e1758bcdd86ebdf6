"""Studies over many seeds: their work in processes, and what the seeds say together."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rfq.studies.figures import progress

Array = NDArray[np.float64]
R = TypeVar("R")

RESAMPLES = 4_000
INTERVAL = (0.025, 0.975)


def spread(work: Callable[[int], R], seeds: Sequence[int], workers: int) -> list[R]:
    """The work of each seed, in processes of one thread each."""
    count = workers or len(os.sched_getaffinity(0))
    done: list[R] = []
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with ProcessPoolExecutor(min(count, len(seeds)), mp_context=get_context("spawn")) as pool:
        for result in pool.map(work, seeds):
            done.append(result)
            progress(f"{len(done)} of {len(seeds)} seeds played")
    return done


def interval(values: Array) -> tuple[float, float, float]:
    """Mean over worlds with its 95% interval."""
    low, high = np.quantile(values[resamples(len(values))].mean(1), INTERVAL)
    return float(values.mean()), float(low), float(high)


def resamples(count: int) -> NDArray[np.int64]:
    """[RESAMPLES, count]: which seeds each resample of a bootstrap holds."""
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
