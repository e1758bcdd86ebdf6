"""What the `evaluate` commands have in common: where their findings go."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rfq.code_version import code_version

if TYPE_CHECKING:
    from rfq.studies.figures import Figures


def add_report(evaluation: argparse.ArgumentParser) -> None:
    evaluation.add_argument("--report", type=Path, metavar="FILE.md", help="also as a report naming the code's version")


def told(found: "Figures", options: argparse.Namespace) -> None:
    """Prints what was found, and writes it where a report is wanted."""
    found.print(as_json=options.json)
    if options.report:
        found.write(options.report, code_version())
