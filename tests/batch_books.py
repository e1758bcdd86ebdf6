"""Batched markets for tests: three books of one shape, played by either definition of the step."""

from typing import Any, Literal

import msgspec
import numpy as np
import torch

from lit_router.market.batch import entering
from lit_router.market.batch.market import BatchedMarket, Character
from lit_router.market.batch.state import State
from lit_router.market.batch.step import step
from lit_router.market.parameters import LARGEST, BookParameters, load

Definition = Literal["compiled", "tensors"]
DEFINITIONS: tuple[Definition, ...] = ("compiled", "tensors")
CHARACTER = Character(mean_lots=10, day_lots=50_000, sigma_cells=22)
BID, GRID, DEEP = CHARACTER.first_bid, CHARACTER.grid, 100
"""Best bid, distance of two cells, and lots in every cell of a `still` book."""
REAL = load("large_tick")
_NONE = tuple((0.0,) * len(row) for row in REAL.limit)
_TEN = (0.0,) * 10 + (1.0,) + (0.0,) * (LARGEST - 10)
_UNIT: dict[str, Any] = {"limit_sizes": None, "cancel_sizes": None, "market_sizes": None}
STILL = msgspec.structs.replace(
    REAL, name="still", limit=_NONE, cancel=_NONE, market=_NONE, occupancy=(_TEN,) * REAL.levels, **_UNIT
)
"""Nothing happens in it by itself: DEEP lots in every cell, the best bid at BID, the best ask a cell above."""
HIT = msgspec.structs.replace(STILL, name="hit", market=tuple((0.8,) * len(row) for row in REAL.market))
"""Only market orders of the average size come, some one in five steps on each side."""
CANCELLED = msgspec.structs.replace(
    STILL, name="cancelled", cancel=tuple((0.0,) + (0.8,) * (len(row) - 1) for row in REAL.cancel)
)
"""Only cancels of the average size come, some one in five steps in each cell."""


def market(parameters: BookParameters = STILL, count: int = 1, **settings: Any) -> BatchedMarket:
    settings = {"conditions": False, "characters": CHARACTER} | settings
    return BatchedMarket(parameters, range(count), **settings)


def fixed(**changes: Any) -> Character:
    """A character whose price never moves: its reference price does not follow, and participants hardly press it."""
    return CHARACTER._replace(**{"theta": 0.0, "sigma_cells": 1e-9} | changes)


def play(m: BatchedMarket, steps: int, definition: Definition = "compiled") -> None:
    if definition == "compiled":
        m.advance(steps)
        return
    for _ in range(steps):
        step(m.state, m.laws, m.rules)


def enter(m: BatchedMarket, slot: int, side: Any, lots: Any, price: Any = None, *, definition: Definition = "compiled",
          **terms: Any) -> None:  # fmt: skip
    ticket = m.ticket(side, lots, price, **terms)
    if definition == "compiled":
        m.enter(slot, ticket)
    else:
        entering.enter(m.state, m.rules, slot, ticket)


def twin(m: BatchedMarket) -> State:
    """A copy of the state that nothing else writes to."""
    return State(*(field.clone() for field in m.state))


def differing(one: State, other: State) -> list[str]:
    return [name for name, a, b in zip(State._fields, one, other, strict=True) if not torch.equal(a, b)]


def numbers(values: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.int64)
