"""The order in which quotes arrive at the ranking never changes the winner, nor anything else."""

import random

from examples import MID, WINDOW_S, at, quote, request
from hypothesis import given
from hypothesis import strategies as st

from rfq.domain.auction import cover, outcome_notices, rank
from rfq.domain.quote import Quote, QuoteStatus
from rfq.domain.values import DealerId, Price, QuoteId, Side


@st.composite
def books(draw: st.DrawFn) -> list[Quote]:
    """Quotes of a few dealers, close enough together that ties are common."""
    found: list[Quote] = []
    for n in range(draw(st.integers(0, 9))):
        found.append(
            quote(
                draw(st.sampled_from("abcde")),
                MID + 2 * draw(st.integers(1, 3)),
                draw(st.integers(1, 3)) * 10,
                bid=MID - 2 * draw(st.integers(1, 3)),
                received_s=draw(st.integers(1, 3)),
                expires_s=draw(st.sampled_from([8.0, 60.0])),
                last_look_s=draw(st.sampled_from([0.0, 1.0])),
                quote_id=QuoteId(f"quote-{n}"),
                status=draw(st.sampled_from([QuoteStatus.LIVE] * 3 + [QuoteStatus.LOST, QuoteStatus.CONFIRMED])),
            )
        )
    return found


sides = st.sampled_from(Side)
limits = st.one_of(st.none(), st.integers(MID - 8, MID + 8).map(Price))


@given(books(), sides, limits, st.randoms(use_true_random=False))
def test_arrival_order_plays_no_part(
    quotes: list[Quote], side: Side, limit: Price | None, random_: random.Random
) -> None:
    shuffled = list(quotes)
    random_.shuffle(shuffled)
    assert rank(quotes, side, at(WINDOW_S), limit) == rank(shuffled, side, at(WINDOW_S), limit)
    assert cover(quotes, side) == cover(shuffled, side)
    requests, winners = [request(d) for d in "abcde"], frozenset({DealerId("a")})
    assert outcome_notices(requests, quotes, winners, side) == outcome_notices(requests, shuffled, winners, side)


@given(books(), sides, limits)
def test_who_stands_and_in_what_order(quotes: list[Quote], side: Side, limit: Price | None) -> None:
    """Against the written rule, worked out naively: nobody standing below is better by the tie-break."""
    found = rank(quotes, side, at(WINDOW_S), limit)
    by_id = {q.quote_id: q for q in quotes}

    def key(q: Quote) -> tuple[object, ...]:
        offered = q.for_desk(side)
        assert offered is not None
        price = offered.price if side is Side.BUY else -offered.price
        return (price, -offered.quantity, 0 if q.firm else 1, q.received_at, q.dealer_id, q.quote_id)

    def may_stand(q: Quote) -> bool:
        offered = q.for_desk(side)
        assert offered is not None
        within = limit is None or (offered.price <= limit if side is Side.BUY else offered.price >= limit)
        return q.status is QuoteStatus.LIVE and q.expires_at > at(WINDOW_S) and within

    standing = [q for q in quotes if may_stand(q)]
    best = {d: min((q for q in standing if q.dealer_id == d), key=key) for d in {q.dealer_id for q in standing}}
    assert [r.quote_id for r in found] == [q.quote_id for q in sorted(best.values(), key=key)]
    for row in found:
        offered = by_id[row.quote_id].for_desk(side)
        assert offered is not None
        assert (row.price, row.quantity, row.min_quantity) == (offered.price, offered.quantity, offered.min_quantity)
        assert (row.revision, row.firm) == (by_id[row.quote_id].revision, by_id[row.quote_id].firm)
