"""The actor and its critic: two small networks apart, over the features."""

from collections.abc import Sequence

import torch
from torch import nn

from ml.slicer.actions import HEADS
from ml.slicer.features import NAMES

WIDTH = 128
RULE_FIRST = 2.0
"""Log-odds by which the rule begins ahead of everything else: learning starts at parity with it."""


def _layers(outputs: int, gain: float) -> nn.Sequential:
    made = nn.Sequential(
        nn.Linear(len(NAMES), WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, outputs)
    )
    for layer, scale in zip((made[0], made[2], made[4]), (2**0.5, 2**0.5, gain), strict=True):
        nn.init.orthogonal_(layer.weight, scale)
        nn.init.zeros_(layer.bias)
    return made


class Actor(nn.Module):
    """Log-probabilities of each head's choices."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _layers(sum(HEADS), 0.01)
        with torch.no_grad():
            first = 0
            for choices in HEADS:
                self.layers[4].bias[first] = RULE_FIRST
                first += choices

    def forward(self, x: torch.Tensor) -> Sequence[torch.Tensor]:
        return [part.log_softmax(1) for part in self.layers(x).split(HEADS, 1)]


class Critic(nn.Module):
    """Expected reward from here on, [B]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _layers(1, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)[:, 0]


def chosen_log(logs: Sequence[torch.Tensor], action: torch.Tensor) -> torch.Tensor:
    """Log-probability of the whole action, [B]."""
    return sum((head.gather(1, action[:, k : k + 1])[:, 0] for k, head in enumerate(logs)), torch.zeros(len(action)))


def entropy(logs: Sequence[torch.Tensor]) -> torch.Tensor:
    return sum((-(head.exp() * head).sum(1).mean() for head in logs), torch.zeros(()))
