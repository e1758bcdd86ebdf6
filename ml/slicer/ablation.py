"""A policy with something taken away: what each of its choices is worth."""

from collections.abc import Mapping

import torch

from ml.slicer.actions import NOTHING
from ml.slicer.network import Actor, best
from ml.slicer.playing import Act

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


def likeliest(actor: Actor) -> Act:
    """The policy as it is used."""
    return lambda x, may: best(actor(x, may))


def without(actor: Actor, what: str) -> Act:
    """The same with one of TAKEN."""
    head, always = TAKEN[what]

    def act(x: torch.Tensor, may: torch.Tensor) -> torch.Tensor:
        action = best(actor(x, may))
        action[:, head] = always
        return action

    return act
