"""The residuals of many blocks worked at once, each in a market of its own: what a policy intends becomes orders.

Six slots a market: two for what rests in the lit book at one price (what is added later does not get the place of what
was there), one for each of three pools, one for what crosses. Lots are never promised twice: what crosses comes first,
then what rests, then the pools.
"""

from collections.abc import Sequence
from copy import copy

import torch

from lit_router.market.batch.market import STEP_S, USUAL_SLOTS, BatchedMarket
from lit_router.market.batch.orders import best_prices
from lit_router.market.batch.pools import POOLS as POOL_CHARACTERS
from lit_router.market.batch.pools import PoolCharacter
from lit_router.market.batch.regimes import REGIMES
from lit_router.market.parameters import BookParameters
from lit_router.venues.dark import DARK_FEES
from lit_router.venues.lit import LIT_FEES
from ml.slicer.episodes import EpisodeLaw, Episodes, characters, day_share, drawn, usual_spread
from ml.slicer.situation import POOLS, Intent, Moment, Residual, View

RESTING, ADDED, FIRST_POOL, CROSSING = 0, 1, 2, 5
SLOTS = USUAL_SLOTS
FEES_BPS = (LIT_FEES.make_bps,) * 2 + (DARK_FEES.make_bps,) * POOLS + (LIT_FEES.take_bps,)
"""By slot."""
SWEEPS_S = (1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""What is left at the horizon is sent to the market again after so many seconds each: a halt of five minutes ends."""
REENTER = 1.25
"""A dark order is sent anew when this many times its size is wanted."""


class Execution:
    """B residuals on their way. Costs are in price units a lot, against the mid at arrival, worse for us positive."""

    def __init__(
        self,
        parameters: BookParameters,
        seeds: Sequence[int],
        law: EpisodeLaw | None = None,
        *,
        regimes: Sequence[int] | None = None,
        impact: float = 1.0,
        pools: tuple[PoolCharacter, ...] = POOL_CHARACTERS,
        device: str | torch.device = "cpu",
        threads: int = 1,
    ) -> None:
        """One episode a seed; markets of equal seeds see the same anonymous flow, whatever is done in them. `regimes`
        is the regime that each episode begins in; `impact` multiplies what participants do to the price."""
        self.law = law or EpisodeLaw()
        episodes = drawn(self.law, seeds, regimes)
        self.market = BatchedMarket(
            parameters,
            seeds,
            orders=SLOTS,
            characters=characters(parameters, episodes, impact),
            pool_characters=pools,
            device=device,
            threads=threads,
        )
        self.steps_a_decision = round(self.law.horizon_s / self.law.decisions / STEP_S)
        self.market.advance(round(self.law.warm_up_s / STEP_S))
        self.decision = 0
        self._account()
        self._begin(parameters, episodes)

    def _account(self) -> None:
        count, device, s = self.market.markets, self.market.device, self.market.state
        self._booked = torch.zeros(count, SLOTS, 2, dtype=torch.int64, device=device)
        self.filled = torch.zeros(count, dtype=torch.int64, device=device)
        self.by_slot = torch.zeros(count, SLOTS, dtype=torch.int64, device=device)
        self._cash = torch.zeros(count, dtype=torch.float64, device=device)
        self._fees = torch.zeros(count, dtype=torch.float64, device=device)
        self._fee_share = torch.tensor(FEES_BPS, dtype=torch.float64, device=device) * 1e-4
        first = s.first_bid.double()
        self._bid, self._ask = first, first + s.grid
        self._look()
        self._volume = s.volume.clone()

    def _begin(self, parameters: BookParameters, drawn: Episodes) -> None:
        s, law, device = self.market.state, self.law, self.market.device
        episodes = Episodes(*(value.to(device) for value in drawn))
        begins_s = drawn.opened_s.numpy() + law.warm_up_s
        edges = [begins_s + law.horizon_s * k / law.decisions for k in range(law.decisions + 1)]
        come = torch.as_tensor(
            [day_share(parameters, begins_s, edge).tolist() for edge in edges], dtype=torch.float64, device=device
        )
        self._curve = come / come[-1]
        volume = s.day_lots * come[-1]
        lots = (episodes.participation * volume).clamp(min=1).round()
        # What has no values (the meta device) cannot be measured.
        spread = usual_spread(parameters, device if device.type == "cuda" else torch.device("cpu"))
        grid = s.grid.double()
        full = torch.ones_like(lots)
        self.lots, self.side = lots.long(), episodes.side.long()
        self.regime = episodes.regime
        self.residual = Residual(
            side=self.side.double(),
            lots=lots,
            arrival=(self._bid + self._ask) / 2,
            horizon_s=full * law.horizon_s,
            risk=episodes.risk.double(),
            spread=full * spread,
            notch=notch(full * spread, grid),
            volume_s=volume / law.horizon_s,
            event_lots=s.mean_lots.double(),
            pools=episodes.pools,
        )
        ahead = (self.side * lots * episodes.ahead).round()
        s.pending[:, 0] = ahead.to(torch.int32)
        s.pace_lots[:, 0] = ahead.abs() * STEP_S / law.ahead_s
        self._begin_regimes()

    @property
    def left(self) -> torch.Tensor:
        """Lots not filled, int64 [B]."""
        return self.lots - self.filled

    @property
    def over(self) -> bool:
        return self.decision >= self.law.decisions

    def moment(self) -> Moment:
        """The present decision's."""
        full, at, count = torch.ones_like(self.residual.lots), self.decision, self.law.decisions
        return Moment(full * (at / count), full * ((at + 1) / count), self._curve[at + 1])

    def view(self) -> View:
        """What is seen now."""
        s = self.market.state
        self._look()
        pools = slice(FIRST_POOL, FIRST_POOL + POOLS)
        standing = s.side[:, :FIRST_POOL] != 0
        bids, asks = self._depth()
        return View(
            self._bid,
            self._ask,
            bids,
            asks,
            (s.volume - self._volume).double(),
            self.left.double(),
            (s.leaves[:, :FIRST_POOL] * standing).sum(1).double(),
            (s.price[:, :FIRST_POOL] * standing).amax(1).double(),
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
        r = self.residual
        done = r.side * (self._cash - self.filled * r.arrival)
        still = r.side * ((self._bid + self._ask) / 2 - r.arrival) * self.left
        return (done + still + self._fees) / r.lots

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
            asked = intent.dark[:, pool] * self.residual.pools[:, pool]
            wanted.append(torch.minimum(asked, room).clamp(min=0))
            room = room - wanted[pool]
            # What gets smaller comes first, so that nothing is promised twice.
            self._trim(FIRST_POOL + pool, wanted[pool])
        self._rest(rest, intent.price)
        self._enter(CROSSING, self.side * (cross > 0), cross)
        far = torch.where(self.side > 0, self._ask, self._bid).long()
        for pool in range(POOLS):
            self._wait(FIRST_POOL + pool, wanted[pool], far)
        self._book()

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
        first, second = (more > 0) & ~stays, (more > 0) & stays & (s.side[:, ADDED] == 0)
        self._enter(RESTING, self.side * first, more, price, rests=1)
        self._enter(ADDED, self.side * second, more, price, rests=1)

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
        """One order a market where there is a side. What the one before it in the slot did is in the accounts; the slot
        counts from nothing again."""
        self._booked[:, slot] = torch.where((side != 0)[:, None], 0, self._booked[:, slot])
        self.market.enter(slot, self.market.ticket(side, lots.clamp(min=1), price, venue=venue, rests=rests))

    def _finish(self) -> None:
        for slot in range(SLOTS):
            self.market.cancel(slot, self.side != 0)
        for seconds in SWEEPS_S:
            left = self.left
            self._enter(CROSSING, self.side * (left > 0), left)
            self.market.advance(round(seconds / STEP_S), left > 0)
            self._book()

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
        self._fees += paid @ self._fee_share

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
        s, rules, device = self.market.state, self.market.rules, self.market.device
        way = torch.where((s.key >> 7) & 1 > 0, 1, -1)
        drift = torch.stack([torch.as_tensor(rules.regime_drift[k], device=device) for k in range(len(REGIMES))])
        news = torch.tensor([one.news for one in REGIMES], dtype=torch.float64, device=device)
        s.regime.copy_(self.regime)
        s.drift.copy_(way * drift[self.regime])
        s.news.copy_(torch.where(news[self.regime] > 0, way * news[self.regime], s.news))


def notch(spread: torch.Tensor, tick: torch.Tensor) -> torch.Tensor:
    """By how much an order is placed ahead or behind: a tick, or a third of a usual spread where that is more, [B]."""
    return tick * (spread / tick / 3).round().clamp(min=1)
