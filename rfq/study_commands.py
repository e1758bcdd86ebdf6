"""The subcommands that learn and measure: train, calibrate, evaluate, bench. Each loads only what it needs."""

import argparse
import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfq import slicer_commands
from rfq.domain.errors import BadInput
from rfq.reporting import add_report, told

if TYPE_CHECKING:
    from ml.dealer_models import DealerModels

say = partial(print, flush=True)


def add_to(commands: Any) -> None:
    """Adds them to the subparsers of `rfq`."""
    for add in (_train, _calibrate, _evaluate, _bench):
        add(commands)


def _train(commands: Any) -> None:
    train = commands.add_parser("train", help="train models")
    models = train.add_subparsers(required=True, metavar="model")
    train_dealers = models.add_parser("dealers", help="response, quote and leakage models, from the study world")
    train_dealers.add_argument("--seed", type=int)
    train_dealers.add_argument("--requests", type=int, help="auctions of the study world")
    train_dealers.add_argument("--out", type=Path, help="folder for the models (default: those in the package)")
    train_dealers.add_argument("--stored", action="store_true", help="learn from this service's own recorded history")
    train_dealers.set_defaults(run=_train_dealers)
    slicer_commands.add_training(models)


def _calibrate(commands: Any) -> None:
    calibrate = commands.add_parser("calibrate", help="estimate a simulated book's parameters from recorded data")
    recorded = calibrate.add_mutually_exclusive_group(required=True)
    recorded.add_argument("--book", type=Path, metavar="ZIP", help="LOBSTER zip with message and orderbook")
    recorded.add_argument("--ticks", type=Path, nargs=2, metavar=("TRADES", "QUOTES"), help="zips of US equity ticks")
    calibrate.add_argument("--from", dest="begin", default="09:30", help="HH:MM, New York (default 09:30)")
    calibrate.add_argument("--until", default="12:45", help="HH:MM, New York (default 12:45)")
    calibrate.add_argument("--grid-ticks", type=int, help="ticks between price levels (default: from the spread)")
    calibrate.add_argument("--levels", type=int, help="price levels a side (default 10)")
    calibrate.add_argument("--name", help="of the set (default: the stock's symbol)")
    calibrate.add_argument("--out", type=Path, required=True, help="the parameter file to write")
    calibrate.set_defaults(run=_calibrate_book)


def _evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="measure how good a model is")
    evaluations = evaluate.add_subparsers(required=True, metavar="what")
    market = evaluations.add_parser("market", help="a simulated book beside a recorded day, and the impact of orders")
    market.add_argument("--book", type=Path, required=True, metavar="ZIP", help="LOBSTER zip of 09:30 to 16:00")
    market.add_argument("--parameters", default="small_tick", metavar="NAME|FILE", help="the set (default small_tick)")
    market.add_argument("--page", type=Path, metavar="FILE.png", help="also draw every fact")
    market.add_argument("--json", action="store_true", help="one object: figures and goals")
    market.add_argument("--quick", action="store_true", help="a rough answer in about a minute")
    market.set_defaults(run=_evaluate_market)
    wins = evaluations.add_parser("wins", help="a win model of a bank's RFQs, judged on later ones")
    wins.add_argument("--train", type=Path, required=True, metavar="RFQS.csv", help="to learn from and choose by")
    wins.add_argument("--test", type=Path, required=True, metavar="RFQS.csv", help="later RFQs to be judged on")
    wins.add_argument("--mids", type=Path, metavar="MIDS.csv", help="mids over the time of both")
    wins.add_argument("--page", type=Path, metavar="FILE.png", help="also draw the reliability")
    wins.add_argument("--json", action="store_true", help="one object: figures and goals")
    wins.set_defaults(run=_evaluate_wins)
    known = evaluations.add_parser("dealers", help="the dealer models, judged in study worlds whose truth is known")
    known.add_argument("--json", action="store_true", help="one object: figures and goals")
    known.add_argument("--full", action="store_true", help="also on 50,000 RFQs a world, which takes longer")
    known.add_argument("--worlds", type=int, default=6, metavar="N", help="worlds, at least 2 (default 6)")
    add_report(known)
    known.set_defaults(run=_evaluate_dealers)
    selection = evaluations.add_parser("selection", help="choosing whom to ask, beside tuned rules and oracles")
    selection.add_argument("--json", action="store_true", help="one object: figures and goals")
    selection.add_argument("--full", action="store_true", help="all seeds and requests, for hours")
    selection.add_argument("--worlds", type=int, default=6, help="worlds to play (default 6)")
    add_report(selection)
    selection.set_defaults(run=_evaluate_selection)
    slicer_commands.add_evaluations(evaluations)


