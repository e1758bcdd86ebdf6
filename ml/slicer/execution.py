"""The residual of many blocks worked at once, each in a market of its own: what a policy intends becomes orders.

Six slots a market: two for what rests in the lit book at one price (what is added later does not get the place of what
was there), one for each of three pools, one for what crosses. Lots are never promised twice: what crosses comes first,
then what rests, then the pools.
"""

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import torch

from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.batch.orders import best_prices
from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import EpisodeLaw, Episodes, drawn

RESTING, ADDED, FIRST_POOL, CROSSING = 0, 1, 2, 5
SLOTS = 6
POOLS = 3
MAKE_BPS, TAKE_BPS, DARK_BPS = -0.20, 0.30, 0.10
"""Fees of the venues, see `lit_router.venues`."""
SWEEPS, SWEEP_S = 120, 1.0
"""What is left at the horizon is sent to the market every SWEEP_S, at most so often."""
REENTER = 1.25
"""A dark order is sent anew when this many times its size is wanted."""


class Intent(NamedTuple):
    """What a policy wants from now on, int64 [B] unless said otherwise."""

    cross: torch.Tensor
    """Lots to take at once."""
    rest: torch.Tensor
    """Lots to have resting in the lit book."""
    price: torch.Tensor
    """At this price."""
    dark: torch.Tensor
    """[B, POOLS]: lots to have in each pool."""


class View(NamedTuple):
    """What a slicer sees of its market at a decision, and of its own order; float64 [B] unless said otherwise."""

    bid: torch.Tensor
    ask: torch.Tensor
    """Best displayed prices; where a side is empty, the last that was seen, a grid step beyond the other."""
    bid_lots: torch.Tensor
    ask_lots: torch.Tensor
    volume: torch.Tensor
    """Lots traded in the lit book since the order began."""
    left: torch.Tensor
    """Lots of ours not filled."""
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


