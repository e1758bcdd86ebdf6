"""The state of B independent markets, as tensors on one device. Every field's first dimension is the market.

Queues are a price ladder of 2L cells: bids from the deepest to the best, then asks from the best to the deepest; the
cells L-1 and L are neighbours. Moving the reference price one cell up shifts the ladder one to the left.
"""

from typing import NamedTuple

import numpy as np
import torch

from lit_router.market.batch.flow import MEMORIES
from lit_router.market.batch.impact import KERNEL_S
from lit_router.market.batch.pools import MOST_POOLS

FLOWS = 2
"""Dealers' own flows in a market: trading ahead after a lost auction, and hedging what was won."""


class State(NamedTuple):
    """See the module. Prices in price units, sizes in lots, logarithms in whole 1/OCTAVEs."""

    # What a market is. Constant.
    key: torch.Tensor
    """int64 [B]: all randomness, see `draws`."""
    mean_lots: torch.Tensor
    """int32 [B]: lots in an average event."""
    grid: torch.Tensor
    """int32 [B]: price units between two cells."""
    log_pace: torch.Tensor
    """int32 [B]: of this market relative to its parameter set."""
    liveliness: torch.Tensor
    """float64 [B]: the same as a factor: what is usual in this market is so many times what is in the set's."""
    theta: torch.Tensor
    """int32 [B]: chance of the reference price to follow, in 2^-21."""
    opened: torch.Tensor
    """int32 [B]: steps of the session that had passed at step 0."""
    impact_unit: torch.Tensor
    """float64 [B]: see `impact.unit_of`."""
    day_lots: torch.Tensor
    """float64 [B]: lots that trade in a usual day."""
    # The anonymous book, which nobody here disturbs.
    queues: torch.Tensor
    """int32 [B, 2L]."""
    tilt: torch.Tensor
    """int32 [B]: empty cells above the reference price less those below: twice the mid's offset from it, in cells."""
    # Conditions.
    regime: torch.Tensor
    drift: torch.Tensor
    """int32 [B]: the regime and its tilt of market orders, positive to the buy side."""
    burst: torch.Tensor
    """int32 [B]: class of clustering."""
    flow: torch.Tensor
    """float64 [B, MEMORIES]: latent signed flow, see `flow`."""
    news: torch.Tensor
    """float64 [B]: strain left from the last news; its sign is the direction of the price."""
    heat: torch.Tensor
    """float64 [B]: recent moves of the mid, cells, decaying; see `makers`."""
    trend: torch.Tensor
    """float64 [B]: recent moves of the mid with their signs, cells, decaying; see `flow`."""
    inventory: torch.Tensor
    """float64 [B]: market makers', average events; see `makers`."""
    halt: torch.Tensor
    """int32 [B]: steps of trading halt left."""
    # What participants did to it.
    first_bid: torch.Tensor
    """int32 [B]: price of the cell L-1, impact included."""
    taken: torch.Tensor
    """int32 [B, 2L]: lots of the anonymous queue that participants took and that have not been replenished."""
    net: torch.Tensor
    """int32 [B]: signed lots that participants executed since the last step."""
    pressed: torch.Tensor
    """float64 [B]: participants' signed lots a second, smoothed."""
    kernel: torch.Tensor
    """float64 [B, KERNEL_S]: impact by memory, in cells."""
    shift: torch.Tensor
    """int32 [B]: cells by which participants have moved the whole book."""
    volume: torch.Tensor
    """int64 [B]: lots traded in the lit book."""
    last_price: torch.Tensor
    last_lots: torch.Tensor
    """int32 [B]: the last execution in the lit book: the first price it was done at, and its lots."""
    # Participants' orders, K slots a market.
    side: torch.Tensor
    """int32 [B, K]: 1 buys, -1 sells, 0 free."""
    venue: torch.Tensor
    """int32 [B, K]: 0 lit, 1.. the dark pools."""
    price: torch.Tensor
    """int32 [B, K]: limit."""
    leaves: torch.Tensor
    ahead: torch.Tensor
    """int32 [B, K]: anonymous lots that must go before this order."""
    least: torch.Tensor
    """int32 [B, K]: smallest execution it takes (dark)."""
    owner: torch.Tensor
    rank: torch.Tensor
    """int64 [B, K]: order of arrival."""
    filled: torch.Tensor
    """int32 [B, K]: lots executed in all."""
    paid: torch.Tensor
    """int64 [B, K]: sum of twice the price times lots executed (a midpoint may be half a unit)."""
    # Dark pools and dealers' flows.
    hidden: torch.Tensor
    """int32 [B, MOST_POOLS, 2]: anonymous interest resting in each pool, to buy and to sell."""
    dark_volume: torch.Tensor
    """int64 [B]: lots our participants traded in pools."""
    pending: torch.Tensor
    """int32 [B, FLOWS]: signed lots that dealers have yet to trade."""
    pace_lots: torch.Tensor
    """float64 [B, FLOWS]: lots a step at which they do."""
    step: torch.Tensor
    """int64 [1]: the step to be played next."""


