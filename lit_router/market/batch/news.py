"""News: the spread widens, the depth thins on the side that the news is against, and the price drifts; then it fades.

At strength 2, as in the named scenario, the spread of a one-tick book goes to three and the hit side's depth collapses.
Declared; that spreads widen and depth leaves before volume returns is what Brogaard et al. (2018) and Lee, Mucklow and
Ready (1993) describe.
"""

FADES_S = 600.0
OTHER_SIDE = 0.6
"""Strain on the side that the news is not against, as a share."""
DRIFT = 0.25
"""Tilt of market orders with the news, powers of two, for each unit of strain."""
PACE = 0.5
"""Pace added, powers of two, for each unit of strain."""
HALTS_A_DAY = 0.02
"""Trading halts of HALT_S come at this rate, for reasons outside the book."""
HALT_S = 300.0
