"""Slicers for tests: no training, but a will of their own."""

from typing import Any

import torch

from lit_router.domain.observation import Observation, Resting
from ml.slicer.features import NAMES
from ml.slicer.network import Actor, Critic
from ml.slicer.rules import Rule
from ml.slicer.weights import Envelope, Slicer
from rfq.domain.order import ParentOrder
from rfq.domain.values import ChildId, Price, Quantity

POOLS = ("dark_block", "dark_broker", "dark_stream")
ALL_OF_IT = Envelope(torch.full((len(NAMES),), -5.0), torch.full((len(NAMES),), 5.0))
"""Nothing lies outside."""


def a_slicer(wants: tuple[int, int, int] | None = None, envelope: Envelope = ALL_OF_IT, version: str = "one") -> Slicer:
    """One that always `wants` the same choices, by head; None: random weights, and whatever comes of them."""
    torch.manual_seed(1)
    actor, critic = Actor(), Critic()
    with torch.no_grad():
        bias = actor.layers.get_parameter("4.bias")
        bias.zero_()
        actor.layers.get_parameter("4.weight").mul_(0 if wants else 100)
        if wants:
            bias[[first + choice for first, choice in zip((0, 6, 12), wants, strict=True)]] = 9.0
    return Slicer(actor, critic, Rule(grace=0.3), envelope, {"version": version})


def resting(venue: str, price: int, lots: int, order: ParentOrder, name: str = "c") -> Resting:
    return Resting(ChildId(name), venue, Price(price), Quantity(lots), order.starts_at)


def observed(observation: Observation, **changes: Any) -> Observation:
    """Where the three pools are at hand."""
    return observation.but(**{"dark_venues": POOLS, **changes})
