"""How liquidity withdraws under strain: market makers quote less and cancel more, nearest to the mid first.

Strain is a number for each side of the book: 0 is the calibrated book, below it makers replenish more than usual, above
they step back. One unit multiplies limit arrivals by 2^-exponent and cancels by 2^exponent of the level, and after a
move of the price the first queue comes in empty with a chance of half the strain. At 2 it is mostly empty on the side
that is hit, and the spread about three levels wide: the news of the named scenario, from $0.05 to $0.15. Declared
assumptions; signs after Hendershott and Menkveld (2014) for inventory, Brogaard et al. (2018) for extreme moves.
"""

STRAINS = (-1, 0, 1, 2)
LIMIT_EXPONENT = (3.0, 1.5, 1.0, 0.5)
"""By level, nearest first; deeper levels feel none."""
CANCEL_EXPONENT = (1.5, 0.5, 0.25, 0.0)
