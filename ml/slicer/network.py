"""The actor and its critic: two small networks apart, over the features."""

from collections.abc import Sequence

import torch
from torch import nn

from ml.slicer.actions import HEADS, NEVER
from ml.slicer.features import NAMES

WIDTH = 128
RULE_FIRST = 2.0
"""Log-odds by which the rule begins ahead of everything else: learning starts at parity with it."""
RULE_GAINS = 0.1
"""Usual spreads that the rule is thought to gain over everything else, at first."""
LEVELS = tuple((k + 0.5) / 20 for k in range(20))
"""Quantiles of the cost to come."""


def layers(outputs: int, gain: float, width: int = WIDTH) -> nn.Sequential:
    """Two hidden layers, orthogonal at first (as in CleanRL); a small `gain` begins near nothing."""

    def linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
        layer = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
        return layer

    wide = 2**0.5
    first, second = linear(len(NAMES), width, wide), linear(width, width, wide)
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), linear(width, outputs, gain))


def _rule_ahead(network: nn.Sequential, by: float) -> nn.Sequential:
    """The same, in which each head's first choice, the rule's, begins ahead."""
    firsts = [sum(HEADS[:place]) for place in range(len(HEADS))]
    with torch.no_grad():
        network.get_parameter("4.bias")[firsts] = by
    return network


class Actor(nn.Module):
    """Log-probabilities of each head's choices."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _rule_ahead(layers(sum(HEADS), 0.01), RULE_FIRST)

    def forward(self, x: torch.Tensor, allowed: torch.Tensor) -> list[torch.Tensor]:
        """[B, choices] for each head; what is not `allowed`, bool [B, sum(HEADS)], is never chosen."""
        logits = self.layers(x).masked_fill(~allowed, NEVER)
        return [part.log_softmax(1) for part in logits.split(HEADS, 1)]


class Advantages(nn.Module):
    """What each head's choices gain over what is usual, in usual spreads: together with the critic's value the worth of
    an action, which is best where each head is. Its weights are an actor's: as an actor it does the same."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _rule_ahead(layers(sum(HEADS), 0.01), RULE_GAINS)

    def forward(self, x: torch.Tensor, allowed: torch.Tensor) -> list[torch.Tensor]:
        """[B, choices] for each head; what is not `allowed`, bool [B, sum(HEADS)], is never best."""
        return list(self.layers(x).masked_fill(~allowed, NEVER).split(HEADS, 1))


class Critic(nn.Module):
    """What is expected from here on: the value (of the reward, risk counted), and quantiles of the plain cost; and the
    market's own next move (`drift`), which training needs."""

    levels: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.value = layers(1, 1.0)
        self.quantiles = layers(len(LEVELS), 1.0)
        self.drift = layers(1, 0.01)
        # With the network on its device, not in its file.
        self.register_buffer("levels", torch.tensor(LEVELS), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Value [B], and the quantiles at LEVELS [B, len(LEVELS)] of the cost still to come, usual spreads."""
        return self.value(x)[:, 0], self.quantiles(x)

    def foreseen(self, x: torch.Tensor) -> torch.Tensor:
        """The market's own move until the next decision, usual spreads, signed by the order's side, [B]."""
        return self.drift(x)[:, 0]


def best(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """The likeliest action, or the best where scores are advantages, int64 [B, heads]."""
    return torch.stack([head.argmax(1) for head in scores], 1)


def drawn_from(logs: Sequence[torch.Tensor], generator: torch.Generator | None = None) -> torch.Tensor:
    """An action by its probability, int64 [B, heads]."""
    return torch.cat([torch.multinomial(head.exp(), 1, generator=generator) for head in logs], 1)


def chosen(scores: Sequence[torch.Tensor], action: torch.Tensor) -> torch.Tensor:
    """Of the whole action, summed over its heads: its log-probability or its advantage, [B]."""
    return torch.stack([head.gather(1, action[:, k : k + 1])[:, 0] for k, head in enumerate(scores)]).sum(0)


def entropy(logs: Sequence[torch.Tensor]) -> torch.Tensor:
    """Mean over the batch, summed over the heads."""
    return torch.stack([-(head.exp() * head.clamp(min=-50.0)).sum(1).mean() for head in logs]).sum()


def tail_level(quantiles: torch.Tensor, level: float) -> torch.Tensor:
    """The quantile at a level, [B], between the nearest two of LEVELS."""
    place = level * len(LEVELS) - 0.5
    low = int(place)
    high = min(low + 1, len(LEVELS) - 1)
    ordered = quantiles.sort(1).values
    return ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])


def pinball(quantiles: torch.Tensor, cost: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Mean quantile loss (Koenker and Bassett 1978) of quantiles [B, Q] at `levels` [Q], where it cost [B]."""
    over = cost[:, None] - quantiles
    return torch.maximum(levels * over, (levels - 1) * over).mean()
