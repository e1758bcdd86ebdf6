"""The decision of `deciding.decide`, compiled: orders one by one (`deciding_by_row.py`), the networks for all at once.

Dispatching some four hundred small tensor operations takes a millisecond, whatever they do; as scalar code they take
microseconds. A test holds both to each other.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ml.slicer import actions, guard
from ml.slicer import features as seen_by
from ml.slicer.deciding import TOLD, Decided
from ml.slicer.deciding_by_row import LAYOUT, LIT, MIDS, POOLS, Terms, conclude, situate
from ml.slicer.network import LEVELS
from ml.slicer.rules import Rule
from ml.slicer.weights import Slicer

TERMS = Terms(
    seen_by.MOST,
    seen_by.USUAL_DECISION_S,
    guard.MOST_OUTSIDE,
    guard.WIDE,
    actions.SOME,
    np.array(actions.PACES),
    np.array(TOLD, np.float32) * np.float32(len(LEVELS)) - np.float32(0.5),
)


class Deciding:
    """`deciding.decide` for one slicer."""

    def __init__(self, slicer: Slicer) -> None:
        """Compiles what is not in the cache: some ten seconds the first time on a machine, and nothing later."""
        self._rule = Rule._make(map(float, slicer.rule))  # One type each: compiled once.
        self._low, self._high = (bound.numpy().astype(np.float32) for bound in slicer.envelope[:2])
        self._most_apart = float(slicer.envelope.apart)
        self._reach = np.maximum(self._high - self._low, np.float32(guard.LEAST_RANGE))
        self._actor = layers_of(slicer.actor.layers)
        self._value = layers_of(slicer.critic.value)
        self._forecasts = [layers_of(network) for network in (slicer.critic.quantiles, *slicer.opinions)]
        self(np.zeros((1, LAYOUT[-1])), np.ones(1, np.bool_))

    def __call__(self, rows: NDArray[np.float64], certain: NDArray[np.bool_]) -> Decided:
        """As `deciding.decide`."""
        count = len(rows)
        x, may = np.empty((count, len(seen_by.NAMES)), np.float32), np.empty((count, sum(actions.HEADS)), np.bool_)
        wanted, recent = np.empty((count, 3 + POOLS)), np.empty((count, LIT - MIDS))
        trusted = np.empty(count, np.bool_)
        situate(
            rows, certain, self._rule, TERMS, self._low, self._high, self._reach, x, may, wanted, recent, trusted
        )
        with torch.inference_mode():
            seen = torch.from_numpy(x)
            logits, value = _through(self._actor, seen), _through(self._value, seen)
            forecasts = torch.stack([_through(layers, seen) for layers in self._forecasts])
        action, lots = np.empty((count, 3), np.int64), np.empty((count, 3 + POOLS), np.int64)
        told = np.empty((count, len(TOLD)), np.float32)
        conclude(
            rows, TERMS, self._most_apart, may, wanted, trusted, logits.numpy(), forecasts.numpy(),
            action, lots, told,
        )  # fmt: skip
        estimate = np.concatenate([value.numpy(), told], 1)
        return Decided(*(torch.from_numpy(part) for part in (action, trusted, x, lots, estimate, recent)))


Layers = tuple[tuple[torch.Tensor, torch.Tensor], ...]


def layers_of(network: nn.Sequential) -> Layers:
    """Weights, turned for the product, and biases: a copy, for whoever made the network may go on training it."""
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    return tuple((layer.weight.detach().t().clone(), layer.bias.detach().clone()) for layer in linear)


def _through(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    for place, (weight, bias) in enumerate(layers):
        x = torch.addmm(bias, x if place == 0 else x.tanh_(), weight)
    return x
