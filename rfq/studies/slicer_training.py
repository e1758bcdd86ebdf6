"""Trains the slicer: several seeds side by side, judged on the same validation episodes, the median kept.

Training, validation, tuning and evaluation have episodes of their own (see FIRST_SEED in `ml/slicer`). A run is resumed
from its checkpoints and comes out as if it had not been stopped.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lit_router.market.parameters import BookParameters, load
from ml.slicer import ppo
from ml.slicer.episodes import STANDARD, EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.network import Actor, best
from ml.slicer.playing import by_policy, by_rule, played
from ml.slicer.rules import Rule
from ml.slicer.weights import Envelope, Slicer, save
from rfq.domain.errors import BadInput
from rfq.studies.slicer_tuning import as_read

RULES = Path(str(files("ml.slicer"))) / "shipped" / "rules.json"
VALIDATION_SEED = 3 * 10**8
VALIDATION_EPISODES = 768
"""In each set, shared between the laws by their weights."""
RISKS = (0.0, 1.0)
"""Half the episodes of training are of a desk that minds the mean alone, the others of desks between both."""
OUTSIDE = 1e-3
"""Share of training's values beyond the envelope, on either side of each feature."""


class Run(NamedTuple):
    """What is trained."""

    folder: Path
    """Checkpoints and curves of each seed lie here."""
    sets: tuple[str, ...] = ("large_tick", "small_tick")
    seeds: tuple[int, ...] = (1, 2, 3)
    plan: ppo.Plan = ppo.Plan()
    device: str = "cpu"
    rules: Path = RULES
    code: str = "unknown"
    """Version of the code, for the card."""


class Judged(NamedTuple):
    """Means over the validation episodes, usual spreads."""

    shortfall: float
    rule: float
    difference: float
    half_width: float
    """Of the 95% interval of the paired difference."""


def strong_rule(path: Path = RULES) -> Rule:
    """The tuned rule. Raises BadInput where rules were not tuned."""
    return rules(path)["strong"]


def rules(path: Path = RULES) -> dict[str, Rule]:
    """All tuned rules. Raises BadInput for a file that is not theirs."""
    try:
        return as_read(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as reason:
        raise BadInput("rules", str(path), f"must be a file of tuned rules: {reason}") from None


def laws(risks: tuple[float, float] = RISKS) -> tuple[tuple[float, EpisodeLaw], ...]:
    """The standard episodes, for desks that fear risk to different degrees."""
    return tuple((weight, law._replace(risk=risks)) for weight, law in STANDARD)


def one_seed(run: Run, seed: int, say: Callable[[str], None] = print) -> tuple[Path, Judged]:
    """Trains one seed to the end, from its checkpoint if there is one: where its weights lie, and how good they are."""
    torch.set_num_threads(1)
    from ml.slicer.checkpoint import restored, stored
    from ml.slicer.curves import Curves

    ground = ppo.Ground([load(name) for name in run.sets], laws(), strong_rule(run.rules), run.device)
    folder = run.folder / f"seed-{seed}"
    learner = ppo.begun(run.plan, seed, run.device)
    first = restored(learner, folder / "checkpoint.pt")
    with Curves(folder) as curves:

        def after(progress: ppo.Progress) -> None:
            curves.add(progress)
            if progress.update % 10 == 0 or progress.update == run.plan.updates:
                stored(learner, progress.update, folder / "checkpoint.pt")
                say(f"seed {seed}: update {progress.update} of {run.plan.updates}: {progress.shortfall_spreads:+.4f}")

        ppo.train(learner, ground, run.plan, seed, after, first)
    slicer = Slicer(learner.actor, learner.critic, ground.rule, envelope(learner, ground), {"version": f"seed-{seed}"})
    judged = validated(slicer.actor, ground.rule, ground.sets)
    path = folder / "slicer.safetensors"
    save(slicer._replace(card=card(run, seed, slicer, judged)), path)
    return path, judged


def all_seeds(run: Run, say: Callable[[str], None], jobs: int = 1) -> list[tuple[int, Path, Judged]]:
    """Every seed, `jobs` processes side by side; from the best on the validation episodes to the worst."""
    found = []
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        begun = {pool.submit(one_seed, run, seed): seed for seed in run.seeds}
        for done in as_completed(begun):
            path, judged = done.result()
            found.append((begun[done], path, judged))
            say(
                f"seed {begun[done]}: {judged.shortfall:+.4f} spreads on validation, the rule {judged.rule:+.4f}, "
                f"difference {judged.difference:+.4f} ({judged.half_width:.4f} either way)"
            )
    return sorted(found, key=lambda one: one[2].shortfall)


def median(found: Sequence[tuple[int, Path, Judged]]) -> tuple[int, Path, Judged]:
    """The one in the middle; of an even number the worse of both."""
    return found[len(found) // 2]


def validated(actor: Actor, rule: Rule, sets: Sequence[BookParameters]) -> Judged:
    """The likeliest actions beside the rule, on the same validation episodes."""
    mine, its = [], []
    with torch.inference_mode():
        for parameters in sets:
            first = VALIDATION_SEED
            for weight, law in STANDARD:
                count = round(weight * VALIDATION_EPISODES)
                begun = Execution(parameters, range(first, first + count), law)
                first += count
                mine.append(by_policy(lambda x, may: best(actor(x, may)), rule, begun.copy()) / begun.residual.spread)
                its.append(by_rule(rule, begun) / begun.residual.spread)
    ours, theirs = torch.cat(mine), torch.cat(its)
    apart = ours - theirs
    half = 1.96 * float(apart.std()) / len(apart) ** 0.5
    return Judged(float(ours.mean()), float(theirs.mean()), float(apart.mean()), half)


def envelope(learner: ppo.Learner, ground: ppo.Ground, episodes: int = 256) -> Envelope:
    """Bounds of each feature where the policy that was learned goes, all but OUTSIDE on either side."""
    seen = []
    with torch.inference_mode():
        for place, parameters in enumerate(ground.sets):
            for number, (_, law) in enumerate(ground.laws):
                first = VALIDATION_SEED + 10**6 * (place * len(ground.laws) + number + 1)
                execution = Execution(parameters, range(first, first + episodes), law)
                seen.append(played(lambda x, may: best(learner.actor(x, may)), ground.rule, execution).x.flatten(0, 1))
    x = torch.cat(seen).sort(0).values
    out = round(OUTSIDE * len(x))
    return Envelope(x[out], x[-1 - out])


def card(run: Run, seed: int, slicer: Slicer, judged: Judged) -> dict[str, Any]:
    """What these weights are. The version is a digest of the networks and the rule."""
    digest = hashlib.sha256(repr(slicer.rule).encode())
    for network in (slicer.actor, slicer.critic):
        for name, value in sorted(network.state_dict().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
    return {
        "version": f"slicer-{digest.hexdigest()[:12]}",
        "algorithm": "proximal policy optimisation",
        "seed": seed,
        "code": run.code,
        "sets": list(run.sets),
        "laws": [[weight, law._asdict()] for weight, law in laws()],
        "plan": run.plan._asdict(),
        "episodes": run.plan.updates * run.plan.groups * run.plan.group * len(run.sets),
        "validation": judged._asdict(),
    }
