"""The sealed auction's pure functions: admission by the stamp, the written tie-break, cover, notices."""

from typing import Any

import pytest
from examples import ACME, MID, WINDOW_S, at, quote, request

from rfq.domain.auction import Admission, admit, best_won, cover, neutral_notices, outcome_notices, rank, silent
from rfq.domain.errors import BadInput
from rfq.domain.events import NoticeKind
from rfq.domain.quote import Quote, QuoteStatus, RequestStatus
from rfq.domain.rfq import RequestSide
from rfq.domain.values import DealerId, Price, QuoteId, RequestId, Side

ASKED = request("a")
US = 1e-6


# --- admission -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received_s", "admission"),
    [
        (0.0, Admission.NEW),
        (WINDOW_S - US, Admission.NEW),
        (WINDOW_S, Admission.NEW),
        (WINDOW_S + US, Admission.LATE),
        (WINDOW_S + 30, Admission.LATE),
    ],
)
def test_the_stamp_alone_decides_what_is_late(received_s: float, admission: Admission) -> None:
    assert admit(ASKED, quote("a", received_s=received_s), None, ACME) is admission


def test_a_revision_in_time_replaces_and_a_late_one_does_not() -> None:
    first = quote("a")
    assert admit(ASKED, quote("a", revision=2, received_s=WINDOW_S), first, ACME) is Admission.REVISED
    assert admit(ASKED, quote("a", revision=2, received_s=WINDOW_S + US), first, ACME) is Admission.LATE


@pytest.mark.parametrize("received_s", [2.0, WINDOW_S + 5, 100.0])
@pytest.mark.parametrize("status", list(QuoteStatus))
def test_resending_is_harmless_whenever_it_comes(status: QuoteStatus, received_s: float) -> None:
    """Even once the quote has expired (at 60 s), or was lifted."""
    first = quote("a").but(status=status)
    assert admit(ASKED, quote("a", received_s=received_s), first, ACME) is Admission.REPEATED


def test_an_older_revision_is_refused() -> None:
    with pytest.raises(BadInput, match="must be above 3"):
        admit(ASKED, quote("a", revision=2), quote("a", revision=3), ACME)


@pytest.mark.parametrize("status", [s for s in QuoteStatus if s is not QuoteStatus.LIVE])
def test_only_a_live_quote_can_be_revised(status: QuoteStatus) -> None:
    with pytest.raises(BadInput) as caught:
        admit(ASKED, quote("a", revision=2), quote("a").but(status=status), ACME)
    assert caught.value.field == "quote_id" and status.value in caught.value.rule


