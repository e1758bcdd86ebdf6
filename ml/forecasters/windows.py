"""What a forecaster sees: the last half minute of one market, a snapshot each second.

One form for the simulator, for order-level recordings and for days of ticks, and so only what all of them show: the
best prices and what is displayed there, and what traded in the lit book. Nothing latent enters.
"""

from typing import NamedTuple

import torch

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.orders import best_prices, prices, shown
from lit_router.market.batch.state import State

LOOKS = 32
"""Snapshots in a window."""
EVERY_S = 1.0
CHANNELS = ("bid", "ask", "bid_lots", "ask_lots", "spread", "imbalance", "signed", "volume", "moved")
ABOUT = 2
ORDER = 3
MOST = 8.0
"""Inputs are held to so much either way."""
_MIRRORED = [CHANNELS.index(name) for name in ("ask", "bid", "ask_lots", "bid_lots", *CHANNELS[4:])]
_ODD = ("bid", "ask", "imbalance", "signed", "moved")


class Usual(NamedTuple):
    """What is usual of an instrument, known before; float64 [B]."""

    spread: torch.Tensor
    """Price units."""
    tick: torch.Tensor
    """Price units."""
    volume_s: torch.Tensor
    """Lots traded in the lit book in a second."""
    event_lots: torch.Tensor
    """Lots of one order."""


class Snapshots(NamedTuple):
    """What is seen at successive seconds, float64 [B, S]."""

    bid: torch.Tensor
    ask: torch.Tensor
    """Best displayed prices; where a side is empty, the last that was seen."""
    bid_lots: torch.Tensor
    ask_lots: torch.Tensor
    """Displayed there, ours not counted."""
    signed: torch.Tensor
    """Lots traded in the lit book since the snapshot before, positive where buyers took them."""
    volume: torch.Tensor
    """The same without signs."""

    @property
    def mid(self) -> torch.Tensor:
        return (self.bid + self.ask) / 2

    def until(self, second: int) -> "Snapshots":
        """The window that ends with a snapshot, [B, LOOKS]."""
        return Snapshots(*(field[:, second + 1 - LOOKS : second + 1] for field in self))


def inputs(seen: Snapshots, usual: Usual) -> torch.Tensor:
    """A window [B, LOOKS] as a network takes it, float32 [B, CHANNELS, LOOKS]: prices in usual spreads from the last
    mid, lots in usual orders, logarithmic."""
    spread, lots = usual.spread[:, None], usual.event_lots[:, None]
    mid = seen.mid
    both = (seen.bid_lots + seen.ask_lots).clamp(min=1.0)
    columns = [
        (seen.bid - mid[:, -1:]) / spread,
        (seen.ask - mid[:, -1:]) / spread,
        torch.log1p(seen.bid_lots / lots),
        torch.log1p(seen.ask_lots / lots),
        (seen.ask - seen.bid) / spread,
        (seen.bid_lots - seen.ask_lots) / both,
        torch.asinh(seen.signed / lots),
        torch.log1p(seen.volume / lots),
        torch.cat([torch.zeros_like(mid[:, :1]), mid.diff(dim=1)], 1) / spread,
    ]
    return torch.stack(columns, 1).clamp(-MOST, MOST).float()


def about(usual: Usual) -> torch.Tensor:
    """What kind of instrument it is, float32 [B, ABOUT]: ticks in a spread, orders in a second; logarithms."""
    ticks, orders = usual.spread / usual.tick, usual.volume_s / usual.event_lots
    return torch.stack([ticks.log(), orders.clamp(min=1e-6).log() / 2], 1).clamp(-MOST, MOST).float()


def order_inputs(order: torch.Tensor, seen: Snapshots, usual: Usual) -> torch.Tensor:
    """An order that crosses now, signed lots [B] (0: none), float32 [B, ORDER]: over a usual minute's volume (square
    root), over a usual order and over what is displayed on the other side; all odd in its sign."""
    other = torch.where(order > 0, seen.ask_lots[:, -1], seen.bid_lots[:, -1]).clamp(min=1.0)
    minute = (usual.volume_s * 60.0).clamp(min=1e-9)
    columns = [order.sign() * (order.abs() / minute).sqrt(), torch.asinh(order / usual.event_lots) / 2]
    columns.append(torch.asinh(order / other) / 2)
    return torch.stack(columns, 1).clamp(-MOST, MOST).float()


def mirrored(x: torch.Tensor) -> torch.Tensor:
    """The same window with buyers and sellers changed over, [B, CHANNELS, LOOKS]."""
    rows = zip(CHANNELS, _MIRRORED, strict=True)
    return torch.stack([-x[:, place] if name in _ODD else x[:, place] for name, place in rows], 1)


class Watch:
    """Plays a batched market and remembers the last LOOKS snapshots of it, taken each second.

    What is shorter is filled with how things were at first. To be played through this alone: `advance` stands in for
    the market's own.
    """

    def __init__(self, market: BatchedMarket) -> None:
        self.market, self._every = market, round(EVERY_S / market.step_s)
        first = market.state.first_bid.double()
        self._bid, self._ask = first, first + market.state.grid
        self._volume = market.state.volume.clone()
        self._since = 0
        self._seen: list[list[torch.Tensor]] = []
        self._look()

    def advance(self, steps: int) -> None:
        """Plays all markets for so many steps."""
        while steps > 0:
            some = min(steps, self._every - self._since)
            self.market.advance(some)
            steps -= some
            self._since += some
            if self._since == self._every:
                self._since = 0
                self._look()

    @property
    def seen(self) -> Snapshots:
        """The window up to the last whole second, [B, LOOKS]."""
        return self.last(LOOKS)

    def last(self, count: int) -> Snapshots:
        """Snapshots up to the last whole second, [B, count]; at most LOOKS are remembered."""
        first = self._seen[0]
        none = torch.zeros_like(first[4])
        filled = [[*first[:4], none, none]] * (count - len(self._seen)) + self._seen[-count:]
        return Snapshots(*(torch.stack(column, 1) for column in zip(*filled, strict=True)))

    def _look(self) -> None:
        s, mid = self.market.state, (self._bid + self._ask) / 2
        bid, ask, bids, asks = touch(s, self._bid, self._ask)
        came = (s.volume - self._volume).double()
        signed = came * (s.last_price - mid).sign()
        self._bid, self._ask, self._volume = bid, ask, s.volume.clone()
        self._seen = [*self._seen[1 - LOOKS :], [bid, ask, bids, asks, signed, came]]


def touch(s: State, bid: torch.Tensor, ask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Best bid and ask (where one is missing, those given) and the lots that others display there, float64 [B]."""
    new_bid, new_ask = best_prices(s)
    both = (new_bid >= 0) & (new_ask >= 0)
    bid, ask = torch.where(both, new_bid.double(), bid), torch.where(both, new_ask.double(), ask)
    depth, price = shown(s).double(), prices(s).double()
    levels = depth.shape[1] // 2
    bids = (depth[:, :levels] * (price[:, :levels] == bid[:, None])).sum(1)
    asks = (depth[:, levels:] * (price[:, levels:] == ask[:, None])).sum(1)
    return bid, ask, bids, asks
