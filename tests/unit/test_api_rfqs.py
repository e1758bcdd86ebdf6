"""The routes of an RFQ over blocks held in memory: what goes in, what comes back, what stays sealed."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from edge_double import BODY, House, shared_house, tell_groups
from examples import at, quote, request, terms
from stored_blocks import life_of

from rfq.domain import events as ev
from rfq.domain.errors import BadInput, StoreUnavailable
from rfq.domain.rfq import RequestSide
from rfq.domain.values import AuctionId, Price, Quantity, RfqId, Side, Symbol
from rfq.ports import DealerOutcome

LIFE = life_of("rfq-1", desk="alpha")


@pytest.fixture
def house() -> House:
    return shared_house().fresh()


async def post(house: House, body: Any, key: str | None = "key-1", desk: str = "k-alpha") -> Any:
    async with house.http(desk) as http:
        return await http.post("/v1/rfqs", json=body, headers={"Idempotency-Key": key} if key else {})


async def get(house: House, path: str, key: str = "k-alpha", **query: Any) -> Any:
    async with house.http(key) as http:
        answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


# --- creating -------------------------------------------------------------------------------------------------------


async def test_created_once_then_found_by_its_key(house: House) -> None:
    first = await post(house, BODY)
    assert (first.status_code, first.headers["location"]) == (201, "/v1/rfqs/rfq-1")
    told = first.json()
    assert (told["desk_id"], told["status"], told["unfilled"], told["filled"]) == ("alpha", "received", "10000", "0")
    assert told["terms"]["legs"][0]["limit_price"] == "101.25"
    assert told["arrival"]["mid"] == "100"
    again = await post(house, dict(reversed(BODY.items())))
    assert (again.status_code, again.json()["rfq_id"]) == (200, "rfq-1")
    assert len(house.held.blocks) == 1


async def test_the_key_is_the_desks_own_and_stands_for_one_body(house: House) -> None:
    await post(house, BODY)
    other = await post(house, {**BODY, "min_fill": "600"})
    assert (other.status_code, other.json()["type"]) == (422, "urn:sotto:problem:key-reused")
    assert (await post(house, BODY, desk="k-beta")).status_code == 201
    assert (await post(house, {**BODY, "min_fill": "600"}, key="key-2")).status_code == 201


@pytest.mark.parametrize("key", [None, " ", "x" * 129, "caf\xe9"])
async def test_the_key_is_needed(house: House, key: str | None) -> None:
    async with house.http("k-alpha") as http:
        headers = {} if key is None else {"Idempotency-Key": key.encode("latin-1")}
        answer = await http.post("/v1/rfqs", json=BODY, headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key"), answer.text
    assert house.held.called == []


async def test_a_bad_body_reaches_nobody(house: House) -> None:
    answer = await post(house, {**BODY, "min_fill": "50"})
    told = answer.json()
    assert (answer.status_code, told["field"], told["value"]) == (400, "min_fill", "50")
    assert told["rule"] == "must be a multiple of the lot 100"
    assert house.held.called == []


async def test_a_refusal_that_counts_lots_is_told_in_the_callers_words(house: House) -> None:
    house.held.fails = BadInput("legs[0].quantity", 100, "is too large today")
    assert (await post(house, BODY)).json()["value"] == "10000"


async def test_a_body_too_large(house: House) -> None:
    answer = await post(house, {**BODY, "client_order_id": "x" * 70_000})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:sotto:problem:too-large")


async def test_a_command_out_of_time_goes_on_to_its_end() -> None:
    house = House(request_timeout_s=0.05)
    house.held.slow_s = 0.2
    answer = await post(house, BODY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["type"] == "urn:sotto:problem:timeout"
    assert not house.held.blocks
    async with asyncio.timeout(5):
        while not house.held.blocks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    house.held.slow_s = 0.0
    again = await post(house, BODY)
    assert (again.status_code, again.json()["rfq_id"]) == (200, "rfq-1")


# --- reading --------------------------------------------------------------------------------------------------------


async def test_pages_follow_each_other(house: House) -> None:
    for n in range(5):
        await post(house, BODY, key=f"key-{n}")
    seen, cursor = [], None
    while True:
        page = await get(house, "/v1/rfqs", limit=2, **({"before": cursor} if cursor else {}))
        seen += [r["rfq_id"] for r in page["rfqs"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == [f"rfq-{n}" for n in (5, 4, 3, 2, 1)]
    assert (await get(house, "/v1/rfqs", status="done"))["rfqs"] == []


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=x", "limit"), ("status=odd", "status"), ("page=2", "page")]
)
async def test_bad_queries(house: House, query: str, field: str) -> None:
    async with house.http("k-alpha") as http:
        answer = await http.get(f"/v1/rfqs?{query}")
    assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_a_whole_life(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    rfq = await get(house, "/v1/rfqs/rfq-1")
    assert (rfq["status"], rfq["over"], rfq["filled"], rfq["unfilled"]) == ("done", True, "9000", "1000")
    (auction,) = (await get(house, "/v1/rfqs/rfq-1/auctions"))["auctions"]
    assert (auction["best"], auction["cover"], auction["time_left_s"]) == ("100.02", "100.03", 0)
    assert [r["status"] for r in auction["requests"]] == ["quoted", "quoted", "declined"]
    awards = await get(house, "/v1/rfqs/rfq-1/awards")
    assert awards["awards"][0]["allocations"][0]["quantity"] == "4000"
    assert (awards["lifts"][0]["status"], awards["lifts"][0]["price"]) == ("confirmed", "100.02")
    (parent,) = (await get(house, "/v1/rfqs/rfq-1/orders"))["parents"]
    assert (parent["quantity"], parent["filled"], parent["status"]) == ("6000", "5000", "done")
    assert [(c["status"], c["quantity"], c["filled"], c["price"]) for c in parent["children"]] == [
        ("cancelled", "6000", "5000", "100")
    ]
    fills = (await get(house, "/v1/rfqs/rfq-1/fills"))["fills"]
    assert [(f["where"], f["quantity"]) for f in fills] == [("quote", "4000"), ("lit", "5000")]


def quoting(house: House) -> None:
    """rfq-1 of desk alpha, its auction open, one quote in."""
    auction = AuctionId("auction-1")
    house.held.tell("rfq-1", ev.RfqReceived(RfqId("rfq-1"), "alpha", terms(), life_of("rfq-1")[0][0].arrival))  # type: ignore[arg-type]
    asked = ev.DealersAsked(auction, 1, at(10), (request("d1"),))
    house.held.tell("rfq-1", ev.AuctionOpened(auction), asked, ev.QuoteReceived(quote("d1", 20_004)))


@pytest.mark.parametrize("key", ["k-alpha", "k-super"])
async def test_quotes_are_sealed_until_the_close_for_everyone(house: House, key: str) -> None:
    quoting(house)
    house.clock.time = at(4)
    (sealed,) = (await get(house, "/v1/rfqs/rfq-1/quotes", key))["quotes"]
    assert (sealed["sealed"], sealed["bid"], sealed["offer"], sealed["dealer_id"]) == (True, None, None, "d1")
    (auction,) = (await get(house, "/v1/rfqs/rfq-1/auctions", key))["auctions"]
    assert (auction["status"], auction["time_left_s"]) == ("open", 6)
    audit = await get(house, "/v1/audit/rfqs/rfq-1", "k-super")
    for told in (sealed, auction, audit):
        assert "100.02" not in json.dumps(told)
    house.held.tell("rfq-1", ev.AuctionClosed(AuctionId("auction-1")))
    (shown,) = (await get(house, "/v1/rfqs/rfq-1/quotes", key))["quotes"]
    assert (shown["sealed"], shown["offer"]["price"], shown["offer"]["quantity"]) == (False, "100.02", "10000")
    assert "100.02" in json.dumps(await get(house, "/v1/audit/rfqs/rfq-1", "k-super"))


async def test_the_report_accounts_for_the_block_and_waits_for_the_close(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE[:3])
    async with house.http("k-alpha") as http:
        early = await http.get("/v1/rfqs/rfq-1/report")
    assert (early.status_code, early.json()["state"]) == (409, "auctioning")
    assert "100.02" not in early.text
    tell_groups(house.held, "rfq-1", LIFE[3:])
    told = await get(house, "/v1/rfqs/rfq-1/report")
    assert [Decimal(told[name]) for name in ("asked", "filled", "unfilled")] == [10_000, 9_000, 1_000]
    assert [(p["where"], Decimal(p["quantity"])) for p in told["places"]] == [
        ("quote", 4_000),
        ("lit", 5_000),
        ("dark", 0),
    ]
    assert [d["dealer_id"] for d in told["dealers"]] == ["d1", "d2", "d3"]
    shortfall = told["shortfall"]
    parts = [Decimal(shortfall[name]["money"]) for name in shortfall if name != "total"]
    assert sum(parts) == Decimal(shortfall["total"]["money"])


async def test_the_audit_pages_through_every_event(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    first = await get(house, "/v1/audit/rfqs/rfq-1", "k-super", limit=20)
    rest = await get(house, "/v1/audit/rfqs/rfq-1", "k-super", after=first["next"])
    seen = [e["sequence"] for e in (*first["events"], *rest["events"])]
    assert seen == list(range(1, len(house.held.histories[RfqId("rfq-1")]) + 1))
    assert rest["next"] is None


# --- commands -------------------------------------------------------------------------------------------------------


async def test_cancelling_says_what_is_done(house: House) -> None:
    await post(house, BODY)
    async with house.http("k-alpha") as http:
        answer = await http.post("/v1/rfqs/rfq-1/cancel")
    assert answer.status_code == 200
    assert answer.json()["done"] == ["100 at 100 with D01"]
    assert answer.json()["rfq"]["cancelling"] is True
    assert house.held.called[-1] == ("cancel", ("rfq-1", "desk:alpha"))


async def test_what_is_over_cannot_be_cancelled(house: House) -> None:
    tell_groups(house.held, "rfq-1", LIFE)
    async with house.http("k-alpha") as http:
        answer = await http.post("/v1/rfqs/rfq-1/cancel")
    assert (answer.status_code, answer.json()["state"], answer.json()["blame"]) == (409, "done", "state")


async def test_a_manual_award_arrives_in_lots(house: House) -> None:
    quoting(house)
    body = {"picks": [{"quote_id": "q1", "quantity": "500", "revision": 1}]}
    async with house.http("k-alpha") as http:
        answer = await http.post("/v1/rfqs/rfq-1/awards", json=body)
        house.held.fails = BadInput("picks[0].quantity", 5, "must be from 1 to 4 lots")
        refused = await http.post("/v1/rfqs/rfq-1/awards", json=body)
    assert answer.status_code == 201
    assert answer.json()["allocations"][0]["quantity"] == "500"
    (_, (_, (pick,), by)) = house.held.called[0]
    assert (pick.quantity, pick.revision, by) == (Quantity(5), 1, "desk:alpha")
    assert refused.json()["value"] == "500"


async def test_a_supervisor_settles(house: House) -> None:
    quoting(house)
    body = {"lift_id": "lift-1", "answer": "confirmed", "evidence": "telephone", "quantity": "300"}
    async with house.http("k-super") as http:
        assert (await http.post("/v1/rfqs/rfq-1/settle", json=body)).status_code == 200
        assert (await http.post("/v1/rfqs/rfq-1/settle", json={"evidence": "break booked"})).status_code == 200
    by = "supervisor:sam"
    assert house.held.called == [
        ("settle", ("rfq-1", "lift-1", "confirmed", "telephone", by, Quantity(3))),
        ("settle", ("rfq-1", None, None, "break booked", by, None)),
    ]


async def test_a_supervisor_settles_a_child_order(house: House) -> None:
    quoting(house)
    path = "/v1/rfqs/rfq-1/orders/child-1/settle"
    body = {"filled": "300", "price": "100.01", "evidence": "their ticket"}
    async with house.http("k-super") as http:
        assert (await http.post(path, json=body)).status_code == 200
        assert (await http.post(path, json={"filled": "0", "evidence": "never arrived"})).status_code == 200
        for wrong in ({"filled": "-100"}, {"filled": "150"}, {"price": "1e2"}, {"evidence": ""}):
            refused = await http.post(path, json=body | wrong)
            assert (refused.status_code, refused.json()["field"]) == (400, next(iter(wrong)))
    by = "supervisor:sam"
    assert house.held.called == [
        ("settle_order", ("rfq-1", "child-1", Quantity(3), Price(20_002), "their ticket", by)),
        ("settle_order", ("rfq-1", "child-1", Quantity(0), None, "never arrived", by)),
    ]


async def test_the_kill_switch_acts_while_the_database_is_away(house: House) -> None:
    async with house.http("k-ops") as http:
        assert (await http.get("/v1/kill-switch")).json() == {"thrown": False, "reason": None, "recorded": True}
        house.keys.away = True
        house.held.fails = StoreUnavailable("away")
        thrown = await http.post("/v1/kill-switch", json={"reason": "drill"})
        assert thrown.json() == {"thrown": True, "reason": "drill (operator:ops)", "recorded": False}
        assert (await http.delete("/v1/kill-switch")).status_code == 503
        house.held.fails = None
        assert (await http.delete("/v1/kill-switch")).json()["thrown"] is False


async def test_limits_are_set_for_desks_that_are_there(house: House) -> None:
    body = {"largest_block": "1000000.5", "open_rfqs": 3, "largest_share_of_adv": 0.1}
    async with house.http("k-super") as http:
        assert (await http.put("/v1/limits/gamma", json=body)).status_code == 404
        told = await http.put("/v1/limits/alpha", json=body)
        assert told.json() == {"desk_id": "alpha", **body} == (await http.get("/v1/limits/alpha")).json()


# --- choosing -------------------------------------------------------------------------------------------------------


async def test_a_plan_ranks_without_asking(house: House) -> None:
    async with house.http("k-alpha") as http:
        told = (await http.post("/v1/plans", json=BODY)).json()
    assert (told["expected_cost_bps"], told["mid"], told["model_version"]) == (5.0, "100", "v1")
    assert [(d["dealer_id"], d["chosen"], d["marginal_bps"]) for d in told["ranking"]] == [
        ("D01", True, 4.0),
        ("D02", False, 0.5),
    ]
    assert told["ranking"][0]["quote_cost_bps"]["0.5"] == 3.0
    assert told["residual"] == [{"quantity": "0", "cost_bps": 0.0}, {"quantity": "10000", "cost_bps": 9.0}]
    assert [name for name, _ in house.held.called] == ["plan"]


def outcome(dealer: str, **changes: Any) -> DealerOutcome:
    given: dict[str, Any] = {
        "request_id": "r",
        "rfq_id": "rfq-1",
        "dealer_id": dealer,
        "symbol": Symbol("ACME"),
        "side": Side.SELL,
        "shown_side": RequestSide.SELL,
        "quantity": Quantity(10),
        "asked": 3,
        "propensity": 0.5,
        "session_at": at(0),
        "market_at": at(0),
        "mid_at_ask": 20_000,
        "anonymous": True,
        "answered": True,
        "response_s": 2.0,
        "quote_price": 19_990,
        "mid_at_quote": 20_000,
        "lifted": False,
        "confirmed": False,
        "refused": False,
        "window_s": 10.0,
        "withdrawn": False,
        "mark_outs": (None, 1.0, 4.0, None, None),
        "controls": (None, 0.0, 1.5, None, None),
    }
    return DealerOutcome(**(given | changes))


async def test_dealers_with_their_records(house: House) -> None:
    silent = {"answered": False, "response_s": None, "quote_price": None, "mid_at_quote": None}
    house.history.rows = [
        outcome("D01"),
        outcome("D01", response_s=4.0, lifted=True, refused=True),
        outcome("D01", **silent),
        outcome("D09", **silent, mark_outs=(None,) * 5),
    ]
    first, second = (await get(house, "/v1/dealers"))["dealers"]
    assert (first["dealer_id"], first["connected"], first["asked"], first["answered"]) == ("D01", True, 3, 2)
    assert (first["lifted"], first["confirmed"], first["refused"], first["response_s"]) == (1, 0, 1, 3.0)
    assert first["quote_cost_bps"] == pytest.approx(5.0)
    assert first["after_losing_bps"] == pytest.approx(2.5)
    assert (second["dealer_id"], second["connected"], second["after_losing_bps"]) == ("D09", False, None)


async def test_instruments_in_shares_and_money(house: House) -> None:
    (told,) = (await get(house, "/v1/instruments", "k-d1"))["instruments"]
    assert (told["symbol"], told["lot"], told["adv"]) == ("ACME", "100", "2000000")
    assert told["ticks"] == [{"from_price": "0", "tick": "0.01"}]
