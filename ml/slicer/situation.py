"""What a slicer is given and what it answers, for many residuals at once: the same in the simulator and live.

Everything here may be known to a real slicer: its own order and fills, the displayed book, traded volume, and what is
usual of the instrument. Nothing latent enters.
"""

from typing import NamedTuple

import torch

from rfq.domain.rfq import Urgency

POOLS = 3
"""Dark pools that a slicer tells apart: block, broker, stream."""
BACK = 8
"""Decisions that are looked back."""
RISK = {Urgency.LOW: 0.0, Urgency.MEDIUM: 0.2, Urgency.HIGH: 0.6}
"""What an order's urgency says of risk."""


class Residual(NamedTuple):
    """What is to be worked, and what is usual of its instrument; float64 [B] unless said otherwise."""

    side: torch.Tensor
    """1 buys, -1 sells."""
    lots: torch.Tensor
    arrival: torch.Tensor
    """Mid at arrival, price units."""
    horizon_s: torch.Tensor
    risk: torch.Tensor
    """0: the mean cost alone counts; 1: that of the dearest tenth of outcomes alone."""
    spread: torch.Tensor
    """Usual, price units."""
    notch: torch.Tensor
    """Price units by which an order is placed ahead or behind: a tick, or a part of a wide spread."""
    volume_s: torch.Tensor
    """Lots usually traded in a second."""
    event_lots: torch.Tensor
    """Lots of a usual order."""
    pools: torch.Tensor
    """bool [B, POOLS]: which may be used."""


class Moment(NamedTuple):
    """When a decision is taken; shares of the horizon, float64 [B]."""

    elapsed: torch.Tensor
    later: torch.Tensor
    """At the next decision; 1 at the last."""
    curve_later: torch.Tensor
    """Share of the horizon's volume that is usual by the next decision."""

    @property
    def step(self) -> torch.Tensor:
        return self.later - self.elapsed

    @property
    def last(self) -> torch.Tensor:
        """bool [B]."""
        return self.later >= 1 - 1e-9


class View(NamedTuple):
    """What is seen of the market and of the own order at a decision; float64 [B] unless said otherwise."""

    bid: torch.Tensor
    ask: torch.Tensor
    """Best displayed prices; where a side is empty, the last that was seen."""
    bid_lots: torch.Tensor
    ask_lots: torch.Tensor
    """Displayed there, ours not counted."""
    volume: torch.Tensor
    """Lots traded in the lit book since the order began."""
    left: torch.Tensor
    """Lots not filled."""
    resting: torch.Tensor
    """Lots of ours in the lit book."""
    resting_price: torch.Tensor
    """0 where nothing rests."""
    dark_filled: torch.Tensor
    """[B, POOLS]: lots of ours filled in each pool."""
    dark_resting: torch.Tensor
    """[B, POOLS]."""

    @property
    def mid(self) -> torch.Tensor:
        return (self.bid + self.ask) / 2


class Recent(NamedTuple):
    """The last BACK decisions and this one, oldest first; before the first, everything was as it was then."""

    mids: torch.Tensor
    """[B, BACK + 1]."""
    volumes: torch.Tensor
    """[B, BACK + 1]."""
    lean: torch.Tensor
    """[B, BACK + 1]: displayed bids less asks, over both."""
    dark_filled: torch.Tensor
    """[B, POOLS]: now."""
    dark_gained: torch.Tensor
    """[B, POOLS]: since the decision before."""
    count: torch.Tensor
    """Decisions before this one, at most BACK."""


class Intent(NamedTuple):
    """What is wanted from now on, int64 [B] unless said otherwise."""

    cross: torch.Tensor
    """Lots to take at once."""
    rest: torch.Tensor
    """Lots to have resting in the lit book."""
    price: torch.Tensor
    """At this price."""
    dark: torch.Tensor
    """[B, POOLS]: lots to have in each pool."""


def remembered(recent: Recent | None, seen: View) -> Recent:
    """What is remembered once `seen` is seen."""
    now = torch.stack([seen.mid, seen.volume, lean(seen)])
    if recent is None:
        mids, volumes, leans = now[:, :, None].repeat(1, 1, BACK + 1)
        none = torch.zeros_like(seen.dark_filled)
        return Recent(mids, volumes, leans, seen.dark_filled, none, torch.zeros_like(seen.mid))
    kept = torch.stack([recent.mids, recent.volumes, recent.lean])[:, :, 1:]
    mids, volumes, leans = torch.cat([kept, now[:, :, None]], 2)
    gained = seen.dark_filled - recent.dark_filled
    return Recent(mids, volumes, leans, seen.dark_filled, gained, (recent.count + 1).clamp(max=BACK))


def lean(seen: View) -> torch.Tensor:
    """Queue imbalance, from -1 (all asks) to 1 (all bids)."""
    return (seen.bid_lots - seen.ask_lots) / (seen.bid_lots + seen.ask_lots).clamp(min=1.0)
