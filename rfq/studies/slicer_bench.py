"""How fast the slicer decides and learns, on one core.

A decision is what the router waits for: from observations to proposals, with features, guard, digest of what was seen
and the record of it. A step is one decision of one residual in its market. Learning is timed with the environment alone
and with updates, beside the same algorithm over one environment a market, stepped one by one from Python. Both
alternate, so that a machine that slows down slows both.
"""

import gc
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from time import perf_counter, thread_time
from typing import NamedTuple

import numpy as np
import torch

from lit_router.domain.observation import Observation, Resting
from lit_router.market.batch.pools import POOLS
from lit_router.market.parameters import load as market_set
from ml.slicer import ppo
from ml.slicer.episodes import EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.features import NAMES
from ml.slicer.ground import FIRST_SEED
from ml.slicer.network import Actor, Critic
from ml.slicer.policy import LearnedSlices, on_one_core
from ml.slicer.rules import Rule
from ml.slicer.weights import SHIPPED, Envelope, Slicer, load
from rfq.domain.order import ParentOrder
from rfq.domain.rfq import Schedule, Urgency
from rfq.domain.values import ChildId, ParentId, Price, Quantity, RfqId, Side
from rfq.instruments import directory
from rfq.markets import opening
from rfq.studies.figures import Figures, progress

PARENTS = (1, 64, 512)
GOALS_MS = {1: 1.0, 64: 5.0}
SET = "large_tick"
LAW = EpisodeLaw(horizon_s=600.0, decisions=40)
SEED = 20_260_312
GPU_GROUPS = 2048
BEGUN = datetime(2026, 3, 12, 14, tzinfo=UTC)


class Plan(NamedTuple):
    """How much is measured."""

    decisions: tuple[int, int, int] = (2000, 400, 60)
    """Of each number of parents."""
    rounds: int = 3
    groups: int = 64
    """Of episodes in a round, four in each."""
    alone: int = 12
    """Episodes in a round of the loop."""


QUICK = Plan(decisions=(400, 80, 12), rounds=1, groups=16, alone=3)


class Pace(NamedTuple):
    """Steps a second."""

    environment: float
    training: float


def run(plan: Plan) -> Figures:
    """Measures according to `plan`."""
    on_one_core()
    slicer = shipped_or_untrained()
    # As the service does once it is up: what stays is not looked through again and again.
    gc.collect()
    gc.freeze()
    figures = Figures(f"slicer bench: one core, {SET}, ten minutes in 40 decisions, weights {slicer.version}")
    figures.add("load_average", os.getloadavg()[0])
    p99 = {}
    for parents, decisions in zip(PARENTS, plan.decisions, strict=True):
        progress(f"decisions on {parents} parents")
        p99[parents] = _decisions(figures, slicer, parents, decisions)
    together, alone = list[Pace](), list[Pace]()
    for number in range(plan.rounds):
        progress(f"learning, round {number + 1} of {plan.rounds}")
        together.append(_together(slicer.rule, plan.groups, number))
        alone.append(_one_by_one(slicer.rule, plan.alone, number))
    for name, paces in (("batched", together), ("loop", alone)):
        for what in Pace._fields:
            figures.add(f"{name}_{what}_steps_per_s", median(getattr(pace, what) for pace in paces))
    for what in Pace._fields:
        ratios = [getattr(a, what) / getattr(b, what) for a, b in zip(together, alone, strict=True)]
        figures.add(f"batched_over_loop_{what}_ratio", median(ratios))
    gc.unfreeze()
    if torch.cuda.is_available():
        progress("learning on the GPU")
        _together(slicer.rule, 16, 0, "cuda")
        pace = _together(slicer.rule, GPU_GROUPS, 1, "cuda")
        figures.add("gpu_environment_steps_per_s", pace.environment)
        figures.add("gpu_training_steps_per_s", pace.training)
    for parents, bound in GOALS_MS.items():
        figures.goal(f"decision_{parents}_parents_p99_ms", p99[parents], "<", bound)
    return figures


def shipped_or_untrained() -> Slicer:
    """Speed is that of any weights: without those of the package, some that learned nothing."""
    if SHIPPED.exists():
        return load()
    torch.manual_seed(SEED)
    bounds = torch.full((len(NAMES),), 5.0)
    return Slicer(Actor(), Critic(), Rule(), Envelope(-bounds, bounds), {"version": "untrained"})


# --- decisions -----------------------------------------------------------------------------------------------------


def _decisions(figures: Figures, slicer: Slicer, parents: int, decisions: int) -> float:
    """p99 in milliseconds, by the clock."""
    listed = directory()
    policy = LearnedSlices(slicer, {symbol: listing.instrument for symbol, listing in listed.items()})
    clock_ms, processor_ms = list[float](), list[float]()
    for number, seen in enumerate(situations(parents)):
        begun, spent = perf_counter(), thread_time()
        policy.propose(seen)
        if number >= decisions // 10:  # The first look at each order takes longer, once.
            clock_ms.append(1e3 * (perf_counter() - begun))
            processor_ms.append(1e3 * (thread_time() - spent))
        if len(clock_ms) == decisions:
            break
    for name, took in (("", clock_ms), ("processor_", processor_ms)):
        for level in (50, 99):
            figures.add(f"decision_{parents}_parents_{name}p{level}_ms", float(np.percentile(took, level)))
    return float(np.percentile(clock_ms, 99))


