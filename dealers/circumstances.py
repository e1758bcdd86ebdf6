"""What the laws of behaviour depend on, as plain numbers: of one dealer, or of a whole panel as arrays.

Every law in `behaviour_laws` and `behaviour_pricing` takes both, so that the dealer at a socket and the panel of a
study follow one set of formulas.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dealers.behaviour_traits import DealerTraits, RequestView
from rfq.domain.errors import BadInput

Array = NDArray[np.float64]
Number = float | Array
"""One dealer's, or one a dealer."""

ASSUMED_RIVALS = 4
"""What a dealer supposes when the number asked is not disclosed (real panels have at most about six)."""
SUSPICION = 0.5
"""Share of the block that a dealer supposes is still to come when the residual is not disclosed."""
USUAL_BREADTH = 0.2
"""Share of dealers that make a usual market."""
HURRY_S = 5.0


class TraitColumns:
    """The traits of a panel, each an array of one value a dealer. A firm quote's `last_look_s` is NaN."""

    def __init__(self, panel: Sequence[DealerTraits]) -> None:
        """Raises BadInput for a panel of none."""
        if not panel:
            raise BadInput("panel", 0, "must have a dealer")
        self.count = len(panel)
        for name in DealerTraits.__struct_fields__:
            values = [getattr(traits, name) for traits in panel]
            if all(value is None or isinstance(value, int | float) for value in values):
                setattr(self, name, np.array([math.nan if v is None else v for v in values], dtype=np.float64))

    def __getattr__(self, name: str) -> Array:
        raise AttributeError(name)


Traits = DealerTraits | TraitColumns


class Circumstances(NamedTuple):
    """A request as the laws see it. Sizes are shares of ADV; flags are 0 or 1."""

    block: float
    rest: float
    """What is supposed to be worked besides."""
    rivals: float
    volatility_bps: float
    half_spread_bps: float
    shown: int
    """The desk's side as dealers see it: 1 buys, -1 sells, 0 hidden."""
    named: float
    """Whether the desk is disclosed."""
    urgency: float
    breadth: float
    """Share of all dealers that make this market."""
    belief_bps: float
    """What who is informed believes the mid will do."""
    relationship: Number
    specialist: Number
    covers: Number
    inventory: Number
    """In this sector, in standard units."""


def urgency_of(window_s: float) -> float:
    """How hurried a request looks, from the time given to answer: 1 at HURRY_S or less, a half at twice as much."""
    return HURRY_S / max(window_s, HURRY_S)


def circumstances(
    traits: DealerTraits, view: RequestView, inventory: float, breadth: float = USUAL_BREADTH
) -> Circumstances:
    """Of one dealer and one request."""
    adv, sector = view.instrument.adv, view.instrument.sector
    return Circumstances(
        block=view.block,
        rest=(view.residual if view.residual is not None else SUSPICION * view.quantity) / adv,
        rivals=ASSUMED_RIVALS if view.competitors is None else view.competitors,
        volatility_bps=view.volatility_bps,
        half_spread_bps=view.instrument.spread_bps / 2,
        shown=view.side.sign if view.side else 0,
        named=float(view.desk is not None),
        urgency=urgency_of(view.time_left_s),
        breadth=breadth,
        belief_bps=view.belief_bps,
        relationship=traits.relationship_with(view.desk),
        specialist=float(sector in traits.specialisms),
        covers=float(not traits.coverage or sector in traits.coverage),
        inventory=inventory,
    )
