"""Windows with what came after them: the targets, and the parts of the day that train, validate and test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ml.forecasters.windows import LOOKS, Snapshots, Usual, about, inputs

MOVES_S, SPREAD_S, VOLUMES_S = (5, 15, 60), 15, (15, 60)
HORIZON_S = 60
"""Nothing after this counts."""
MOVES = tuple(f"move_{after}" for after in MOVES_S)
"""Change of the mid, usual spreads."""
LEVELS_OF = (f"spread_{SPREAD_S}", *(f"volume_{after}" for after in VOLUMES_S), f"hidden_{HORIZON_S}")
"""Mean spread in usual spreads, then log(1 + lots over the usual): in the lit book, and hidden or off the exchange."""
IMPACTS = tuple(f"impact_{after}" for after in MOVES_S)
"""What an order that crosses now adds to the mid, usual spreads: with it less without it, in the same market."""
POOLS = ("block", "broker", "stream")
FILLS = tuple(f"{pool}_{side}" for pool in POOLS for side in ("buy", "sell"))
"""Whether an order waiting in a dark pool gets anything within HORIZON_S."""
CONTINUOUS = (*MOVES, *LEVELS_OF, *IMPACTS)
TARGETS = (*CONTINUOUS, *FILLS)
ODD = (*MOVES, *IMPACTS)
"""Targets that change their sign with buyers and sellers changed over."""
TRAIN, VALIDATE, TEST, UNUSED = range(4)
SHARES = (0.6, 0.75)
"""Trained on before the first, tested after the second, validated between."""
EMBARGO_S = 120.0
"""Between two parts: more than a window and what comes after it."""
BLOCK_S = 300.0
"""Recorded windows nearer than this are not resampled apart."""


class Samples(NamedTuple):
    """N windows."""

    x: torch.Tensor
    """float32 [N, CHANNELS, LOOKS]."""
    about: torch.Tensor
    """float32 [N, ABOUT]."""
    order: torch.Tensor
    """float32 [N, ORDER]: the order whose impact is asked; 0: none."""
    y: torch.Tensor
    """float32 [N, TARGETS]; not a number where it is not known."""
    at_s: torch.Tensor
    """float64 [N]: time of the session, counted on over the days of a source."""
    block: torch.Tensor
    """int64 [N]: what is resampled together."""
    source: torch.Tensor
    """int64 [N]."""

    def where(self, rows: torch.Tensor) -> "Samples":
        return Samples(*(field[rows] for field in self))


def joined(parts: Sequence[Samples]) -> Samples:
    """All of them; the source is each one's place."""
    sources = [torch.full_like(part.block, place) for place, part in enumerate(parts)]
    return Samples(*(torch.cat(column) for column in zip(*(part[:-1] for part in parts), strict=True)),
                   source=torch.cat(sources))  # fmt: skip


def part_of(at_s: torch.Tensor, ends_s: float) -> torch.Tensor:
    """TRAIN, VALIDATE, TEST or UNUSED for windows that end at a time of a span that ends at `ends_s`."""
    part = torch.full(at_s.shape, UNUSED)
    edges = (0.0, *(share * ends_s for share in SHARES), float("inf"))
    for number in (TRAIN, VALIDATE, TEST):
        low = edges[number] + (EMBARGO_S / 2 if number else 0.0)
        part[(at_s >= low) & (at_s <= edges[number + 1] - EMBARGO_S / 2)] = number
    return part


def windows(day: Snapshots, usual: Usual, ends: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and kinds of the windows that end with these snapshots, market by market: [B * ends, ...]."""
    x = torch.stack([inputs(day.until(end), usual) for end in ends], 1)
    return x.flatten(0, 1), about(usual)[:, None].expand(-1, len(ends), -1).flatten(0, 1)


def outcomes(day: Snapshots, usual: Usual, ends: Sequence[int], hidden: torch.Tensor | None = None) -> torch.Tensor:
    """Targets after these snapshots, float32 [B, ends, TARGETS]; of impacts and fills nothing is known here. `hidden`
    [B, S]: lots traded hidden or off the exchange since the snapshot before. Raises IndexError if the day ends within
    HORIZON_S of a snapshot."""
    at = torch.tensor(list(ends))
    if int(at.min()) < LOOKS - 1 or int(at.max()) + HORIZON_S >= day.bid.shape[1]:
        raise IndexError("every window needs its past and its future")
    spread, mid = usual.spread[:, None], day.mid
    y = torch.full((len(mid), len(at), len(TARGETS)), torch.nan, dtype=torch.float64)

    def mean_of(values: torch.Tensor, after: int) -> torch.Tensor:
        whole = torch.cat([torch.zeros_like(values[:, :1]), values.cumsum(1)], 1)
        return (whole[:, at + 1 + after] - whole[:, at + 1]) / after

    def put(name: str, values: torch.Tensor) -> None:
        y[:, :, TARGETS.index(name)] = values

    for name, after in zip(MOVES, MOVES_S, strict=True):
        put(name, (mid[:, at + after] - mid[:, at]) / spread)
    put(LEVELS_OF[0], mean_of(day.ask - day.bid, SPREAD_S) / spread)
    for name, after in zip(LEVELS_OF[1:], VOLUMES_S, strict=False):
        put(name, torch.log1p(mean_of(day.volume, after) / usual.volume_s[:, None]))
    if hidden is not None:
        put(LEVELS_OF[-1], torch.log1p(mean_of(hidden, HORIZON_S) / usual.volume_s[:, None]))
    return y.float()


def session_block(at_s: torch.Tensor) -> torch.Tensor:
    """Blocks of a recorded source."""
    return torch.as_tensor(np.floor(at_s.numpy() / BLOCK_S).astype(np.int64))
