"""From what the router observes of many parents to what a slicer is given: one row of numbers each, then the tensors
that the simulator gives as well. What an order's constants are, and what was seen of it before, is remembered here.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch

from lit_router.domain.observation import Observation
from lit_router.market.batch.pools import POOLS as POOL_CHARACTERS
from lit_router.volume_curve import CONTINUOUS, VolumeCurve
from ml.slicer.execution import notch
from ml.slicer.situation import BACK, POOLS, RISK, Moment, Recent, Residual, View
from rfq.domain.order import ParentOrder
from rfq.domain.values import Instrument, ParentId, Side, Symbol

EVENTS_A_DAY = 3_300
"""Usual orders in a day's volume: of the large-tick set, `mean_lots` over `day_lots`. Declared; nobody publishes it by
instrument."""
MOST_REMEMBERED = 10_000
"""Parents of which the latest decisions are remembered; the one not seen for longest goes first."""
UNKNOWN_PLACE = 1
"""A dark venue that is none of the pools trained on (the hidden one of a recorded day) is taken for a broker's:
middling in everything."""
NAMES = tuple(pool.name for pool in POOL_CHARACTERS)
PARTS = (9, POOLS, 3, 8, POOLS, POOLS, BACK + 1, BACK + 1, BACK + 1, POOLS, 1, 3)
"""Columns of a row: residual, its pools, moment, view, filled and resting in the dark, then what is recent, then what
is possible."""
EDGES = tuple(accumulate(PARTS, initial=0))
RECENT = slice(EDGES[6], EDGES[11])


class Possible(NamedTuple):
    """What venues and the desk's limit leave possible; bool [B]."""

    lit: torch.Tensor
    """There is a lit book to trade in."""
    cross: torch.Tensor
    """The other side's best price is within the limit."""
    improve: torch.Tensor
    """A notch ahead of the own best price is."""


class Known:
    """One parent's constants, and what is recent of it: numbers as in a row."""

    __slots__ = ("fixed", "pools", "recent")

    def __init__(self, fixed: list[float], pools: dict[str, int]) -> None:
        self.fixed, self.pools = fixed, pools
        self.recent: list[float] | None = None


