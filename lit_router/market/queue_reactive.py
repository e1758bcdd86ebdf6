"""The queue-reactive book, stepped exactly, event by event (model I of Huang, Lehalle and Rosenbaum 2015).

Limit, cancel and market arrivals depend on the size of the queue they fall on. When the mid moves because a best
queue emptied, the reference price follows with probability theta, and the book is then redrawn from its invariant
law with probability theta_reinit, or else shifted. The oracle that faster, batched simulators are tested against; it
knows no regimes, clustering or long-memory flow. One addition, off unless asked for: participants' impact decays.
"""

from bisect import bisect_right
from copy import copy
from typing import Self

import numpy as np

from lit_router.market.candidates import (
    BLOCK,
    PLACE_DRAW,
    QUEUE_DRAWS,
    REINIT_DRAW,
    THETA_DRAW,
    CandidateStream,
)
from lit_router.market.level_book import LevelBook, Walk
from lit_router.market.own_orders import CancelAssumption, OwnOrder
from lit_router.market.rates import LARGEST, THETA, THETA_REINIT, invariant_law, level_rates
from lit_router.market.resilience import CHECK_S, come_back_probability


class QueueReactiveBook(LevelBook):
    """One book. `advance` plays anonymous flow; `execute` and `pull` are what participants do to it."""

    def __init__(
        self,
        seed: np.random.SeedSequence,
        *,
        best_bid: int,
        grid: int,
        mean_lots: int,
        levels: int = 5,
        pace: float = 1.0,
        theta: float = THETA,
        theta_reinit: float = THETA_REINIT,
        size_dispersion: float = 0.0,
        assumption: CancelAssumption = CancelAssumption.RANDOM,
        resilience_s: float | None = None,
    ) -> None:
        """`best_bid` and `grid` (distance between anonymous levels) in price units; `mean_lots` the average event
        size in lots; `pace` multiplies every rate; `size_dispersion` is the log-normal sigma of event sizes.

        `resilience_s`: how participants' impact decays, see `resilience`; None is the plain model, where it stays.
        """
        super().__init__(best_bid=best_bid, grid=grid, levels=levels, mean_lots=mean_lots)
        self.assumption = assumption
        self.halted = False
        self._theta, self._theta_reinit = theta, theta_reinit
        self._resilience_s = resilience_s
        self.displacement = 0
        """Grid steps by which participants have moved the reference price and that have not come back."""
        rates = level_rates(levels)
        self._laws = [invariant_law(level) for level in rates] * 2
        by_kind = [level.limit for level in rates] * 2 + [level.cancel for level in rates] * 2
        by_kind += [rates[0].market] * 2
        largest = tuple(max(rate) for rate in by_kind)
        self._acceptance = [tuple(rate / top for rate in kind) for kind, top in zip(by_kind, largest, strict=True)]
        self._slots = [*range(4 * levels), 0, levels]
        self._stream = CandidateStream(
            seed, tuple(pace * rate for rate in largest), 2 * levels, mean_lots, size_dispersion
        )
        self._number, self._at, self._outside = 0, 0, 0
        self._block = self._stream.block(0, 0.0)
        self._redraw(self._stream.outside(0))
        self._mids_sum = 0
        self._note_mid()

    def advance(self, until_s: float) -> None:
        """Plays the anonymous flow up to `until_s` seconds of market time. While halted, time passes alone."""
        while self.displacement and self._resilience_s and not self.halted:
            check = int(self.now_s // CHECK_S) + 1
            if check * CHECK_S > until_s:
                break
            self._play_until(check * CHECK_S)
            self._come_back(check, self._resilience_s)
        self._play_until(until_s)

    def _play_until(self, until_s: float) -> None:
        while True:
            times = self._block.times_s
            end = bisect_right(times, until_s, self._at)
            if not self.halted:
                self._play(self._at, end)
            self._at = end
            if end < BLOCK:
                break
            self._number += 1
            self._block = self._stream.block(self._number, times[-1])
            self._at = 0
        self.now_s = max(self.now_s, until_s)

    def _come_back(self, check: int, resilience_s: float) -> None:
        """Takes the reference price one step back, perhaps. Resting orders that it passes are traded with."""
        if self._stream.come_back_draw(check) >= come_back_probability(self.displacement, resilience_s):
            return
        up = self.displacement < 0
        if self._move(up, 1):
            self.displacement += 1 if up else -1
            self._redraw(self._stream.come_back_queues(check))
            self._note_mid()

    def _play(self, begin: int, end: int) -> None:
        acceptance, counts, slots, queues = self._acceptance, self.counts, self._slots, self.queues
        own_lots, own_here, crossable = self.own_lots, self.own_here, self.crossable
        levels, mean = self.levels, self.mean_lots
        width = 2 * levels
        _, kinds, uniforms, sizes, auxiliary = self._block
        for place, kind, uniform in zip(range(begin, end), kinds[begin:end], uniforms[begin:end], strict=True):
            if uniform >= acceptance[kind][counts[slots[kind]]]:
                continue
            lots = sizes[place]
            if kind < width and not crossable[kind >= levels]:
                queues[kind] = left = queues[kind] + lots
                was_shown = counts[kind]
                counts[kind] = min(LARGEST, -(-(left + own_lots[kind]) // mean))
                counts[width + kind] = min(LARGEST, -(-left // mean))
                if was_shown:
                    continue
            elif width <= kind < 2 * width and not own_here[kind - width]:
                queue = kind - width
                left = queues[queue] = max(0, queues[queue] - lots)
                counts[queue] = min(LARGEST, -(-(left + own_lots[queue]) // mean))
                counts[kind] = min(LARGEST, -(-left // mean))
                if counts[queue]:
                    continue
            else:
                self.now_s = self._block.times_s[place]
                self._event_among_own(kind, lots, auxiliary[place])
                continue
            self.now_s = self._block.times_s[place]
            self._requote(auxiliary[place])

    def _event_among_own(self, kind: int, lots: int, draws: np.ndarray) -> None:
        """An accepted event that may touch a participant's order, or a market order, which walks the book."""
        width = 2 * self.levels
        if kind >= 2 * width:
            before = self.counts[:width]
            self.walk(kind == 2 * width + 1, lots, None, None)
            self.recount()
            self._requote(draws, before)
            return
        queue = kind % width
        shown, traded = self.counts[queue], False
        bids = queue < self.levels
        if kind < width:
            rest = self._meet_own(queue, lots)
            self.queues[queue] += rest
            traded = rest < lots
        else:
            own = self.own(bids).get(self.price_of(queue))
            lots = min(lots, self.queues[queue])
            if own is not None:
                own.cancelled(lots, self.queues[queue], self.assumption, float(draws[PLACE_DRAW]))
            self.queues[queue] -= lots
        self.recount()
        if traded or not shown or not self.counts[queue]:
            self._requote(draws)

    def _meet_own(self, queue: int, lots: int) -> int:
        """Anonymous volume arrives at a queue: it first trades with participants it crosses. Returns the rest."""
        buys = queue < self.levels
        price = self.price_of(queue)
        facing = self.own(not buys)
        if not facing or (min(facing) > price if buys else max(facing) < price):
            return lots
        return lots - self.walk(buys, lots, price, None).lots

    def execute(self, order: OwnOrder, *, rests: bool) -> Walk:
        """A participant's order walks the book now; what is left joins its queue if it `rests`, else leaves.

        Only then does the reference price react, as to any other flow: anonymous orders that the reaction brings
        within the resting order's price trade with it.
        """
        before = self.counts[: 2 * self.levels]
        walk = self.walk(order.buys, order.leaves, order.price, order.participant)
        order.leaves -= walk.lots
        order.filled += walk.lots
        stays = rests and order.leaves > 0 and not walk.met_itself
        if stays:
            self.rest(order)
        if stays or walk.taken:
            self._after_participant(before)
        return walk

    def pull(self, order: OwnOrder) -> None:
        """A participant's resting order leaves the book."""
        before = self.counts[: 2 * self.levels]
        self.withdraw(order)
        self._after_participant(before)

    def _after_participant(self, before: list[int]) -> None:
        self.recount()
        self._outside += 1
        reference = self.first_bid
        self._requote(self._stream.outside(self._outside), before)
        self.displacement += (self.first_bid - reference) // self.grid

    def _requote(self, draws: np.ndarray, before: list[int] | None = None) -> None:
        """The best prices may have changed: record the mid, and let the reference price follow an emptied side.

        With `before` (displayed counts before a walk), each level that was emptied gives the reference price one
        chance to follow, as if unit orders had emptied them one after another.
        """
        old = self._mids_sum
        if not self._note_mid():
            return
        up = self._mids_sum > old
        first = self.levels if up else 0
        if self.counts[first]:
            return
        side = range(first, first + self.levels)
        chances = 1
        if before is not None:
            chances = max(1, sum(1 for queue in side if before[queue] and not self.counts[queue]))
        uniform, moves = float(draws[THETA_DRAW]), 0
        for queue in list(side)[:chances]:
            if self.counts[queue]:
                break
            if uniform < self._theta:
                uniform /= self._theta
                moves += 1
            else:
                uniform = (uniform - self._theta) / (1 - self._theta)
        if moves:
            self._move_reference(up, moves, draws)

    def _move_reference(self, up: bool, moves: int, draws: np.ndarray) -> None:
        """Moves the reference price over `moves` empty levels, then redraws the book or shifts it."""
        levels = self.levels
        if not self._move(up, moves):
            return
        if draws[REINIT_DRAW] < self._theta_reinit:
            self._redraw(draws)
        else:
            fresh = [self._drawn(levels - 1, float(draws[QUEUE_DRAWS + move])) for move in range(moves)]
            bids, asks = self.queues[:levels], self.queues[levels:]
            leaving, coming = (asks, bids) if up else (bids, asks)
            leaving[:] = leaving[moves:] + fresh
            coming[:] = ([0] * moves + coming)[:levels]
            self.queues[:] = bids + asks
            self._settle()
        self._note_mid()

    def _move(self, up: bool, moves: int) -> bool:
        """Moves the reference price, if all levels keep positive prices."""
        if not up and self.first_bid - (self.levels + moves) * self.grid <= 0:
            return False
        self.first_bid += moves * self.grid if up else -moves * self.grid
        return True

    def _drawn(self, queue: int, uniform: float) -> int:
        return bisect_right(self._laws[queue], uniform) * self.mean_lots

    def _redraw(self, draws: np.ndarray) -> None:
        self.queues[:] = [self._drawn(queue, uniform) for queue, uniform in enumerate(draws[QUEUE_DRAWS:].tolist())]
        self._settle()

    def _settle(self) -> None:
        """Fits participants' orders to the new anonymous queues: positions, and trades where they now cross."""
        if self.bids or self.asks:
            self.clamp_own()
            for queue in (*range(self.levels), *range(self.levels, 2 * self.levels)):
                arriving, self.queues[queue] = self.queues[queue], 0
                self.queues[queue] = self._meet_own(queue, arriving)
        self.recount()

    def _note_mid(self) -> bool:
        """Records the mid if it changed (None while a side is empty). An empty side counts as just out of view."""
        bid, ask = self.best(True), self.best(False)
        reach = self.levels * self.grid
        inner_bid = self.first_bid - reach if bid is None else bid
        inner_ask = self.first_bid + self.grid + reach if ask is None else ask
        both = inner_bid + inner_ask
        changed = both != self._mids_sum
        mid = None if bid is None or ask is None else both // 2
        if changed or mid != self.mid:
            self.mid = mid
            self.tape.mids.put(self.now_s, mid)
        self._mids_sum = both
        return changed

    def fork(self) -> Self:
        """An independent twin that will see the same exogenous flow. Participants' orders are copied."""
        twin = copy(self)
        twin.queues, twin.counts, twin.own_lots = self.queues.copy(), self.counts.copy(), self.own_lots.copy()
        twin.own_here, twin.crossable = self.own_here.copy(), self.crossable.copy()
        twin.bids = {price: queue.copy() for price, queue in self.bids.items()}
        twin.asks = {price: queue.copy() for price, queue in self.asks.items()}
        twin.tape, twin.passive_fills = self.tape.copy(), list(self.passive_fills)
        return twin

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self.fork()
