"""Is the simulated market like the real one? Stylised facts of simulated days beside a recorded part of a day that the
simulation was not calibrated on, judged by how far apart the recorded parts are themselves.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import wasserstein_distance

from lit_router.market import lobster
from lit_router.market.recorded_stream import stream_of
from lit_router.market.stream import BookStream
from rfq.domain.errors import BadInput
from rfq.studies.figures import Figures
from rfq.studies.stylised_facts import FACTS, Fact, Streams

if TYPE_CHECKING:
    from rfq.studies.realism_page import Impact

Floats = npt.NDArray[np.float64]

LARGEST_RATIO = 2.0
"""How many yardsticks a simulation may be away."""
VIEW = 5
"""Occupied levels a side that are compared, or fewer where a stream shows fewer: what happens deeper is cut off at
different depths in recordings and simulations."""
BLOCK_S = 300.0
SESSION_S, SPLIT_S = 23_400.0, 11_700.0
"""09:30 to 16:00; calibration sees what is before 12:45, the comparison what is after."""
MOST = 100_000
"""Sizes of samples above which evenly spaced order statistics stand for them."""


class Comparison(NamedTuple):
    """One fact of the two recorded parts and of the simulated days, and the distances, on the fact's scale.

    `distance`: simulated to held-out part. `yardstick`: calibrated to held-out part. `alternate`: even to odd blocks
    of the whole day, which differ by chance but not by the time of day. NaN where a side has nothing to measure.
    """

    fact: Fact
    calibrated: Floats
    held_out: Floats
    simulated: Floats
    distance: float
    yardstick: float
    alternate: float

    @property
    def ratio(self) -> float:
        """Distance in yardsticks."""
        if self.distance == 0:
            return 0.0
        return self.distance / self.yardstick if self.yardstick else np.inf

    @property
    def within(self) -> bool:
        return self.distance <= LARGEST_RATIO * self.yardstick


def compare(
    calibrated: BookStream, held_out: BookStream, simulated: Streams, alternate: tuple[Streams, Streams]
) -> list[Comparison]:
    """Every fact of FACTS. `simulated` are independent days of the held-out part's hours; `alternate` the two halves
    of the recorded day by blocks (`alternate_blocks`). Raises BadInput for no streams, or samples too far apart."""
    groups: list[Streams] = [[calibrated], [held_out], simulated, *alternate]
    if not all(groups):
        raise BadInput("streams", [len(group) for group in groups], "must be at least one of each")
    view = min(VIEW, *(stream.bids.shape[1] for group in groups for stream in group))
    shown = [[stream.within(view) for stream in group] for group in groups]
    return [_compared(fact, shown) for fact in FACTS]


def alternate_blocks(stream: BookStream, block_s: float = BLOCK_S) -> tuple[list[BookStream], list[BookStream]]:
    """The stream cut into blocks: the first, third, ... and the second, fourth, ... A rest at the end is a block."""
    begins_s = np.arange(stream.begins_s, stream.ends_s - 1e-9, block_s)
    blocks = [stream.between(begin, min(begin + block_s, stream.ends_s)) for begin in begins_s.tolist()]
    return blocks[::2], blocks[1::2]


def distance(fact: Fact, one: Floats, other: Floats) -> float:
    """Of samples: Wasserstein distance on the fact's scale, the mean over columns. Of curves: mean absolute
    difference of the points that both have. NaN where there is nothing to compare."""
    if fact.points:
        apart = np.abs(one - other)
        return float(np.mean(apart[np.isfinite(apart)])) if np.isfinite(apart).any() else np.nan
    if not (len(one) and len(other)):
        return np.nan
    if fact.log:
        one, other = np.log1p(one), np.log1p(other)
    columns = zip(np.atleast_2d(one.T), np.atleast_2d(other.T), strict=True)
    return float(np.mean([wasserstein_distance(*pair) for pair in columns]))


def measure_of(fact: Fact) -> str:
    """How the distance of a fact is measured, in words."""
    if fact.points:
        return f"mean absolute difference, {fact.unit}"
    return f"Wasserstein, log(1 + {fact.unit})" if fact.log else f"Wasserstein, {fact.unit}"


def figures_of(comparisons: Sequence[Comparison], title: str = "realism of the simulated market") -> Figures:
    """The distances of each fact, and a goal for its ratio."""
    figures = Figures(title)
    for compared in comparisons:
        name = compared.fact.name
        figures.add(f"{name}_measure", measure_of(compared.fact))
        figures.add(f"{name}_distance", compared.distance)
        figures.add(f"{name}_yardstick", compared.yardstick)
        figures.add(f"{name}_alternate", compared.alternate)
        figures.goal(f"{name}_ratio", compared.ratio, "<=", LARGEST_RATIO)
    return figures


def run(
    book: Path,
    simulate: Callable[[float, float], Sequence[BookStream]],
    page: Path | None,
    impact: "Impact | None" = None,
) -> Figures:
    """Reads a recorded day (LOBSTER zip) and compares the hours after 12:45 with `simulate(begins_s, ends_s)`, several
    independent streams of those hours. Writes the page, if asked for one, with the impact of our own orders.

    Raises BadInput for a recording that is broken or not of 09:30 to 16:00, and a page that cannot be written.
    """
    recording = lobster.read(book)
    opens = recording.begins_at.astimezone(lobster.NEW_YORK).strftime("%H:%M:%S")
    if (opens, recording.ends_s) != ("09:30:00", SESSION_S):
        raise BadInput(str(book), f"{recording.ends_s:g} s from {opens}", "must be of 09:30 to 16:00")
    day = stream_of(recording)
    comparisons = compare(
        day.between(0.0, SPLIT_S),
        day.between(SPLIT_S, SESSION_S),
        simulate(SPLIT_S, SESSION_S),
        alternate_blocks(day),
    )
    title = f"{recording.symbol} {recording.begins_at:%Y-%m-%d}, simulated beside recorded"
    if page is not None:
        from rfq.studies import realism_page  # Loads the plotting library, which takes a while.

        realism_page.write_page(page, comparisons, impact, title)
    return figures_of(comparisons, title)


def _compared(fact: Fact, groups: Sequence[Streams]) -> Comparison:
    calibrated, held_out, simulated, even, odd = (_thinned(fact, fact.measure(group)) for group in groups)
    return Comparison(
        fact,
        calibrated,
        held_out,
        simulated,
        distance=distance(fact, simulated, held_out),
        yardstick=distance(fact, calibrated, held_out),
        alternate=distance(fact, even, odd),
    )


def _thinned(fact: Fact, measured: Floats) -> Floats:
    """A sample that is too large by its order statistics, evenly spaced: nothing is drawn, the shape is kept."""
    if fact.points or len(measured) <= MOST:
        return measured
    return np.sort(measured, axis=0)[((np.arange(MOST) + 0.5) * (len(measured) / MOST)).astype(int)]
