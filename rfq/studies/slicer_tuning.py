"""Tunes every rule of execution on the same episodes: what a learned slicer is judged against, and falls back on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lit_router.market.parameters import BookParameters
from ml.slicer.episodes import STANDARD, EpisodeLaw
from ml.slicer.rules import ALMGREN_CHRISS, POV, SUBMIT_AND_LEAVE, TWAP, VWAP, Rule
from ml.slicer.tuning import DARK, PLAIN, STEEP, STRONG, Bench, Tuned, tuned

EPISODES, ROUNDS = 512, 4
MARKET = {"twap_market": TWAP, "vwap_market": VWAP, "pov_market": POV, "almgren_chriss_market": ALMGREN_CHRISS}
"""Schedules by market orders: there is nothing to tune but Almgren and Chriss's steepness."""
PASSIVE = {
    name.replace("_market", "_passive"): rule._replace(market=0, grace=0.05, lead=0.05) for name, rule in MARKET.items()
}
"""The same, passive first."""


def all_tuned(
    sets: Sequence[BookParameters], say: Callable[[str], None], *, episodes: int = EPISODES, rounds: int = ROUNDS,
    laws: Sequence[tuple[float, EpisodeLaw]] = STANDARD, threads: int = 1,
) -> dict[str, Tuned]:  # fmt: skip
    """Every rule by name, `strong` among them: the better of two descents, one from a schedule, one from an order
    submitted and left. `episodes` in each set."""
    bench = Bench(sets, laws, episodes, threads=threads)
    found: dict[str, Tuned] = {}

    def run(name: str, start: Rule, tried: Mapping[str, Sequence[float]]) -> Tuned:
        return tuned(bench, start, tried, rounds, lambda line: say(f"{name}: {line}"))

    for name, rule in MARKET.items():
        found[name] = run(name, rule, STEEP if rule.steepness else {})
    for name, rule in PASSIVE.items():
        found[name] = run(name, rule, {**PLAIN, **DARK, **(STEEP if rule.steepness else {})})
    found["submit_and_leave"] = run("submit_and_leave", SUBMIT_AND_LEAVE, {})
    starts = {"schedule": found["almgren_chriss_passive"].rule, "leaving": SUBMIT_AND_LEAVE._replace(steepness=1.0)}
    descents = [run(f"strong from {name}", start, STRONG) for name, start in starts.items()]
    best = min(descents, key=lambda one: one.shortfall_spreads)
    trials, worked = sum(one.trials for one in descents), sum(one.episodes for one in descents)
    found["strong"] = best._replace(trials=trials, episodes=worked)
    return found


def as_written(found: Mapping[str, Tuned]) -> dict[str, Any]:
    """For a file."""
    return {name: one._asdict() | {"rule": one.rule._asdict()} for name, one in found.items()}


def as_read(written: Mapping[str, Any]) -> dict[str, Rule]:
    """The rules of such a file."""
    return {name: Rule(**one["rule"]) for name, one in written.items()}
