"""Market makers: they replenish, and they widen and withdraw with volatility and inventory (Ho and Stoll 1981;
Hendershott and Menkveld 2014). Seen from the book they are a strain on its sides, see `strain`.

They take the other side of a share of all market orders. The more they hold, long or short, the less they quote; their
inventory fades as they trade out of it. When the mid has moved more than usual, counted in the spreads that they earn,
they step back; when it has not and they hold little, they quote more than the calibrated book. They do not skew: what a
skew does to the price is in the flow's drift already, and would feed on itself here, where nobody values the stock.
Declared.
"""

from lit_router.market.parameters import BookParameters

SHARE = 0.5
"""Of market orders that they absorb."""
FADES_S = 300.0
LOAD = 0.01
"""Strain on both sides for each average event of inventory, long or short."""
MOST_LOAD = 0.5
EASE = 0.1
"""Strain taken off both sides when there is nothing to fear."""
HEAT_S = 60.0
USUAL_HEAT = 2.5
"""Spreads that the mid travels in HEAT_S that do not worry them."""
FEAR = 0.2
"""Strain on both sides for each spread beyond that."""
MOST_FEAR = 1.0


def spread_cells(parameters: BookParameters) -> float:
    """Mean spread of a set in cells, from its laws of single queues."""
    empty = parameters.laws()[:, 0]
    return 1.0 + 2.0 * float(empty.cumprod().sum())
