"""The named scenario: 500,000 shares sold in three hours, half of all that usually trades in them, with news at one
hour and calm at the end. Every policy works the same paths."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch

from lit_router.market import parameters
from lit_router.market.batch.impact import BETA, LEVEL
from ml.slicer.execution import ADDED, CROSSING, FIRST_POOL, RESTING
from ml.slicer.playing import Policy
from ml.slicer.scenario import QDI, Scenario, StagedExecution
from ml.slicer.situation import POOLS
from rfq.domain.errors import BadInput
from rfq.domain.values import Symbol
from rfq.instruments import directory
from rfq.studies.figures import Figures, progress
from rfq.studies.slicer_evaluation import tail
from rfq.studies.slicer_scenario_page import followed, write_page
from rfq.studies.spread_over import Array, interval

SYMBOL = Symbol("QDI")
QUICK_PATHS, FULL_PATHS = 256, 2048
CHUNK = 256
FIRST_SEED = 7 * 10**8
"""Paths have seeds from here on; nobody else's."""
DAY_S = 23_400.0
TEXT = {
    "scenario": "500,000 shares sold in three hours from the open on, price $100, ADV 2 million, spread $0.05 in "
    "calm; news at one hour, calm in the last",
    "size": "half of what usually trades in those hours, far beyond the 20% that policies are trained on: a live "
    "slicer would hand over to its rule; the square-root law of impact is stretched as far",
    "unit": "implementation shortfall with fees in usual spreads of $0.05, positive a cost; differences paired by path",
    "interval": "95%, bootstrap of paths",
}


def run(
    policies: Mapping[str, Policy],
    judged: Sequence[str],
    page: Path | None = None,
    *,
    full: bool = False,
    paths: int | None = None,
    threads: int = 1,
    scenario: Scenario = QDI,
) -> Figures:
    """Figures of the scenario itself, of all policies, and of the `judged` ones less each of the others; `page` is
    where a picture of one path goes, worked by the first that is judged: the one whose cost is the median.

    Raises BadInput for judged policies that are not there, and a page that cannot be written.
    """
    if missing := [name for name in judged if name not in policies]:
        raise BadInput("judged", missing, f"must be among {', '.join(policies)}")
    if page is not None and not page.absolute().parent.is_dir():
        raise BadInput("page", str(page), "must be in a folder that exists")
    count = paths or (FULL_PATHS if full else QUICK_PATHS)
    figures = Figures("the named scenario: 500,000 shares in three hours, in usual spreads")
    for name, text in TEXT.items():
        figures.add(name, text)
    figures.add("paths", count)
    costs: dict[str, list[Array]] = {name: [] for name in policies}
    places: dict[str, list[Array]] = {name: [] for name in policies}
    moved: dict[str, list[Array]] = {name: [] for name in policies}
    weather, discarded = list[Array](), 0
    for first in range(0, count, CHUNK):
        seeds = range(FIRST_SEED + first, FIRST_SEED + min(count, first + CHUNK))
        begun = staged(seeds, threads, scenario)
        seen, untouched = weather_of(begun.copy())
        weather.append(seen)
        for name, policy in policies.items():
            execution = begun.copy()
            shortfall = policy(execution)
            progress(f"{min(count, first + CHUNK)} of {count} paths: {name}")
            r = execution.residual
            costs[name].append((shortfall / r.spread).numpy())
            places[name].append((execution.by_slot / execution.lots[:, None]).numpy())
            moved[name].append((r.side * (execution.view().mid - untouched) / r.arrival * 1e4).numpy())
            discarded += int(execution.left.sum())
    tell_weather(figures, np.concatenate(weather, 2), scenario)
    figures.add("square_root_law_bps", square_root_law_bps(scenario))
    spread_bps = directory()[SYMBOL].instrument.spread_bps
    for name in policies:
        its, place = np.concatenate(costs[name]), np.concatenate(places[name]).mean(0)
        figures.add(f"{name}_shortfall_spreads", float(its.mean()))
        figures.add(f"{name}_shortfall_bps", float(its.mean() * spread_bps))
        figures.add(f"{name}_cvar95_spreads", tail(its))
        figures.add(f"{name}_passive_share", float(place[[RESTING, ADDED]].sum()))
        figures.add(f"{name}_crossed_share", float(place[CROSSING]))
        figures.add(f"{name}_dark_share", float(place[FIRST_POOL : FIRST_POOL + POOLS].sum()))
        figures.add(f"{name}_moved_the_mid_bps", float(np.concatenate(moved[name]).mean()))
    for mine, other in product(judged, policies):
        if other in judged:
            continue
        apart = np.concatenate(costs[mine]) - np.concatenate(costs[other])
        for what, value in zip(("", "_low", "_high"), interval(apart), strict=True):
            figures.add(f"{mine}_less_{other}{what}_spreads", value)
    figures.goal("lots_discarded", float(discarded), "<=", 0)
    if page is not None:
        its = np.concatenate(costs[judged[0]])
        typical = FIRST_SEED + int(np.argsort(its)[len(its) // 2])
        path = followed(policies[judged[0]], staged([typical], threads, scenario))
        write_page(page, path, judged[0], directory()[SYMBOL].instrument)
    return figures


def staged(seeds: Sequence[int], threads: int = 1, scenario: Scenario = QDI) -> StagedExecution:
    """The scenario at the order's arrival."""
    listing, large_tick = directory()[SYMBOL], parameters.load("large_tick")
    return StagedExecution(scenario, listing.instrument, listing.opening_mid, large_tick, seeds, threads=threads)


def weather_of(execution: StagedExecution) -> tuple[Array, torch.Tensor]:
    """What it is like without us: spread in usual ones, lots at the best bid, and how far the mid moved against us in
    bps, at every decision, [3, decisions, B]; and the mid at the end, [B]. The execution is used up."""
    seen, r = [], execution.residual
    while not execution.over:
        view = execution.view()
        adverse = r.side * (view.mid - r.arrival) / r.arrival * 1e4
        seen.append(torch.stack([(view.ask - view.bid) / r.spread, view.bid_lots, adverse]))
        execution.wait()
    return torch.stack(seen, 1).numpy(), execution.view().mid


def tell_weather(figures: Figures, seen: Array, scenario: Scenario) -> None:
    """In the quarter of an hour before the news, from two to seven minutes after, and in the last quarter."""
    news, a_minute = scenario.turns[0].decision, 60 * scenario.law.decisions / scenario.law.horizon_s
    after, quarter = slice(news + round(2 * a_minute), news + round(7 * a_minute)), round(15 * a_minute)
    usual_cents = directory()[SYMBOL].instrument.spread_bps
    for name, part in (
        ("before_news", slice(max(0, news - quarter), news)),
        ("after_news", after),
        ("at_the_end", slice(-quarter, None)),
    ):
        figures.add(f"spread_{name}_cents", float(seen[0, part].mean() * usual_cents))
        figures.add(f"best_bid_{name}_shares", float(seen[1, part].mean()))
        figures.add(f"mid_against_us_{name}_bps", float(seen[2, part].mean()))


def square_root_law_bps(scenario: Scenario = QDI) -> float:
    """How far the market's law of impact has an order of this size and duration move the price, at its end."""
    instrument = directory()[SYMBOL].instrument
    share, days = scenario.lots / instrument.adv, scenario.law.horizon_s / DAY_S
    return LEVEL / (1 - BETA) * instrument.volatility_bps * share**0.5 * days ** (0.5 - BETA)
