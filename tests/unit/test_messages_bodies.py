"""Bodies: what is let in exactly, and that each refusal names field, value and rule."""

import json
from typing import Any

import pytest
from edge_double import BODY
from examples import ACME

from rfq.api import parse, render
from rfq.api.messages import AwardBody, KillBody, LimitsBody, PickBody, RfqBody, SettleBody
from rfq.api.parse import BodyReader
from rfq.domain.errors import BadInput
from rfq.domain.rfq import RequestSide
from rfq.domain.values import Price, Quantity

INSTRUMENTS = {ACME.symbol: ACME}
RFQS = BodyReader(RfqBody)


def changed(**changes: Any) -> dict[str, Any]:
    return {**BODY, **changes}


def leg(**changes: Any) -> dict[str, Any]:
    return changed(legs=[{**BODY["legs"][0], **changes}])


def without(name: str) -> dict[str, Any]:
    first = {k: v for k, v in BODY["legs"][0].items() if k != name}
    return changed(legs=[first])


RESIDUAL = {
    "horizon_s": 3600.0,
    "max_participation": 0.1,
    "urgency": "medium",
    "schedule": "learned",
    "venues": [],
}
REFUSED: list[tuple[Any, str, Any, str]] = [
    (changed(colour="red"), "colour", "red", "is not a field"),
    (leg(colour="red"), "legs[0].colour", "red", "is not a field"),
    (changed(residual={"horizon_s": 60, "speed": 2}), "residual.speed", 2, "is not a field"),
    ({k: v for k, v in BODY.items() if k != "legs"}, "legs", None, "is required"),
    (without("symbol"), "legs[0].symbol", None, "is required"),
    (without("quantity"), "legs[0].quantity", None, "is required"),
    (leg(quantity=10000), "legs[0].quantity", 10000, "must be str, not int"),
    (leg(limit_price=101.25), "legs[0].limit_price", 101.25, "must be str"),
    (leg(side="hold"), "legs[0].side", "hold", "not one of the values"),
    (changed(all_or_none="yes"), "all_or_none", "yes", "must be bool"),
    (changed(max_dealers="8"), "max_dealers", "8", "must be int"),
    (changed(max_dealers=2.5), "max_dealers", 2.5, "must be int"),
    (changed(quote_window_s="10"), "quote_window_s", "10", "must be float"),
    (changed(include=["D01", 7]), "include[1]", 7, "must be str"),
    (changed(award="by_hand"), "award", "by_hand", "not one of the values"),
    (changed(residual={"horizon_s": 60, "urgency": "now"}), "residual.urgency", "now", "not one of the values"),
    (leg(symbol="NOPE"), "legs[0].symbol", "NOPE", "must be an instrument"),
    (leg(limit_price="101.253"), "legs[0].limit_price", "101.253", "multiple of"),
    (leg(limit_price="101.255"), "legs[0].limit_price", "101.255", "multiple of the tick 0.01"),
    (leg(limit_price="-1"), "legs[0].limit_price", "-1", "positive"),
    (leg(limit_price="0"), "legs[0].limit_price", "0", "positive"),
    (leg(limit_price="1e2"), "legs[0].limit_price", "1e2", "decimal string"),
    (leg(quantity="NaN"), "legs[0].quantity", "NaN", "decimal string"),
    (leg(quantity="10050"), "legs[0].quantity", "10050", "multiple of the lot 100"),
    (leg(quantity="100.5"), "legs[0].quantity", "100.5", "multiple of the lot 100"),
    (leg(quantity="0"), "legs[0].quantity", "0", "must be positive"),
    (leg(quantity="-100"), "legs[0].quantity", "-100", "must be positive"),
    (leg(quantity="1" + "0" * 30), "legs[0].quantity", "1" + "0" * 30, "below 1e18"),
    (changed(min_fill="10100"), "min_fill", "10100", "between 0 and the quantity"),
    (changed(min_fill="150"), "min_fill", "150", "multiple of the lot"),
    (changed(legs=[]), "legs", 0, "exactly one leg"),
    (changed(legs=BODY["legs"] * 2), "legs", 2, "exactly one leg"),
    (leg(intent="buy"), "legs[0].intent", "buy", "only for side two_way"),
    (leg(side="two_way"), "legs[0].intent", None, "is needed"),
    (changed(all_or_none=True), "residual", RESIDUAL, "cannot stand beside all_or_none"),
    (changed(min_dealers=9), "max_dealers", 8, "from min_dealers"),
    (changed(first_wave=8), "first_wave", 8, "below max_dealers"),
    (changed(include=["D01"], exclude=["D01"]), "exclude", ["D01"], "also in include"),
    (changed(include=["D01", "D01"]), "include", "D01", "named twice"),
    (changed(exclude=[""]), "exclude[0]", "", "printable"),
    (changed(exclude=["a\nb"]), "exclude[0]", "a\nb", "printable"),
    (changed(client_order_id="x" * 65), "client_order_id", "x" * 65, "characters"),
    (changed(quote_window_s=0), "quote_window_s", 0.0, "between"),
    (changed(residual={"horizon_s": 0}), "residual.horizon_s", 0.0, "between 1 and 86400"),
    (changed(residual={"horizon_s": 60, "max_participation": 1.5}), "residual.max_participation", 1.5, "at most 1"),
    ([BODY], "body", [BODY], "must be object"),
    ("text", "body", "text", "must be object"),
    (None, "body", None, "must be object"),
]


