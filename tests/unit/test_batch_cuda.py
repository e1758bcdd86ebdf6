"""On a GPU, where there is one: what is played there is what is played on a processor."""

import numpy as np
import pytest
import torch

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.batch.state import State, recorded, viewed, viewed_on
from lit_router.market.parameters import load

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
MARKETS = 128


def test_bytes_on_a_device_are_seen_as_records_are() -> None:
    records = recorded(5, 10, 6)
    content = np.random.default_rng(1).integers(0, 255, records.nbytes, dtype=np.uint8)
    records = content.view(records.dtype)
    here, there = viewed(records, 0), viewed_on(torch.from_numpy(content.reshape(5, -1)), records.dtype)
    for name, mine, its in zip(State._fields, here, there, strict=True):
        assert mine.shape == its.shape and mine.dtype == its.dtype, name
        assert mine.numpy().tobytes() == its.numpy().tobytes(), name
    there.kernel[2, 3] = 7.0
    assert records["kernel"][2, 3] == 7.0


def story(name: str, device: str) -> State:
    """Orders of all kinds in many markets, and what became of them."""
    market = BatchedMarket(load(name), [place // 2 for place in range(MARKETS)], device=device)
    place = torch.arange(MARKETS, device=device)
    market.advance(400)
    for slot in range(6):
        side = torch.where(place % 2 == 0, 1, -1) * (place % 5 != slot)
        first = market.state.first_bid.long()
        ticket = market.ticket(side, 200 + 10 * (place % 7), first + side - 1, rests=1)
        if 1 < slot < 5:
            ticket = market.ticket(side, 500, first + 20 * side, venue=slot - 1, rests=1)
        elif slot == 5:
            ticket = market.ticket(side, 100)
        market.enter(slot, ticket)
        market.advance(50)
    market.cancel(1, place % 3 == 0)
    market.advance(300)
    market.advance(100, place % 2 == 0)
    return State(*(field.cpu() for field in market.state))


@needs_gpu
@pytest.mark.parametrize("name", ["large_tick", "small_tick"])
def test_markets_on_a_gpu_go_as_on_a_processor(name: str) -> None:
    here, there = story(name, "cpu"), story(name, "cuda")
    alike = torch.ones(MARKETS, dtype=torch.bool)
    for mine, its in zip(here[:-1], there[:-1], strict=True):
        close = torch.isclose(mine, its, 1e-9, 1e-9) if mine.is_floating_point() else mine == its
        alike &= close.reshape(MARKETS, -1).all(1)
    # A sum rounded otherwise in its last bit may once tip a draw.
    assert alike.double().mean() > 0.98
    assert here.filled.any() and here.dark_volume.any() and here.shift.any()