def situations(parents: int) -> Iterator[list[Observation]]:
    """Observations of so many parents, over and over, each time later: the book moves, orders rest and fill."""
    g = np.random.default_rng(SEED)
    orders = [_order(number, g) for number in range(parents)]
    mids, filled = [order.arrival for order in orders], [0] * parents
    while True:
        for decision in range(LAW.decisions):
            found: list[Observation] = []
            for number, order in enumerate(orders):
                tick = 2
                mids[number] = Price(mids[number] + tick * int(g.integers(-2, 3)))
                filled[number] = int(order.quantity * decision / (LAW.decisions + 1))
                found.append(_seen(order, Price(mids[number]), tick, filled[number], decision, g))
            yield found


def _order(number: int, g: np.random.Generator) -> ParentOrder:
    listed = list(directory().values())
    instrument, mid = listed[number % len(listed)]
    hours = instrument.hours
    starts_at = opening(BEGUN, hours) + timedelta(hours=1)
    lots = max(100, int(instrument.adv * LAW.horizon_s / 23_400 * g.uniform(0.01, 0.2)))
    return ParentOrder(
        parent_id=ParentId(f"parent-{number}"),
        rfq_id=RfqId(f"rfq-{number}"),
        symbol=instrument.symbol,
        side=(Side.BUY, Side.SELL)[number % 2],
        quantity=Quantity(lots),
        arrival=mid,
        starts_at=starts_at,
        horizon_s=LAW.horizon_s,
        max_participation=0.2,
        urgency=(Urgency.LOW, Urgency.MEDIUM, Urgency.HIGH)[number % 3],
        schedule=Schedule.LEARNED,
    )


def _seen(
    order: ParentOrder, mid: Price, tick: int, filled: int, decision: int, g: np.random.Generator
) -> Observation:
    step_s = order.horizon_s / LAW.decisions
    at = order.starts_at + timedelta(seconds=decision * step_s)
    bid, ask = Price(mid - tick), Price(mid + tick)
    far, best = (ask, bid) if order.side is Side.BUY else (bid, ask)
    places = [("lit", best), ("lit", best), *((pool.name, far) for pool in POOLS)]
    lots = (order.quantity - filled) // 6
    children = tuple(
        Resting(ChildId(f"{order.parent_id}-{place}"), venue, price, Quantity(lots), at)
        for place, (venue, price) in enumerate(places)
        if lots
    )
    dark = {pool.name: Quantity(filled // 5) for pool in POOLS}
    bids, asks = (Quantity(2 * lots + int(n)) for n in g.integers(100, 3000, 2))
    return Observation(
        order=order,
        at=at,
        elapsed=decision / LAW.decisions,
        filled=Quantity(filled),
        free=Quantity(order.quantity - filled - len(children) * lots),
        bid=bid,
        ask=ask,
        bid_quantity=bids,
        ask_quantity=asks,
        last=bid,
        tick=tick,
        market_volume=Quantity(filled * 10 + int(g.integers(100))),
        dark_filled=dark,
        resting=children,
        lit_venue="lit",
        dark_venues=tuple(dark),
        decision_s=step_s,
        volume_curve=decision / LAW.decisions,
        next_volume_curve=(decision + 1) / LAW.decisions,
    )


# --- learning ------------------------------------------------------------------------------------------------------


def _together(rule: Rule, groups: int, number: int, device: str = "cpu") -> Pace:
    plan = ppo.Plan()._replace(groups=groups)
    first = FIRST_SEED + number * groups
    seeds = [first + k // plan.group for k in range(groups * plan.group)]
    return _pace(plan, [seeds], rule, device)


def _one_by_one(rule: Rule, episodes: int, number: int) -> Pace:
    """Each episode in an environment of its own: nobody to share an anonymous flow with, hence no group's baseline."""
    plan = ppo.Plan()._replace(group=1)
    first = FIRST_SEED + number * episodes
    return _pace(plan, [[first + k] for k in range(episodes)], rule, "cpu")


def _pace(plan: ppo.Plan, environments: Sequence[Sequence[int]], rule: Rule, device: str) -> Pace:
    """One update by PPO over these environments, the markets' beginning counted."""
    learner = ppo.begun(plan, SEED, device)
    steps = LAW.decisions * sum(map(len, environments))
    begun = _now(device)
    executions = [Execution(market_set(SET), seeds, LAW, device=device) for seeds in environments]
    rollout, _ = ppo.collected(learner, executions, rule, plan)
    played = _now(device)
    ppo.learned(learner, rollout, plan, 1.0)
    return Pace(steps / (played - begun), steps / (_now(device) - begun))


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return perf_counter()
