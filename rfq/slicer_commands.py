"""The subcommands about working the residual: rules, slicer and forecasters. Each loads only what it needs."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from rfq.code_version import code_version
from rfq.domain.errors import BadInput
from rfq.reporting import add_report, told

say = partial(print, flush=True)


def add_training(models: Any) -> None:
    """`rfq train ...`"""
    train_rules = models.add_parser("rules", help="tune the rules of execution that the slicer is judged against")
    train_rules.add_argument("--out", type=Path, help="the file (default: that in the package)")
    train_rules.add_argument("--jobs", type=int, default=2, help="processes side by side (default 2)")
    train_rules.set_defaults(run=_train_rules)
    train_slicer = models.add_parser("slicer", help="the policy that works the residual")
    train_slicer.add_argument("--algorithm", choices=("ppo", "dqn"), default="ppo")
    train_slicer.add_argument("--device", default="cpu", help="cpu, cuda... (default cpu)")
    train_slicer.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="the median of them is kept")
    train_slicer.add_argument("--sets", nargs="+", default=["large_tick", "small_tick"], help="markets to learn in")
    train_slicer.add_argument(
        "--plan", nargs="+", default=[], metavar="NAME=VALUE", help="changes to the algorithm's plan, as updates=40"
    )
    train_slicer.add_argument("--folder", type=Path, required=True, help="checkpoints and curves; resumed from there")
    train_slicer.add_argument("--out", type=Path, help="weights to write (default: those in the package)")
    train_slicer.add_argument("--jobs", type=int, default=2, help="seeds side by side (default 2)")
    train_slicer.set_defaults(run=_train_slicer)
    forecasters = models.add_parser("forecasters", help="LSTM and CNN that forecast the market")
    forecasters.add_argument("--seed", type=int, default=1)
    forecasters.add_argument("--data", type=Path, metavar="FOLDER", help="recorded data, beside simulated markets")
    forecasters.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights to write")
    forecasters.set_defaults(run=_train_forecasters)


def add_evaluations(evaluations: Any) -> None:
    """`rfq evaluate ...`"""
    slicer = evaluations.add_parser("slicer", help="working the residual: the learned policy beside tuned rules")
    slicer.add_argument("--json", action="store_true", help="one object: figures and goals")
    slicer.add_argument("--quick", action="store_true", help="a rough answer in about two minutes")
    slicer.add_argument("--full", action="store_true", help="also all paths of the scenario and all recorded days")
    slicer.add_argument("--data", type=Path, metavar="FOLDER", help="recorded data, to be replayed as well")
    slicer.add_argument("--page", type=Path, metavar="FILE.png", help="also draw a path of the named scenario")
    slicer.add_argument("--weights", type=Path, metavar="FILE", help="the policy (default: the shipped one)")
    slicer.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what is played; goes on from there")
    add_report(slicer)
    slicer.add_argument("--jobs", type=int, default=2, help="processes side by side (default 2)")
    slicer.set_defaults(run=_evaluate_slicer)
    forecasters = evaluations.add_parser("forecasters", help="forecasts of the market, beside simple baselines")
    forecasters.add_argument("--json", action="store_true", help="one object: figures and goals")
    forecasters.add_argument("--data", type=Path, metavar="FOLDER", help="recorded data, beside simulated markets")
    forecasters.add_argument("--weights", type=Path, metavar="FILE", help="trained ones (default: trained now)")
    add_report(forecasters)
    forecasters.set_defaults(run=_evaluate_forecasters)


def add_bench(benches: Any) -> None:
    """`rfq bench ...`"""
    slicer = benches.add_parser("slicer", help="the slicer: deciding, and learning beside a loop of environments")
    slicer.add_argument("--json", action="store_true", help="one object: figures and goals")
    slicer.add_argument("--quick", action="store_true", help="a rough answer in about a minute")
    slicer.set_defaults(run=_bench_slicer)


def _bench_slicer(options: argparse.Namespace) -> None:
    from rfq.studies import slicer_bench as bench

    bench.run(bench.QUICK if options.quick else bench.Plan()).print(as_json=options.json)


def _train_rules(options: argparse.Namespace) -> None:
    from lit_router.market import parameters
    from rfq.studies import slicer_training, slicer_tuning

    path = options.out or slicer_training.RULES
    ground = slicer_tuning.Ground([parameters.load(name) for name in slicer_training.SETS])
    slicer_tuning.write(slicer_tuning.all_tuned(ground, say, _jobs(options)), path)
    say(f"saved {path}")


def _train_slicer(options: argparse.Namespace) -> None:
    from ml.slicer import weights
    from rfq.studies import slicer_training as training

    given = training.Run(
        folder=options.folder,
        sets=tuple(options.sets),
        seeds=tuple(options.seeds),
        algorithm=options.algorithm,
        changes=tuple(options.plan),
        device=options.device,
        code=code_version(),
    )
    found = training.all_seeds(given, say, _jobs(options))
    slicer = training.kept(found, training.ground_of(given))
    out = options.out or weights.SHIPPED
    weights.save(slicer, out)
    say(f"saved {slicer.version} of seed {slicer.card['seed']}, the median, as {out}")


def _evaluate_slicer(options: argparse.Namespace) -> None:
    from ml.slicer import weights
    from rfq.studies import slicer_report as report
    from rfq.studies.figures import progress

    plan = (report.QUICK if options.quick else report.Plan())._replace(
        jobs=_jobs(options),
        keep=options.keep,
        slicer=options.weights or weights.SHIPPED,
        data=options.data,
        page=options.page,
        full=options.full,
    )
    told(report.run(plan, progress), options)


def _train_forecasters(options: argparse.Namespace) -> None:
    from lit_router.market import parameters
    from rfq.studies import forecaster_evaluation as study
    from rfq.studies.slicer_training import SETS

    sets = [parameters.load(name) for name in SETS]
    found = study.train_forecasters(sets, options.data, options.out, options.seed, code_version(), say)
    say(f"saved {found.version} as {options.out}")


def _evaluate_forecasters(options: argparse.Namespace) -> None:
    from lit_router.market import parameters
    from ml.forecasters import weights
    from rfq.studies import forecaster_evaluation as study
    from rfq.studies.figures import progress
    from rfq.studies.slicer_training import SETS

    sets = [parameters.load(name) for name in SETS]
    trained = weights.load(options.weights) if options.weights else None
    told(study.evaluate_forecasters(sets, options.data, trained, progress, code=code_version()), options)


def _jobs(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise BadInput("--jobs", options.jobs, "must be at least 1")
    return options.jobs
