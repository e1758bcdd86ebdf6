"""The protocol's words: strict, the same in both encodings, and every one of them on the protocol's page."""

from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealers import wire
from dealers.codec import MAX_FRAME, Malformed, dealer_side, sotto_side
from dealers.faults import Allowance, told
from rfq.domain.errors import BadInput, LimitBreached, NotFound, OurFault, PeerGone, StoreUnavailable

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dealer-protocol.md"
NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
SIDE = wire.QuotedSide("100.25", "5000", "100")
FROM_DEALER = [
    wire.Logon(1, "session-1", 7, True),
    wire.Quote("r1", "q1", 2, SIDE, wire.QuotedSide("100.5", "1"), None, 12.5, False, 1.5),
    wire.Quote("r1", "q1", expires_at=NOW),
    wire.QuoteCancel("r1", "q1"),
    wire.Decline("r1", wire.DeclineReason.NO_INVENTORY),
    wire.Confirm("l1"),
    wire.Confirm("l1", "300"),
    wire.Refuse("l1", "last look"),
    wire.Status("l1", "pending"),
    wire.TradeAck("l1"),
    wire.Resend(3),
    wire.Heartbeat(),
]
FROM_SOTTO = [
    wire.Session(1, "session-1", 4, 5.0, True, NOW),
    wire.QuoteRequest(1, "r1", "QDI", "buy", "500000", NOW, 9.5, "USD", "1", (wire.TickFrom("0", "0.01"),)),
    wire.Lift(2, "l1", "r1", "q1", 1, "QDI", "sell", "99.99", "5000", NOW, 2.0),
    wire.StatusRequest(3, "l1", "r1", "q1", 1),
    wire.Trade(4, "l1", "t1", "r1", "q1", 1, "QDI", "buy", "100.01", "5000", "USD", "500050", NOW),
    wire.Outcome(5, "r1", "cover"),
    wire.RequestWithdrawn(6, "r1", "closed", True),
    wire.Gap(9, 3, 7),
    wire.Error(9, "bad_input", "price: '1' must be ...", "dealer", "price", "1", "must be ...", "quote q1"),
    wire.Logout(9, "too_slow", "you do not read"),
    wire.Heartbeat(9),
]


def kinds(union: object) -> set[type]:
    return {kind for part in get_args(union) for kind in (get_args(part) or (part,))}


def test_the_examples_here_cover_every_message():
    assert {type(m) for m in FROM_DEALER} == kinds(wire.FromDealer)
    assert {type(m) for m in FROM_SOTTO} == kinds(wire.FromSotto)


@pytest.mark.parametrize("subprotocol", wire.SUBPROTOCOLS)
def test_messages_come_back_as_they_went(subprotocol):
    dealer, sotto = dealer_side(subprotocol), sotto_side(subprotocol)
    for message in FROM_DEALER:
        assert sotto.decode(dealer.encode(message)) == message
    for message in FROM_SOTTO:
        assert dealer.decode(sotto.encode(message)) == message


def test_json_is_text_with_utc_times_and_strings_for_numbers():
    frame = sotto_side(wire.JSON).encode(FROM_SOTTO[1])
    assert isinstance(frame, str)
    plain = msgspec.json.decode(frame)
    assert plain["deadline"] == "2026-03-02T14:30:00Z" and plain["quantity"] == "500000"
    assert "possible_duplicate" not in plain and "requester" not in plain


def test_one_end_does_not_take_the_other_ends_words():
    for subprotocol in wire.SUBPROTOCOLS:
        dealer, sotto = dealer_side(subprotocol), sotto_side(subprotocol)
        with pytest.raises(BadInput, match="type"):
            sotto.decode(sotto.encode(FROM_SOTTO[2]))
        with pytest.raises(BadInput, match="type"):
            dealer.decode(dealer.encode(FROM_DEALER[1]))


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200), st.just("x" * (MAX_FRAME + 1))))
def test_whatever_comes_is_a_message_or_a_typed_error(frame):
    for subprotocol in wire.SUBPROTOCOLS:
        codec = sotto_side(subprotocol)
        try:
            assert isinstance(codec.decode(frame), wire.Message)
        except (Malformed, BadInput) as error:
            assert told(error, 0, codec.gist(frame)).blame == "dealer"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(FROM_DEALER), st.sampled_from(wire.SUBPROTOCOLS), json_values, st.data())
