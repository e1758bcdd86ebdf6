"""The exogenous randomness of one book: candidate events on a clock that nothing in the book can disturb.

Thinning (Lewis and Shedler 1979): candidates of each kind arrive at that kind's largest rate, and the book accepts
one with probability rate(queue) / largest rate. This is exact, and because times, kinds and uniforms are functions
of the seed and the block number alone, two runs that differ only in what we did see the same would-be events.
"""

from typing import NamedTuple

import numpy as np

BLOCK = 4096
THETA_DRAW, REINIT_DRAW, PLACE_DRAW, QUEUE_DRAWS = 0, 1, 2, 3
"""Columns of the auxiliary uniforms: reference move, redraw, place of a cancel, then one for each queue."""


class Block(NamedTuple):
    """One block of candidates. `auxiliary[i]` holds the uniforms of what candidate i may set off."""

    times_s: list[float]
    kinds: list[int]
    uniforms: list[float]
    lots: list[int]
    auxiliary: np.ndarray


class CandidateStream:
    """Draws block after block. Stateless but for the time at which the next block begins."""

    def __init__(
        self,
        seed: np.random.SeedSequence,
        kind_rates: tuple[float, ...],
        queues: int,
        mean_lots: int,
        size_dispersion: float,
    ) -> None:
        """`kind_rates` are the largest rates by kind, events per second; `size_dispersion` is the sigma of the
        log-normal event size whose mean is `mean_lots` (0: every event is exactly `mean_lots`)."""
        self._seed = seed
        self._rate = float(sum(kind_rates))
        self._cumulative = np.cumsum(kind_rates) / self._rate
        self._come_back_block: tuple[int, np.ndarray] | None = None
        self._queues, self._mean_lots, self._dispersion = queues, mean_lots, size_dispersion

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence(self._seed.entropy, spawn_key=(*self._seed.spawn_key, *key))
        )

    def block(self, number: int, start_s: float) -> Block:
        """Block `number`, whose first candidate comes after `start_s`."""
        rng = self._generator(0, number)
        times = start_s + np.cumsum(rng.exponential(1 / self._rate, BLOCK))
        kinds = np.searchsorted(self._cumulative, rng.random(BLOCK), side="right")
        uniforms = rng.random(BLOCK)
        auxiliary = rng.random((BLOCK, QUEUE_DRAWS + self._queues))
        if self._dispersion:
            sigma = self._dispersion
            sizes = self._mean_lots * np.exp(sigma * rng.standard_normal(BLOCK) - sigma * sigma / 2)
            lots = np.maximum(1, np.rint(sizes)).astype(np.int64).tolist()
        else:
            lots = [self._mean_lots] * BLOCK
        return Block(
            times.tolist(),
            np.minimum(kinds, len(self._cumulative) - 1).tolist(),
            uniforms.tolist(),
            lots,
            auxiliary,
        )

    def outside(self, number: int) -> np.ndarray:
        """Auxiliary uniforms for the `number`-th action of a participant, apart from the exogenous stream."""
        return self._generator(1, number).random(QUEUE_DRAWS + self._queues)

    def come_back_draw(self, check: int) -> float:
        """The uniform that decides whether the reference price comes back at the `check`-th chance."""
        return float(self._come_backs(check // BLOCK)[check % BLOCK])

    def come_back_queues(self, check: int) -> np.ndarray:
        """Auxiliary uniforms for the redraw that goes with it."""
        return self._generator(3, check).random(QUEUE_DRAWS + self._queues)

    def _come_backs(self, number: int) -> np.ndarray:
        if self._come_back_block is None or self._come_back_block[0] != number:
            self._come_back_block = (number, self._generator(2, number).random(BLOCK))
        return self._come_back_block[1]
