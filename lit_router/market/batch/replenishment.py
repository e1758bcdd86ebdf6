"""What participants took from a queue comes back: others replenish it within seconds.

Books recover from a sweep in well under a minute (Degryse, de Jong, van Ravenswaaij, van Wuijts 2005; Large 2007 finds
half-lives below 20 seconds where they recover at all). A declared mean life, alike for every level.
"""

LIFE_S = 10.0
