"""Orders that decide in the same turn of the loop share one call; the trouble of one is not the others'."""

import asyncio
from collections.abc import Sequence

import pytest
from order_floor import parent, seen

from lit_router.domain.observation import Observation
from lit_router.gathering import Gathered
from lit_router.ports import Proposal, Slice
from lit_router.schedules import Unmindful
from rfq.domain.values import Quantity


class Counts(Unmindful):
    """Proposes each order's own quantity; fails where it is unlucky 13."""

    name = "counts"

    def __init__(self) -> None:
        self.calls: list[int] = []

    def propose(self, observations: Sequence[Observation]) -> list[Slice]:
        self.calls.append(len(observations))
        if any(one.order.quantity == 13 for one in observations):
            raise RuntimeError("13")
        return [Slice((Proposal("lit", one.order.quantity, None),)) for one in observations]


def orders(first: int, count: int) -> list[Observation]:
    return [seen(parent(lots, name=f"p{lots}"), 0) for lots in range(first, first + count)]


async def asked(gathered: Gathered, observations: Sequence[Observation]) -> list[Slice | BaseException]:
    return await asyncio.gather(*(gathered.propose(one) for one in observations), return_exceptions=True)


def lots(found: Slice | BaseException) -> Quantity:
    assert isinstance(found, Slice)
    return found.proposals[0].quantity


async def test_sixty_four_orders_are_decided_in_one_call_and_each_gets_its_own() -> None:
    policy = Counts()
    found = await asked(Gathered(policy), orders(100, 64))
    assert policy.calls == [64]
    assert [lots(one) for one in found] == list(range(100, 164))


async def test_the_answer_is_there_in_the_next_turn_of_the_loop() -> None:
    gathered = Gathered(Counts())
    task = asyncio.ensure_future(gathered.propose(orders(5, 1)[0]))
    for _ in range(3):  # It asks; it is decided; it hears of it.
        await asyncio.sleep(0)
    assert task.done() and lots(task.result()) == 5


async def test_too_many_are_split() -> None:
    policy = Counts()
    found = await asked(Gathered(policy, most=10), orders(100, 25))
    assert policy.calls == [10, 10, 5] and [lots(one) for one in found] == list(range(100, 125))


async def test_one_that_fails_fails_alone() -> None:
    found = await asked(Gathered(Counts()), orders(10, 6))
    assert [type(one) for one in found] == [Slice, Slice, Slice, RuntimeError, Slice, Slice]


async def test_a_wrong_number_of_slices_is_nobodys() -> None:
    class Short(Counts):
        def propose(self, observations: Sequence[Observation]) -> list[Slice]:
            return []

    assert [type(one) for one in await asked(Gathered(Short()), orders(20, 2))] == [ValueError, ValueError]


async def test_an_order_that_is_given_up_is_not_decided_for() -> None:
    policy = Counts()
    gathered = Gathered(policy)
    given_up, going_on = (asyncio.ensure_future(gathered.propose(one)) for one in orders(20, 2))
    asyncio.get_running_loop().call_soon(given_up.cancel)
    assert lots(await going_on) == 21
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert policy.calls == [1]
