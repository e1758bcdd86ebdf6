"""Trains a forecaster: mean by squares, quantiles by the quantile loss, fills by the log loss, every source alike."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from ml.forecasters.networks import QUANTILES, Forecast, Forecaster
from ml.forecasters.samples import CONTINUOUS, Samples

OUTLIER = 8.0
"""In training, targets are held to so many standard deviations: one shock is not to outweigh a day."""


class Plan(NamedTuple):
    steps: int = 450
    batch: int = 400
    """Windows a step, as many of each source."""
    rate: float = 4e-3
    decay: float = 1e-2
    gradient: float = 1.0
    every: int = 50
    """Steps between two looks at what validates; the best of them is kept."""
    most: int = 600
    """Windows of each source that validate, at most."""


class Units(NamedTuple):
    """Of the targets in each source, so that every one weighs alike; [sources, CONTINUOUS]."""

    middle: torch.Tensor
    spread: torch.Tensor


class Progress(NamedTuple):
    step: int
    loss: float
    validated: float


def trained(
    kind: str, train: Samples, validate: Samples, seed: int, plan: Plan, after: Callable[[Progress], None]
) -> tuple[Forecaster, float]:
    """A network and its least loss where it was validated. The same seed gives the same network on the same machine."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network, units = Forecaster(kind), units_of(train)
    middle, spread = units
    # One scale for all sources; each is free to find its own from what kind of instrument it is.
    network.scale.copy_(spread.nanmean(0).nan_to_num(1.0))
    network.shift.copy_(torch.where(network.odd, 0.0, middle.nanmean(0).nan_to_num(0.0)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, total_steps=plan.steps, pct_start=0.1)
    rows = [(train.source == place).nonzero()[:, 0] for place in range(len(middle))]
    each = max(1, plan.batch // len(rows))
    best, least = {name: value.clone() for name, value in network.state_dict().items()}, float("inf")
    judges = _thinned(validate, plan.most)
    for step in range(plan.steps):
        drawn = [own[torch.randint(len(own), (each,), generator=generator)] for own in rows]
        batch = train.where(torch.cat(drawn))
        loss = loss_of(network(batch.x, batch.about, batch.order), batch, units)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), plan.gradient)
        optimiser.step()
        schedule.step()
        if (step + 1) % plan.every == 0 or step + 1 == plan.steps:
            validated = validated_loss(network, judges, units)
            if validated < least:
                best, least = {name: value.clone() for name, value in network.state_dict().items()}, validated
            after(Progress(step + 1, float(loss.detach()), validated))
    network.load_state_dict(best)
    return network.eval().requires_grad_(False), least


def units_of(train: Samples) -> Units:
    """Raises ValueError if a source has no windows."""
    sources, middles, spreads = int(train.source.max()) + 1, [], []
    for place in range(sources):
        y = train.y[train.source == place, : len(CONTINUOUS)].double()
        if not len(y):
            raise ValueError(f"source {place} has no windows to train on")
        middle = y.nanmean(0)
        spread = (y - middle).square().nanmean(0).sqrt()
        middles.append(middle)
        spreads.append(torch.where(spread > 0, spread, torch.nan))
    return Units(torch.stack(middles).float(), torch.stack(spreads).float())


def loss_of(said: Forecast, batch: Samples, units: Units) -> torch.Tensor:
    """Sum over the targets of what is lost, each in its source's units, where it is known."""
    middle, spread = (part[batch.source] for part in units)
    y = batch.y[:, : len(CONTINUOUS)]
    known = ~(y.isnan() | spread.isnan())
    spread = torch.where(known, spread, 1.0)
    y = torch.where(known, y, middle.nan_to_num(0.0))
    y = middle.nan_to_num(0.0) + (y - middle.nan_to_num(0.0)).clamp(-OUTLIER * spread, OUTLIER * spread)
    missed = ((said.mean - y) / spread).square()
    lost = pinball(said.quantiles, y) / spread
    continuous = _mean((missed + 2 * lost), known)
    filled = batch.y[:, len(CONTINUOUS) :]
    told = ~filled.isnan()
    fills = nn.functional.binary_cross_entropy_with_logits(said.fills, filled.nan_to_num(0.0), reduction="none")
    return continuous.sum() + _mean(fills, told).sum()


def pinball(quantiles: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean quantile loss over QUANTILES (Koenker and Bassett 1978), [N, K] from [N, K, QUANTILES] and [N, K]; twice
    this is near the continuous ranked probability score."""
    levels = torch.tensor(QUANTILES, dtype=quantiles.dtype, device=quantiles.device)
    over = y[:, :, None] - quantiles
    return torch.maximum(levels * over, (levels - 1) * over).mean(2)


def said_of(network: Forecaster, samples: Samples, at_once: int = 4096) -> Forecast:
    """What a network says of many windows, quantiles in order (Chernozhukov et al. 2010)."""
    parts = []
    with torch.no_grad():
        for first in range(0, len(samples.x), at_once):
            some = slice(first, first + at_once)
            said = network(samples.x[some], samples.about[some], samples.order[some])
            parts.append(said._replace(quantiles=said.quantiles.sort(2).values))
    return Forecast(*(torch.cat(column) for column in zip(*parts, strict=True)))


def validated_loss(network: Forecaster, judges: Samples, units: Units) -> float:
    """Mean over the sources."""
    said, losses = said_of(network, judges), list[torch.Tensor]()
    for place in judges.source.unique().tolist():
        rows = judges.source == place
        losses.append(loss_of(Forecast(*(field[rows] for field in said)), judges.where(rows), units))
    return float(torch.stack(losses).mean())


def _mean(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """By target, over what is known; 0 where nothing is."""
    return torch.where(known, values, 0.0).sum(0) / known.sum(0).clamp(min=1)


def _thinned(samples: Samples, most: int) -> Samples:
    rows = []
    for place in samples.source.unique().tolist():
        own = (samples.source == place).nonzero()[:, 0]
        rows.append(own[:: max(1, -(-len(own) // most))])
    return samples.where(torch.cat(rows))
