"""Market makers: they replenish, and they widen and withdraw with volatility and inventory (Ho and Stoll 1981;
Hendershott and Menkveld 2014). Seen from the book they are a strain on its sides, see `strain`.

They take the other side of a share of all market orders. The more they hold, long or short, the less they quote; their
inventory fades as they trade out of it. When the mid has moved more than usual, they step back; when it has not and
they hold little, they quote more than the calibrated book. They do not skew: what a skew does to the price is in the
flow's drift already, and would feed on itself here, where nobody values the stock. Declared.
"""

SHARE = 0.5
"""Of market orders that they absorb."""
FADES_S = 300.0
LOAD = 0.01
"""Strain on both sides for each average event of inventory, long or short."""
MOST_LOAD = 0.5
EASE = 0.15
"""Strain taken off both sides when there is nothing to fear."""
HEAT_S = 60.0
USUAL_HEAT = 6.0
"""Cells the mid travels in HEAT_S that do not worry them."""
FEAR = 0.05
"""Strain on both sides for each cell beyond that."""
MOST_FEAR = 1.0
