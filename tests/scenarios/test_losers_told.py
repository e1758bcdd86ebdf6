"""Who did not win is told when the desk wants it, and never more than it may know."""

import pytest
from always_true import check
from house import DESK, HOUR, MID, House, asks, terms, told

from dealers.scripted_trader import Declines
from rfq.domain.events import NoticeKind
from rfq.domain.rfq import TellLosers

E, C, D = NoticeKind.EXPIRED, NoticeKind.COVER, NoticeKind.DONE_AWAY


@pytest.mark.parametrize(
    ("when", "while_working", "at_the_end"),
    [
        (TellLosers.AT_ONCE, [[C], [D], [E], [E]], [[C], [D], [E], [E]]),
        (TellLosers.NEUTRALLY, [[E], [E], [E], [E]], [[E, C], [E, D], [E], [E]]),
        (TellLosers.AFTER_BLOCK, [[], [], [], []], [[C], [D], [E], [E]]),
    ],
)
async def test_when_they_are_told(
    house: House, when: TellLosers, while_working: list[list[str]], at_the_end: list[list[str]]
) -> None:
    house.offers("alpha", MID + 1, 4000)
    losers = [
        house.offers("bravo", MID + 201, 4000),
        house.offers("charlie", MID + 211, 4000),
        house.dealer("delta").on_request(Declines(1.0)),
        house.dealer("echo"),
    ]
    rfq_id = await house.submit(terms(residual=HOUR, tell_losers=when))
    await house.until(rfq_id, "working")
    await house.sleep(10.0)
    assert [[h for h in told(x) if h != "withdrawn"] for x in losers] == while_working
    await house.until(rfq_id)
    await house.sleep(1.0)
    assert [[h for h in told(x) if h != "withdrawn"] for x in losers] == at_the_end
    assert told(losers[3])[0] == "withdrawn", "whoever is silent is told at the close that no quote is wanted"
    assert told(house.dealers["alpha"]) == []
    await check(house, [rfq_id])


@pytest.mark.parametrize("when", list(TellLosers))
async def test_nothing_traded_is_expired_for_everybody(house: House, when: TellLosers) -> None:
    losers = [house.offers("alpha", MID + 31), house.offers("bravo", MID + 33)]
    rfq_id = await house.submit(terms(limit_price=MID + 1, tell_losers=when))
    await house.until(rfq_id)
    await house.sleep(1.0)
    assert [told(x) for x in losers] == [[E], [E]]
    await check(house, [rfq_id])


@pytest.mark.parametrize("anonymous", [True, False])
async def test_who_asks_is_shown_only_if_the_desk_says_so(house: House, anonymous: bool) -> None:
    trader = house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(anonymous=anonymous))
    await house.until(rfq_id)
    (ask,) = asks(trader)
    assert ask.requester == ("" if anonymous else DESK)
    assert not anonymous or DESK not in repr(trader.heard)


@pytest.mark.parametrize("disclosed", [True, False])
async def test_the_residual_is_shown_only_if_the_desk_says_so(house: House, disclosed: bool) -> None:
    trader = house.offers("alpha", MID + 11)
    rfq_id = await house.submit(terms(residual=HOUR, disclose_residual=disclosed))
    await house.until(rfq_id)
    assert [ask.residual for ask in asks(trader)] == [10_000 if disclosed else None]


async def test_a_dealer_sees_its_own_request_and_no_other(house: House) -> None:
    traders = [house.offers("alpha", MID + 11), house.offers("bravo", MID + 15), house.dealer("charlie")]
    rfq_id = await house.submit()
    await house.until(rfq_id)
    own = {x.seat.dealer_id: {r.request_id for r in await house.reader.requests(rfq_id)
                              if r.dealer_id == x.seat.dealer_id} for x in traders}  # fmt: skip
    for trader in traders:
        heard = repr(trader.heard)
        for name, ids in own.items():
            assert all((i in heard) == (name == trader.seat.dealer_id) for i in ids)
        assert rfq_id not in heard and not any(n in heard for n in own if n != trader.seat.dealer_id)
        assert [ask.competitors for ask in asks(trader)] == [2]


async def test_a_dealer_that_could_not_be_reached_learns_nothing(house: House) -> None:
    house.offers("alpha", MID + 11, after_s=5.0)
    away = house.dealer("bravo")
    ask = house.gateway.ask

    async def lose_the_line(requests):  # type: ignore[no-untyped-def]
        away.seat.drop()
        return await ask([r for r in requests if r.dealer_id != "bravo"])

    house.gateway.ask = lose_the_line  # type: ignore[method-assign]
    rfq_id = await house.submit()
    await house.until(rfq_id)
    away.seat.restore()
    await house.sleep(1.0)
    assert away.heard == []
    await check(house, [rfq_id])
