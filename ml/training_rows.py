"""History turned into matrices: one row per dealer asked, with only what was known when it was asked."""

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.features import FEATURES, features
from ml.leakage import leak_scale_bps
from ml.memory import PanelMemory
from ml.outcomes import Answer, Outcome
from ml.quote_law import reference_cost_bps
from rfq.domain.errors import BadInput
from rfq.domain.values import DealerId

COLD = 0.04
STRANGER = DealerId("")
"""A name that no dealer has, and no memory knows."""


class TrainingRows(msgspec.Struct, frozen=True):
    """Rows in time order. `auction` numbers the outcomes from 0; costs are NaN where no quote was priced."""

    outcomes: list[Outcome]
    x: NDArray[np.float32]
    auction: NDArray[np.int64]
    answered: NDArray[np.bool_]
    cost_bps: NDArray[np.float64]
    reference_bps: NDArray[np.float64]
    volatility_bps: NDArray[np.float64]
    lost: NDArray[np.bool_]
    leak_scale: NDArray[np.float64]
    """sqrt(size): what a leakage coefficient is multiplied by, in daily volatilities."""

    @property
    def priced(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.cost_bps)

    def between(self, first: int, last: int) -> NDArray[np.bool_]:
        """Mask of the rows of auctions first <= number < last."""
        return (self.auction >= first) & (self.auction < last)


def training_rows(outcomes: Iterable[Outcome], seed: int) -> TrainingRows:
    """Walks history once, in time order, computing features before each outcome is remembered.

    A share COLD of the rows, drawn by `seed`, is computed as if the dealer had never been met: models must know
    what newcomers look like, and a panel long at work has none.

    Raises BadInput for outcomes out of order.
    """
    memory, rng = PanelMemory(), np.random.default_rng([seed, 0xC0])
    kept: list[Outcome] = []
    blocks: list[NDArray[np.float32]] = []
    columns: list[tuple[int, bool, float, float, float, bool, float]] = []
    for number, outcome in enumerate(outcomes):
        facts = outcome.facts
        if kept and facts.at < kept[-1].facts.at:
            raise BadInput("outcomes", outcome.rfq, "must come in time order")
        dealers = [a.dealer for a in outcome.asked]
        shown = [STRANGER if rng.random() < COLD else d for d in dealers]
        matrix, _ = features(facts, shown, memory, [outcome.competing])
        blocks.append(matrix[0])
        reference, scale = reference_cost_bps(facts), leak_scale_bps(facts) / facts.volatility_bps
        for asked in outcome.asked:
            cost = np.nan if asked.cost_bps is None else asked.cost_bps
            quoted = asked.answer is Answer.QUOTED
            columns.append((number, quoted, cost, reference, facts.volatility_bps, asked.lost, scale))
        memory.push(outcome)
        kept.append(outcome)
    auction, answered, cost_bps, reference_bps, volatility, lost, scales = (
        np.array(column) for column in (zip(*columns, strict=True) if columns else [[] for _ in range(7)])
    )
    return TrainingRows(
        outcomes=kept,
        x=np.concatenate(blocks) if blocks else np.empty((0, len(FEATURES)), dtype=np.float32),
        auction=auction.astype(np.int64),
        answered=answered.astype(bool),
        cost_bps=cost_bps.astype(np.float64),
        reference_bps=reference_bps.astype(np.float64),
        volatility_bps=volatility.astype(np.float64),
        lost=lost.astype(bool),
        leak_scale=scales.astype(np.float64),
    )
