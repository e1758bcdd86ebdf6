"""Which code this is, for model cards and reports."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def code_version() -> str:
    """What SOTTO_CODE_VERSION says; without it, of a checkout, what git describes; else nobody knows."""
    if told := os.environ.get("SOTTO_CODE_VERSION"):
        return told
    try:
        # An installed package may lie within somebody else's checkout.
        if _git("rev-parse", "--show-toplevel") == str(ROOT):
            return _git("describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        pass
    return "unknown"


def _git(*words: str) -> str:
    asked = ("git", "-C", str(ROOT), *words)
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
