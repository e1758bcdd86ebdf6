"""A policy with something taken away: what each of its choices is worth."""

from collections.abc import Mapping

import torch

from ml.slicer.actions import NOTHING
from ml.slicer.guard import Guard
from ml.slicer.network import best
from ml.slicer.playing import Act
from ml.slicer.weights import Slicer

RULE = 0
"""Its place in every head."""
TAKEN: Mapping[str, tuple[int, int]] = {
    "crossing_by_rule": (0, RULE),
    "placement_by_rule": (1, RULE),
    "dark_by_rule": (2, RULE),
    "no_resting": (1, NOTHING),
    "no_dark": (2, NOTHING),
}
"""Head, and what it always says."""


UNGUARDED = "unguarded"
"""Decides everywhere, also far from what it was trained on."""


def likeliest(slicer: Slicer) -> Act:
    """The policy as it is used: what its guard does not trust it with is the rule's."""
    guard = Guard(slicer)
    return lambda x, may: best(slicer.actor(x, may)) * guard.trusts(x)[:, None]


def without(slicer: Slicer, what: str) -> Act:
    """The same without its guard (UNGUARDED), or with one of TAKEN."""
    if what == UNGUARDED:
        return lambda x, may: best(slicer.actor(x, may))
    (head, always), used = TAKEN[what], likeliest(slicer)

    def act(x: torch.Tensor, may: torch.Tensor) -> torch.Tensor:
        action = used(x, may)
        action[:, head] = always
        return action

    return act