LONG = ("key", "volume", "rank", "paid", "dark_volume")
REAL = ("liveliness", "impact_unit", "day_lots", "flow", "news", "heat", "trend", "inventory")
REAL += ("pressed", "kernel", "pace_lots")
BY_ORDER = ("side", "venue", "price", "leaves", "ahead", "least", "owner", "rank", "filled", "paid")


def _shapes(levels: int, orders: int) -> dict[str, tuple[int, ...]]:
    """Of every field, without the first dimension."""
    wide: dict[str, tuple[int, ...]] = {"queues": (2 * levels,), "taken": (2 * levels,), "hidden": (MOST_POOLS, 2)}
    wide |= {"flow": (len(MEMORIES),), "kernel": (len(KERNEL_S),), "pending": (FLOWS,), "pace_lots": (FLOWS,)}
    wide |= dict.fromkeys(BY_ORDER, (orders,))
    return {name: wide.get(name, ()) for name in State._fields if name != "step"}


def empty(markets: int, levels: int, orders: int, device: torch.device) -> State:
    """All zeros, in the right shapes and types."""
    fields = {
        name: torch.zeros(
            (markets, *shape),
            dtype=torch.int64 if name in LONG else torch.float64 if name in REAL else torch.int32,
            device=device,
        )
        for name, shape in _shapes(levels, orders).items()
    }
    return State(**fields, step=torch.zeros(1, dtype=torch.int64, device=device))


def recorded(markets: int, levels: int, orders: int) -> np.ndarray:
    """The same on a processor, as records: a market's fields lie together there."""
    shapes = _shapes(levels, orders)
    kinds = [(name, "i8" if name in LONG else "f8" if name in REAL else "i4", shapes[name]) for name in shapes]
    # Largest first, then a multiple of eight in all: every tensor's strides are whole elements.
    kinds.sort(key=lambda kind: kind[1] == "i4")
    if np.dtype(kinds).itemsize % 8:
        kinds.append(("_", "i4", ()))
    return np.zeros(markets, np.dtype(kinds))


def viewed(records: np.ndarray, steps: int) -> State:
    """Tensors that are views of the records: what is done to one is done to the other."""
    fields = {name: torch.from_numpy(records[name]) for name in State._fields if name != "step"}
    return State(**fields, step=torch.tensor([steps], dtype=torch.int64))


def viewed_on(content: torch.Tensor, kind: np.dtype) -> State:
    """The same of records' bytes on another device, uint8 [B, kind.itemsize], before any step."""
    fields, kinds = {}, {"i4": torch.int32, "i8": torch.int64, "f8": torch.float64}
    for name, (of, at, *_) in (kind.fields or {}).items():
        base, shape = of.subdtype or (of, ())
        values = content[:, at : at + of.itemsize].view(kinds[base.str[1:]])
        fields[name] = values.unflatten(1, shape) if shape else values[:, 0]
    fields.pop("_", None)
    return State(**fields, step=torch.zeros(1, dtype=torch.int64, device=content.device))


def record(values: NamedTuple) -> np.void:
    """A named tuple of tensors and numbers as one record, which compiled code takes as one pointer."""
    arrays = {name: np.asarray(value) for name, value in values._asdict().items()}
    kinds = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
    made = np.zeros(1, np.dtype(kinds, align=True))
    for name, array in arrays.items():
        made[name][0] = array
    return made[0]
