"""Dark pools: hidden contra interest that comes and goes, and midpoint crossing. Only a fill ever shows it.

Contra arrivals are Poisson, mostly gone at once (so that a probe finds nothing most of the time), with heavy-tailed
sizes; a fill is min(sent, available) and says no more (Ganchev, Kearns, Nevmyvaka, Vaughan 2010). Toxicity: contra
interest is likelier when the lit book leans its way, that is, when the price is about to move against whoever
trades with it. Nothing public calibrates these numbers: they are declared assumptions, to be swept.
"""

from bisect import bisect_right
from copy import copy
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Self

import numpy as np

from lit_router.market.own_orders import OwnOrder

BLOCK = 512
ANONYMOUS = ""


@dataclass(frozen=True)
class PoolCharacter:
    """One pool's declared assumptions. Sizes are shares of the instrument's average daily volume."""

    name: str
    contra_of_adv: float
    """Hidden contra volume, both sides, that passes through in a day."""
    mean_size_of_adv: float
    size_dispersion: float
    """Sigma of the log-normal size."""
    fleeting: float
    """Share of arrivals that leave at once if nothing is resting for them: the zero inflation."""
    mean_life_s: float
    """Mean resting time of the others."""
    minimum_of_adv: float
    """The pool's smallest execution."""
    toxicity: float
    """0: blind to the book; 1: twice as likely with the book fully leaning its way, never fully against."""


BLOCK_POOL = PoolCharacter("dark_block", 0.06, 0.002, 1.2, 0.5, 240.0, 0.0002, 0.2)
"""Institutions: rare, large, patient, a sizeable minimum, little adverse selection."""
STREAM_POOL = PoolCharacter("dark_stream", 0.10, 0.00015, 0.9, 0.7, 20.0, 0.0, 0.8)
"""A broker's pool: frequent, small, fleeting, toxic."""


class Cross(NamedTuple):
    """A midpoint trade. Either order may be anonymous (`participant` empty); `*_leaves` is what then remained."""

    at_s: float
    bought: OwnOrder
    sold: OwnOrder
    price: int
    lots: int
    bought_leaves: int
    sold_leaves: int
    maker_buys: bool


@dataclass(slots=True)
class Hidden:
    """An order resting in a pool until it is filled, withdrawn or gone at `leaves_at_s`."""

    order: OwnOrder
    leaves_at_s: float


