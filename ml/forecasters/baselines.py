"""What forecasters are judged against, fitted to each source by itself: the last value, and what is linear in imbalance
and flow. Both tell their quantiles by how far they were off where they were fitted."""

from typing import NamedTuple

import torch

from ml.forecasters.networks import QUANTILES, Forecast
from ml.forecasters.samples import CONTINUOUS, FILLS, IMPACTS, MOVES, ODD, Samples
from ml.forecasters.windows import CHANNELS, LOOKS

SPANS = (1, 4, 8, 16, LOOKS)
"""Snapshots that are averaged."""
PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4)
"""Of the ridge, in windows; the best where it is validated is taken."""


class Linear(NamedTuple):
    """A ridge regression of standardised columns."""

    middle: torch.Tensor
    spread: torch.Tensor
    weights: torch.Tensor
    """float64 [F]."""
    constant: float

    def of(self, columns: torch.Tensor) -> torch.Tensor:
        return (columns - self.middle) / self.spread @ self.weights + self.constant


def last_value(train: Samples, test: Samples) -> Forecast:
    """Prices stay, no order moves them, the spread is the last one, volume that of the window; pools fill as often as
    they did. One source."""
    return _told(train, test, _persistent(train), _persistent(test), _frequencies(train, test))


def linear(train: Samples, validate: Samples, test: Samples) -> Forecast:
    """Ridge regressions on imbalance, flow, moves, spread and volume over SPANS, odd targets on odd columns without a
    constant; logistic ones of the fills. One source."""
    columns = [_columns(samples) for samples in (train, validate, test)]
    means = [_persistent(train), _persistent(test)]
    for k, name in enumerate(CONTINUOUS):
        family = 2 if name in IMPACTS else 0 if name in ODD else 1
        chosen = _ridge(columns[0][family], train.y[:, k].double(), columns[1][family], validate.y[:, k].double(),
                        constant=name not in ODD)  # fmt: skip
        if chosen is not None:
            means[0][:, k], means[1][:, k] = chosen.of(columns[0][family]), chosen.of(columns[2][family])
    fills = _frequencies(train, test)
    everything = [torch.cat(part[:2], 1) for part in columns]
    for k in range(len(FILLS)):
        filled = train.y[:, len(CONTINUOUS) + k].double()
        if not bool(filled.isnan().all()):
            fills[:, k] = logistic(everything[0], filled, everything[2])
    return _told(train, test, means[0], means[1], fills)


def logistic(columns: torch.Tensor, filled: torch.Tensor, asked: torch.Tensor, penalty: float = 10.0) -> torch.Tensor:
    """Log-odds at `asked` of a penalised logistic regression, by Newton's method."""
    known = ~filled.isnan()
    x, y = columns[known], filled[known]
    middle, spread = x.mean(0), x.std(0).clamp(min=1e-9)
    x = torch.cat([torch.ones_like(x[:, :1]), (x - middle) / spread], 1)
    weights, ridge = torch.zeros(x.shape[1], dtype=x.dtype), torch.eye(x.shape[1], dtype=x.dtype) * penalty
    ridge[0, 0] = 1e-6
    for _ in range(12):
        p = (x @ weights).sigmoid()
        slope = x.T @ (y - p) - ridge @ weights
        weights = weights + torch.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + ridge, slope)
    return weights[0] + (asked - middle) / spread @ weights[1:]


def _persistent(samples: Samples) -> torch.Tensor:
    """float64 [N, CONTINUOUS]."""
    x = samples.x.double()
    means = torch.zeros(len(x), len(CONTINUOUS), dtype=torch.float64)
    means[:, len(MOVES)] = x[:, CHANNELS.index("spread"), -1]
    # A window's volume is in usual orders: the kind of the instrument says how many of them are usual in it.
    usual = (2 * samples.about[:, 1].double()).exp()
    volume = torch.log1p(torch.expm1(x[:, CHANNELS.index("volume")]).mean(1) / usual)
    for k, name in enumerate(CONTINUOUS):
        if name.startswith(("volume", "hidden")):
            means[:, k] = volume
    return means


def _frequencies(train: Samples, test: Samples) -> torch.Tensor:
    """Log-odds [N, FILLS] by how often pools filled."""
    often = train.y[:, len(CONTINUOUS) :].double().nanmean(0).clamp(1e-3, 1 - 1e-3)
    return often.logit().expand(len(test.x), -1).clone()


def _columns(samples: Samples) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Odd, even and the order's columns, float64 [N, F] each."""
    x = samples.x.double()
    odd, even = [x[:, CHANNELS.index("bid_lots"), -1] - x[:, CHANNELS.index("ask_lots"), -1]], [x[:, 2:5, -1]]
    moved = x[:, CHANNELS.index("moved")]
    for span in SPANS:
        late = x[:, :, -span:]
        odd += [late[:, CHANNELS.index(name)].mean(1) for name in ("imbalance", "signed", "moved")]
        even.append(torch.stack([late[:, CHANNELS.index(name)].mean(1) for name in ("spread", "volume")], 1))
        even.append(moved[:, -span:].abs().mean(1, keepdim=True))
    even = torch.cat(even, 1)
    # Both queues count alike for what is even.
    even[:, 0], even[:, 1] = (even[:, 0] + even[:, 1]) / 2, (even[:, 0] - even[:, 1]).abs()
    return torch.stack(odd, 1), even, samples.order.double()


def _ridge(
    columns: torch.Tensor, y: torch.Tensor, judging: torch.Tensor, judged: torch.Tensor, *, constant: bool
) -> Linear | None:
    known, seen = ~y.isnan(), ~judged.isnan()
    if not bool(known.any()):
        return None
    found = [ridge(columns[known], y[known], penalty, constant=constant) for penalty in PENALTIES]
    if not bool(seen.any()):
        return found[2]
    return min(found, key=lambda one: float((one.of(judging[seen]) - judged[seen]).square().mean()))


def ridge(columns: torch.Tensor, y: torch.Tensor, penalty: float, *, constant: bool = True) -> Linear:
    """Least squares with a penalty on standardised columns; without a constant nothing is centred."""
    middle = columns.mean(0) if constant else torch.zeros_like(columns[0])
    spread = (columns - middle).square().mean(0).sqrt()
    spread = torch.where(spread > 1e-9, spread, 1.0)
    x, level = (columns - middle) / spread, float(y.mean()) if constant else 0.0
    weights = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype), x.T @ (y - level))
    return Linear(middle, spread, weights, level)


def _told(
    train: Samples, test: Samples, fitted: torch.Tensor, means: torch.Tensor, fills: torch.Tensor
) -> Forecast:
    """With quantiles by the errors where it was fitted, those of odd targets as likely either way."""
    quantiles = means[:, :, None].repeat(1, 1, len(QUANTILES))
    levels = torch.tensor(QUANTILES, dtype=torch.float64)
    for k, name in enumerate(CONTINUOUS):
        off = train.y[:, k].double() - fitted[:, k]
        off = off[~off.isnan()]
        if len(off):
            quantiles[:, k] += torch.quantile(torch.cat([off, -off]) if name in ODD else off, levels)
    return Forecast(means, quantiles, fills)
