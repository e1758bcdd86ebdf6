"""The `rfq` command. Each subcommand loads only what it needs; errors are one line and a non-zero exit."""

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog

from rfq import study_commands
from rfq.domain.errors import BadInput, SottoError

Command = Callable[[argparse.Namespace], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    options = _parser().parse_args(arguments)
    # What is printed is for the user; what is logged goes beside it. The service sets up its own logs.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # As it is when something is logged.
    )
    run: Command = options.run
    try:
        return run(options) or 0
    except SottoError as error:
        print(f"rfq: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0


def say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rfq", description="Sotto: block liquidity, quietly.")
    commands = parser.add_subparsers(required=True, metavar="command")

    serve = commands.add_parser("serve", help="run the service")
    serve.add_argument("--config", type=Path, help="TOML file of settings (else SOTTO_CONFIG, else defaults)")
    serve.add_argument("--with-parent", action="store_true", help="stop when standard input closes")
    serve.set_defaults(run=_serve)

    demo = commands.add_parser("demo", help="the whole system on one screen, about two minutes")
    demo.add_argument("--keep", action="store_true", help="go on serving at the end")
    demo.add_argument("--data-dir", type=Path, help="where to keep its database (default: demo in the data directory)")
    demo.set_defaults(run=_demo)

    replay = commands.add_parser("replay", help="source a block on a recorded day")
    recorded = replay.add_mutually_exclusive_group(required=True)
    recorded.add_argument("--book", type=Path, help="LOBSTER zip with message and orderbook")
    recorded.add_argument(
        "--ticks", type=Path, nargs=2, metavar=("TRADES", "QUOTES"), help="zips of a US equity day's trades and quotes"
    )
    replay.add_argument("--side", choices=("buy", "sell"), default="sell")
    replay.add_argument("--quantity", default="40000", help="shares (default 40000)")
    replay.add_argument("--from", dest="begin", default="10:00", help="HH:MM, New York (default 10:00)")
    replay.add_argument("--horizon", type=float, default=1800.0, help="market seconds for the residual (default 1800)")
    replay.add_argument("--participation", type=float, default=0.1, help="of the recorded volume, at most")
    schedules = ("twap", "vwap", "pov", "almgren_chriss", "learned")
    replay.add_argument("--schedule", choices=schedules, default="learned")
    replay.add_argument("--dealers", type=int, default=8, help="dealers to ask, at most")
    replay.add_argument("--speed", type=float, default=60.0, help="market seconds a second")
    replay.add_argument("--latency", type=float, default=0.01, help="market seconds until our orders arrive")
    replay.set_defaults(run=_replay)

    study_commands.add_to(commands)

    dealers = commands.add_parser("dealers", help="run simulated dealers; help a dealer's engineer")
    dealers.add_argument("--url", default="http://127.0.0.1:8080", help="the service")
    dealers.add_argument("--exchange", default="ws://127.0.0.1:8081/", help="the simulated exchange's socket")
    dealers.add_argument("--keys", type=Path, help="key file (default: fleet.toml in the data directory)")
    dealers.add_argument("--count", type=int, default=12, help="how many dealers (default 12)")
    dealers.add_argument("--seed", type=int, default=1)
    dealers.add_argument("--with-parent", action="store_true", help="stop when standard input closes")
    dealers.set_defaults(run=_dealers)
    engineers = dealers.add_subparsers(metavar="command")
    example = engineers.add_parser("example", help="print a complete minimal client")
    example.set_defaults(run=_dealers_example)
    check = engineers.add_parser("check", help="test a peer against the protocol, rule by rule")
    check.add_argument("peer", help="ws://... of a service; with --listen, where to wait for a dealer's client")
    check.add_argument("--key", required=True, help="the dealer's key")
    check.add_argument("--listen", action="store_true", help="be the service: wait at that address for a dealer")
    check.add_argument("--symbol", default="QDI", help="instrument to ask for, with --listen")
    check.add_argument("--quantity", default="1000", help="quantity to ask for, with --listen")
    check.add_argument("--wait", type=float, default=120.0, help="seconds to wait for the dealer, with --listen")
    check.set_defaults(run=_dealers_check)

    audit = commands.add_parser("audit", help="check the record, with the service running or stopped")
    checks = audit.add_subparsers(required=True, metavar="check")
    verify = checks.add_parser("verify", help="is every event as it was written, and none missing?")
    verify.set_defaults(run=_audit_verify)
    rebuild = checks.add_parser("rebuild", help="do the state tables say what the events say?")
    rebuild.add_argument("--repair", action="store_true", help="replace the tables by what the events give")
    rebuild.set_defaults(run=_audit_rebuild)

    callers = commands.add_parser("keys", help="callers of the HTTP interface")
    changes = callers.add_subparsers(required=True, metavar="change")
    add = changes.add_parser("add", help="make a key and print it, this once")
    add.add_argument("name", metavar="NAME", help="of the desk, the dealer or the person")
    add.add_argument("role", metavar="ROLE", help="desk, dealer, supervisor or operator")
    add.set_defaults(run=_add_key)

    for command in (verify, rebuild, add):
        command.add_argument("--config", type=Path, help="TOML file of settings, as for serve")
        command.add_argument("--data-dir", type=Path, help="of the embedded database (default: as for serve)")
    return parser


def _serve(options: argparse.Namespace) -> None:
    from rfq import serving, settings

    serving.run(_alone(serving.serve(settings.load(config=options.config), say), options.with_parent))


def _demo(options: argparse.Namespace) -> int:
    from db.cluster import default_data_dir
    from rfq import demo

    return asyncio.run(demo.run(options.data_dir or default_data_dir() / "demo", options.keep, say))


def _replay(options: argparse.Namespace) -> int:
    from rfq import replay
    from rfq.domain.rfq import RequestSide, Schedule

    trades, book = options.ticks or (None, options.book)
    running = replay.run(
        book.absolute(),
        trades=trades and trades.absolute(),
        side=RequestSide(options.side),
        quantity=options.quantity,
        begin=options.begin,
        horizon_s=options.horizon,
        participation=options.participation,
        schedule=Schedule(options.schedule),
        dealers=options.dealers,
        speed=options.speed,
        latency_s=options.latency,
        say=say,
    )
    return asyncio.run(running)


def _dealers(options: argparse.Namespace) -> None:
    from db.cluster import default_data_dir
    from rfq import fleet, keys

    key_file = options.keys or default_data_dir() / keys.FLEET_FILE
    running = fleet.run(
        url=options.url,
        exchange_url=options.exchange,
        key_file=key_file,
        dealers=options.count,
        seed=options.seed,
        say=say,
    )
    asyncio.run(_alone(running, options.with_parent))


def _dealers_example(_: argparse.Namespace) -> None:
    from dealers import commands

    say(commands.example_text().rstrip())


def _dealers_check(options: argparse.Namespace) -> int:
    from dealers import commands
    from rfq.clocks import RandomIds, SystemClock
    from rfq.instruments import directory

    if not options.listen:
        return asyncio.run(commands.check_service(options.peer, options.key, say=say))
    listing = directory().get(options.symbol)
    if listing is None:
        raise BadInput("--symbol", options.symbol, "is not an instrument here")
    checking = commands.check_dealer(
        options.peer,
        options.key,
        instrument=listing.instrument,
        quantity=options.quantity,
        mid=listing.opening_mid,
        clock=SystemClock(),
        ids=RandomIds(),
        say=say,
        wait_s=options.wait,
    )
    return asyncio.run(checking)


def _audit_verify(options: argparse.Namespace) -> int:
    from rfq import records, settings

    return asyncio.run(records.verify(settings.load(config=options.config, data_dir=options.data_dir), say))


def _audit_rebuild(options: argparse.Namespace) -> int:
    from rfq import records, settings

    given = settings.load(config=options.config, data_dir=options.data_dir)
    return asyncio.run(records.rebuild(given, options.repair, say))


def _add_key(options: argparse.Namespace) -> int:
    from rfq import records, settings

    given = settings.load(config=options.config, data_dir=options.data_dir)
    return asyncio.run(records.add_key(given, options.name, options.role, say))


async def _alone(work: Coroutine[Any, Any, None], with_parent: bool) -> None:
    """Runs to the end; with a parent, no longer than our standard input is open (how a dead parent is noticed)."""
    if not with_parent:
        await work
        return
    running = asyncio.ensure_future(work)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orphaned = asyncio.ensure_future(reader.read())
    await asyncio.wait([running, orphaned], return_when=asyncio.FIRST_COMPLETED)
    orphaned.cancel()
    if not running.done():
        running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    sys.exit(main())
