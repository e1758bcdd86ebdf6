"""Trains the slicer: several seeds side by side, judged on the same validation episodes, the median kept.

Training, validation, tuning and evaluation have episodes of their own (see FIRST_SEED in `ml/slicer`). A run is resumed
from its checkpoints and comes out as if it had not been stopped.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lit_router.market.parameters import load
from ml.slicer import dqn, ppo
from ml.slicer.checkpoint import Progress, restore
from ml.slicer.checkpoint import save as save_checkpoint
from ml.slicer.curves import Curves
from ml.slicer.episodes import STANDARD, EpisodeLaw
from ml.slicer.execution import Execution
from ml.slicer.ground import Ground
from ml.slicer.guard import Guard
from ml.slicer.network import best
from ml.slicer.playing import by_policy, by_rule, played
from ml.slicer.rules import read
from ml.slicer.weights import Envelope, Slicer, save
from ml.slicer.weights import load as load_slicer
from rfq.domain.errors import BadInput
from rfq.studies.side_by_side import side_by_side

RULES = Path(str(files("ml.slicer"))) / "shipped" / "rules.json"
LEARNING: Mapping[str, Any] = {"ppo": ppo, "dqn": dqn}
"""Modules with a Plan, `begun` and `train`."""
CHECKPOINTED = 10
"""Updates from one checkpoint to the next."""
SETS = ("large_tick", "small_tick")
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
    sets: tuple[str, ...] = SETS
    seeds: tuple[int, ...] = (1, 2, 3)
    algorithm: str = "ppo"
    changes: tuple[str, ...] = ()
    """To the algorithm's own plan, each as name=value."""
    device: str = "cpu"
    rules: Path = RULES
    code: str = "unknown"
    """Version of the code, for the card."""

    @property
    def plan(self) -> Any:
        """The algorithm's own, with the changes. Raises BadInput for one that cannot be."""
        if self.algorithm not in LEARNING:
            raise BadInput("algorithm", self.algorithm, f"must be one of {', '.join(LEARNING)}")
        plan = LEARNING[self.algorithm].Plan()
        for change in self.changes:
            name, _, value = change.partition("=")
            if name not in plan._fields:
                raise BadInput("plan", change, f"must be name=value, of {', '.join(plan._fields)}")
            kind = type(getattr(plan, name))
            try:
                plan = plan._replace(**{name: kind(value)})
            except ValueError:
                raise BadInput("plan", change, f"must give {'a whole' if kind is int else 'a'} number") from None
            if not getattr(plan, name) >= (1 if kind is int else 0):
                raise BadInput("plan", change, f"must be at least {1 if kind is int else 0}")
        return plan


class Judged(NamedTuple):
    """Means over the validation episodes, usual spreads."""

    shortfall: float
    rule: float
    difference: float
    half_width: float
    """Of the 95% interval of the paired difference."""


def laws(risks: tuple[float, float] = RISKS) -> tuple[tuple[float, EpisodeLaw], ...]:
    """The standard episodes, for desks that fear risk to different degrees."""
    return tuple((weight, law._replace(risk=risks)) for weight, law in STANDARD)


def one_seed(run: Run, seed: int, say: Callable[[str], None] = print) -> tuple[Path, Judged]:
    """Trains one seed to the end, from its checkpoint if there is one: where its weights lie, and how good they are."""
    torch.set_num_threads(1)
    learning, plan = LEARNING[run.algorithm], run.plan
    ground = ground_of(run)
    folder = run.folder / f"seed-{seed}"
    checkpoint, terms = folder / "checkpoint.pt", {"seed": seed, "sets": list(run.sets), **plan._asdict()}
    learner = learning.begun(plan, seed, run.device)
    first = restore(learner, terms, checkpoint) if checkpoint.exists() else 0
    if first:
        say(f"seed {seed}: goes on after update {first}")
    with Curves(folder, first) as curves:

        def after(progress: Progress) -> None:
            curves(progress)
            if progress.update % CHECKPOINTED == 0 or progress.update == plan.updates:
                save_checkpoint(learner, progress.update, terms, checkpoint)
                say(f"seed {seed}: update {progress.update} of {plan.updates}: {progress.shortfall_spreads:+.4f}")

        learning.train(learner, ground, plan, seed, after, first)
    bounds = envelope(visited(learner.actor, ground))
    slicer = Slicer(learner.actor, learner.critic, ground.rule, bounds, {})
    judged = validated(slicer.actor, ground)
    path = folder / "slicer.safetensors"
    save(named(slicer._replace(card=card(run, seed, judged))), path)
    return path, judged


