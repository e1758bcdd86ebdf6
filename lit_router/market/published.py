"""Arrival rates of the queue-reactive book by queue size, as they were published.

Source: Huang, Lehalle, Rosenbaum, "Simulating and analyzing order book data: the queue-reactive model" (JASA 2015),
model I, France Telecom. Rates are events per second by level, nearest first; queue sizes are counts of the average
event size.
"""

SIZES = (0, 1, 5, 10, 20, 50)
LIMIT = (
    (0.25, 0.63, 0.575, 0.638, 0.75, 0.70),
    (2.8, 1.3, 0.725, 0.593, 0.47, 0.52),
    (3.1, 0.96, 0.40, 0.40, 0.40, 0.55),
)
CANCEL = (
    (0.0, 0.23, 0.525, 0.648, 0.87, 0.73),
    (0.0, 0.42, 0.59, 0.591, 0.562, 0.60),
    (0.0, 0.50, 0.304, 0.344, 0.424, 0.60),
)
MARKET = ((0.0, 0.25, 0.105, 0.081, 0.073, 0.092), (0.0,) * 6, (0.0,) * 6)
THETA = 0.7
"""Probability that the reference price follows when a best queue empties."""
THETA_REINIT = 0.85
"""Probability that the book is then redrawn from its invariant law rather than shifted."""
