"""What the market bench plays: the reference workload, fixed here, its variants, and the exact stepper beside it.

The reference: the shipped `large_tick` rates on five levels a side, steps of 0.25 s, average events of 100 lots, plain
conditions; in every market an order of one average event at the best price, bids and asks in turn, sent again when it
was filled (looked at every 10 s) and anew every 30 s; three dark pools. Sending and looking count as time.
"""

import os
from datetime import UTC, datetime
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from lit_router.market import lobster, parameters
from lit_router.market.batch import pools
from lit_router.market.batch.book import best_of
from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.batch.step import step
from lit_router.market.exact import Resting, stepped
from lit_router.market.lobster import Recording
from rfq.domain.values import Symbol

SET, LOTS = "large_tick", 100
LOOK_STEPS, RENEWED_LOOKS = 40, 3
SEED = 20_260_302
CORES = len(os.sched_getaffinity(0))


class Workload(NamedTuple):
    """The reference is what it is by default."""

    markets: int = 4096
    orders: bool = True
    pools: bool = True
    conditions: bool = False
    threads: int = 1
    device: str = "cpu"
    tensors: bool = False
    """The definition in tensor operations instead of what is compiled."""


class Rate(NamedTuple):
    """Per second of wall time."""

    market_steps: float
    events: float


class Load:
    """The markets of one workload, played in stretches of `LOOK_STEPS` steps."""

    def __init__(self, workload: Workload) -> None:
        w, self.workload = workload, workload
        self.markets = BatchedMarket(
            parameters.load(SET),
            range(SEED, SEED + w.markets),
            characters=Character(mean_lots=LOTS),
            conditions=w.conditions,
            orders=1,
            pool_characters=pools.POOLS if w.pools else (),
            device=w.device,
            threads=w.threads,
        )
        self._sides = 1 - 2 * (torch.arange(w.markets, device=w.device) % 2)
        self._looks = 0

    def stretch(self, pieces: int = 1) -> int:
        """Plays one, in `pieces` equal calls; returns market-steps."""
        if self.workload.orders:
            self._look()
        for _ in range(pieces):
            self._advance(LOOK_STEPS // pieces)
        if self.workload.device != "cpu":
            torch.cuda.synchronize()
        return LOOK_STEPS * self.workload.markets

    def _advance(self, steps: int) -> None:
        markets = self.markets
        if not self.workload.tensors:
            markets.advance(steps)
            return
        for _ in range(steps):
            step(markets.state, markets.laws, markets.rules)

    def _look(self) -> None:
        """Sends an order in every market that has none, every third time in all."""
        markets, state = self.markets, self.markets.state
        if self._looks % RENEWED_LOOKS == 0:
            markets.cancel(0, torch.ones_like(self._sides, dtype=torch.bool))
        self._looks += 1
        bids = state.first_bid - best_of(state, True) * state.grid
        asks = state.first_bid + (best_of(state, False) + 1) * state.grid
        none = state.side[:, 0] == 0
        markets.enter(0, markets.ticket(self._sides * none, LOTS, torch.where(self._sides > 0, bids, asks), rests=1))

    def measured(self, at_least_s: float) -> Rate:
        """Plays for so long. Events are counted by the compiled steps alone: zero for tensors."""
        before = self.markets.processor.events.sum() if self._counts else 0
        begun, steps = perf_counter(), 0
        while (took := perf_counter() - begun) < at_least_s or not steps:
            steps += self.stretch()
        events = int(self.markets.processor.events.sum() - before) if self._counts else 0
        return Rate(steps / took, events / took)

    @property
    def _counts(self) -> bool:
        return self.workload.device == "cpu" and not self.workload.tensors


def exact_rate(at_least_s: float, *, orders: bool = False) -> Rate:
    """Of the exact stepper on one thread, in steps of the same length: one market after another, ten minutes each, so
    that how many there are does not matter. `orders`: an order at each best price, sent again every minute."""
    book, resting = parameters.load(SET), (Resting(True, LOTS), Resting(False, LOTS)) if orders else ()
    begun, seed, events, minutes = perf_counter(), SEED, 0, 0
    while (took := perf_counter() - begun) < at_least_s or not events:
        lots = LOTS if orders else 1
        events += int(stepped(book, range(seed, seed + 20), 10, mean_lots=lots, orders=resting).events.sum())
        seed, minutes = seed + 20, minutes + 200
    return Rate(minutes * 60 / STEP_S / took, events / took)


def hour_s() -> float:
    """Seconds for a simulated hour of one market of the reference, played second by second."""
    load, begun = Load(Workload(markets=1)), perf_counter()
    for _ in range(round(3600 / STEP_S) // LOOK_STEPS):
        load.stretch(pieces=round(LOOK_STEPS * STEP_S))
    return perf_counter() - begun


def quiet_day(messages: int) -> Recording:
    """A made recording to replay where there is none: one price a side, orders of 100 shares that come, are cancelled
    and are executed, evenly over a session."""
    rng = np.random.default_rng(SEED)
    buys, row = rng.random(messages) < 0.5, np.arange(messages)
    kinds, books = np.zeros(messages, np.int64), []
    for side, price in ((buys, 1_000_000), (~buys, 1_000_100)):
        walk = np.abs(np.concatenate([[20], rng.choice((-1, 1), side.sum())]).cumsum())
        gone = rng.choice((lobster.PARTIAL_CANCEL, lobster.EXECUTION), side.sum())
        kinds[side] = np.where(np.diff(walk) > 0, lobster.ADD, gone)
        sizes = 100 * (1 + walk[side.cumsum()])
        books.append(np.stack([np.full(messages, price), sizes], 1)[:, None, :])
    return Recording(
        symbol=Symbol("MADE"),
        begins_at=datetime(2012, 6, 21, 13, 30, tzinfo=UTC),
        ends_s=23_400.0,
        times_s=(row * (23_400.0 / messages)).astype(np.float64),
        kinds=kinds,
        sizes=np.full(messages, 100),
        prices=np.where(buys, 1_000_000, 1_000_100),
        buys=buys,
        asks=books[1],
        bids=books[0],
        added_at=np.where(kinds == lobster.ADD, row, -1),
    )