@pytest.mark.parametrize(
    ("side", "changes", "field"),
    [
        (RequestSide.BUY, {"offer": MID + 11}, "offer.price"),
        (RequestSide.BUY, {"offer": MID + 10, "bid": MID - 11}, "bid.price"),
        (RequestSide.BUY, {"bid": MID - 10}, "offer"),
        (RequestSide.SELL, {"offer": MID + 10}, "bid"),
        (RequestSide.TWO_WAY, {"offer": MID + 10}, "bid and offer"),
        (RequestSide.TWO_WAY, {"bid": MID - 10}, "bid and offer"),
        (RequestSide.BUY, {"expires_s": 1.0}, "expires_at"),
        (RequestSide.BUY, {"expires_s": 0.5}, "expires_at"),
    ],
)
def test_a_quote_that_breaks_the_rules_is_refused(side: RequestSide, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as caught:
        admit(request("a", side), quote("a", **changes), None, ACME)
    assert caught.value.field == field


@pytest.mark.parametrize("changes", [{"dealer_id": DealerId("b")}, {"request_id": RequestId("request-z")}])
def test_a_quote_id_belongs_to_one_request(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="another request"):
        admit(ASKED, quote("a", revision=2), quote("a", **changes), ACME)


@pytest.mark.parametrize(
    "changes",
    [
        {"offer": 0},
        {"quantity": 0},
        {"minimum": 101},
        {"minimum": -1},
        {"offer": MID, "bid": MID},
        {"offer": MID - 10, "bid": MID},
        {"revision": 0},
        {"firm": True, "last_look_s": 1.0},
        {"firm": False, "last_look_s": 0.0},
        {"last_look_s": 61.0},
        {"last_look_s": float("nan")},
        {"offer": None, "bid": None, "sides": None},
    ],
)
def test_a_quote_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        if "sides" in changes:
            quote("a").but(offer=None)
        else:
            quote("a", **changes)


# --- ranking ---------------------------------------------------------------------------------------------------------


def dealers(*ranked: Quote, side: Side = Side.BUY, at_s: float = WINDOW_S, limit: int | None = None) -> list[str]:
    found = rank(ranked, side, at(at_s), None if limit is None else Price(limit))
    assert [r.rank for r in found] == list(range(1, len(found) + 1))
    return [str(r.dealer_id) for r in found]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"offer": MID + 10}, {"offer": MID + 12, "quantity": 500, "received_s": 0.1}),
        ({"quantity": 101, "received_s": 5.0}, {"quantity": 100}),
        ({"received_s": 5.0}, {"last_look_s": 1.0}),
        ({"received_s": 1.0}, {"received_s": 1.0 + US}),
    ],
    ids=["price", "quantity", "firm", "arrival"],
)
def test_the_tie_break_in_its_written_order(better: dict[str, Any], worse: dict[str, Any]) -> None:
    # Named so that the last tie-break, the dealer's id, would say the opposite.
    assert dealers(quote("a", **worse), quote("z", **better)) == ["z", "a"]


def test_the_last_tie_break_is_the_dealers_id() -> None:
    assert dealers(quote("b"), quote("c"), quote("a")) == ["a", "b", "c"]


def test_a_seller_hits_the_highest_bid() -> None:
    assert dealers(quote("a", bid=MID - 20), quote("b", bid=MID - 10), side=Side.SELL) == ["b", "a"]


def test_a_two_way_quote_stands_on_the_side_that_is_traded() -> None:
    quotes = [quote("a", MID + 30, bid=MID - 10), quote("b", MID + 10, bid=MID - 30)]
    assert dealers(*quotes, side=Side.BUY) == ["b", "a"]
    assert dealers(*quotes, side=Side.SELL) == ["a", "b"]


def test_a_quote_without_the_side_does_not_stand() -> None:
    assert dealers(quote("a", bid=MID - 10), quote("b")) == ["b"]


@pytest.mark.parametrize(
    ("side", "limit", "standing"),
    [
        (Side.BUY, MID + 10, ["a"]),
        (Side.BUY, MID + 9, []),
        (Side.BUY, MID + 20, ["a", "b"]),
        (Side.SELL, MID - 10, ["a"]),
        (Side.SELL, MID - 9, []),
        (Side.SELL, MID - 20, ["a", "b"]),
    ],
)
def test_the_hidden_limit_keeps_out_what_is_beyond_it(side: Side, limit: int, standing: list[str]) -> None:
    quotes = [quote("a", MID + 10, bid=MID - 10), quote("b", MID + 20, bid=MID - 20)]
    assert dealers(*quotes, side=side, limit=limit) == standing


@pytest.mark.parametrize(("at_s", "standing"), [(59.999, ["a"]), (60.0, []), (61.0, [])])
def test_an_expired_quote_does_not_stand(at_s: float, standing: list[str]) -> None:
    assert dealers(quote("a", expires_s=60.0), at_s=at_s) == standing


@pytest.mark.parametrize("status", [s for s in QuoteStatus if s is not QuoteStatus.LIVE])
def test_only_live_quotes_stand(status: QuoteStatus) -> None:
    assert dealers(quote("a").but(status=status)) == []