def _bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure speed and memory on this machine")
    benches = bench.add_subparsers(required=True, metavar="what")
    auction = benches.add_parser("auction", help="auctions over sockets with durable commits, beside a bare floor")
    auction.add_argument("--json", action="store_true", help="one object: figures and goals")
    auction.add_argument("--quick", action="store_true", help="a rough answer in about a minute")
    auction.add_argument("--rfqs", type=int, help="RFQs in all, at the least (default 10000; quick 1200)")
    auction.set_defaults(run=_bench_auction)
    market = benches.add_parser("market", help="the simulated market beside the exact stepper, and replay")
    market.add_argument("--json", action="store_true", help="one object: figures and goals")
    market.add_argument("--quick", action="store_true", help="a rough answer in half a minute")
    market.add_argument("--book", type=Path, help="LOBSTER zip to replay (default: a made recording)")
    market.set_defaults(run=_bench_market)

    scoring = benches.add_parser("scoring", help="the decision whom to ask, beside one prediction a dealer and model")
    scoring.add_argument("--json", action="store_true", help="one object: figures and goals")
    scoring.add_argument("--quick", action="store_true", help="a rough answer in some seconds")
    scoring.set_defaults(run=_bench_scoring)
    slicer_commands.add_bench(benches)


def _bench_auction(options: argparse.Namespace) -> None:
    from rfq.studies import auction_bench as bench

    plan = bench.plan(quick=options.quick, rfqs=options.rfqs)
    asyncio.run(bench.run(plan)).print(as_json=options.json)


def _bench_market(options: argparse.Namespace) -> None:
    from rfq.studies import market_bench as bench

    bench.run(bench.QUICK if options.quick else bench.Plan(), options.book).print(as_json=options.json)


def _bench_scoring(options: argparse.Namespace) -> None:
    from rfq.studies import scoring_bench as bench

    bench.run(bench.QUICK if options.quick else bench.Plan()).print(as_json=options.json)


def _calibrate_book(options: argparse.Namespace) -> None:
    from lit_router.market import calibrate_ticks, calibration, lobster, nbbo, parameters, rates_table
    from lit_router.market.batch.day import DAYS, measured

    if options.ticks and (options.grid_ticks, options.levels) != (None, None):
        raise BadInput("--ticks", "--grid-ticks, --levels", "go with --book only: ticks show no depth")
    day = lobster.read(options.book) if options.book else nbbo.read(*options.ticks)
    begins_s = calibration.seconds_at(day, "--from", options.begin)
    until_s = calibration.seconds_at(day, "--until", options.until)
    name = options.name or day.symbol.lower()
    if isinstance(day, lobster.Recording):
        levels = calibration.LEVELS if options.levels is None else options.levels
        found = calibration.calibrate(
            day, name=name, begins_s=begins_s, until_s=until_s, grid_ticks=options.grid_ticks, levels=levels
        )
        rates = rates_table.of(found)
    else:
        found, rates = calibrate_ticks.calibrate(day, name=name, begins_s=begins_s, until_s=until_s)
    say(f"playing {DAYS:,} days of {found.name} to measure its volatility and volume")
    found = measured(found)
    parameters.save(found, options.out)
    for line in rates_table.lines(found, rates):
        say(line)
    say(f"saved {found.name} as {options.out}")


def _evaluate_market(options: argparse.Namespace) -> None:
    from lit_router.market import parameters
    from rfq.studies import market_evaluation

    chosen = parameters.load(options.parameters)
    market_evaluation.run(options.book, chosen, options.page, quick=options.quick).print(as_json=options.json)


def _evaluate_wins(options: argparse.Namespace) -> None:
    from rfq.studies import win_evaluation

    found = win_evaluation.run(options.train, options.test, options.mids, options.page)
    found.print(as_json=options.json)


def _evaluate_selection(options: argparse.Namespace) -> None:
    from rfq.studies import selection_evaluation as evaluation

    if options.worlds < 1:
        raise BadInput("--worlds", options.worlds, "must be at least 1")
    told(evaluation.run(evaluation.plan(options.worlds, full=options.full)), options)


def _evaluate_dealers(options: argparse.Namespace) -> None:
    from rfq.studies import dealer_evaluation as evaluation

    plan = evaluation.Plan(worlds=options.worlds, large=evaluation.LARGE if options.full else None)
    told(evaluation.run(plan), options)


def _train_dealers(options: argparse.Namespace) -> None:
    from rfq.studies import dealer_training as training

    seed = training.DEFAULT_SEED if options.seed is None else options.seed
    if options.stored:
        from rfq import records, settings

        if options.out is None:
            raise BadInput("--out", None, "is needed with --stored: shipped models are not written over by one's own")
        models = asyncio.run(records.train(settings.load(), options.out, seed))
        return _show_models(models)
    requests = training.DEFAULT_REQUESTS if options.requests is None else options.requests
    say(f"training on {requests:,} auctions of the study world, seed {seed}")
    _show_models(training.train_from_study(options.out, seed, requests))


def _show_models(models: "DealerModels") -> None:
    for name, value in sorted(models.manifest.metrics.items()):
        say(f"{name:<40} {value:.4f}")
    say(f"saved {models.version}")
