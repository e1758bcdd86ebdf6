"""Randomness as a function: every draw of market b at step t is a hash of the market's key, t and the draw's slot.

So the exogenous path of a market depends on its seed alone: not on what anybody did, not on how many markets run
beside it, not on the device. The mixer is splitmix64 (Steele, Lea, Flood 2014), here on int64 tensors, where products
wrap and right shifts must be masked; `compiled.py` has the same for uint64.
"""

from collections.abc import Sequence

import numpy as np
import torch

SLOTS = 128
"""Draws a step may use of one market."""
REFERENCE, MARKET_ORDERS, CONDITIONS, SWITCHES, FADES, DEALERS, HALTS, ARRIVALS = 0, 1, 2, 3, 5, 6, 7, 8
"""Slots of 64-bit words. Switches take two."""
FRESH, POOLS, QUEUE_PLACES = 40, 80, 96
"""Redrawn queues: a word for three cells. Pools: a word for all, then two each. Places of cancels: a word for two
orders."""
MOST_ORDERS = 2 * (SLOTS - QUEUE_PLACES)
"""Order slots that there are draws for."""
MIX_1, MIX_2, CELL = 0x85EBCA6B, 0xC2B2AE35, 0x9E3779B9
"""Cells share a 64-bit word; its low half, moved on by CELL for each, is mixed for each (murmur3 finalizer)."""
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def keys_of(seeds: Sequence[int] | np.ndarray, device: torch.device) -> torch.Tensor:
    """One key a market, int64 [B], from any whole numbers. Equal seeds give equal markets."""
    # Many markets may share a seed.
    of = {seed: np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] for seed in set(map(int, seeds))}
    return torch.tensor(np.array([of[int(seed)] for seed in seeds], dtype=np.uint64).view(np.int64), device=device)


def words(key: torch.Tensor, step: torch.Tensor, slot: torch.Tensor | int) -> torch.Tensor:
    """The 64-bit word of each market at one slot; `key` and `slot` broadcast, `step` is one number on the device."""
    z = key + (step * SLOTS + slot) * _signed(GOLDEN)
    z = (z ^ _shifted(z, 30)) * _signed(FIRST)
    z = (z ^ _shifted(z, 27)) * _signed(SECOND)
    return z ^ _shifted(z, 31)


def bits(word: torch.Tensor, first: int | torch.Tensor, count: int) -> torch.Tensor:
    """`count` bits of each word, from bit `first` on, as a number not below 0."""
    return (word >> first) & ((1 << count) - 1)


def mixed(x: torch.Tensor) -> torch.Tensor:
    """32-bit mixing of int64 tensors that hold unsigned 32-bit words."""
    x = (x ^ (x >> 16)) * MIX_1 & 0xFFFFFFFF
    x = (x ^ (x >> 13)) * MIX_2 & 0xFFFFFFFF
    return x ^ (x >> 16)


def _shifted(z: torch.Tensor, by: int) -> torch.Tensor:
    return (z >> by) & ((1 << (64 - by)) - 1)
