"""The `rfq` command. Each subcommand loads only what it needs; errors are one line and a non-zero exit."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rfq.domain.errors import SottoError

Command = Callable[[argparse.Namespace], int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    options = _parser().parse_args(arguments)
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
    serve.set_defaults(run=_serve)

    dealers = commands.add_parser("dealers", help="run simulated dealers; help a dealer's engineer")
    dealers.add_argument("--url", default="ws://127.0.0.1:8080/v1/dealers/link", help="the service's dealer socket")
    dealers.add_argument("--exchange", default="ws://127.0.0.1:8081/", help="the simulated exchange's socket")
    dealers.add_argument("--keys", type=Path, help="key file (default: fleet.toml in the data directory)")
    dealers.add_argument("--count", type=int, default=12, help="how many dealers (default 12)")
    dealers.add_argument("--seed", type=int, default=1)
    dealers.add_argument("--instruments", type=Path, help="TOML file of instruments, as the service has it")
    dealers.set_defaults(run=_dealers)
    return parser


def _serve(options: argparse.Namespace) -> None:
    from rfq import app, settings

    asyncio.run(app.serve(settings.load(config=options.config), say))


def _dealers(options: argparse.Namespace) -> None:
    from db.cluster import default_data_dir
    from rfq import app, fleet

    key_file = options.keys or default_data_dir() / app.FLEET_FILE
    asyncio.run(
        fleet.run(
            url=options.url,
            exchange_url=options.exchange,
            key_file=key_file,
            dealers=options.count,
            seed=options.seed,
            instruments=options.instruments,
            say=say,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