def test_a_dealer_competes_with_its_best_quote_only() -> None:
    second = quote("a", MID + 8, quote_id=QuoteId("quote-a2"))
    found = rank([quote("a"), second, quote("b", MID + 9 + 1)], Side.BUY, at(WINDOW_S))
    assert [(r.dealer_id, r.quote_id) for r in found] == [("a", "quote-a2"), ("b", "quote-b")]


# --- cover and notices -----------------------------------------------------------------------------------------------


WON = quote("w", MID + 10).but(status=QuoteStatus.CONFIRMED)


def test_cover_is_the_best_price_of_those_who_won_nothing() -> None:
    second_of_winner = quote("w", MID + 11 + 1, quote_id=QuoteId("w2"))
    losers = [quote("b", MID + 20).but(status=QuoteStatus.LOST), quote("c", MID + 14).but(status=QuoteStatus.EXPIRED)]
    assert cover([WON, second_of_winner, *losers], Side.BUY) == MID + 14
    assert best_won([WON, *losers], Side.BUY) == MID + 10


@pytest.mark.parametrize("status", [QuoteStatus.WITHDRAWN, QuoteStatus.REFUSED, QuoteStatus.LATE, QuoteStatus.UNKNOWN])
def test_what_could_not_have_traded_is_no_cover(status: QuoteStatus) -> None:
    assert cover([WON, quote("b").but(status=status)], Side.BUY) is None


def test_cover_and_best_follow_the_side() -> None:
    quotes = [
        quote("w", bid=MID - 10).but(status=QuoteStatus.CONFIRMED),
        quote("x", bid=MID - 12).but(status=QuoteStatus.CONFIRMED),
        quote("b", bid=MID - 20).but(status=QuoteStatus.LOST),
        quote("c", bid=MID - 14).but(status=QuoteStatus.LOST),
    ]
    assert cover(quotes, Side.SELL) == MID - 14
    assert best_won(quotes, Side.SELL) == MID - 10
    assert best_won([], Side.SELL) is None and cover([], Side.SELL) is None


def test_the_silent_are_those_who_have_not_answered() -> None:
    asked = [request(str(n)).but(status=status) for n, status in enumerate(RequestStatus)]
    assert {r.status for r in silent(asked)} == {RequestStatus.ASKED, RequestStatus.UNREACHED}


REQUESTS = [request(d) for d in ("w", "b", "c", "late", "mute")]
QUOTES = [
    WON,
    quote("b", MID + 20).but(status=QuoteStatus.LOST),
    quote("c", MID + 14).but(status=QuoteStatus.LOST),
    quote("late").but(status=QuoteStatus.LATE),
]


def told(notices: Any) -> dict[str, NoticeKind]:
    assert all(n.request_id == f"request-{n.dealer_id}" for n in notices)
    return {n.dealer_id: n.kind for n in notices}


def test_neutral_notices_say_only_that_it_is_over() -> None:
    assert told(neutral_notices(REQUESTS, frozenset({DealerId("w")}))) == dict.fromkeys(
        ["b", "c", "late", "mute"], NoticeKind.EXPIRED
    )


def test_outcome_notices_tell_cover_to_the_best_loser_alone() -> None:
    assert told(outcome_notices(REQUESTS, QUOTES, frozenset({DealerId("w")}), Side.BUY)) == {
        "b": NoticeKind.DONE_AWAY,
        "c": NoticeKind.COVER,
        "late": NoticeKind.EXPIRED,
        "mute": NoticeKind.EXPIRED,
    }


@pytest.mark.parametrize(("winners", "side"), [(frozenset(), Side.BUY), (frozenset({DealerId("w")}), None)])
def test_when_nothing_traded_everybody_hears_expired(winners: frozenset[DealerId], side: Side | None) -> None:
    kinds = set(told(outcome_notices(REQUESTS, QUOTES, winners, side)).values())
    assert kinds == {NoticeKind.EXPIRED}