def all_seeds(run: Run, say: Callable[[str], None], jobs: int = 1) -> list[tuple[int, Path, Judged]]:
    """Every seed, `jobs` processes side by side; from the best on the validation episodes to the worst."""
    found = []
    for place, (path, judged) in side_by_side(one_seed, [(run, seed) for seed in run.seeds], jobs):
        seed = run.seeds[place]
        found.append((seed, path, judged))
        say(
            f"seed {seed}: {judged.shortfall:+.4f} spreads on validation, the rule {judged.rule:+.4f}, "
            f"difference {judged.difference:+.4f} ({judged.half_width:.4f} either way)"
        )
    return sorted(found, key=lambda one: one[2].shortfall)


def median(found: Sequence[tuple[int, Path, Judged]]) -> tuple[int, Path, Judged]:
    """The one in the middle; of an even number the worse of both."""
    return found[len(found) // 2]


def kept(found: Sequence[tuple[int, Path, Judged]], ground: Ground) -> Slicer:
    """The median, with the others' forecasts beside its critic's, and in its card what each came to."""
    seed, path, _ = median(found)
    others = [(number, load_slicer(its, ground.device)) for number, its, _ in found if number != seed]
    slicer = load_slicer(path, ground.device)
    slicer = with_opinions(slicer, [other.critic.quantiles for _, other in others], ground)
    told = {
        "validation_by_seed": {str(number): judged._asdict() for number, _, judged in found},
        "opinions_of_seeds": [number for number, _ in others],
    }
    return named(slicer._replace(card=slicer.card | told))


def with_opinions(slicer: Slicer, opinions: Sequence[nn.Sequential], ground: Ground) -> Slicer:
    """The slicer with further forecasts of the cost, and how far they lie apart where its policy goes."""
    if not opinions:
        return slicer
    slicer = slicer._replace(opinions=tuple(opinions))
    with torch.inference_mode():
        apart = Guard(slicer).apart(visited(slicer.actor, ground)).sort().values
    most = apart[len(apart) - 1 - round(OUTSIDE * len(apart))]
    return slicer._replace(envelope=slicer.envelope._replace(apart=most.clone()))


def ground_of(run: Run) -> Ground:
    """What it is trained on."""
    return Ground([load(name) for name in run.sets], laws(), read(run.rules)["strong"], run.device)


def validated(actor: nn.Module, ground: Ground) -> Judged:
    """The likeliest actions beside the rule, on the same validation episodes."""
    mine, its = [], []
    with torch.inference_mode():
        for parameters in ground.sets:
            first = VALIDATION_SEED
            for weight, law in STANDARD:
                seeds = range(first, first + round(weight * VALIDATION_EPISODES))
                first = seeds.stop
                begun, again = (Execution(parameters, seeds, law, device=ground.device) for _ in range(2))
                spread = begun.residual.spread
                mine.append(by_policy(lambda x, may: best(actor(x, may)), ground.rule, begun) / spread)
                its.append(by_rule(ground.rule, again) / spread)
    ours, theirs = torch.cat(mine), torch.cat(its)
    apart = ours - theirs
    half = 1.96 * float(apart.std()) / len(apart) ** 0.5
    return Judged(float(ours.mean()), float(theirs.mean()), float(apart.mean()), half)


def visited(actor: nn.Module, ground: Ground, episodes: int = 256) -> torch.Tensor:
    """Features where the policy that was learned goes, float32 [N, F]."""
    seen = []
    with torch.inference_mode():
        for place, parameters in enumerate(ground.sets):
            for number, (_, law) in enumerate(ground.laws):
                first = VALIDATION_SEED + 10**6 * (place * len(ground.laws) + number + 1)
                execution = Execution(parameters, range(first, first + episodes), law, device=ground.device)
                seen.append(played(lambda x, may: best(actor(x, may)), ground.rule, execution).x.flatten(0, 1))
    return torch.cat(seen)


def envelope(x: torch.Tensor) -> Envelope:
    """Bounds of each feature, all but OUTSIDE on either side."""
    x = x.sort(0).values
    out = round(OUTSIDE * len(x))
    return Envelope(x[out], x[-1 - out])


def named(slicer: Slicer) -> Slicer:
    """With its version in its card: a digest of all that decides."""
    digest = hashlib.sha256(repr(slicer.rule).encode())
    networks = [network.state_dict() for network in (slicer.actor, slicer.critic, *slicer.opinions)]
    for tensors in (*networks, slicer.envelope._asdict()):
        for name, value in sorted(tensors.items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
    return slicer._replace(card=slicer.card | {"version": f"slicer-{digest.hexdigest()[:12]}"})


def card(run: Run, seed: int, judged: Judged) -> dict[str, Any]:
    """What these weights are."""
    plan = run.plan
    return {
        "algorithm": run.algorithm,
        "seed": seed,
        "code": run.code,
        "sets": list(run.sets),
        "laws": [[weight, law._asdict()] for weight, law in laws()],
        "plan": plan._asdict(),
        "episodes": plan.updates * plan.groups * plan.group * len(run.sets),
        "validation": judged._asdict(),
    }
