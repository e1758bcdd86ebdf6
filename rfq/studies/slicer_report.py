"""`rfq evaluate slicer`: the learned slicer beside every tuned rule: fresh episodes, stress, other markets."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lit_router.market.batch.regimes import REGIMES
from ml.slicer import weights
from ml.slicer.ablation import TAKEN, UNGUARDED
from ml.slicer.rules import read
from rfq.studies import slicer_recorded, slicer_scenario, slicer_value
from rfq.studies.figures import Figures
from rfq.studies.slicer_evaluation import (
    STRESSES,
    Candidate,
    Costs,
    ablations,
    costs,
    paired,
    rule_policies,
    tail,
)
from rfq.studies.slicer_policies import learned, ruled
from rfq.studies.slicer_training import RULES, SETS

LEAST, SHARE = 0.05, 0.25
"""Goals: cheaper than the best rule by so many usual spreads, and by this share of what it costs."""


class Plan(NamedTuple):
    """Episodes of each regime in each set."""

    a_regime: int = 1024
    """By every policy, to know each and which rule is the best."""
    judged: int = 8192
    """Fresh ones, by the best rule and the slicer: what the goals are about."""
    stressed: int = 256
    """In each stress and transfer."""
    jobs: int = 2
    slicer: Path = weights.SHIPPED
    rules: Path = RULES
    keep: Path | None = None
    data: Path | None = None
    """Folder of recorded data; None: nothing is replayed."""
    page: Path | None = None
    """Where a picture of the named scenario goes."""
    full: bool = False
    """The named scenario over all its paths, and every recorded day."""


QUICK = Plan(a_regime=64, judged=64, stressed=32)
JUDGED_SEED = 5 * 10**8 + 5 * 10**7
"""Episodes that the goals are judged on have seeds from here on."""
OURS = ("slicer", UNGUARDED)
"""Worked beside the rules below: as it is used, and without its guard."""
ELSEWHERE = ("twap_market", "vwap_market", "twap_passive", "vwap_passive", "strong")
"""Rules worked in the named scenario and on recorded days."""


def run(plan: Plan, say: Callable[[str], None]) -> Figures:
    """All tables. Raises BadInput where weights or rules are not there."""
    slicer = weights.load(plan.slicer)
    figures = Figures(f"the slicer {slicer.version} beside tuned rules, costs in usual spreads")
    figures.add("slicer_version", slicer.version)
    figures.add("slicer_code_version", str(slicer.card.get("code", "unknown")))
    figures.add("slicer_seed", int(slicer.card.get("seed", -1)))
    every = rule_policies(plan.rules)
    say(f"{len(SETS) * len(REGIMES) * plan.a_regime:,} episodes by {len(every) + 2 + len(TAKEN)} policies")
    policies = [*every, Candidate("slicer", slicer=plan.slicer), *ablations(plan.slicer)]
    found = costs(SETS, policies, plan.a_regime, say, jobs=plan.jobs, file=plan.rules, keep=plan.keep)
    best = min((policy.name for policy in every), key=lambda name: float(found.by_policy[name].mean()))
    table(figures, found, best)
    say(f"{len(SETS) * len(REGIMES) * plan.judged:,} others by the best rule and the slicer")
    two = [Candidate(best, rule=best), Candidate("slicer", slicer=plan.slicer)]
    fresh = costs(
        SETS, two, plan.judged, say, jobs=plan.jobs, file=plan.rules, keep=plan.keep, first_seed=JUDGED_SEED
    )
    beside(figures, fresh, best)
    say("what the critic foretells")
    slicer_value.described(figures, slicer_value.foretold(slicer, SETS, 2 * plan.stressed))
    _risk(figures, plan, say)
    _elsewhere(figures, plan, best, say)
    tuned = read(plan.rules)
    policies = {name: ruled(tuned[name]) for name in ELSEWHERE} | {"slicer": learned(slicer)}
    policies |= {UNGUARDED: learned(slicer, guarded=False)}
    say("the named scenario")
    paths = None if plan.a_regime > QUICK.a_regime else 16
    figures.include(slicer_scenario.run(policies, OURS, plan.page, full=plan.full, paths=paths), "qdi")
    if plan.data is not None:
        say("recorded days")
        replayed = slicer_recorded.run(policies, OURS, "strong", plan.data, full=plan.full)
        figures.include(replayed, "recorded")
    return figures


def table(figures: Figures, found: Costs, best: str) -> None:
    """Every policy's mean and tail, and what the slicer would cost without each of its choices."""
    figures.add("best_rule", best)
    mine = found.by_policy["slicer"]
    for name, cost in found.by_policy.items():
        figures.add(f"{name}_mean_spreads", float(cost.mean()))
        figures.add(f"{name}_cvar95_spreads", tail(cost))
        if name != "slicer":
            less, half = paired(mine - cost)
            figures.add(f"slicer_less_{name}_spreads", less)
            figures.add(f"slicer_less_{name}_half_width_spreads", half)
    figures.add("left_lots", sum(found.left.values()))
    figures.goal("left_lots", sum(found.left.values()), "<=", 0)


