"""Do the dealer models know the dealers? Judged in study worlds, where the truth is known: `rfq evaluate dealers`.

Every table is one function of a seed, run in a process of its own; figures are means over worlds with 95% intervals by
a bootstrap over worlds. Worlds are drawn from the seeds FIRST_SEED and up, which nothing was chosen by.
"""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from rfq.domain.errors import BadInput
from rfq.studies import leakage_evaluation, quote_evaluation
from rfq.studies.figures import Figures, progress
from rfq.studies.world_requests import WorldTerms

FIRST_SEED = 101
WORLDS, LEAST_WORLDS = 6, 2
RESAMPLES = 2_000
SMALL, USUAL, LARGE = 2_000, 10_000, 50_000
NOISIER = 1.5

Measured = Mapping[str, float]
Table = Callable[[int], Measured]


class Plan(NamedTuple):
    """How much to play: RFQs of the small, the usual and, if it is wanted, the large log."""

    worlds: int = WORLDS
    small: int = SMALL
    usual: int = USUAL
    large: int | None = None
    processes: int = os.cpu_count() or 1


class Wanted(NamedTuple):
    """A goal of one figure of a table."""

    figure: str
    how: Literal["<=", ">="]
    bound: float


def run(plan: Plan) -> Figures:
    """Plays and judges. Raises BadInput for fewer worlds than can be resampled."""
    if plan.worlds < LEAST_WORLDS:
        raise BadInput("worlds", plan.worlds, f"must be at least {LEAST_WORLDS}: intervals are over worlds")
    figures = Figures(f"dealer models, judged in {plan.worlds} study worlds")
    figures.add("worlds", plan.worlds)
    figures.add("rfqs_small", plan.small)
    figures.add("rfqs_usual", plan.usual)
    figures.add("rfqs_large", plan.large)
    tables = _tables(plan)
    seeds = range(FIRST_SEED, FIRST_SEED + plan.worlds)
    measured = played(tables, seeds, plan.processes)
    for name in tables:
        tabulate(figures, name, measured[name])
    for wanted in _goals(plan):
        _judge(figures, wanted)
    return figures


def played(tables: Mapping[str, Table], seeds: Sequence[int], processes: int) -> dict[str, list[Measured]]:
    """Every table of every seed, so many at once, each in a process with one thread; progress is told."""
    found: dict[str, dict[int, Measured]] = {name: {} for name in tables}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_single_thread) as pool:
        jobs: dict[Future[Measured], tuple[str, int]] = {
            pool.submit(table, seed): (name, seed) for seed in seeds for name, table in tables.items()
        }
        for done, job in enumerate(as_completed(jobs), 1):
            name, seed = jobs[job]
            found[name][seed] = job.result()
            progress(f"{done} of {len(jobs)}: {name}, world {seed}")
    return {name: [by_seed[seed] for seed in seeds] for name, by_seed in found.items()}


def tabulate(figures: Figures, table: str, worlds: Sequence[Measured]) -> None:
    """Means over worlds, with 95% intervals."""
    for name in worlds[0]:
        values = np.array([world[name] for world in worlds])
        low, high = interval(values)
        figures.add(f"{table}_{name}", float(values.mean()))
        figures.add(f"{table}_{name}_low", low)
        figures.add(f"{table}_{name}_high", high)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean, 95%, by resampling worlds."""
    drawn = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _tables(plan: Plan) -> dict[str, Table]:
    terms = WorldTerms()
    sizes = (plan.small, plan.usual, *([plan.large] if plan.large else []))
    unexplored = WorldTerms(explored=0.0, recounted=0.0)
    noisier = WorldTerms(noise=NOISIER)
    leakage = leakage_evaluation.table
    return {
        "leakage": partial(leakage, sizes=sizes, terms=terms, cheat=True),
        "leakage_desk_log": partial(leakage, sizes=(plan.usual,), terms=unexplored, cheat=False),
        "leakage_noisier": partial(leakage, sizes=(plan.usual,), terms=noisier, cheat=False),
        "quotes": partial(quote_evaluation.table, requests=plan.usual, terms=terms),
    }


def _goals(plan: Plan) -> list[Wanted]:
    sizes = [leakage_evaluation.shown(n) for n in (plan.small, plan.usual, plan.large or 0)]
    small, usual, large = sizes
    wanted = [
        Wanted("leakage_noise_to_leakage", ">=", 8.0),
        Wanted(f"leakage_model_spearman_{small}", ">=", 0.62),
        Wanted(f"leakage_model_spearman_{usual}", ">=", 0.83),
        Wanted(f"leakage_model_rmse_of_constant_{usual}", "<=", 0.40),
    ]
    for size in [usual, *([large] if plan.large else [])]:
        wanted += [Wanted(f"leakage_model_{way}cover90_{size}", how, bound)  # type: ignore[arg-type]
                   for way in ("", "contexts_") for how, bound in ((">=", 0.85), ("<=", 0.93))]  # fmt: skip
    if plan.large:
        wanted.append(Wanted(f"leakage_model_spearman_{large}", ">=", 0.92))
    return [
        *wanted,
        Wanted("quotes_below_raw_trees", ">=", 0.15),
        Wanted("quotes_model_cover90", ">=", 0.88),
        Wanted("quotes_model_cover90", "<=", 0.92),
        Wanted("leakage_identities_shuffled", "<=", 0.1),
        Wanted("quotes_shuffled_gain_kept", "<=", 0.25),
        Wanted("quotes_told_hidden_gains", ">=", 0.0),
    ]


def _judge(figures: Figures, wanted: Wanted) -> None:
    value = figures.figures[wanted.figure]
    assert isinstance(value, float | int)
    figures.goal(wanted.figure, value, wanted.how, wanted.bound)


def _single_thread() -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
