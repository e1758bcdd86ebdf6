"""A block in a market whose story is told beforehand: calm, then news against it, calm again. Every path has a market
of its own, and all live through the same turns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from msgspec.structs import replace

from lit_router.market.batch.market import STEP_S, BatchedMarket
from lit_router.market.batch.regimes import CALM, SHOCK
from lit_router.market.parameters import BookParameters
from lit_router.market.scaling import character_of
from ml.slicer.episodes import EpisodeLaw, Episodes, day_share
from ml.slicer.execution import SLOTS, Execution, notch
from ml.slicer.situation import POOLS, Intent
from rfq.domain.errors import BadInput
from rfq.domain.values import Instrument, Price

MEAN_OVER_CALM = 1.35
"""Mean spread of the large-tick set under all conditions (1.43 levels) over that in a lasting calm (1.06), measured.
The scenario's spread is that of calm: one level of the book, which news make three."""


class Turn(NamedTuple):
    """What happens after so many decisions."""

    decision: int
    regime: int
    news: float
    """Strain of fresh news against the order; 0: none."""


class Scenario(NamedTuple):
    """One residual and the story of its market."""

    side: int
    """1 buys, -1 sells."""
    lots: int
    opened_s: float
    """Seconds of the session that have passed when the market is begun; the order comes after the warm-up."""
    law: EpisodeLaw
    """Its horizon, decisions and warm-up."""
    turns: tuple[Turn, ...]


QDI = Scenario(
    side=-1,
    lots=500_000,
    opened_s=0.0,
    law=EpisodeLaw(horizon_s=10_800.0, decisions=240, warm_up_s=120.0),
    turns=(Turn(80, SHOCK, 2.0), Turn(160, CALM, 0.0)),
)
"""The block of the demonstration: sold in three hours from the open on, news at one hour, calm in the last. It is for
an instrument of $100, an ADV of two million and a spread of $0.05, and is a quarter of that ADV: about half of all that
usually trades in those hours."""


class StagedExecution(Execution):
    """The scenario's residual on B paths. No regime ends by itself."""

    def __init__(
        self,
        scenario: Scenario,
        instrument: Instrument,
        mid: Price,
        parameters: BookParameters,
        seeds: Sequence[int],
        *,
        threads: int = 1,
    ) -> None:
        """`mid` is the price at the open. Raises BadInput for turns that are not in the horizon, one after another."""
        at = [turn.decision for turn in scenario.turns]
        if at != sorted(set(at)) or any(not 0 <= one < scenario.law.decisions for one in at):
            raise BadInput("turns", at, f"must rise, from 0 to below {scenario.law.decisions}")
        self.law, self.scenario = scenario.law, scenario
        law, count, full = self.law, len(seeds), torch.ones(len(seeds), dtype=torch.float64)
        laid = replace(instrument, spread_bps=instrument.spread_bps * MEAN_OVER_CALM)
        character = character_of(laid, mid, parameters)._replace(opened_s=scenario.opened_s)
        self.market = BatchedMarket(parameters, seeds, orders=SLOTS, characters=character, threads=threads)
        self.market.hold_regimes()
        self.steps_a_decision = round(law.horizon_s / law.decisions / STEP_S)
        self.market.advance(round(law.warm_up_s / STEP_S))
        self.decision = 0
        self._account()
        self.paid_by_slot = torch.zeros(count, SLOTS, dtype=torch.float64)
        """What was paid for the lots filled in each slot, price units, float64 [B, SLOTS]."""
        begins_s = np.array([scenario.opened_s + law.warm_up_s])
        usual = character.day_lots * day_share(parameters, begins_s, begins_s + law.horizon_s)[0]
        none = torch.zeros(count, dtype=torch.int64)
        episodes = Episodes(
            side=none + scenario.side,
            participation=full * (scenario.lots / usual),
            regime=none + CALM,
            ahead=full * 0.0,
            risk=full * 0.0,
            pools=torch.ones(count, POOLS, dtype=torch.bool),
            pace=full,
            opened_s=full * scenario.opened_s,
        )
        self._begin(parameters, episodes)
        # The instrument's own spread is known, not its parameter set's.
        spread = full * (instrument.spread_bps / 1e4 * mid)
        self.residual = self.residual._replace(spread=spread, notch=notch(spread, self.market.state.grid.double()))

    def step(self, intent: Intent) -> None:
        """As in any execution; a turn comes with its decision, after what was seen for it."""
        self._turn()
        super().step(intent)

    def wait(self) -> None:
        """Lets the market go on to the next decision with nothing sent, and nothing swept after the last."""
        self._turn()
        self.market.advance(self.steps_a_decision)
        self.decision += 1

    def copy(self) -> "StagedExecution":
        twin = super().copy()
        assert isinstance(twin, StagedExecution)
        twin.paid_by_slot = self.paid_by_slot.clone()
        return twin

    def _turn(self) -> None:
        s = self.market.state
        for turn in self.scenario.turns:
            if turn.decision != self.decision:
                continue
            s.regime.fill_(turn.regime)
            s.drift.fill_(0)
            if turn.news:
                # News for a seller are bad ones: the price falls, and it is the bids that leave.
                s.news.copy_(self.residual.side * turn.news)

    def _book(self) -> None:
        self.paid_by_slot += (self.market.state.paid - self._booked[:, :, 1]).double() / 2
        super()._book()
