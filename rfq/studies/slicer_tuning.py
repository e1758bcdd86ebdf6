"""Tunes every rule of execution on the same episodes: what a learned slicer is judged against, and falls back on."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import STANDARD, EpisodeLaw
from ml.slicer.rules import ALMGREN_CHRISS, POV, SUBMIT_AND_LEAVE, TWAP, VWAP, Rule
from ml.slicer.tuning import DARK, PLAIN, STEEP, STRONG, Bench, Tuned, tuned
from rfq.domain.errors import BadInput
from rfq.studies.side_by_side import side_by_side

MARKET = {"twap_market": TWAP, "vwap_market": VWAP, "pov_market": POV, "almgren_chriss_market": ALMGREN_CHRISS}
"""Schedules by market orders: there is nothing to tune but Almgren and Chriss's steepness."""
PASSIVE = {
    name.replace("_market", "_passive"): rule._replace(market=0, grace=0.05, lead=0.05) for name, rule in MARKET.items()
}
"""The same, passive first."""


STARTS: Mapping[str, tuple[Rule, Mapping[str, Sequence[float]]]] = {
    **{name: (rule, STEEP if rule.steepness else {}) for name, rule in MARKET.items()},
    **{name: (rule, {**PLAIN, **DARK, **(STEEP if rule.steepness else {})}) for name, rule in PASSIVE.items()},
    "submit_and_leave": (SUBMIT_AND_LEAVE, {}),
    "strong_from_schedule": (Rule(), STRONG),
    "strong_from_leaving": (SUBMIT_AND_LEAVE._replace(steepness=1.0), STRONG),
}
"""Where each descent begins, and what it may change. The better of the last two is the strong rule."""


class Ground(NamedTuple):
    """What rules are tuned on."""

    sets: Sequence[BookParameters]
    laws: Sequence[tuple[float, EpisodeLaw]] = STANDARD
    episodes: int = 4096
    """In each set, for the strong rule."""
    few: int = 1024
    """For the schedules, which have less to tune."""
    rounds: int = 2


def all_tuned(ground: Ground, say: Callable[[str], None], jobs: int = 1) -> dict[str, Tuned]:
    """Every rule by name, `strong` among them, `jobs` processes side by side; the result does not depend on them."""
    # The long ones first.
    names = sorted(STARTS, key=lambda name: -len(STARTS[name][1]))
    found: dict[str, Tuned] = {}
    for place, one in side_by_side(one_tuned, [(ground, name) for name in names], jobs):
        say(f"{names[place]}: {one.shortfall_spreads:+.4f} spreads after {one.trials} trials")
        found[names[place]] = one
    descents = [found[name] for name in names if name.startswith("strong")]
    best = min(descents, key=lambda one: one.shortfall_spreads)
    trials, worked = sum(one.trials for one in descents), sum(one.episodes for one in descents)
    return {**{name: found[name] for name in STARTS}, "strong": best._replace(trials=trials, episodes=worked)}


def one_tuned(ground: Ground, name: str, say: Callable[[str], None] = print) -> Tuned:
    """One of STARTS."""
    torch.set_num_threads(1)
    start, tried = STARTS[name]
    episodes = ground.episodes if tried is STRONG else ground.few
    bench = Bench(ground.sets, ground.laws, episodes)
    return tuned(bench, start, tried, ground.rounds, lambda line: say(f"{name}: {line}"))


def write(found: Mapping[str, Tuned], path: Path) -> None:
    """Raises BadInput for a place that is not writable."""
    written = {name: one._asdict() | {"rule": one.rule._asdict()} for name, one in found.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(written, indent=1) + "\n")
    except OSError as reason:
        raise BadInput("out", str(path), f"must be writable: {reason}") from None
