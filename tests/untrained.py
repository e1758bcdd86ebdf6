"""A slicer that has learned nothing: it does what its rule does."""

import torch

from ml.slicer.features import NAMES
from ml.slicer.network import Actor, Critic
from ml.slicer.rules import Rule
from ml.slicer.weights import Envelope, Slicer


def untrained(rule: Rule) -> Slicer:
    torch.manual_seed(1)
    low = torch.zeros(len(NAMES))
    return Slicer(Actor(), Critic(), rule, Envelope(low, low + 1), {"version": "untrained"})