def beside(figures: Figures, found: Costs, best: str) -> None:
    """The slicer's difference to the best rule, over all, by regime and by set."""
    figures.add("judged_episodes", len(found.regime))
    for name, policy in (("slicer", "slicer"), ("best_rule", best)):
        figures.add(f"judged_{name}_mean_spreads", float(found.by_policy[policy].mean()))
        figures.add(f"judged_{name}_cvar95_spreads", tail(found.by_policy[policy]))
    mine, its = found.by_policy["slicer"], found.by_policy[best]
    overall, width = paired(mine - its)
    figures.add("slicer_less_best_rule_spreads", overall)
    figures.add("slicer_less_best_rule_half_width_spreads", width)
    share = -overall / abs(float(its.mean()))
    figures.add("slicer_saves_share", share)
    figures.goal("slicer_less_best_rule_spreads", overall, "<=", -LEAST)
    figures.goal("slicer_saves_share", share, ">=", SHARE)
    for place, regime in enumerate(REGIMES):
        here = found.where(found.regime == place)
        upper = _apart(figures, here, best, regime.name)
        figures.goal(f"{regime.name}_upper_bound_spreads", upper, "<", 0.0)
        worse = tail(here.by_policy["slicer"]) - tail(here.by_policy[best])
        figures.goal(f"{regime.name}_cvar95_less_best_rule_spreads", worse, "<=", 0.0)
    for market in sorted(set(found.market.tolist())):
        _apart(figures, found.where(found.market == market), best, market)


def _apart(figures: Figures, found: Costs, best: str, where: str) -> float:
    """Both means, both tails and their paired difference; returns the upper end of its interval."""
    for name, policy in (("slicer", "slicer"), ("best_rule", best)):
        figures.add(f"{where}_{name}_mean_spreads", float(found.by_policy[policy].mean()))
        figures.add(f"{where}_{name}_cvar95_spreads", tail(found.by_policy[policy]))
    apart, width = paired(found.by_policy["slicer"] - found.by_policy[best])
    figures.add(f"{where}_slicer_less_best_rule_spreads", apart)
    figures.add(f"{where}_slicer_less_best_rule_half_width_spreads", width)
    return apart + width


def _risk(figures: Figures, plan: Plan, say: Callable[[str], None]) -> None:
    """What a desk that fears risk pays for it, and gets."""
    say("a desk that fears risk")
    policies = [Candidate(f"risk_{risk:g}", slicer=plan.slicer, risk=risk) for risk in (0.0, 0.5, 1.0)]
    found = costs(SETS, policies, plan.stressed, say, jobs=plan.jobs, file=plan.rules, keep=plan.keep)
    for name, cost in found.by_policy.items():
        figures.add(f"{name}_mean_spreads", float(cost.mean()))
        figures.add(f"{name}_cvar90_spreads", float(np.sort(cost)[-round(0.1 * len(cost)) :].mean()))
        figures.add(f"{name}_cvar95_spreads", tail(cost))


def _elsewhere(figures: Figures, plan: Plan, best: str, say: Callable[[str], None]) -> None:
    """Under stress, and policies trained on one set in the other: in no regime should one be worse than the rule."""
    for name, stress in STRESSES.items():
        say(f"stress: {name}")
        policies = [Candidate(best, rule=best), Candidate("slicer", slicer=plan.slicer)]
        found = costs(
            SETS, policies, plan.stressed, say, stress=stress, jobs=plan.jobs, file=plan.rules, keep=plan.keep
        )
        _not_worse(figures, found, best, f"stress_{name}")
    for trained, other in (SETS, SETS[::-1]):
        file = plan.slicer.with_name(f"transfer_{trained}.safetensors")
        say(f"trained on {trained}, worked in {other}")
        # Its guard hands the other market over to the rule: what was learned is judged without it.
        policies = [Candidate(best, rule=best), Candidate("slicer", slicer=file, taken=UNGUARDED)]
        found = costs([other], policies, 2 * plan.stressed, say, jobs=plan.jobs, file=plan.rules, keep=plan.keep)
        _not_worse(figures, found, best, f"transfer_{trained}_to_{other}")
        told = slicer_value.foretold(weights.load(file), (other,), plan.stressed)
        figures.add(f"transfer_{trained}_to_{other}_handed_over_share", float(told.handed_over.mean()))


def _not_worse(figures: Figures, found: Costs, best: str, where: str) -> None:
    _apart(figures, found, best, where)
    lowest = []
    for place, regime in enumerate(REGIMES):
        here = found.where(found.regime == place)
        apart, width = paired(here.by_policy["slicer"] - here.by_policy[best])
        figures.add(f"{where}_{regime.name}_less_best_rule_spreads", apart)
        figures.add(f"{where}_{regime.name}_less_best_rule_half_width_spreads", width)
        lowest.append(apart - width)
    figures.goal(f"{where}_worst_regime_lower_bound_spreads", max(lowest), "<=", 0.0)
