"""Whether forecasts tell a slicer what its own features do not: R2 of the mid's move over the next 15 s, on the
features alone and with the forecasts beside them, in markets that neither was fitted on and later in the session.

Twice: by a ridge regression, and by trees, because what a policy makes of its features is not linear.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import xgboost

from lit_router.market.parameters import BookParameters
from ml.forecasters.baselines import PENALTIES, ridge
from ml.forecasters.judging import LEVEL, RESAMPLES
from ml.forecasters.samples import FILLS, MOVES, SHARES
from ml.forecasters.simulated import seeds_within, usual_of
from ml.forecasters.weights import SAID, Forecasters
from ml.forecasters.windows import Watch
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.features import features
from ml.slicer.rules import Rule, intend
from ml.slicer.situation import Recent, remembered

LAW = EpisodeLaw(horizon_s=600.0, decisions=40)
"""A decision each 15 s, and so the move until the next one is what is asked."""
FIRST_SEED = 6 * 10**8
FIRST_DECISION = 3
"""By when a window is full."""
TREES = {"max_depth": 4, "eta": 0.05, "min_child_weight": 50.0, "subsample": 0.7, "lambda": 10.0, "nthread": 1}
ROUNDS = 150


class Decisions(NamedTuple):
    """N decisions of residuals that are not worked: only the market moves."""

    features: torch.Tensor
    """float64 [N, NAMES]."""
    forecasts: torch.Tensor
    """float64 [N, SAID], signs from the order's side."""
    move: torch.Tensor
    """float64 [N]: of the mid over the next 15 s, usual spreads, from the order's side."""
    episode: torch.Tensor
    """int64 [N]."""


class Worth(NamedTuple):
    """R2 where nothing was fitted."""

    alone: float
    beside: float
    """With the forecasts beside the features."""
    gain: tuple[float, float, float]
    """Their difference with its 95% interval, episodes resampled."""


def decisions(
    parameters: BookParameters, seeds: Sequence[int], forecasters: Forecasters, law: EpisodeLaw = LAW
) -> Decisions:
    """What is seen at every decision of one episode for each seed, and what is forecast."""
    execution = Execution(parameters, seeds, law)
    watch, usual, side = Watch(execution.market), usual_of(execution.residual, execution.market), execution.side
    recent: Recent | None = None
    rows, mids = list[tuple[torch.Tensor, torch.Tensor]](), list[torch.Tensor]()
    while not execution.over:
        seen, moment = execution.view(), execution.moment()
        recent = remembered(recent, seen)
        suggested = intend(Rule(), execution.residual, seen, moment)
        with torch.no_grad():
            said = forecasters.predicted(watch.seen, usual).double()
        x = features(execution.residual, seen, recent, moment, suggested).double()
        rows.append((x, from_side(said, side)))
        mids.append(seen.mid)
        watch.advance(execution.steps_a_decision)
        execution.decision += 1
    mids.append(execution.view().mid)
    moves = torch.stack(mids).diff(dim=0) * side / execution.residual.spread
    episode = torch.arange(len(side)).repeat(len(rows) - FIRST_DECISION)
    x, said = (torch.cat(column[FIRST_DECISION:]) for column in zip(*rows, strict=True))
    return Decisions(x, said, moves[FIRST_DECISION:].flatten(), episode)


def from_side(said: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """What is forecast, [B, SAID], as an order of that side [B] sees it: adverse moves positive, and its own side's
    chance in each pool first."""
    columns = list(said.T)
    for name in MOVES:
        columns[SAID.index(name)] = columns[SAID.index(name)] * side
    for buy, sell in zip(FILLS[::2], FILLS[1::2], strict=True):
        one, other = columns[SAID.index(buy)], columns[SAID.index(sell)]
        columns[SAID.index(buy)] = torch.where(side > 0, one, other)
        columns[SAID.index(sell)] = torch.where(side > 0, other, one)
    return torch.stack(columns, 1)


def worth(fitted: Decisions, judged: Decisions) -> dict[str, Worth]:
    """By a ridge and by trees."""
    found = {}
    for name, fit in (("ridge", _ridge), ("trees", _trees)):
        alone = fit(fitted.features, fitted.move, judged.features)
        both = [torch.cat([one.features, one.forecasts], 1) for one in (fitted, judged)]
        found[name] = _compared(judged, alone, fit(both[0], fitted.move, both[1]))
    return found


def measured(
    parameters: BookParameters, forecasters: Forecasters, episodes: int, say: Callable[[str], None]
) -> dict[str, Worth]:
    """The whole: fitted on so many episodes early in the session, judged on as many late in it."""
    parts = []
    for place, part in enumerate(((0.0, SHARES[1]), (SHARES[1], 1.0))):
        seeds = seeds_within(LAW, part, episodes, FIRST_SEED + place * 10**6)
        parts.append(decisions(parameters, seeds, forecasters))
        say(f"{parameters.name}: {len(parts[-1].move)} decisions of {episodes} residuals")
    return worth(*parts)


def _ridge(x: torch.Tensor, y: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """The penalty is chosen by the last quarter of episodes, interleaved by decision."""
    last = torch.arange(len(y)) % 4 == 3
    found = [ridge(x[~last], y[~last], penalty) for penalty in PENALTIES]
    best = min(range(len(found)), key=lambda k: float((found[k].of(x[last]) - y[last]).square().mean()))
    return ridge(x, y, PENALTIES[best]).of(asked)


def _trees(x: torch.Tensor, y: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    grown = xgboost.train(TREES | {"seed": 0}, xgboost.DMatrix(x.numpy(), y.numpy()), ROUNDS)
    return torch.as_tensor(grown.predict(xgboost.DMatrix(asked.numpy())), dtype=torch.float64)


def _compared(judged: Decisions, alone: torch.Tensor, beside: torch.Tensor) -> Worth:
    y = judged.move
    squares = [(y - alone).square(), (y - beside).square(), (y - y.mean()).square()]
    sums = np.stack([np.bincount(judged.episode.numpy(), weights=part.numpy()) for part in squares])
    rows = np.random.default_rng(0).integers(sums.shape[1], size=(RESAMPLES, sums.shape[1]))
    first, second, whole = sums[:, rows].sum(2)
    low, high = np.quantile((first - second) / whole, LEVEL)
    first, second, whole = sums.sum(1)
    return Worth(float(1 - first / whole), float(1 - second / whole), (float((first - second) / whole), low, high))
