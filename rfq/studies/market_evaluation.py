"""Is the simulated market fit to learn in? Its stylised facts beside a recorded day's, and its law of impact."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lit_router.market import lobster
from lit_router.market.batch import recording
from lit_router.market.parameters import BookParameters
from lit_router.market.stream import BookStream
from rfq.domain.errors import BadInput
from rfq.studies import impact_study, realism
from rfq.studies.figures import Figures, progress

DAYS, QUICK_DAYS = 24, 4
SEED = 1_000


def run(book: Path, parameters: BookParameters, page: Path | None, *, quick: bool = False) -> Figures:
    """Figures of both, and the page with both if one is asked for. Simulated are several independent days of the hours
    that the set was not calibrated on.

    Raises BadInput for a recording that is broken or not of a whole day, a page that cannot be written, and a set whose
    day was not measured.
    """
    lobster.read(book)  # Before minutes of work: is it one at all?
    if page is not None and not page.absolute().parent.is_dir():
        raise BadInput("page", str(page), "must be in a folder that exists")
    size = impact_study.QUICK if quick else impact_study.Size()
    of_impact = Figures("impact")
    impact = impact_study.run(parameters, size, of_impact, progress)
    days = QUICK_DAYS if quick else DAYS

    def simulate(begins_s: float, ends_s: float) -> Sequence[BookStream]:
        progress(f"simulating {days} days of {parameters.name}")
        rng = np.random.default_rng(SEED)
        return recording.days(parameters, range(SEED, SEED + days), begins_s, ends_s, rng)

    figures = realism.run(book, simulate, page, impact)
    for name, value in of_impact.figures.items():
        figures.add(name, value)
    figures.goals += of_impact.goals
    return figures
