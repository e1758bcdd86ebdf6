"""Markets on a GPU, one thread each: what is compiled for a processor, compiled for it once more.

A kernel plays many steps on end; records lie on the device, and the tensors of the state view them. Sums may be rounded
otherwise in their last bit than on a processor (products and sums are contracted), so the paths are alike, not equal.
"""

import warnings
from typing import Any

import numpy as np
import torch
from numba import cuda
from numba.core.errors import NumbaPerformanceWarning

from lit_router.market.batch.compiled import play_on
from lit_router.market.batch.compiled_arrivals import lanes_of
from lit_router.market.batch.compiled_entering import enter
from lit_router.market.batch.entering import Ticket
from lit_router.market.batch.laws import Laws
from lit_router.market.batch.rules import Rules
from lit_router.market.batch.state import State, record, recorded, viewed_on

# Kernels are what numba makes of functions; their types say nothing of that.
kernel: Any = cuda.jit
place_of_thread: Any = cuda.grid
BLOCK = 64
"""Threads in a block: each needs many registers."""
# A few markets are no fault.
warnings.filterwarnings("ignore", category=NumbaPerformanceWarning, message=".*[Gg]rid size.*")


@kernel
def _play(markets, laws, rules, first, steps, chosen, none, events, desks, weathers, givens, prices):
    place = place_of_thread(1)
    if place < len(markets) and chosen[place]:
        play_on(
            markets, laws[0], rules[0], place, place + 1, first, steps, none, none, False, events,
            desks[:, place], weathers[:, place], givens[:, place], prices[:, place],
        )  # fmt: skip


@kernel
def _enter(markets, rules, slot, side, lots, price, venue, rests, least, owner, givens, prices):
    b = place_of_thread(1)
    if b < len(markets):
        enter(
            markets[b], rules[0], slot, side[b], lots[b], price[b], venue[b], rests[b], least[b], owner[b],
            givens[:, b], prices[:, b],
        )  # fmt: skip


class Gpu:
    """The markets of one `BatchedMarket` on a GPU."""

    tables_on = torch.device("cpu")

    def __init__(self, markets: int, levels: int, orders: int, device: torch.device) -> None:
        self._device, self._played, kind = device, 0, recorded(0, levels, orders).dtype
        content = torch.zeros(markets, kind.itemsize, dtype=torch.uint8, device=device)
        self.state: State = viewed_on(content, kind)
        self._records = cuda.as_cuda_array(content).view(kind).reshape(markets)
        self._everyone = torch.ones(markets, dtype=torch.bool, device=device)
        self._none = self._scratch(0, markets, torch.int64)
        self._events = cuda.as_cuda_array(torch.zeros(markets, dtype=torch.int64, device=device))
        # Neighbours' numbers lie together, for neighbouring threads read them together.
        self._desks = self._scratch(4 * int(lanes_of.py_func(2 * levels)), markets, torch.int32)
        self._weathers = self._scratch(6, markets, torch.int64)
        self._givens = self._scratch(orders, markets, torch.int64)
        self._prices = self._scratch(2, markets, torch.int64)
        self._grid = ((markets + BLOCK - 1) // BLOCK, BLOCK)

    def take(self, laws: Laws, rules: Rules) -> None:
        """Goes by these tables from now on."""
        self._laws, self._rules = (cuda.to_device(np.array([record(values)])) for values in (laws, rules))

    def play(self, steps: int, where: torch.Tensor | None) -> None:
        """Steps on end, of all markets or of those chosen, bool [B]."""
        chosen = cuda.as_cuda_array(self._everyone if where is None else where)
        _play[self._grid](
            self._records, self._laws, self._rules, self._played, steps, chosen, self._none, self._events,
            self._desks, self._weathers, self._givens, self._prices,
        )  # fmt: skip
        # Where they are is known here as well: to ask the device would be to wait for it.
        self._played += steps
        self.state.step.add_(steps)

    def enter(self, slot: int, ticket: Ticket) -> None:
        """One order a market where the ticket has a side."""
        fields = (cuda.as_cuda_array(field) for field in ticket)
        _enter[self._grid](self._records, self._rules, slot, *fields, self._givens, self._prices)

    def _scratch(self, rows: int, markets: int, kind: torch.dtype) -> Any:
        return cuda.as_cuda_array(torch.zeros(rows, markets, dtype=kind, device=self._device))
