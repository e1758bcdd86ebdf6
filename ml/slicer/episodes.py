"""What is to be worked in each episode: side, size, risk, regime, the market's character, and who trades ahead. Drawn
from seeds alone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.batch.orders import best_prices
from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import BookParameters
from ml.slicer.situation import POOLS
from rfq.domain.errors import BadInput

DAY_S = 23_400.0
FIRST_BID = 20_000
REFERENCE_SEED, REFERENCES = 4 * 10**8, 256


class EpisodeLaw(NamedTuple):
    """How episodes are drawn. Shares of volume are of what is usual in the market over the horizon."""

    horizon_s: float = 600.0
    decisions: int = 40
    participation: tuple[float, float] = (0.005, 0.2)
    """Log-uniform between these."""
    warm_up_s: float = 120.0
    ahead: float = 0.3
    """Share of episodes in which dealers that lost the auction trade ahead, the same way."""
    ahead_of_residual: tuple[float, float] = (0.05, 0.4)
    """What they trade, as a share of the residual; uniform."""
    ahead_s: float = 300.0
    """Over so long."""
    pace: tuple[float, float] = (0.5, 2.0)
    """Activity of the market beside its set's, log-uniform between these."""
    missing: float = 0.1
    """Chance of each pool not to be at hand."""
    risk: tuple[float, float] = (0.0, 0.0)
    """Of the desk: half the episodes the first, the others uniform between both."""
    evenly: bool = True
    """Episodes begin in each regime alike; else as often as the market does."""


STANDARD = (
    (0.4, EpisodeLaw(horizon_s=300.0, decisions=40)),
    (0.3, EpisodeLaw(horizon_s=600.0, decisions=40)),
    (0.3, EpisodeLaw(horizon_s=1800.0, decisions=60)),
)
"""The standard episodes with their weights: 5, 10 and 30 minutes."""


class Episodes(NamedTuple):
    """One a market."""

    side: torch.Tensor
    """int64 [B]: 1 buys, -1 sells."""
    participation: torch.Tensor
    """float64 [B]: of usual volume over the horizon."""
    regime: torch.Tensor
    """int64 [B]: index of REGIMES, in which it begins."""
    ahead: torch.Tensor
    """float64 [B]: share of the residual that dealers trade ahead of it."""
    risk: torch.Tensor
    """float64 [B]."""
    pools: torch.Tensor
    """bool [B, POOLS]."""
    pace: torch.Tensor
    opened_s: torch.Tensor
    """float64 [B]: seconds of the session that have passed when the market is begun."""


def drawn(
    law: EpisodeLaw, seeds: Sequence[int], regimes: Sequence[int] | None = None, device: str | torch.device = "cpu"
) -> Episodes:
    """One episode a seed: equal seeds give equal episodes. `regimes` fixes the regime of each. Raises BadInput for a
    law that cannot be."""
    _check(law)
    # Members of a group share a seed.
    of = {seed: np.random.default_rng([seed, 0x5E]).random(8 + POOLS) for seed in set(map(int, seeds))}
    u = np.array([of[int(seed)] for seed in seeds])
    shares = np.cumsum([1 / len(REGIMES) if law.evenly else regime.share for regime in REGIMES])
    regime = np.minimum(np.searchsorted(shares, u[:, 2], side="right"), len(REGIMES) - 1)
    room_s = max(0.0, DAY_S - law.horizon_s - law.warm_up_s)
    columns = (
        np.where(u[:, 0] < 0.5, 1, -1),
        _between(law.participation, u[:, 1]),
        regime if regimes is None else np.asarray(regimes),
        (u[:, 3] < law.ahead) * np.interp(u[:, 4], (0, 1), law.ahead_of_residual),
        law.risk[0] + (law.risk[1] - law.risk[0]) * (2 * u[:, 5] - 1).clip(0),
        u[:, 8:] >= law.missing,
        _between(law.pace, u[:, 6]),
        room_s * u[:, 7],
    )
    return Episodes(*(torch.as_tensor(column, device=device) for column in columns))


def characters(parameters: BookParameters, episodes: Episodes, impact: float = 1.0) -> list[Character]:
    """Of each episode's market. `impact` multiplies what participants do to the price."""
    def character(pace: float, opened_s: float) -> Character:
        sigma = impact * parameters.day_sigma_grids * pace**0.5 if impact != 1 else 0.0
        lots = parameters.mean_lots
        return Character(FIRST_BID, mean_lots=lots, pace=pace, opened_s=opened_s, sigma_cells=sigma)

    each = list(zip(episodes.pace.tolist(), episodes.opened_s.tolist(), strict=True))
    # Members of a group are alike.
    different = {one: character(*one) for one in set(each)}
    return [different[one] for one in each]


def day_share(parameters: BookParameters, from_s: np.ndarray, until_s: np.ndarray) -> np.ndarray:
    """Share of a usual day's volume that comes between two times of the session, seconds."""
    return share_of_day(parameters.volume_curve, from_s, until_s)


def share_of_day(volume_curve: Sequence[float], from_s: np.ndarray, until_s: np.ndarray) -> np.ndarray:
    """The same where the volume by equal parts of the day is given."""
    curve = np.asarray(volume_curve)
    by = np.concatenate([[0.0], np.cumsum(curve / curve.sum())])
    edges = np.linspace(0.0, DAY_S, len(by))
    return np.interp(until_s, edges, by) - np.interp(from_s, edges, by)


@lru_cache(maxsize=16)
def usual_spread(parameters: BookParameters, device: str | torch.device = "cpu") -> float:
    """Mean spread of the set in price units, from markets of its own; what anybody knows of an instrument."""
    seeds = range(REFERENCE_SEED, REFERENCE_SEED + REFERENCES)
    character = Character(FIRST_BID, mean_lots=parameters.mean_lots)
    market = BatchedMarket(parameters, seeds, characters=character, device=device)
    found = []
    for _ in range(5):
        market.advance(round(120.0 / STEP_S))
        bid, ask = best_prices(market.state)
        found.append((ask - bid)[(bid >= 0) & (ask >= 0)].double())
    return float(torch.cat(found).mean())


def _between(bounds: tuple[float, float], u: np.ndarray) -> np.ndarray:
    low, high = bounds
    return low * (high / low) ** u


def _check(law: EpisodeLaw) -> None:
    for field, (low, high), most in (("participation", law.participation, 1.0), ("pace", law.pace, 16.0)):
        if not 0 < low <= high <= most:
            raise BadInput(field, (low, high), f"must be above 0 and at most {most:g}, the smaller first")
    if law.decisions < 1 or law.horizon_s <= 0 or law.warm_up_s < 0:
        raise BadInput("horizon_s", (law.horizon_s, law.decisions), "must be positive, with a decision at least")
    if not 0 <= law.risk[0] <= law.risk[1] <= 1:
        raise BadInput("risk", law.risk, "must be within 0 and 1, the smaller first")
