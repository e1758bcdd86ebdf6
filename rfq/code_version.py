"""Which code this is, for model cards and reports."""

import os
import subprocess
from pathlib import Path


def code_version() -> str:
    """Of a checkout as git describes it, or what SOTTO_CODE_VERSION says; else nobody knows."""
    if told := os.environ.get("SOTTO_CODE_VERSION"):
        return told
    try:
        asked = ("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
