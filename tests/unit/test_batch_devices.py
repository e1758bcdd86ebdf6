"""A step keeps to one device: nothing is read back, nothing comes from the processor, no shape depends on a value.

Shown without an accelerator on torch's `meta` device, where tensors have shapes but no values.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from batch_books import CHARACTER, REAL
from one_device import META, OneDevice

from lit_router.market.batch import draws
from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.state import State
from lit_router.market.batch.step import step


@pytest.fixture(scope="module")
def m() -> BatchedMarket:
    return BatchedMarket(REAL, range(3), characters=CHARACTER, device=META)


def shapes(s: State) -> list[tuple[Any, ...]]:
    return [(tuple(field.shape), field.dtype, field.device) for field in s]


def test_all_of_a_market_lies_on_its_device(m: BatchedMarket) -> None:
    for values in (m.state, m.laws, m.rules):
        assert all(value.device == META for value in values if isinstance(value, torch.Tensor))


def test_a_step_keeps_to_its_device_and_shapes(m: BatchedMarket) -> None:
    before = shapes(m.state)
    with OneDevice():
        step(m.state, m.laws, m.rules)
    assert shapes(m.state) == before


def test_entering_and_cancelling_keep_to_the_device_and_shapes(m: BatchedMarket) -> None:
    before, where = shapes(m.state), torch.ones(3, dtype=torch.bool, device=META)
    ticket = m.ticket(1, 10, 20_000, venue=where.long(), rests=1)
    with OneDevice():
        m.enter(1, ticket)
        m.cancel(1, where)
    assert shapes(m.state) == before


def _reads_a_value(s: State) -> object:
    return s.volume.sum().item()


def _decides_by_a_value(s: State) -> object:
    return 1 if (s.halt > 0).any() else 0


def _selects_by_a_mask(s: State) -> object:
    return s.queues[s.queues > 0].sum()


def _mixes_devices(s: State) -> object:
    return s.volume + torch.zeros(3, dtype=torch.int64)


def _looks_up_from_the_processor(s: State) -> object:
    return s.queues[:, torch.tensor([0, 1])]


def _sends_a_number_over(s: State) -> object:
    return torch.tensor([1, 2, 3]).to(META) + s.volume


def _goes_back(s: State) -> object:
    return s.volume.cpu()


WRONG = (
    _reads_a_value,
    _decides_by_a_value,
    _selects_by_a_mask,
    _mixes_devices,
    _looks_up_from_the_processor,
    _sends_a_number_over,
    _goes_back,
)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_same_check_refuses_what_is_wrong(m: BatchedMarket, wrong: Callable[[State], object]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)), OneDevice():
        wrong(m.state)


def test_the_same_check_refuses_a_wrong_step(m: BatchedMarket, monkeypatch: pytest.MonkeyPatch) -> None:
    words = draws.words
    monkeypatch.setattr(draws, "words", lambda key, step, slot: words(key, torch.zeros(1, dtype=torch.int64), slot))
    with pytest.raises(RuntimeError), OneDevice():
        step(m.state, m.laws, m.rules)
