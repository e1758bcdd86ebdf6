"""Who may call what: every route against every role, and whose RFQs a desk can see."""

from typing import Any

import httpx
import pytest
from edge_double import BODY, KEYS, House, shared_house, tell_groups
from stored_blocks import life_of

LIMITS = {"largest_block": "1000000", "open_rfqs": 5, "largest_share_of_adv": 0.25}
AWARD = {"picks": [{"quote_id": "q1", "quantity": "100"}]}
SETTLE = {"evidence": "said so by telephone"}

D, S, P, X = "desk", "supervisor", "operator", "dealer"
ACCESS: dict[tuple[str, str], tuple[set[str], Any]] = {
    ("POST", "/v1/rfqs"): ({D}, BODY),
    ("GET", "/v1/rfqs"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}"): ({D, S}, None),
    ("POST", "/v1/rfqs/{rfq_id}/cancel"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/auctions"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/quotes"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/awards"): ({D, S}, None),
    ("POST", "/v1/rfqs/{rfq_id}/awards"): ({D}, AWARD),
    ("GET", "/v1/rfqs/{rfq_id}/orders"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/fills"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/report"): ({D, S}, None),
    ("GET", "/v1/rfqs/{rfq_id}/events"): ({D, S}, None),
    ("POST", "/v1/rfqs/{rfq_id}/settle"): ({S}, SETTLE),
    ("POST", "/v1/rfqs/{rfq_id}/orders/{child_id}/settle"): ({S}, {"evidence": "their ticket", "filled": "0"}),
    ("POST", "/v1/plans"): ({D}, BODY),
    ("GET", "/v1/dealers"): ({D, S, P}, None),
    ("GET", "/v1/instruments"): ({D, S, P, X}, None),
    ("GET", "/v1/kill-switch"): ({D, S, P}, None),
    ("POST", "/v1/kill-switch"): ({S, P}, {"reason": "drill"}),
    ("DELETE", "/v1/kill-switch"): ({S, P}, None),
    ("GET", "/v1/limits/{desk_id}"): ({S}, None),
    ("PUT", "/v1/limits/{desk_id}"): ({S}, LIMITS),
    ("GET", "/v1/audit/rfqs/{rfq_id}"): ({S}, None),
    ("GET", "/metrics"): ({P}, None),
}
OPEN = {("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/schema"), ("GET", "/schema/openapi.json")}
OWNED = [key for key in ACCESS if "{rfq_id}" in key[1] and D in ACCESS[key][0]]
IDS = [f"{method} {path}" for method, path in ACCESS]


@pytest.fixture
def house() -> House:
    house = shared_house().fresh()
    tell_groups(house.held, "rfq-1", life_of("rfq-1", desk="alpha"))
    tell_groups(house.held, "rfq-2", life_of("rfq-2", desk="beta")[:3])
    return house


async def call(house: House, key: str | None, route: tuple[str, str], rfq_id: str = "rfq-1") -> httpx.Response:
    path = route[1].format(rfq_id=rfq_id, desk_id="alpha", child_id="child-1")
    params = {"after": house.held.blocks[rfq_id].sequence} if path.endswith("/events") else None  # type: ignore[index]
    async with house.http(key) as http:
        body = ACCESS[route][1]
        return await http.request(route[0], path, json=body, params=params, headers={"Idempotency-Key": "k"})


def test_no_route_is_left_out_of_the_table(house: House) -> None:
    found: set[tuple[str, str]] = set()
    for route in house.app.routes:
        if route.path_format in ("/v1/dealers/link", "/schema/{path}"):
            continue  # A WebSocket (tests/contracts/test_api_link.py); the document's own 404.
        found |= {(m, route.path_format) for m in getattr(route, "methods", ()) if m not in ("OPTIONS", "HEAD")}
    assert found == set(ACCESS) | OPEN


@pytest.mark.parametrize("route", ACCESS, ids=IDS)
@pytest.mark.parametrize("role", [D, S, P, X])
async def test_role_by_route(house: House, role: str, route: tuple[str, str]) -> None:
    key = next(k for k, p in KEYS.items() if p.role == role)
    answer = await call(house, key, route)
    if role in ACCESS[route][0]:
        assert answer.status_code in (200, 201, 204, 409), answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert answer.json()["type"] == "urn:sotto:problem:not-allowed"
        assert house.held.called == []


@pytest.mark.parametrize("route", ACCESS, ids=IDS)
@pytest.mark.parametrize("key", [None, "nobody's", "", "k" * 300])
async def test_without_a_known_key_nothing_is_done(house: House, route: tuple[str, str], key: str | None) -> None:
    answer = await call(house, key, route)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert house.held.called == []


@pytest.mark.parametrize("header", ["Basic k-alpha", "k-alpha", "Bearer", "Bearer k-alpha k-alpha", ""])
async def test_a_key_counts_only_as_a_bearer(house: House, header: str) -> None:
    async with house.http() as http:
        answer = await http.get("/v1/rfqs", headers={"Authorization": header})
    assert answer.status_code == 401


@pytest.mark.parametrize("route", OWNED, ids=[f"{m} {p}" for m, p in OWNED])
async def test_another_desks_rfq_looks_as_if_it_were_not_there(house: House, route: tuple[str, str]) -> None:
    foreign = await call(house, "k-beta", route)
    called = list(house.held.called)
    async with house.fresh().http("k-beta") as http:
        missing = await http.request(route[0], route[1].format(rfq_id="rfq-1"), json=ACCESS[route][1])
    assert foreign.status_code == missing.status_code == 404
    assert foreign.content == missing.content
    assert called == []


@pytest.mark.parametrize("rfq_id", ["nope", "rfq-1%00", "%F0%9F%90%99", "x" * 300, "..%2frfq-1"])
async def test_ids_that_are_not_there(house: House, rfq_id: str) -> None:
    async with house.http("k-super") as http:
        answer = await http.get(f"/v1/rfqs/{rfq_id}")
    assert answer.status_code == 404
    assert len(answer.text) < 600


async def test_a_desk_lists_its_own_and_a_supervisor_everyones(house: House) -> None:
    async def listed(key: str, **query: str) -> list[str]:
        async with house.http(key) as http:
            return [r["rfq_id"] for r in (await http.get("/v1/rfqs", params=query)).json()["rfqs"]]

    assert await listed("k-alpha") == ["rfq-1"]
    assert await listed("k-alpha", desk="alpha") == ["rfq-1"]
    assert await listed("k-super") == ["rfq-2", "rfq-1"]
    assert await listed("k-super", desk="beta") == ["rfq-2"]
    async with house.http("k-alpha") as http:
        refused = await http.get("/v1/rfqs", params={"desk": "beta"})
    assert (refused.status_code, refused.json()["field"]) == (400, "desk")


@pytest.mark.parametrize("route", sorted(OPEN))
async def test_health_and_schema_need_no_key(house: House, route: tuple[str, str]) -> None:
    async with house.http() as http:
        assert (await http.request(*route)).status_code == 200


async def test_an_operator_sees_lines_and_not_what_they_cost(house: House) -> None:
    async with house.http("k-ops") as http:
        (dealer,) = (await http.get("/v1/dealers")).json()["dealers"]
    assert (dealer["dealer_id"], dealer["connected"], dealer["quote_cost_bps"]) == ("D01", True, None)
