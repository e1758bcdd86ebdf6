"""Events cluster below a second: most steps are lulls, and the others carry what does not happen in them.

A set's own classes (`BookParameters.burst`) are paces of whole seconds. Within a second a recorded market is mostly
silent too: three quarters of all quarter seconds of the recorded book of the shipped small-tick set show no event.
Declared, so that as many of the simulated ones do.
"""

LULLS = 0.7
"""Share of steps, drawn anew for each."""
LULL_PACE = 0.05
"""Pace of a lull."""
MEAN_PACE = 1.25
"""Of all steps. Above 1, as makers step back part of the time: events and volume are about those of the recording."""
