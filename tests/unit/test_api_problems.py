"""Errors as problem+json: one status and type for each kind, and none of our insides in a 5xx."""

import json

import httpx
import pytest
from edge_double import BODY, House, shared_house
from prometheus_client import CollectorRegistry

from rfq.domain import errors as e
from rfq.domain.errors import SottoError
from rfq.metrics import Metrics

MAPPED: list[tuple[Exception, int, str, str]] = [
    (e.BadInput("min_fill", 5, "is odd"), 400, "bad-input", "caller"),
    (e.NotFound("quote", "q1"), 404, "not-found", "caller"),
    (e.KeyReused("k"), 422, "key-reused", "caller"),
    (e.NotAllowed("no"), 403, "not-allowed", "caller"),
    (e.WrongState("RFQ", "rfq-1", "done", "be awarded"), 409, "wrong-state", "state"),
    (e.LimitBreached("open_rfqs", 5, 6), 409, "limit-breached", "state"),
    (e.MarketUnfit("ACME is halted"), 409, "market-unfit", "state"),
    (e.NoNewRisk("the kill switch is thrown"), 409, "no-new-risk", "state"),
    (e.PeerGone("D01 is not connected"), 409, "peer-gone", "state"),
    (e.StoreUnavailable("password=secret"), 503, "store-unavailable", "us"),
    (e.LeaseLost("elsewhere"), 503, "elsewhere", "us"),
    (e.StreamConflict("behind"), 503, "conflict", "us"),
    (e.IllegalTransition("RFQ", "secret", "x"), 500, "internal", "us"),
    (e.Inconsistent("secret"), 500, "internal", "us"),
    (e.NeedsPerson("secret"), 500, "internal", "us"),
    (RuntimeError("secret"), 500, "internal", "us"),
]


async def post(house: House) -> httpx.Response:
    async with house.http("k-alpha") as http:
        return await http.post("/v1/rfqs", json=BODY, headers={"Idempotency-Key": "k"})


@pytest.mark.parametrize(("error", "status", "slug", "blame"), MAPPED, ids=[type(m[0]).__name__ for m in MAPPED])
async def test_each_error_has_its_answer(error: Exception, status: int, slug: str, blame: str) -> None:
    house = shared_house().fresh()
    house.held.fails = error
    answer = await post(house)
    told = answer.json()
    assert (answer.status_code, told["status"], told["type"], told["blame"]) == (
        status,
        status,
        f"urn:sotto:problem:{slug}",
        blame,
    )
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "secret" not in answer.text
    assert told["title"] and told["detail"]


def test_every_error_of_the_domain_is_in_the_table() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(k) for k in kind.__subclasses__() if k.__module__ == e.__name__))

    families = {SottoError, e.OurFault, e.PeerFault, e.Refusal}
    assert below(SottoError) - families == {type(error) for error, *_ in MAPPED} - {RuntimeError}


async def test_the_parts_of_a_problem() -> None:
    house = shared_house().fresh()
    house.held.fails = e.LimitBreached("open_rfqs", 5, 6)
    assert (await post(house)).json() == {
        "type": "urn:sotto:problem:limit-breached",
        "title": "A limit forbids it",
        "status": 409,
        "detail": "open_rfqs is 5, asked 6",
        "blame": "state",
        "field": "open_rfqs",
        "value": "6",
        "rule": "must not exceed 5",
    }
    house.held.fails = e.WrongState("quote", "q1", "expired", "be picked")
    assert (await post(house)).json()["state"] == "expired"


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/v1/rfqs/rfq-1/nothing", 404, "not-found"),
        ("PATCH", "/v1/rfqs", 405, "method-not-allowed"),
        ("DELETE", "/health/live", 405, "method-not-allowed"),
    ],
)
async def test_routes_that_are_not_there(method: str, path: str, status: int, slug: str) -> None:
    async with shared_house().fresh().http("k-alpha") as http:
        answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:sotto:problem:{slug}")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_long_value_is_cut_short() -> None:
    async with shared_house().fresh().http("k-alpha") as http:
        answer = await http.post(
            "/v1/rfqs", json={**BODY, "client_order_id": "x" * 5000}, headers={"Idempotency-Key": "k"}
        )
    assert (answer.status_code, len(answer.json()["value"])) == (400, 203)


async def test_not_ready_says_so_without_a_key() -> None:
    house = shared_house().fresh()
    house.held.ready = False
    async with house.http() as http:
        answer = await http.get("/health/ready")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert (await http.get("/health/live")).json() == {"live": True}


async def test_the_document_describes_bodies_answers_and_problems() -> None:
    async with shared_house().fresh().http() as http:
        told = (await http.get("/schema/openapi.json")).json()
    create = told["paths"]["/v1/rfqs"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/RfqBody")
    assert create["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("/RfqAnswer")
    assert create["responses"]["400"]["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert {p["name"] for p in create["parameters"]} == {"Idempotency-Key"}
    body = told["components"]["schemas"]["RfqBody"]
    assert body["properties"]["min_fill"]["type"] == "string"
    assert "/v1/rfqs/{rfq_id}/events" in told["paths"]
    assert "edge" not in json.dumps(told["paths"])


async def test_what_is_answered_is_counted() -> None:
    house = House()
    await post(house)
    await post(house)
    async with house.http("k-alpha") as http:
        await http.get("/v1/rfqs/nope")
    async with house.http("k-ops") as http:
        answer = await http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    page = answer.text
    assert 'sotto_http_requests_total{method="POST",route="/v1/rfqs",status="201"} 1.0' in page
    assert 'sotto_http_requests_total{method="POST",route="/v1/rfqs",status="200"} 1.0' in page
    assert 'sotto_http_requests_total{method="GET",route="/v1/rfqs/{rfq_id}",status="404"} 1.0' in page
    assert 'sotto_http_request_seconds_count{method="POST",route="/v1/rfqs"} 2.0' in page


def test_two_services_in_one_process_do_not_mix() -> None:
    one, two = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    one.requests.labels("/", "GET", "200").inc()
    assert b'status="200"' in one.page()
    assert b'status="200"' not in two.page()
