"""How desks choose today: the best hit rates among those they know, so many as they are used to; partly randomised."""

import math
from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Protocol

import msgspec
import numpy as np
from numpy.random import Generator

from ml.memory import PanelMemory
from ml.outcomes import Outcome, RequestFacts
from rfq.domain.values import DealerId, Symbol
from rfq.studies.world_requests import WorldTerms

PRIOR_ASKED, PRIOR_RATE = 4.0, 0.25
"""A dealer is taken to have won this often in so many requests before any."""
USUAL_COUNTS = (3, 4, 5, 6)
"""Numbers asked that desks are used to, in turn."""
PER_LOG_SIZE, IF_URGENT, IF_UNUSUAL = -0.7, 2, -1
"""Fewer for larger and for unusual trades (Riggs et al.); more in a hurry."""


class Chosen(msgspec.Struct, frozen=True):
    """Whom a policy asks, and with what probability it would have asked each of the candidates."""

    asked: tuple[DealerId, ...]
    propensities: tuple[float, ...]
    """Of every candidate, in the order in which they were given."""
    of_set: float | None = None
    """Of exactly these together; None where the policy does not know."""


class Policy(Protocol):
    """A way of choosing. It sees what a desk sees: facts, who is there, and what it has learned."""

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        """Whom to ask. `rng` is of this request alone, the same for every policy."""
        ...

    def learn(self, outcome: Outcome) -> None:
        """How one of its requests turned out."""
        ...


class DeskHabit:
    """Every desk's own hit rates by sector, and its own usual number asked, with exact propensities.

    The number asked is the habit's, or, `recounted`, evenly from `least` to `most`. Of the slots each is random with
    `explored`: m random ones leave the best n - m by hit rate, and m dealers drawn evenly from all others.
    """

    def __init__(self, terms: WorldTerms, unusual: frozenset[Symbol] = frozenset()) -> None:
        self._terms, self._unusual = terms, unusual
        self._asked: dict[tuple[str, str, DealerId], float] = {}
        self._won: dict[tuple[str, str, DealerId], float] = {}

    def choose(
        self, facts: RequestFacts, candidates: Sequence[DealerId], memory: PanelMemory | None, rng: Generator
    ) -> Chosen:
        terms = self._terms
        most = min(terms.most, len(candidates))
        least = min(terms.least, most)
        usual = min(most, max(least, self.usual_count(facts)))
        order = self.ranked(facts, candidates)
        count = int(rng.integers(least, most + 1)) if rng.random() < terms.recounted else usual
        random = int(rng.binomial(count, terms.explored))
        kept = order[: count - random]
        others = rng.permutation(len(candidates) - len(kept))[:random] + len(kept)
        by_rank = inclusion_by_rank(len(candidates), usual, least, most, terms.explored, terms.recounted)
        propensities = [0.0] * len(candidates)
        for rank, place in enumerate(order):
            propensities[place] = by_rank[rank]
        ranks = (*range(len(kept)), *others.tolist())
        asked = tuple(candidates[order[rank]] for rank in ranks)
        of_set = probability_of(set(ranks), len(candidates), usual, least, most, terms.explored, terms.recounted)
        return Chosen(asked, tuple(propensities), of_set)

    def ranked(self, facts: RequestFacts, candidates: Sequence[DealerId]) -> list[int]:
        """Places of the candidates by the desk's hit rate in the sector; ties as they come."""

        def rate(dealer: DealerId) -> float:
            key = (facts.desk, facts.sector, dealer)
            asked = self._asked.get(key, 0.0)
            return (self._won.get(key, 0.0) + PRIOR_RATE * PRIOR_ASKED) / (asked + PRIOR_ASKED)

        rates = [rate(dealer) for dealer in candidates]
        # Desks start with acquaintances of their own: ties are broken by a turn that differs between them.
        turn = hash_of(facts.desk + facts.sector)
        return sorted(range(len(candidates)), key=lambda i: (-rates[i], (i * 7 + turn) % len(candidates), i))

    def usual_count(self, facts: RequestFacts) -> int:
        """What the desk would ask by habit, before the bounds."""
        used_to = USUAL_COUNTS[hash_of(facts.desk) % len(USUAL_COUNTS)]
        bent = PER_LOG_SIZE * math.log(facts.size / self._terms.usual_size)
        return round(used_to + bent + IF_URGENT * facts.urgent + IF_UNUSUAL * (facts.symbol in self._unusual))

    def learn(self, outcome: Outcome) -> None:
        facts = outcome.facts
        for asked in outcome.asked:
            key = (facts.desk, facts.sector, asked.dealer)
            self._asked[key] = self._asked.get(key, 0.0) + 1.0
            self._won[key] = self._won.get(key, 0.0) + (not asked.lost)


def hash_of(name: str) -> int:
    """The same in every process, which `hash` of a string is not."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(name))


@lru_cache(maxsize=1024)
def inclusion_by_rank(
    candidates: int, usual: int, least: int, most: int, explored: float, recounted: float
) -> tuple[float, ...]:
    """Exact probability that DeskHabit asks the dealer of each rank."""
    counts = _counts(usual, least, most, recounted)
    found = np.zeros(candidates)
    for count in range(least, most + 1):
        for random in range(count + 1):
            chance = counts[count] * math.comb(count, random) * explored**random * (1 - explored) ** (count - random)
            kept = count - random
            found[:kept] += chance
            if random:
                found[kept:] += chance * random / (candidates - kept)
    return tuple(np.minimum(1.0, found).tolist())


def probability_of(
    ranks: Set[int], candidates: int, usual: int, least: int, most: int, explored: float, recounted: float
) -> float:
    """Exact probability that DeskHabit asks just the dealers of these ranks."""
    count = len(ranks)
    leading = next(rank for rank in range(count + 1) if rank not in ranks)
    found = 0.0
    for random in range(count - leading, count + 1):
        outside = candidates - (count - random)
        chance = math.comb(count, random) * explored**random * (1 - explored) ** (count - random)
        found += chance / math.comb(outside, random)
    return float(found * _counts(usual, least, most, recounted)[count])


def _counts(usual: int, least: int, most: int, recounted: float) -> np.ndarray:
    """Probability of each number asked, 0 to `most`."""
    counts = np.zeros(most + 1)
    counts[least:] += recounted / (most - least + 1)
    counts[usual] += 1.0 - recounted
    return counts
