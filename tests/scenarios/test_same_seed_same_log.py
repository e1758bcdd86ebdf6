"""The same seed and inputs give the same event log, byte for byte: two processes, two databases, two hash seeds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def log_of(url: str, seed: int, hash_seed: int) -> list[str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": str(hash_seed)}
    program = [sys.executable, str(TESTS / "same_life.py"), url, str(seed)]
    ran = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return [line for line in ran.stdout.splitlines() if "\t" in line]


@pytest.mark.real_time
def test_two_runs(database_url: str, another_database_url: str) -> None:
    first, second = log_of(database_url, 5, 1), log_of(another_database_url, 5, 2)
    kinds = {line.split("\t")[0] for line in first}
    assert kinds == {"rfq", "markout", "dealer"} and len(first) > 100
    for one, other in zip(first, second, strict=True):
        assert one == other
