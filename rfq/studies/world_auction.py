"""One auction of the study world: all of it, and the part that a desk sees."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.outcomes import MARK_OUT_S, Answer, Asked, Outcome
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import DealerId, RfqId
from rfq.studies.desk_habit import Chosen
from rfq.studies.world_requests import Request

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

MARK = MARK_OUT_HORIZONS_S.index(MARK_OUT_S)


class Auction(msgspec.Struct, frozen=True):
    """How a request turned out. `outcome` is what a desk sees of it; arrays are by dealer of the panel."""

    request: Request
    outcome: Outcome
    won_lots: Array
    inventory_after: Array
    """In the request's sector, hedged."""
    caused_bps: Array
    """[horizons]: how far losers' and hedging winners' flow has moved the mid against the desk."""
    left: float
    """Share of the block that no quote took."""
    paid_bps: float
    """At quotes; like all costs in bps of arrival over the whole block."""
    rest_bps: float
    """Working what is left, in a market that nobody has moved."""
    moved_bps: float
    """Flow that asking caused, paid on what is left, or on the terms' `standing` if that is more."""

    @property
    def cost_bps(self) -> float:
        """All in."""
        return self.paid_bps + self.rest_bps + self.moved_bps


class Said(NamedTuple):
    """What dealers said; arrays are by dealer of the panel, and count for those at `places` only."""

    places: list[int]
    quoted: Flags
    said_s: Array
    """When it answered, declining included; NaN where it did not."""
    cost_bps: Array
    share: Array
    """Quantity quoted, of ADV."""


def outcome_of(
    request: Request,
    chosen: Chosen,
    dealers: tuple[DealerId, ...],
    said: Said,
    lifted: dict[int, bool],
    caused_bps: Array,
    missing: float,
) -> Outcome:
    """What the desk sees of an auction; `lifted` says of each place lifted whether it was confirmed."""
    likely = chosen.propensities or (math.nan,) * len(dealers)
    times, costs = said.said_s.tolist(), said.cost_bps.tolist()
    shares, quoted = said.share.tolist(), said.quoted.tolist()
    asked = tuple(
        Asked(
            dealer=dealers[place],
            propensity=likely[place],
            answer=Answer.QUOTED if quoted[place] else Answer.NONE,
            response_s=None if math.isnan(times[place]) else times[place],
            cost_bps=costs[place] if quoted[place] else None,
            quoted_size=shares[place] if quoted[place] else None,
            lifted=place in lifted,
            confirmed=lifted.get(place, False),
        )
        for place in said.places
    )
    moves: Sequence[float | None] = (request.own_bps + caused_bps).tolist()
    if request.chances.desk_u[10] < missing:
        moves = (None,) * len(MARK_OUT_HORIZONS_S)
    controls = tuple(request.control_bps.tolist())
    return Outcome(
        rfq=RfqId(f"study-{request.number:06d}"),
        facts=request.facts,
        asked=asked,
        mark_out_bps=moves[MARK],
        control_bps=controls[MARK],
        mark_outs_bps=tuple(moves),
        controls_bps=controls,
        candidates=dealers if chosen.propensities else (),
        propensities=chosen.propensities,
        set_propensity=chosen.of_set,
    )