class Execution:
    """B residuals on their way. Costs are in price units a lot, against the mid at arrival, worse for us positive."""

    def __init__(
        self,
        parameters: BookParameters,
        seeds: Sequence[int],
        law: EpisodeLaw | None = None,
        *,
        regimes: Sequence[int] | None = None,
        characters: Sequence[Character] | Character | None = None,
        device: str | torch.device = "cpu",
        threads: int = 1,
    ) -> None:
        """One episode a seed; markets of equal seeds see the same anonymous flow, whatever is done in them. `regimes`
        is the regime that each episode begins in."""
        self.law = law or EpisodeLaw()
        self.market = BatchedMarket(
            parameters, seeds, orders=SLOTS, characters=characters, device=device, threads=threads
        )
        s = self.market.state
        self.steps_a_decision = round(self.law.horizon_s / self.law.decisions / STEP_S)
        self.episodes: Episodes = drawn(self.law, seeds, s.day_lots, regimes)
        self.side, self.lots = self.episodes.side, self.episodes.lots
        self.market.advance(round(self.law.warm_up_s / STEP_S))
        self._begin_regimes()
        self.decision = 0
        count = self.market.markets
        self._booked = torch.zeros(count, SLOTS, 2, dtype=torch.int64, device=self.market.device)
        self.filled = torch.zeros(count, dtype=torch.int64, device=self.market.device)
        self.by_slot = torch.zeros(count, SLOTS, dtype=torch.int64, device=self.market.device)
        self._cash = torch.zeros(count, dtype=torch.float64, device=self.market.device)
        self._fees = torch.zeros(count, dtype=torch.float64, device=self.market.device)
        bid, ask = best_prices(s)
        first = s.first_bid.double()
        self._bid = torch.where(bid >= 0, bid.double(), first)
        self._ask = torch.where(ask >= 0, ask.double(), first + s.grid)
        self.arrival = (self._bid + self._ask) / 2
        self.arrival_spread = self._ask - self._bid
        self._volume = s.volume.clone()
        s.pending[:, 0] = self.episodes.ahead_lots.to(torch.int32)
        s.pace_lots[:, 0] = self.episodes.ahead_lots.abs().double() * STEP_S / self.law.ahead_s

    @property
    def left(self) -> torch.Tensor:
        """Lots not filled, int64 [B]."""
        return self.lots - self.filled

    @property
    def over(self) -> bool:
        return self.decision >= self.law.decisions

    @property
    def elapsed(self) -> float:
        """Share of the horizon that has passed."""
        return self.decision / self.law.decisions

    def view(self) -> View:
        """What is seen now."""
        s = self.market.state
        self._look()
        pools = slice(FIRST_POOL, FIRST_POOL + POOLS)
        prices = torch.where(s.side[:, :FIRST_POOL] != 0, s.price[:, :FIRST_POOL], 0).amax(1)
        bids, asks = self._depth()
        return View(
            self._bid.clone(),
            self._ask.clone(),
            bids,
            asks,
            (s.volume - self._volume).double(),
            self.left.double(),
            (self._leaves(RESTING) + self._leaves(ADDED)).double(),
            prices.double(),
            self.by_slot[:, pools].double(),
            (s.leaves[:, pools] * (s.side[:, pools] != 0)).double(),
        )

    def step(self, intent: Intent) -> None:
        """Sends what is intended, and lets the market go on to the next decision; after the last, all that is left is
        sent to the market until nothing is."""
        self._send(intent)
        self.market.advance(self.steps_a_decision)
        self._book()
        self.decision += 1
        if self.over:
            self._finish()

    def shortfall(self) -> torch.Tensor:
        """Cost of what was filled so far and of what is left at the present mid, fees included, float64 [B]: in price
        units a lot of the whole residual (Perold 1988)."""
        self._look()
        mid = (self._bid + self._ask) / 2
        done = self.side * (self._cash - self.filled * self.arrival)
        still = self.side * (mid - self.arrival) * self.left
        return (done + still + self._fees) / self.lots

    def copy(self) -> "Execution":
        """An independent twin in the present state, on a processor: what is done to one is not done to the other."""
        twin = copy(self)
        twin.market = self.market.copy()
        for name in ("_booked", "filled", "by_slot", "_cash", "_fees", "_bid", "_ask"):
            setattr(twin, name, getattr(self, name).clone())
        return twin

    # --- orders ----------------------------------------------------------------------------------------------------

    def _send(self, intent: Intent) -> None:
        left = self.left
        cross = torch.minimum(intent.cross, left).clamp(min=0)
        rest = torch.minimum(intent.rest, left - cross).clamp(min=0)
        room, wanted = left - cross - rest, []
        for pool in range(POOLS):
            wanted.append(torch.minimum(intent.dark[:, pool], room).clamp(min=0))
            room = room - wanted[pool]
            # What gets smaller comes first, so that nothing is promised twice.
            self._trim(FIRST_POOL + pool, wanted[pool])
        self._rest(rest, intent.price)
        self._enter(CROSSING, self.side * (cross > 0), cross)
        far = torch.where(self.side > 0, self._ask, self._bid).long()
        for pool in range(POOLS):
            self._wait(FIRST_POOL + pool, wanted[pool], far)

    def _trim(self, slot: int, keep: torch.Tensor) -> None:
        """Makes an order no larger than `keep`; it keeps its place. With nothing kept it is cancelled."""
        s = self.market.state
        self.market.cancel(slot, keep <= 0)
        s.leaves[:, slot] = torch.minimum(s.leaves[:, slot], keep.clamp(min=0).to(torch.int32))

    def _rest(self, rest: torch.Tensor, price: torch.Tensor) -> None:
        """One price: the first order keeps its place while it is wanted, what is added stands behind it."""
        s = self.market.state
        stays = (s.side[:, RESTING] != 0) & (s.price[:, RESTING] == price) & (rest > 0)
        self.market.cancel(RESTING, ~stays)
        self._trim(RESTING, rest)
        kept = self._leaves(RESTING)
        self.market.cancel(ADDED, ~(stays & (s.price[:, ADDED] == price)))
        self._trim(ADDED, rest - kept)
        more = rest - kept - self._leaves(ADDED)
        self._enter(RESTING, self.side * ((more > 0) & ~stays), more, price, rests=1)
        self._enter(ADDED, self.side * ((more > 0) & stays & (s.side[:, ADDED] == 0)), more, price, rests=1)

    def _leaves(self, slot: int) -> torch.Tensor:
        s = self.market.state
        return s.leaves[:, slot].long() * (s.side[:, slot] != 0)

    def _wait(self, slot: int, wanted: torch.Tensor, far: torch.Tensor) -> None:
        """An order in a pool, at a limit that the mid has not passed."""
        s = self.market.state
        passed = self.side * (s.price[:, slot] - (self._bid + self._ask) / 2) < 0
        self.market.cancel(slot, passed | (wanted > REENTER * s.leaves[:, slot]))
        free = s.side[:, slot] == 0
        self._enter(slot, self.side * (free & (wanted > 0)), wanted, far, venue=slot - FIRST_POOL + 1, rests=1)

    def _enter(
        self,
        slot: int,
        side: torch.Tensor,
        lots: torch.Tensor,
        price: torch.Tensor | None = None,
        *,
        venue: int = 0,
        rests: int = 0,
    ) -> None:
        self._book()
        self._booked[:, slot] = torch.where((side != 0)[:, None], 0, self._booked[:, slot])
        ticket = self.market.ticket(side, lots.clamp(min=1), price, venue=venue, rests=rests)
        self.market.enter(slot, ticket)
        self._book()

    def _finish(self) -> None:
        for slot in range(SLOTS):
            self.market.cancel(slot, self.side != 0)
        for _ in range(SWEEPS):
            left = self.left
            if not bool((left > 0).any()):
                break
            self._enter(CROSSING, self.side * (left > 0), left)
            self.market.advance(round(SWEEP_S / STEP_S))

    # --- accounts --------------------------------------------------------------------------------------------------

    def _book(self) -> None:
        """Takes what was executed since the last time into the accounts."""
        s = self.market.state
        now = torch.stack([s.filled.long(), s.paid], 2)
        got = now - self._booked
        self._booked = now
        lots, paid = got[:, :, 0], got[:, :, 1].double() / 2
        self.by_slot += lots
        self.filled += lots.sum(1)
        self._cash += paid.sum(1)
        bps = torch.tensor([MAKE_BPS] * FIRST_POOL + [DARK_BPS] * POOLS + [TAKE_BPS], dtype=torch.float64)
        self._fees += (paid * bps.to(paid.device) * 1e-4).sum(1)

    def _look(self) -> None:
        """Remembers the best prices where both are there."""
        bid, ask = best_prices(self.market.state)
        both = (bid >= 0) & (ask >= 0)
        self._bid = torch.where(both, bid.double(), self._bid)
        self._ask = torch.where(both, ask.double(), self._ask)

    def _depth(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Lots displayed at the best prices, without ours."""
        s = self.market.state
        shown = (s.queues - s.taken).clamp(min=0)
        levels = shown.shape[1] // 2
        price = s.first_bid[:, None] + (torch.arange(2 * levels, device=shown.device) - levels + 1) * s.grid[:, None]
        bids = (shown[:, :levels] * (price[:, :levels] == self._bid[:, None])).sum(1)
        asks = (shown[:, levels:] * (price[:, levels:] == self._ask[:, None])).sum(1)
        return bids.double(), asks.double()

    def _begin_regimes(self) -> None:
        """Each market enters its episode's regime as it would by itself; see `regimes`."""
        s, device = self.market.state, self.market.device
        regime = self.episodes.regime
        way = torch.where((s.key >> 7) & 1 > 0, 1, -1)
        drift = torch.tensor([self.market.rules.regime_drift[k].item() for k in range(len(REGIMES))], device=device)
        news = torch.tensor([one.news for one in REGIMES], dtype=torch.float64, device=device)
        s.regime.copy_(regime)
        s.drift.copy_(way * drift[regime])
        s.news.copy_(torch.where(news[regime] > 0, way * news[regime], s.news))
