"""The decision as it is compiled is the decision as it is defined: the same actions, lots and memory, row by row."""

import itertools
import math

import numpy as np
import pytest
import torch
from order_floor import INSTRUMENT, SYMBOL, parent, seen
from slicers import a_slicer, observed

from ml.slicer.compiled_deciding import Deciding
from ml.slicer.deciding import Decided, decide
from ml.slicer.deciding_by_row import conclude, situate
from ml.slicer.features import NAMES
from ml.slicer.network import Actor, Critic
from ml.slicer.observed import EDGES, RECENT, Observed
from ml.slicer.rules import ALMGREN_CHRISS, POV, VWAP, Follows, Rule
from ml.slicer.situation import BACK
from ml.slicer.weights import Envelope, Slicer, load
from rfq.instruments import directory
from rfq.studies.slicer_bench import situations

INSTRUMENTS = {symbol: listing.instrument for symbol, listing in directory().items()}
POOLS, MOMENT, VIEW, POSSIBLE = EDGES[1], EDGES[2], EDGES[3], EDGES[11]
RULES = (
    Rule(alarm=0.3, patience=-0.3, back=-0.2, panic=0.5, speed=0.3, wide=1.2, grace=0.4, lead=0.3, late=0.8),
    Rule(follows=Follows.CURVE, steepness=0.0, show=5.0),
    Rule(follows=Follows.VOLUME, steepness=3.0, block=1.0, stream=0.7),
    VWAP, POV, ALMGREN_CHRISS,
)  # fmt: skip


def at_random(seed: int, rule: Rule) -> Slicer:
    """Networks that want this and that, and an envelope that about half of what they see lies in; and further critics
    that agree about half of the time."""
    torch.manual_seed(seed)
    actor, critic = Actor(), Critic()
    with torch.no_grad():
        actor.layers.get_parameter("4.weight").mul_(200.0)
        actor.layers.get_parameter("4.bias").zero_()
    opinions = tuple(Critic().quantiles for _ in range(seed % 3))
    bound, apart = torch.full((len(NAMES),), 2.0), torch.tensor(0.55)
    return Slicer(actor, critic, rule, Envelope(-bound, bound, apart), {"version": "random"}, opinions)


def same(slicer: Slicer, deciding: Deciding, rows: torch.Tensor, certain: torch.Tensor) -> Decided:
    """Both decide alike; what they decide."""
    with torch.inference_mode():
        defined = decide(slicer, rows, certain)
    for name, mine, theirs in zip(Decided._fields, deciding(rows.numpy(), certain.numpy()), defined, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, name
        if mine.is_floating_point():
            # Logarithms and sums of both differ in the last bit.
            torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6, msg=name)
        else:
            assert torch.equal(mine, theirs), name
    return defined


def changed(rows: torch.Tensor, g: np.random.Generator) -> torch.Tensor:
    """Among them now: pools that are closed, limits that forbid, no lit venue, the last decision, a volume ahead."""
    rows, count = rows.clone(), len(rows)
    rows[:, POOLS:MOMENT] *= torch.from_numpy(g.random((count, 3)) < 0.7)
    rows[:, POSSIBLE:] *= torch.from_numpy(g.random((count, 3)) < 0.8)
    last = torch.from_numpy(g.random(count) < 0.1)
    rows[last, MOMENT + 1] = 1.0
    rows[:, MOMENT + 2] = torch.from_numpy(g.random(count))
    return rows


@pytest.mark.parametrize("number", range(len(RULES)))
def test_what_is_compiled_decides_as_is_written(number: int) -> None:
    slicer, watched, g = at_random(number, RULES[number]), Observed(INSTRUMENTS), np.random.default_rng(number)
    actions, trusted, deciding = set(), 0, Deciding(slicer)
    for parents in (1, 64):
        for seen_now in itertools.islice(situations(parents), 20):
            rows = changed(watched.rows(seen_now), g)
            found = same(slicer, deciding, rows, torch.from_numpy(g.random(parents) < 0.9))
            watched.remember(seen_now, found.recent)
            actions |= {tuple(action) for action in found.action.tolist()}
            trusted += int(found.trusted.sum())
    assert len(actions) > 40 and 0 < trusted < 20 * 65


def test_the_shipped_policy_is_compiled_rightly() -> None:
    slicer, watched = load(), Observed(INSTRUMENTS)
    deciding = Deciding(slicer)
    for seen_now in itertools.islice(situations(200), 20):
        found = same(slicer, deciding, watched.rows(seen_now), torch.ones(200, dtype=torch.bool))
        watched.remember(seen_now, found.recent)
        assert found.recent.shape == (200, RECENT.stop - RECENT.start)


def test_what_is_not_a_number_is_the_rules() -> None:
    slicer, sure = a_slicer((5, 0, 0)), torch.ones(1, dtype=torch.bool)
    now = observed(seen(parent(1000), 60.0, decision_s=15.0, volume=4800))
    rows = Observed({SYMBOL: INSTRUMENT}).rows([now])
    deciding = Deciding(slicer)
    assert same(slicer, deciding, rows, sure).trusted.item()
    fixed, moment, view = range(9), (MOMENT, MOMENT + 1), range(VIEW, VIEW + 7)
    for column in (*fixed, *moment, *view, RECENT.start + BACK, RECENT.stop - 1):
        broken = rows.clone()
        broken[0, column] = math.nan
        assert not decide(slicer, broken, sure).trusted.item(), column
        assert not deciding(broken.numpy(), sure.numpy()).trusted.item(), column


def test_nothing_is_compiled_once_it_is_made() -> None:
    deciding, watched = Deciding(load()), Observed(INSTRUMENTS)
    known = [len(function.signatures) for function in (situate, conclude)]
    for parents in (2, 64):
        rows = watched.rows(next(situations(parents)))
        deciding(rows.numpy(), np.ones(parents, np.bool_))
    assert known == [len(function.signatures) for function in (situate, conclude)]
