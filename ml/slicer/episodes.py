"""What is to be worked in each episode: side, size, regime, and who trades ahead. Drawn from seeds alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from lit_router.market.batch.regimes import REGIMES
from rfq.domain.errors import BadInput

DAY_S = 23_400.0


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


class Episodes(NamedTuple):
    """One a market; int64 [B] unless said otherwise."""

    side: torch.Tensor
    """1 buys, -1 sells."""
    lots: torch.Tensor
    regime: torch.Tensor
    ahead_lots: torch.Tensor
    """Signed lots that dealers will trade."""


def drawn(
    law: EpisodeLaw, seeds: Sequence[int], day_lots: torch.Tensor, regimes: Sequence[int] | None = None
) -> Episodes:
    """One episode a seed: equal seeds give equal episodes. `regimes` fixes the regime of each, else it is drawn by its
    share. Raises BadInput for a law that cannot be."""
    low, high = law.participation
    if not 0 < low <= high <= 1:
        raise BadInput("participation", law.participation, "must be shares above 0, the smaller first")
    if law.decisions < 1 or law.horizon_s <= 0:
        raise BadInput("horizon_s", (law.horizon_s, law.decisions), "must be positive, with a decision at least")
    shares = np.cumsum([regime.share for regime in REGIMES])
    rows = []
    for place, seed in enumerate(seeds):
        rng = np.random.default_rng([int(seed), 0x5E])
        side, size, regime, ahead, amount = rng.random(5)
        rows.append(
            (
                1.0 if side < 0.5 else -1.0,
                np.exp(np.log(low) + size * np.log(high / low)),
                float(min(np.searchsorted(shares, regime, side="right"), len(REGIMES) - 1)),
                (ahead < law.ahead) * np.interp(amount, (0, 1), law.ahead_of_residual),
            )
        )
        if regimes is not None:
            rows[-1] = (*rows[-1][:2], float(regimes[place]), rows[-1][3])
    side, participation, regime, ahead = torch.tensor(np.array(rows), dtype=torch.float64, device=day_lots.device).T
    lots = (participation * day_lots * law.horizon_s / DAY_S).clamp(min=1).round()
    return Episodes(side.long(), lots.long(), regime.long(), (side * lots * ahead).round().long())
