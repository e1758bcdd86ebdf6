"""Whatever participants do to batched books: every lot is accounted for, nothing trades twice, places make sense."""

from typing import NamedTuple

import numpy as np
import torch
from batch_books import BID, CHARACTER, GRID, REAL, enter, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.orders import NO_LIMIT, UNKNOWN_AHEAD, prices, shown

MARKETS, SLOTS, LEVELS = 3, 6, REAL.levels


class Act(NamedTuple):
    """One thing that participants do in all markets: an order with a side enters, one without is a cancel."""

    slot: int
    side: int
    lots: int
    away: int | None
    """Limit, price units above the best bid cell; None: at any price."""
    venue: int
    rests: int
    least: int
    owner: int


acts = st.builds(
    Act,
    slot=st.integers(0, SLOTS - 1),
    side=st.sampled_from([1, 1, -1, -1, 0]),
    lots=st.one_of(st.integers(1, 60), st.integers(100, 900)),
    away=st.one_of(st.none(), st.integers(-14, 16)),
    venue=st.sampled_from([0, 0, 0, 0, 1, 2, 3]),
    rests=st.integers(0, 1),
    least=st.sampled_from([0, 0, 25]),
    owner=st.integers(1, 2),
)
programmes = st.lists(st.one_of(acts, st.integers(1, 4)), min_size=1, max_size=30)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Books:
    """Plays a programme and checks all accounts after every act and every step."""

    def __init__(self, seed: int, conditions: bool, dealers: int) -> None:
        seeds = range(seed, seed + MARKETS)
        self.m = BatchedMarket(REAL, seeds, characters=CHARACTER, conditions=conditions)
        self.m.state.pending.fill_(dealers)
        self.m.state.pace_lots.fill_(2.0)
        shape = (MARKETS, SLOTS)
        self.entered, self.gone = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def value(self, name: str) -> np.ndarray:
        return getattr(self.m.state, name).numpy().astype(np.int64)

    def act(self, act: Act) -> None:
        if act.side == 0:
            self.gone[:, act.slot] += self.value("leaves")[:, act.slot]
            self.m.cancel(act.slot, torch.ones(MARKETS, dtype=torch.bool))
            self.accounts()
            return
        side = np.where((self.value("side")[:, act.slot] == 0) & (self.value("halt") == 0), act.side, 0)
        limit = np.full(MARKETS, act.side * NO_LIMIT) if act.away is None else self.value("first_bid") + act.away
        before, there = self.m.copy(), shown(self.m.state).numpy().sum(1)
        enter(
            self.m, act.slot, torch.tensor(side), act.lots, torch.tensor(limit),
            venue=act.venue, rests=act.rests if act.away is not None or act.venue else 0, least=act.least,
            owner=act.owner,
        )  # fmt: skip
        new = side != 0
        self.entered[new, act.slot], self.gone[new, act.slot] = act.lots, 0
        left = act.lots - self.value("filled")[:, act.slot] - self.value("leaves")[:, act.slot]
        self.gone[new, act.slot] = left[new]
        assert (left[new] >= 0).all()
        if not act.rests or (act.away is None and not act.venue):
            assert not self.value("side")[new, act.slot].any(), "it may not rest"
        self.same_lots(before, there, act.slot, new)
        self.within(act.slot, new, limit, act.side)
        self.accounts()

    def same_lots(self, before: BatchedMarket, there: np.ndarray, slot: int, new: np.ndarray) -> None:
        """What an order got came from the displayed queues, from other participants or from what was hidden."""
        others = np.arange(SLOTS) != slot
        filled = self.value("filled")[:, slot] * new
        theirs = (self.value("filled") - before.state.filled.numpy())[:, others].sum(1)
        anonymous = there - shown(self.m.state).numpy().sum(1)
        hidden = before.state.hidden.numpy().sum((1, 2)) - self.m.state.hidden.numpy().sum((1, 2))
        taken = self.value("taken").sum(1) - before.state.taken.numpy().sum(1)
        assert (anonymous == taken).all() and (hidden >= 0).all() and (theirs >= 0).all()
        lit = self.value("volume") - before.state.volume.numpy()
        dark = self.value("dark_volume") - before.state.dark_volume.numpy()
        # Each trade has two sides: the queues', or another participant's.
        both = filled + theirs - taken - hidden
        assert (both >= 0).all() and (both % 2 == 0).all() and (lit + dark == taken + hidden + both // 2).all()

    def within(self, slot: int, new: np.ndarray, limit: np.ndarray, side: int) -> None:
        """Cash lies between the best price there can be and the limit, or the far end of the ladder."""
        filled, paid = self.value("filled")[:, slot], self.value("paid")[:, slot]
        for b in np.flatnonzero(new & (filled > 0)):
            average = paid[b] / (2 * filled[b])
            assert side * (average - limit[b]) <= 0
            assert abs(average - self.value("first_bid")[b]) <= 40 * GRID

    def step(self) -> None:
        before = self.m.copy()
        play(self.m, 1)
        alone = before.copy()
        alone.state.side.fill_(0)
        alone.state.pending.fill_(0)
        play(alone, 1)
        self.accounts()
        s = self.m.state
        got = (s.filled - before.state.filled).long().sum(1)
        dark = s.dark_volume - before.state.dark_volume
        lit = s.volume - before.state.volume
        flows = (before.state.pending - s.pending).abs().long().sum(1)
        # Passive fills are part of what was printed: anonymous orders, crossings and dealers brought all of it.
        assert (got - dark <= lit).all() and (flows <= lit).all()
        assert (got >= 0).all()
        assert torch.equal(s.queues, alone.state.queues), "the anonymous book does not notice"
        kept = (before.state.side != 0) & (s.side != 0) & (before.state.rank == s.rank)
        ahead, earlier = s.ahead.long(), before.state.ahead.long()
        assert (ahead[kept] <= earlier[kept]).all(), "nobody falls back"

    def accounts(self) -> None:
        s = self.m.state
        filled, leaves, side = self.value("filled"), self.value("leaves"), self.value("side")
        assert (self.entered == filled + leaves + self.gone).all()
        assert (leaves >= 0).all() and ((leaves > 0) == (side != 0)).all()
        assert (s.taken >= 0).all() and (s.taken <= s.queues).all() and (s.queues >= 0).all()
        assert (s.hidden >= 0).all() and (s.ahead >= 0).all()
        cell = prices(s)
        at = (cell[:, None, :] == s.price[:, :, None]) & (s.side != 0)[:, :, None] & (s.venue == 0)[:, :, None]
        here = torch.where(at, shown(s)[:, None, :], UNKNOWN_AHEAD).amin(2)
        assert (s.ahead.long() <= here).all(), "nobody stands behind more than is displayed"


@SLOW
@given(programmes, st.integers(0, 10_000), st.booleans(), st.sampled_from([0, 0, 60, -60]))
def test_every_lot_is_accounted_for(programme: list[Act | int], seed: int, conditions: bool, dealers: int) -> None:
    books = Books(seed, conditions, dealers)
    for what in programme:
        if isinstance(what, Act):
            books.act(what)
        else:
            for _ in range(what):
                books.step()


@SLOW
@given(st.integers(0, 10_000), st.sampled_from([1, -1]), st.integers(1, 2000), st.integers(1, 12), st.integers(1, 8))
def test_a_twap_of_market_orders_completes_exactly(seed: int, side: int, lots: int, slices: int, pause: int) -> None:
    """What a slice could not get is asked for again with the next, and at the end until it is done."""
    m = BatchedMarket(REAL, [seed, seed + 1], characters=CHARACTER, conditions=True)
    done, paid = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for number in range(1, slices + 400):
        due = lots * min(number, slices) // slices - done
        enter(m, 0, torch.tensor(np.where(due > 0, side, 0)), torch.tensor(due))
        got = np.where(due > 0, m.state.filled[:, 0].numpy(), 0) * (m.state.halt.numpy() == 0)
        assert (got <= due).all()
        done += got
        paid += np.where(due > 0, m.state.paid[:, 0].numpy(), 0)
        if number >= slices and (done == lots).all():
            break
        play(m, pause)
    assert done.tolist() == [lots, lots], "to the last lot"
    assert (m.state.leaves[:, 0] == 0).all()
    assert (abs(paid / (2 * done) - BID) < 100 * GRID).all()
