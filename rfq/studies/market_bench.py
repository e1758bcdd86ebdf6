"""The speed and size of the simulated market, beside the exact stepper measured in the same run.

Rounds of the exact stepper and of the reference workload (see `market_workload`) alternate, so that a machine that
slows down slows both. An event is a limit order, a cancel or a market order of the anonymous book; those of dark pools
and our own are not counted.
"""

import os
from pathlib import Path
from statistics import median

import torch

from lit_router.market import lobster
from rfq.domain.values import Frozen
from rfq.studies.figures import Figures, progress
from rfq.studies.market_workload import CORES, SET, Load, Rate, Workload, exact_rate, hour_s, quiet_day
from rfq.studies.replay_bench import replay_rate

SIZES = (1, 64, 1024, 4096, 16384)
TENSOR_SIZES = (64, 4096)
CUDA_SIZES = (4096, 65536)
REFERENCE = Workload()


class Plan(Frozen, frozen=True):
    """How much is measured."""

    rounds: int = 7
    round_s: float = 1.5
    """Of each side of a round."""
    each_s: float = 1.5
    """Of everything that is measured once."""
    messages: int = 200_000
    """Of the recording that is made to be replayed where none is given."""


QUICK = Plan(rounds=3, round_s=0.6, each_s=0.25)


def run(plan: Plan, book: Path | None = None) -> Figures:
    """Measures according to `plan`. `book`: a LOBSTER zip to replay. Raises BadInput for one that cannot be read."""
    recording = lobster.read(book) if book else quiet_day(plan.messages)
    figures = Figures(f"market bench: {SET}, five levels, steps of 0.25 s, an order in each market, three pools")
    figures.add("cores_count", CORES)
    figures.add("load_average", os.getloadavg()[0])
    progress("compiling what is not in the cache")
    reference = Load(REFERENCE._replace(threads=CORES))
    reference.markets.compile()
    exact_rate(0.0, orders=True)
    ratio = _beside_exact(plan, figures, reference)
    _by_size(plan, figures)
    _variants(plan, figures)
    linearity = _linearity(plan, figures)
    _tensors(plan, figures)
    figures.add("state_bytes_per_market", reference.markets.processor.records.dtype.itemsize)
    hour = hour_s()
    progress("replay")
    replayed = replay_rate(recording)
    figures.add("replay_with_orders_events_per_s", replayed.both_resting)
    figures.goal("reference_over_exact_ratio", ratio, ">=", 2.0)
    figures.goal("one_market_hour_s", hour, "<", 15.0)
    figures.goal("replay_events_per_s", replayed.nothing_resting, ">=", 1_000_000.0)
    figures.goal("step_at_16384_over_1024_ratio_low", linearity, ">=", 0.5)
    figures.goal("step_at_16384_over_1024_ratio_high", linearity, "<=", 1.5)
    return figures


def _beside_exact(plan: Plan, figures: Figures, reference: Load) -> float:
    """Events a second of the reference on all cores over those of the exact stepper on one; the median round."""
    exact, ours = list[Rate](), list[Rate]()
    reference.measured(plan.each_s)
    for number in range(1, plan.rounds + 1):
        exact.append(exact_rate(plan.round_s))
        ours.append(reference.measured(plan.round_s))
        progress(
            f"round {number} of {plan.rounds}: exact {exact[-1].events / 1e6:.1f}, "
            f"reference {ours[-1].events / 1e6:.1f} million events/s"
        )
    _say(figures, "exact", _middle(exact))
    _say(figures, "exact_with_two_orders", exact_rate(plan.each_s, orders=True))
    _say(figures, "reference", _middle(ours))
    return median(our.events / peer.events for our, peer in zip(ours, exact, strict=True))


def _by_size(plan: Plan, figures: Figures) -> None:
    for markets in SIZES:
        for threads in _threads():
            progress(f"{markets} markets, {threads} threads")
            load = Load(REFERENCE._replace(markets=markets, threads=threads))
            _say(figures, f"reference_{markets}_markets_{threads}_threads", load.measured(plan.each_s))


def _variants(plan: Plan, figures: Figures) -> None:
    """The reference with less, and with all conditions, as many markets."""
    variants = {
        "no_orders": REFERENCE._replace(orders=False),
        "no_pools": REFERENCE._replace(pools=False),
        "no_orders_no_pools": REFERENCE._replace(orders=False, pools=False),
        "all_conditions": REFERENCE._replace(conditions=True),
    }
    for name, workload in variants.items():
        progress(name.replace("_", " "))
        for threads in _threads():
            load = Load(workload._replace(threads=threads))
            _say(figures, f"{name}_{threads}_threads", load.measured(plan.each_s))


def _linearity(plan: Plan, figures: Figures) -> float:
    """Time of a market's step among 16,384 markets over that among 1,024, on one thread; the median round."""
    few, many = (Load(REFERENCE._replace(markets=markets)) for markets in (1024, 16384))
    pairs = [(few.measured(plan.each_s), many.measured(plan.each_s)) for _ in range(plan.rounds)]
    for name, rates in (("1024", [a for a, _ in pairs]), ("16384", [b for _, b in pairs])):
        figures.add(f"step_at_{name}_ns", 1e9 / median(rate.market_steps for rate in rates))
    return median(a.market_steps / b.market_steps for a, b in pairs)


def _tensors(plan: Plan, figures: Figures) -> None:
    """The definition in tensor operations, here and on a GPU if there is one; and what is compiled for that."""
    for markets in TENSOR_SIZES:
        progress(f"tensor operations, {markets} markets")
        workload = REFERENCE._replace(markets=markets, tensors=True)
        name = f"tensors_{markets}_markets"
        figures.add(f"{name}_market_steps_per_s", Load(workload).measured(plan.each_s).market_steps)
        if torch.cuda.is_available():
            there = workload._replace(device="cuda")
            figures.add(f"{name}_cuda_market_steps_per_s", Load(there).measured(plan.each_s).market_steps)
    if torch.cuda.is_available():
        for markets in CUDA_SIZES:
            load = Load(REFERENCE._replace(markets=markets, device="cuda"))
            load.measured(plan.each_s)  # Compiles.
            figures.add(f"reference_{markets}_markets_cuda_market_steps_per_s", load.measured(plan.each_s).market_steps)


def _threads() -> list[int]:
    return sorted({1, CORES})


def _middle(rates: list[Rate]) -> Rate:
    return Rate(median(rate.market_steps for rate in rates), median(rate.events for rate in rates))


def _say(figures: Figures, name: str, rate: Rate) -> None:
    figures.add(f"{name}_events_per_s", rate.events)
    figures.add(f"{name}_market_steps_per_s", rate.market_steps)
