"""Judges the forecasters by what they were not trained on, and measures what they are worth to a slicer."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lit_router.market.lobster import Recording
from lit_router.market.parameters import BookParameters
from ml.forecasters import recorded
from ml.forecasters.gathering import Markets, gathered
from ml.forecasters.making import judgements_of, made
from ml.forecasters.training import Plan
from ml.forecasters.weights import Forecasters, save
from ml.forecasters.worth import measured
from rfq.studies.figures import Figures

EPISODES = 256
"""Residuals of each set on which what forecasts are worth is fitted, and as many on which it is judged."""


def train_forecasters(
    sets: Sequence[BookParameters], folder: Path | None, out: Path, seed: int, code: str, say: Callable[[str], None],
    *, plan: Plan | None = None, markets: Markets | None = None,
) -> Forecasters:  # fmt: skip
    """Trains both networks on simulated markets of the sets and the recorded days in a folder (None: no recordings),
    judges them, and writes them with their card."""
    data = gathered(sets, stocks_in(folder), say, markets, seed)
    found = made(data, seed, code, say, plan)
    save(found, out)
    return found


def evaluate_forecasters(
    sets: Sequence[BookParameters], folder: Path | None, forecasters: Forecasters | None, say: Callable[[str], None],
    *, seed: int = 1, code: str = "", plan: Plan | None = None, markets: Markets | None = None,
    episodes: int = EPISODES,
) -> Figures:  # fmt: skip
    """Every target in every source: losses (CRPS, of fills the log loss), R2, and what is saved of the better
    baseline's loss, by block bootstrap; then what the forecasts add to a slicer's own features. Without `forecasters`
    they are trained first, on the same data that `train_forecasters` takes."""
    data = gathered(sets, stocks_in(folder), say, markets, int(forecasters.card["seed"]) if forecasters else seed)
    forecasters = forecasters or made(data, seed, code, say, plan)
    figures = Figures("Forecasters, judged later in the day than they were trained, and in other markets")
    figures.add("version", forecasters.version)
    verdicts = list[str]()
    for source, judgements in judgements_of(data, forecasters):
        for one in judgements:
            stem = f"{source}_{one.target}"
            for name, loss in one.loss.items():
                figures.add(f"{stem}_loss_{name}", loss)
                figures.add(f"{stem}_r2_{name}", one.r2[name])
            figures.add(f"{stem}_base", one.base)
            for name, (gain, low, high) in one.gain.items():
                figures.add(f"{stem}_gain_{name}", gain)
                figures.add(f"{stem}_gain_{name}_low", low)
                figures.add(f"{stem}_gain_{name}_high", high)
            figures.add(f"{stem}_windows", one.windows)
            verdicts += [f"{name}_{verdict}" for name, verdict in one.verdict.items()]
    for verdict in sorted(set(verdicts)):
        figures.add(f"{verdict}_count", verdicts.count(verdict))
    for parameters in sets:
        for fit, worth in measured(parameters, forecasters, episodes, say).items():
            stem = f"{parameters.name}_slicer_move_15_{fit}_r2"
            figures.add(f"{stem}_alone", worth.alone)
            figures.add(f"{stem}_beside", worth.beside)
            for name, value in zip(("gain", "gain_low", "gain_high"), worth.gain, strict=True):
                figures.add(f"{stem}_{name}", value)
    return figures


def stocks_in(folder: Path | None) -> Mapping[str, Sequence[Recording]]:
    return recorded.read(folder) if folder else {}
