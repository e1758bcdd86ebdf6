"""Remembered keys: how long they are believed, what a lost database changes, and that guessing evicts nobody."""

import asyncio
from datetime import timedelta

import pytest
from edge_double import HandClock, HeldKeys

from rfq.api.auth import MOST_KEYS, Keys
from rfq.api.problems import Unauthenticated
from rfq.domain.errors import StoreUnavailable


class Kept:
    def __init__(self) -> None:
        self.store, self.clock = HeldKeys(), HandClock()
        self.keys = Keys(self.store, self.clock, fresh_s=5.0, grace_s=60.0)

    def later(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_asked_once_while_fresh(kept: Kept) -> None:
    for _ in range(3):
        assert (await kept.keys.who("k-alpha")).name == "alpha"
    assert kept.store.asked == 1
    kept.later(5.1)
    await kept.keys.who("k-alpha")
    assert kept.store.asked == 2


async def test_a_withdrawn_key_stops_working_once_no_longer_fresh(kept: Kept) -> None:
    await kept.keys.who("k-alpha")
    del kept.store.known["k-alpha"]
    assert (await kept.keys.who("k-alpha")).name == "alpha"
    kept.later(5.1)
    with pytest.raises(Unauthenticated):
        await kept.keys.who("k-alpha")
    kept.store.away = True
    with pytest.raises((Unauthenticated, StoreUnavailable)):
        await kept.keys.who("k-alpha")


async def test_while_the_store_is_away_known_keys_are_believed_for_the_grace(kept: Kept) -> None:
    await kept.keys.who("k-alpha")
    kept.store.away = True
    kept.later(59)
    assert (await kept.keys.who("k-alpha")).name == "alpha"
    with pytest.raises(StoreUnavailable):
        await kept.keys.who("k-beta")
    kept.later(2)
    with pytest.raises(StoreUnavailable):
        await kept.keys.who("k-alpha")


async def test_a_crowd_with_one_key_asks_once(kept: Kept) -> None:
    found = await asyncio.gather(*(kept.keys.who("k-alpha") for _ in range(50)))
    assert {p.name for p in found} == {"alpha"}
    assert kept.store.asked == 1


async def test_one_who_stops_waiting_does_not_fail_the_others(kept: Kept) -> None:
    first, second = (asyncio.create_task(kept.keys.who("k-alpha")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "alpha"


async def test_guessing_evicts_nobody_and_is_remembered_a_while(kept: Kept) -> None:
    await kept.keys.who("k-alpha")
    for n in range(MOST_KEYS + 10):
        with pytest.raises(Unauthenticated):
            await kept.keys.who(f"guess-{n}")
    asked = kept.store.asked
    await kept.keys.who("k-alpha")
    with pytest.raises(Unauthenticated):
        await kept.keys.who(f"guess-{MOST_KEYS}")
    assert kept.store.asked == asked
    assert len(kept.keys._unknown) == MOST_KEYS


async def test_a_key_refused_before_works_once_it_is_given(kept: Kept) -> None:
    with pytest.raises(Unauthenticated):
        await kept.keys.who("k-new")
    kept.store.known["k-new"] = kept.store.known["k-alpha"]
    kept.later(5.1)
    assert (await kept.keys.who("k-new")).name == "alpha"


async def test_a_store_that_does_not_answer_is_away(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rfq.api.auth.STORE_S", 0.02)

    async def never(key: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(kept.store, "who", never)
    with pytest.raises(StoreUnavailable):
        await kept.keys.who("k-alpha")
