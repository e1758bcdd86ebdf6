"""Market makers: they replenish, and they widen and withdraw with volatility and inventory (Ho and Stoll 1981;
Hendershott and Menkveld 2014). Seen from the book they are a strain on its sides, see `strain`.

They take the other side of a share of all market orders. Short, they bid stronger and offer less; their inventory
fades as they trade out of it. When the mid has moved more than usual, they step back on both sides. Declared.
"""

SHARE = 0.5
"""Of market orders that they absorb."""
FADES_S = 300.0
SKEW = 0.01
"""Strain on one side, and eased on the other, for each average event of inventory."""
MOST_SKEW = 0.5
HEAT_S = 60.0
USUAL_HEAT = 6.0
"""Cells the mid travels in HEAT_S that do not worry them."""
FEAR = 0.05
"""Strain on both sides for each cell beyond that."""
MOST_FEAR = 1.0
