"""One decision for many orders, defined in tensors: from rows of `Observed` to what is wanted. `compiled_deciding` does
the same without the dispatch of some four hundred small operations; a test holds it to this."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ml.slicer.actions import CROSS, DARK, PLACE, allowed, intended
from ml.slicer.features import features
from ml.slicer.guard import Guard
from ml.slicer.network import LEVELS, best
from ml.slicer.observed import Possible, as_row, situations
from ml.slicer.rules import intend
from ml.slicer.situation import Intent, remembered
from ml.slicer.weights import Slicer

TOLD = (0.05, 0.5, 0.95)
"""Quantiles of the cost to come that are recorded."""
ALWAYS = ("rule", "nothing")
"""Choices of the first two heads that no limit forbids: what the rule may not do is kept from it elsewhere."""


class Decided(NamedTuple):
    """For each row; int64 and bool unless said otherwise."""

    action: torch.Tensor
    """[B, heads]: what is done. 0 is the rule, in every head."""
    trusted: torch.Tensor
    """bool [B]."""
    x: torch.Tensor
    """float32 [B, F]: the features."""
    intent: torch.Tensor
    """[B, 3 + POOLS]: lots to cross, to rest, at which price, in each pool."""
    estimate: torch.Tensor
    """float32 [B, 1 + len(TOLD)]: value, then quantiles of the cost to come."""
    recent: torch.Tensor
    """float64: to be remembered."""


def decide(slicer: Slicer, rows: torch.Tensor, certain: torch.Tensor) -> Decided:
    """The decision on rows of `Observed`; `certain`, bool [B], is False where there is a doubt."""
    residual, moment, seen, recent, possible = situations(rows)
    recent = remembered(recent, seen)
    rule = intend(slicer.rule, residual, seen, moment)
    rule = rule._replace(cross=rule.cross * possible.cross)
    x = features(residual, seen, recent, moment, rule)
    trusted = Guard(slicer).trusts(x) & certain
    action = best(slicer.actor(x, allowed(residual) & within_limits(possible))) * trusted[:, None]
    value, quantiles = slicer.critic(x)
    intent = held_back(intended(action, rule, residual, seen, moment), possible)
    lots = torch.cat([torch.stack([intent.cross, intent.rest, intent.price], 1), intent.dark], 1)
    estimate = torch.cat([value[:, None], levels(quantiles, TOLD)], 1)
    return Decided(action, trusted, x, lots, estimate, as_row(recent))


def within_limits(possible: Possible) -> torch.Tensor:
    """Which choices venues and the desk's limit leave, bool [B, sum(HEADS)]."""
    needs = [*(0 if name in ALWAYS else 1 for name in CROSS), *(0 if name in ALWAYS else 2 for name in PLACE)]
    needs[len(CROSS) + PLACE.index("improve")] = 3
    kinds = torch.stack([torch.ones_like(possible.lit), possible.cross, possible.lit, possible.improve], 1)
    return kinds[:, torch.tensor([*needs, *[0] * len(DARK)])]


def held_back(intent: Intent, possible: Possible) -> Intent:
    """Where nothing can be crossed, what was to be (at the end all that is left is) rests instead."""
    crossing = intent.cross * possible.cross
    return intent._replace(cross=crossing, rest=intent.rest + intent.cross - crossing)


def levels(quantiles: torch.Tensor, wanted: Sequence[float]) -> torch.Tensor:
    """Quantiles at these levels, [B, len(wanted)], between the nearest two of LEVELS."""
    ordered, count = quantiles.sort(1).values, len(LEVELS)
    at = (torch.tensor(wanted) * count - 0.5).clamp(0, count - 1)
    low = at.long().clamp(max=count - 2)
    below = ordered[:, low]
    return below + (at - low) * (ordered[:, low + 1] - below)
