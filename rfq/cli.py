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
    return parser


def _serve(options: argparse.Namespace) -> None:
    from rfq import app, settings

    asyncio.run(app.serve(settings.load(config=options.config), say))


if __name__ == "__main__":
    sys.exit(main())
