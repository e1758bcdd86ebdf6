"""Fixtures of several files here."""

from typing import Any

import pytest
from learners import ALGORITHMS, QUICK, SET

from ml.slicer.ground import Ground
from ml.slicer.rules import Rule


@pytest.fixture(scope="module")
def ground() -> Ground:
    """Short episodes beside a simple rule."""
    return Ground([SET], [(1.0, QUICK)], Rule(grace=0.3, lead=0.3))


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> tuple[str, Any, Any]:
    """Name, module and a small plan of each learner."""
    return request.param, *ALGORITHMS[request.param]