def test_one_wrong_field_is_named(message, subprotocol, value, data):
    codec = sotto_side(subprotocol)
    plain = msgspec.to_builtins(message, builtin_types=(datetime,) if subprotocol == wire.MSGPACK else ())
    field = data.draw(st.sampled_from([*sorted(plain), "colour"]))
    plain[field] = value
    as_json = subprotocol == wire.JSON
    frame = msgspec.json.encode(plain).decode() if as_json else msgspec.msgpack.encode(plain)
    try:
        codec.decode(frame)
    except BadInput as error:
        named = error.field.split(".")[0].split("[")[0]
        # A type of another message makes fields of this one unknown or missing: then those are named.
        assert named == field or field == "type"
        assert error.rule
    else:
        assert field != "colour"


NO_NUMBERS = ["1e5", "+1", "-1", " 1", "1 ", "1\n", "1_000", "١", "", ".5", "5.", "NaN", "0x1", "1,5"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_numbers_are_plain_decimals_and_nothing_else(text):
    quote = {"type": "quote", "request_id": "r", "quote_id": "q", "bid": {"price": text, "quantity": "1"}}
    with pytest.raises(BadInput, match=r"bid\.price.*decimal string"):
        sotto_side(wire.JSON).decode(msgspec.json.encode(quote).decode())


def test_a_subprotocol_that_is_not_ours_is_bad_input():
    for name in (None, "", "sotto.v2.json"):
        with pytest.raises(BadInput, match="subprotocol"):
            sotto_side(name)


@pytest.mark.parametrize(
    ("error", "code", "blame"),
    [
        (Malformed("no"), "malformed", "dealer"),
        (BadInput("f", 1, "must not"), "bad_input", "dealer"),
        (NotFound("lift", "l1"), "not_found", "dealer"),
        (PeerGone("gone"), "bad_input", "dealer"),
        (LimitBreached("quotes", 1, 2), "refused", "rules"),
        (StoreUnavailable("where is it"), "our_fault", "us"),
        (OurFault("bug"), "our_fault", "us"),
        (KeyError("bug"), "our_fault", "us"),
    ],
)
def test_every_error_says_whose_fault_it_is(error, code, blame):
    message = told(error, 3, "quote q1")
    assert (message.code, message.blame, message.sequence, message.refers_to) == (code, blame, 3, "quote q1")
    assert blame != "us" or str(error) not in message.text


def test_an_allowance_refills_with_time_and_never_beyond_its_burst():
    now = [0.0]
    allowance = Allowance(2.0, 3.0, lambda: now[0])
    assert [allowance.spend() for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5
    assert [allowance.spend() for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert [allowance.spend() for _ in range(4)] == [True, True, True, False]


def test_the_page_names_every_message_every_field_and_every_code():
    page = PAGE.read_text(encoding="utf-8")
    for kind in kinds(wire.FromDealer) | kinds(wire.FromSotto):
        tag = kind.__struct_config__.tag
        assert f"`{tag}`" in page, f"{tag} is not on the page"
        for field in kind.__struct_fields__:
            assert f"`{field}`" in page, f"{tag}.{field} is not on the page"
    codes = [*get_args(wire.Error.__annotations__["code"]), *get_args(wire.Logout.__annotations__["code"])]
    for code in [*codes, *wire.DeclineReason, *wire.SUBPROTOCOLS]:
        assert f"`{code}`" in page, f"{code} is not on the page"
