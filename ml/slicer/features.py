"""What a learned slicer sees, as numbers: one function, offline and live. Nothing latent enters.

It takes the views of this and earlier decisions, and what anybody knows of the instrument: usual spread, volume and
event size. All lengths are in usual spreads, lots in those of the order or of usual volume, signs from the order's side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ml.slicer.execution import Intent, View

NAMES = (
    "left",
    "elapsed",
    "behind",
    "log_participation",
    "pressure",
    "own_queue",
    "other_queue",
    "spread",
    "adverse",
    "adverse_1",
    "adverse_3",
    "adverse_8",
    "volatility",
    "volume_1",
    "volume_8",
    "resting",
    "resting_behind",
    "block_filled",
    "broker_filled",
    "stream_filled",
    "block_waiting",
    "broker_waiting",
    "stream_waiting",
    "rule_cross",
    "rule_rest",
)
BACK = 8
"""Decisions that are looked back."""
MOST = 5.0
"""Features are held to so much either way."""


class Usual(NamedTuple):
    """What is known of the instruments beforehand; numbers or float64 [B]."""

    spread: torch.Tensor
    """Price units."""
    volume: torch.Tensor
    """Lots traded between two decisions on a usual day."""
    event_lots: torch.Tensor


def features(
    views: Sequence[View], usual: Usual, side: torch.Tensor, lots: torch.Tensor, arrival: torch.Tensor,
    elapsed: float, decisions: int, rule: Intent,
) -> torch.Tensor:  # fmt: skip
    """float32 [B, len(NAMES)]. `views` are those of this order so far, the last the present one."""
    now, sign, total = views[-1], side.double(), lots.double()
    mids = [view.mid for view in views[-BACK - 1 :]]

    def moved(decisions_back: int) -> torch.Tensor:
        return sign * (mids[-1] - mids[max(0, len(mids) - 1 - decisions_back)]) / usual.spread

    def traded(decisions_back: int) -> torch.Tensor:
        back = max(0, len(views) - 1 - decisions_back)
        span = max(1, len(views) - 1 - back)
        return (now.volume - views[back].volume) / (usual.volume * span)

    moves = [(after - before).abs() for before, after in zip(mids, mids[1:], strict=False)]
    own, other = torch.where(sign > 0, now.bid, now.ask), torch.where(sign > 0, now.ask, now.bid)
    own_lots = torch.where(sign > 0, now.bid_lots, now.ask_lots)
    other_lots = torch.where(sign > 0, now.ask_lots, now.bid_lots)
    before = views[-2] if len(views) > 1 else now
    gained = (now.dark_filled - before.dark_filled) / total[:, None]
    behind = torch.where(now.resting > 0, sign * (own - now.resting_price), torch.zeros_like(own)) / usual.spread
    volatility = torch.stack(moves).mean(0) / usual.spread if moves else torch.zeros_like(own)
    columns = [
        now.left / total,
        torch.full_like(own, elapsed),
        elapsed - (1 - now.left / total),
        torch.log(total / (usual.volume * decisions)) / 2 + 1,
        (own_lots - other_lots) / (own_lots + other_lots).clamp(min=1.0),
        torch.log1p(own_lots / usual.event_lots) / 2,
        torch.log1p(other_lots / usual.event_lots) / 2,
        (other - own).abs() / usual.spread,
        sign * (now.mid - arrival) / usual.spread / 2,
        moved(1),
        moved(3),
        moved(BACK) / 2,
        volatility,
        traded(1),
        traded(BACK),
        now.resting / total,
        behind,
        *(3 * gained).T,
        *(now.dark_resting / total[:, None]).T,
        (rule.cross / total) * 3,
        rule.rest / total,
    ]
    return torch.stack(columns, 1).clamp(-MOST, MOST).float()
