"""Rules and learned slicers as policies: what works residuals to their end, in the simulator or on recorded days."""

import torch

from ml.slicer.ablation import UNGUARDED, likeliest, without
from ml.slicer.playing import Policy, Underway, by_policy, by_rule
from ml.slicer.rules import Rule
from ml.slicer.weights import Slicer


def ruled(rule: Rule) -> Policy:
    return lambda execution: by_rule(rule, execution)


def learned(slicer: Slicer, *, guarded: bool = True) -> Policy:
    """Its likeliest action at every decision that its guard trusts it with; the others are its rule's."""
    act = likeliest(slicer) if guarded else without(slicer, UNGUARDED)

    def work(execution: Underway) -> torch.Tensor:
        with torch.no_grad():
            return by_policy(act, slicer.rule, execution)

    return work