class DarkPool:
    """One instrument's book in one pool."""

    def __init__(self, character: PoolCharacter, seed: np.random.SeedSequence, *, adv: int, day_s: float) -> None:
        """`adv` in lots, `day_s` the length of a trading day in seconds."""
        self.character = character
        self.minimum = max(1, round(character.minimum_of_adv * adv))
        self.volume = 0
        self._mean_lots = max(1.0, character.mean_size_of_adv * adv)
        arrivals_a_day = character.contra_of_adv * adv / self._mean_lots
        self._rate = max(1e-9, arrivals_a_day / day_s * (1 + character.toxicity))
        self._seed = seed
        self._resting: list[Hidden] = []
        self._number, self._at = 0, 0
        self._draw(0.0)

    def _draw(self, start_s: float) -> None:
        key = (*self._seed.spawn_key, self._number)
        rng = np.random.default_rng(np.random.SeedSequence(self._seed.entropy, spawn_key=key))
        self._times: list[float] = (start_s + np.cumsum(rng.exponential(1 / self._rate, BLOCK))).tolist()
        sigma = self.character.size_dispersion
        sizes = self._mean_lots * np.exp(sigma * rng.standard_normal(BLOCK) - sigma * sigma / 2)
        self._lots: list[int] = np.maximum(1, np.rint(sizes)).astype(np.int64).tolist()
        self._lives: list[float] = rng.exponential(self.character.mean_life_s, BLOCK).tolist()
        self._uniforms: list[list[float]] = rng.random((BLOCK, 3)).tolist()

    def next_arrival_s(self) -> float:
        """Market time of the next candidate arrival, seconds."""
        return self._times[self._at]

    def arrive(self, mid: int | None, lean: float) -> list[Cross]:
        """Plays the next candidate. `mid` None crosses nothing; `lean` in -1..1 is the lit book's: bids minus asks.

        Contra interest that buys is likelier when the book leans up.
        """
        at_s, place = self._times[self._at], self._at
        buys_draw, accept, fleeting = self._uniforms[place]
        buys = buys_draw < 0.5
        self._at += 1
        order = OwnOrder(ANONYMOUS, "", buys, None, self._lots[place], minimum=self.minimum)
        life = 0.0 if fleeting < self.character.fleeting else self._lives[place]
        if self._at == BLOCK:
            self._number, self._at = self._number + 1, 0
            self._draw(at_s)
        self._forget(at_s)
        crosses = self.cross_resting(at_s, mid)
        toxicity = self.character.toxicity
        favour = lean if buys else -lean
        if accept >= (1 + toxicity * favour) / (1 + toxicity):
            return crosses
        crosses += self._enter(order, at_s, mid, at_s + life)
        return crosses

    def enter(self, order: OwnOrder, at_s: float, mid: int | None, *, rests: bool) -> list[Cross]:
        """A participant's order arrives: it crosses with what is hidden here, then rests if it `rests`."""
        self._forget(at_s)
        return self._enter(order, at_s, mid, inf if rests else at_s)

    def withdraw(self, order: OwnOrder) -> None:
        self._resting = [hidden for hidden in self._resting if hidden.order is not order]

    def cross_resting(self, at_s: float, mid: int | None) -> list[Cross]:
        """Crosses orders already here that could not meet before, because the mid was beyond a limit or missing."""
        crosses: list[Cross] = []
        for hidden in sorted(self._resting, key=lambda hidden: hidden.order.participant == ANONYMOUS):
            if hidden.order.participant == ANONYMOUS:
                break
            if hidden.order.leaves:
                crosses += self._match(hidden.order, at_s, mid)
        return crosses

    def _enter(self, order: OwnOrder, at_s: float, mid: int | None, until_s: float) -> list[Cross]:
        crosses = self._match(order, at_s, mid)
        if order.leaves and until_s > at_s:
            self._resting.append(Hidden(order, until_s))
        return crosses

    def _match(self, order: OwnOrder, at_s: float, mid: int | None) -> list[Cross]:
        if mid is None or not _accepts(order, mid):
            return []
        crosses: list[Cross] = []
        for hidden in self._resting:
            other = hidden.order
            if other.buys == order.buys or not _accepts(other, mid):
                continue
            if other.participant == order.participant and other.participant != ANONYMOUS:
                continue
            lots = min(order.leaves, other.leaves)
            if not lots or any(lots < self._smallest(side) for side in (order, other)):
                continue
            for side in (order, other):
                side.leaves -= lots
                side.filled += lots
            self.volume += lots
            bought, sold = (order, other) if order.buys else (other, order)
            crosses.append(Cross(at_s, bought, sold, mid, lots, bought.leaves, sold.leaves, other.buys))
            if not order.leaves:
                break
        self._resting = [hidden for hidden in self._resting if hidden.order.leaves]
        return crosses

    def _smallest(self, order: OwnOrder) -> int:
        """The smallest execution this order takes: its minimum or the pool's, or all that is left of it."""
        return min(order.leaves, max(self.minimum, order.minimum))

    def _forget(self, at_s: float) -> None:
        self._resting = [hidden for hidden in self._resting if hidden.leaves_at_s > at_s]

    def advance_silently(self, until_s: float) -> None:
        """Skips arrivals up to `until_s` without effect: the instrument is halted."""
        while self.next_arrival_s() <= until_s:
            self._at = bisect_right(self._times, until_s, self._at)
            if self._at == BLOCK:
                last = self._times[-1]
                self._number, self._at = self._number + 1, 0
                self._draw(last)

    def orders(self) -> list[OwnOrder]:
        """Participants' orders resting here."""
        return [hidden.order for hidden in self._resting if hidden.order.participant != ANONYMOUS]

    def fork(self) -> Self:
        """An independent twin that will see the same arrivals."""
        twin = copy(self)
        twin._resting = [Hidden(hidden.order.copy(), hidden.leaves_at_s) for hidden in self._resting]
        return twin


def _accepts(order: OwnOrder, mid: int) -> bool:
    return order.price is None or (mid <= order.price if order.buys else mid >= order.price)
