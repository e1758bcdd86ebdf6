"""Everything that forecasters are trained and judged on: simulated markets of each set, recorded days of each stock."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from lit_router.market.lobster import Recording
from lit_router.market.parameters import BookParameters
from ml.forecasters import recorded, simulated
from ml.forecasters.samples import SHARES, TEST, TRAIN, VALIDATE, Samples, joined, part_of
from ml.slicer.episodes import DAY_S, EpisodeLaw

SESSION = {TRAIN: (0.0, SHARES[0]), VALIDATE: SHARES, TEST: (SHARES[1], 1.0)}
"""Shares of the session in which simulated markets lie; each market is in one part alone."""


class Markets(NamedTuple):
    """Simulated markets of each set, by part."""

    train: int = 320
    validate: int = 96
    test: int = 256


class Gathered(NamedTuple):
    names: tuple[str, ...]
    """Of the sources; `samples.source` counts them."""
    samples: Samples
    part: torch.Tensor
    """int64 [N]: TRAIN, VALIDATE, TEST; what is in none of them is left out."""

    def of(self, part: int) -> Samples:
        return self.samples.where(self.part == part)


def gathered(
    sets: Sequence[BookParameters],
    stocks: Mapping[str, Sequence[Recording]],
    say: Callable[[str], None],
    markets: Markets | None = None,
    seed: int = 0,
    law: EpisodeLaw = simulated.LAW,
) -> Gathered:
    """Windows of all sources. Simulated markets of different seeds have nothing in common."""
    sources, parts = list[Samples](), list[torch.Tensor]()
    for place, parameters in enumerate(sets):
        first = simulated.FIRST_SEED + (seed * len(sets) + place) * 10**6
        own = [_simulated(parameters, law, part, count, first, say)
               for part, count in zip(SESSION, markets or Markets(), strict=True)]  # fmt: skip
        sources.append(Samples(*(torch.cat(column) for column in zip(*own, strict=True))))
        parts.append(part_of(sources[-1].at_s, DAY_S))
    for name, days in stocks.items():
        found, ends_s = recorded.source(days)
        sources.append(found)
        parts.append(part_of(found.at_s, ends_s))
        say(f"{name}: {len(found.x)} windows of {len(days)} days")
    used = [part <= TEST for part in parts]
    kept = [found.where(rows) for found, rows in zip(sources, used, strict=True)]
    part = torch.cat([part[rows] for part, rows in zip(parts, used, strict=True)])
    return Gathered((*(one.name for one in sets), *stocks), joined(kept), part)


def _simulated(
    parameters: BookParameters, law: EpisodeLaw, part: int, count: int, first: int, say: Callable[[str], None]
) -> Samples:
    seeds = simulated.seeds_within(law, SESSION[part], count, first + part * 10**5)
    done = 0

    def after() -> None:
        nonlocal done
        done += 1
        if done % 20 == 0:
            say(f"{parameters.name}: {count} markets, {done} windows of each")

    return simulated.source(parameters, seeds, law, after)
