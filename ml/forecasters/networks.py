"""The two networks: an LSTM, and convolutions over time after DeepLOB (Zhang, Zohren, Roberts 2019), both small.

Each reads a window and its mirror image, buyers and sellers changed over, and what it says of the one is made to agree
with what it says of the other: no drift can be learned, and half as much must be.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from ml.forecasters.samples import CONTINUOUS, FILLS, IMPACTS, ODD
from ml.forecasters.windows import ABOUT, CHANNELS, LOOKS, ORDER, mirrored

WIDTH, TRUNK = 32, 64
SPANS = (1, 4, 8, 16)
"""Averages over so many of the last snapshots go past the encoder: most of what can be known is there."""
QUANTILES = tuple((k + 0.5) / 10 for k in range(10))
PLAIN = len(CONTINUOUS) - len(IMPACTS)
"""Targets that no order of ours belongs to."""
EACH = 1 + len(QUANTILES)


class Forecast(NamedTuple):
    """Of each window."""

    mean: torch.Tensor
    """[N, CONTINUOUS]."""
    quantiles: torch.Tensor
    """[N, CONTINUOUS, QUANTILES], not yet in order."""
    fills: torch.Tensor
    """[N, FILLS]: log-odds."""


class Recurrent(nn.Module):
    """Encodes windows by an LSTM's last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(len(CHANNELS), WIDTH, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, CHANNELS, LOOKS] -> [N, WIDTH]."""
        return self.lstm(x.transpose(1, 2))[0][:, -1]


class Convolutional(nn.Module):
    """Encodes windows by convolutions over time, the last an inception: several spans side by side."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()

        def convolution(inputs: int, span: int, stride: int = 1) -> nn.Conv1d:
            return nn.Conv1d(inputs, width, span, stride, padding=span // 2)

        act = nn.LeakyReLU(0.01)
        self.first = nn.Sequential(convolution(len(CHANNELS), 3), act, convolution(width, 3, 2), act)
        self.spans = nn.ModuleList([convolution(width, span) for span in (1, 3, 5)])
        self.last = nn.Sequential(act, nn.Conv1d(3 * width, width, 3, 2, padding=1), act, nn.Flatten())
        self.out = nn.Linear(width * LOOKS // 4, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, CHANNELS, LOOKS] -> [N, WIDTH]."""
        x = self.first(x)
        return self.out(self.last(torch.cat([span(x) for span in self.spans], 1)))


KINDS: Mapping[str, type[nn.Module]] = {"lstm": Recurrent, "cnn": Convolutional}


class Forecaster(nn.Module):
    """One network with its heads. `scale` and `shift` [CONTINUOUS] are those of the targets, set by training."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.encoder = KINDS[kind]()
        seen = WIDTH + ABOUT + len(CHANNELS) * len(SPANS)
        self.trunk = nn.Sequential(nn.Linear(seen, TRUNK), nn.GELU())
        self.plain, self.straight = nn.Linear(TRUNK, PLAIN * EACH), nn.Linear(seen, PLAIN * EACH)
        self.impact = nn.Sequential(nn.Linear(TRUNK + ORDER, WIDTH), nn.GELU(), nn.Linear(WIDTH, len(IMPACTS) * EACH))
        self.fills = nn.Linear(TRUNK, len(FILLS))
        self.register_buffer("scale", torch.ones(len(CONTINUOUS)))
        self.register_buffer("shift", torch.zeros(len(CONTINUOUS)))
        self.register_buffer("odd", torch.tensor([name in ODD for name in CONTINUOUS]))

    odd: torch.Tensor

    def forward(self, x: torch.Tensor, about: torch.Tensor, order: torch.Tensor) -> Forecast:
        """x [N, CHANNELS, LOOKS], about [N, ABOUT], order [N, ORDER]; an order of nothing moves nothing."""
        both = torch.cat([x, mirrored(x)])
        late = [both[:, :, -span:].mean(2) for span in SPANS]
        seen = torch.cat([self.encoder(both), torch.cat([about, about]), *late], 1)
        h = self.trunk(seen)
        some = (order != 0).any(1).to(x.dtype)[:, None, None]
        impact = self.impact(torch.cat([h, torch.cat([order, -order])], 1)).unflatten(1, (-1, EACH))
        plain = (self.plain(h) + self.straight(seen)).unflatten(1, (-1, EACH))
        told = torch.cat([plain, impact * torch.cat([some, some])], 1)
        one, other = told.chunk(2)
        turned = torch.cat([other[:, :, :1], other[:, :, 1:].flip(2)], 2)
        agreed = torch.where(self.odd[:, None], one - turned, one + other) / 2
        agreed = agreed * self.scale[:, None] + self.shift[:, None]
        fills, changed = self.fills(h).unflatten(1, (-1, 2)).chunk(2)
        return Forecast(agreed[:, :, 0], agreed[:, :, 1:], ((fills + changed.flip(2)) / 2).flatten(1))
