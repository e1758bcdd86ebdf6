"""Which code this is, for model cards and reports."""

import hashlib
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("db", "dealers", "lit_router", "ml", "rfq")


def code_version() -> str:
    """What SOTTO_CODE_VERSION says; without it, of a checkout, what git describes; else a digest of the sources."""
    if told := os.environ.get("SOTTO_CODE_VERSION"):
        return told
    try:
        # An installed package may lie within somebody else's checkout.
        if _git("rev-parse", "--show-toplevel") == str(ROOT):
            return _git("describe", "--always", "--dirty")
    except (OSError, subprocess.SubprocessError):
        pass
    return f"sources {_digest(ROOT)}"


def _git(*words: str) -> str:
    asked = ("git", "-C", str(ROOT), *words)
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _digest(root: Path) -> str:
    sources = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        sources.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return sources.hexdigest()[:12]