class Observed:
    """Rows of the parents that are worked. Bounded: see MOST_REMEMBERED."""

    def __init__(self, instruments: Mapping[Symbol, Instrument], curve: VolumeCurve = CONTINUOUS) -> None:
        self._instruments, self._curve = instruments, curve
        self._known: OrderedDict[ParentId, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def forget(self, parent_id: ParentId) -> None:
        self._known.pop(parent_id, None)

    def rows(self, observations: Sequence[Observation]) -> torch.Tensor:
        """float64 [B, sum(PARTS)]; both best prices must be there."""
        return torch.from_numpy(np.array([self._row(seen) for seen in observations]))

    def remember(self, observations: Sequence[Observation], recents: torch.Tensor) -> None:
        """What `remembered` made of the rows, [B, columns of RECENT]: of the next ones it is the past."""
        for seen, recent in zip(observations, recents.tolist(), strict=True):
            self._known[seen.order.parent_id].recent = recent
        while len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    def pools(self, seen: Observation) -> dict[str, int]:
        """Which place each dark venue of an order has."""
        return self._of(seen).pools

    def _of(self, seen: Observation) -> Known:
        parent_id = seen.order.parent_id
        known = self._known.get(parent_id)
        if known is None:
            known = self._known[parent_id] = self._met(seen)
        self._known.move_to_end(parent_id)
        return known

    def _met(self, seen: Observation) -> Known:
        order, pools = seen.order, places(seen.dark_venues)
        instrument = self._instruments[order.symbol]
        tick = float(seen.tick)
        spread = max(tick, instrument.spread_bps * 1e-4 * order.arrival)
        fixed = [
            float(order.side.sign),
            float(order.quantity),
            float(order.arrival),
            order.horizon_s,
            RISK[order.urgency],
            spread,
            float(notch(torch.tensor(spread), torch.tensor(tick))),
            self._volume_s(order, instrument),
            max(1.0, instrument.adv / EVENTS_A_DAY),
        ]
        return Known(fixed + [float(place in pools.values()) for place in range(POOLS)], pools)

    def _volume_s(self, order: ParentOrder, instrument: Instrument) -> float:
        """Lots a second usual over the horizon: by the day's curve where there is one."""
        hours = instrument.hours
        evenly = instrument.adv / ((hours.closes - hours.opens) * 60.0)
        if not self._curve.shares:
            return evenly
        ends = order.starts_at + timedelta(seconds=order.horizon_s)
        come = self._curve.between(hours, order.starts_at, ends)
        return instrument.adv * come / order.horizon_s if come > 0 else evenly

    def _row(self, seen: Observation) -> list[float]:
        known, order = self._of(seen), seen.order
        bid, ask = seen.bid, seen.ask
        assert bid is not None and ask is not None
        buys = order.side is Side.BUY
        best, other = (bid, ask) if buys else (ask, bid)
        resting = price = at_best = 0
        waiting = [0.0] * POOLS
        for child in seen.resting:
            if child.venue == seen.lit_venue:
                resting += child.leaves
                price = max(price, child.price or 0)
                if child.price == best:
                    at_best += child.leaves
            elif (place := known.pools.get(child.venue)) is not None:
                waiting[place] += child.leaves
        filled = [0.0] * POOLS
        for venue, lots in seen.dark_filled.items():
            if (place := known.pools.get(venue)) is not None:
                filled[place] += lots
        # What is ours is no news: the book is as the others see it without us.
        bids = float(max(0, seen.bid_quantity - (at_best if buys else 0)))
        asks = float(max(0, seen.ask_quantity - (0 if buys else at_best)))
        volume = float(seen.market_volume)
        if known.recent is None:
            # Before the first decision all was as it is: remembering that makes it the first.
            lean = (bids - asks) / max(1.0, bids + asks)
            mids, leans = [(bid + ask) / 2] * (BACK + 1), [lean] * (BACK + 1)
            known.recent = [*mids, *[volume] * (BACK + 1), *leans, *filled, -1.0]
        later = min(1.0, seen.elapsed + seen.decision_s / order.horizon_s)
        sign, limit, ahead = order.side.sign, order.limit_price, best + order.side.sign * known.fixed[6]
        return [
            *known.fixed,
            seen.elapsed,
            later,
            seen.next_volume_curve,
            float(bid),
            float(ask),
            bids,
            asks,
            volume,
            float(seen.remaining),
            float(resting),
            float(price),
            *filled,
            *waiting,
            *known.recent,
            float(bool(seen.lit_venue)),
            float(limit is None or sign * (limit - other) >= 0),
            float(limit is None or sign * (limit - ahead) >= 0),
        ]


def situations(rows: torch.Tensor) -> tuple[Residual, Moment, View, Recent, Possible]:
    """What the rows say, as the simulator would; `Recent` still ends with the decision before."""
    parts = rows.split(PARTS, 1)
    fixed, pools, moment, view, filled, waiting, mids, volumes, leans, before, count, possible = parts
    residual = Residual(*fixed.unbind(1), pools=pools > 0)
    recent = Recent(mids, volumes, leans, before, torch.zeros_like(before), count[:, 0])
    lit, cross, improve = (possible > 0).unbind(1)
    seen = View(*view.unbind(1), dark_filled=filled, dark_resting=waiting)
    return residual, Moment(*moment.unbind(1)), seen, recent, Possible(lit, cross & lit, improve & lit)


def as_row(recent: Recent) -> torch.Tensor:
    """What is to be remembered, [B, columns of RECENT]."""
    parts = (recent.mids, recent.volumes, recent.lean, recent.dark_filled, recent.count[:, None])
    return torch.cat(parts, 1)


def places(venues: Sequence[str]) -> dict[str, int]:
    """Which of the pools trained on each dark venue is; one that is none of them takes UNKNOWN_PLACE if that is free,
    and further ones are not used."""
    found = {venue: NAMES.index(venue) for venue in venues if venue in NAMES}
    strangers = [venue for venue in venues if venue not in NAMES]
    if strangers and UNKNOWN_PLACE not in found.values():
        found[strangers[0]] = UNKNOWN_PLACE
    return found