@pytest.mark.parametrize(("body", "field", "value", "rule"), REFUSED, ids=[f"{r[1]}: {r[3]}" for r in REFUSED])
def test_a_bad_body_is_refused_by_field_value_and_rule(body: Any, field: str, value: Any, rule: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse.terms(RFQS.read(json.dumps(body).encode()), INSTRUMENTS)
    assert (refused.value.field, refused.value.value) == (field, value)
    assert rule in refused.value.rule


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000, b"\x00", b'{"legs": NaN}'])
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        RFQS.read(raw)
    assert refused.value.field == "body"


def test_the_exact_terms_come_through() -> None:
    terms, instrument = parse.terms(RFQS.read(json.dumps(BODY).encode()), INSTRUMENTS)
    assert instrument is ACME
    assert (terms.leg.quantity, terms.leg.limit_price, terms.min_fill) == (Quantity(100), Price(20_250), Quantity(5))
    assert terms.leg.side is RequestSide.BUY
    assert terms.residual is not None and terms.residual.horizon_s == 3600


def test_terms_rendered_and_read_again_are_the_same() -> None:
    body = leg(side="two_way", intent="sell") | {
        "client_order_id": "c-1",
        "include": ["D01"],
        "exclude": ["D02", "D03"],
        "max_dealers": 5,
        "first_wave": 2,
        "anonymous": True,
        "disclose_residual": True,
        "tell_losers": "after_block",
        "award": "manual",
        "residual": {"horizon_s": 60, "urgency": "high", "schedule": "vwap", "venues": ["LIT"]},
    }
    terms, _ = parse.terms(RFQS.read(json.dumps(body).encode()), INSTRUMENTS)
    again, _ = parse.terms(render.terms(terms, ACME), INSTRUMENTS)
    assert again == terms


PICK = {"quote_id": "q1", "quantity": "500"}


@pytest.mark.parametrize(
    ("picks", "field", "value", "rule"),
    [
        ([], "picks", 0, "1 to 20"),
        ([PICK] * 2, "picks[1].quote_id", "q1", "picked twice"),
        ([{**PICK, "quantity": "50"}], "picks[0].quantity", "50", "multiple of the lot"),
        ([{**PICK, "quantity": "0"}], "picks[0].quantity", "0", "positive"),
        ([{**PICK, "revision": 0}], "picks[0].revision", 0, "at least 1"),
        ([{**PICK, "quote_id": ""}], "picks[0].quote_id", "", "printable"),
        ([{**PICK, "side": "both"}], "picks[0].side", "both", "not one of the values"),
        ([{"quote_id": "q1"}], "picks[0].quantity", None, "is required"),
    ],
)
def test_bad_picks(picks: Any, field: str, value: Any, rule: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse.picks(BodyReader(AwardBody).read(json.dumps({"picks": picks}).encode()), ACME)
    assert (refused.value.field, refused.value.value) == (field, value)
    assert rule in refused.value.rule


def test_picks_come_through_in_lots() -> None:
    (pick,) = parse.picks(AwardBody(picks=(PickBody(quote_id="q1", quantity="500", revision=2),)), ACME)
    assert (pick.quote_id, pick.quantity, pick.revision, pick.side) == ("q1", Quantity(5), 2, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"evidence": "", "lift_id": "l", "answer": "refused"}, "evidence"),
        ({"evidence": "call", "lift_id": "l"}, "answer"),
        ({"evidence": "call", "answer": "refused"}, "answer"),
        ({"evidence": "call", "lift_id": "l", "answer": "perhaps"}, "answer"),
        ({"evidence": "call", "lift_id": "l", "answer": "refused", "quantity": "100"}, "quantity"),
        ({"evidence": "call", "lift_id": "l", "answer": "confirmed", "quantity": "150"}, "quantity"),
        ({"lift_id": "l", "answer": "confirmed"}, "evidence"),
    ],
)
def test_bad_settlements(body: Any, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse.settled_quantity(BodyReader(SettleBody).read(json.dumps(body).encode()), ACME)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"largest_block": "-1"}, "largest_block"),
        ({"largest_block": "lots"}, "largest_block"),
        ({"largest_block": "Infinity"}, "largest_block"),
        ({"largest_block": 5}, "largest_block"),
        ({"open_rfqs": -1}, "open_rfqs"),
        ({"largest_share_of_adv": 0}, "largest_share_of_adv"),
        ({"other": 1}, "other"),
    ],
)
def test_bad_limits(changes: dict[str, Any], field: str) -> None:
    good = {"largest_block": "1000000.50", "open_rfqs": 5, "largest_share_of_adv": 0.25}
    reader = BodyReader(LimitsBody)
    assert str(parse.limits(reader.read(json.dumps(good).encode())).largest_block) == "1000000.50"
    with pytest.raises(BadInput) as refused:
        parse.limits(reader.read(json.dumps(good | changes).encode()))
    assert refused.value.field == field


def test_a_kill_needs_a_reason() -> None:
    with pytest.raises(BadInput) as refused:
        parse.reason(KillBody(reason=""))
    assert refused.value.field == "reason"
