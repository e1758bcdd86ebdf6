"""The trade's own figures, derived from events."""

from examples import at
from prometheus_client import CollectorRegistry
from stored_blocks import life_of

from rfq import metrics as m
from rfq.domain import events as ev
from rfq.metrics import Metrics


def seen(metrics: Metrics, rfq_id: str = "rfq-1") -> None:
    for n, event in enumerate((e for group in life_of(rfq_id) for e in group), 1):
        metrics.saw(rfq_id, ev.Stamped(n, event, at(n), at(n)))


def test_a_life_is_counted_once() -> None:
    metrics = Metrics(CollectorRegistry())
    seen(metrics)
    value = metrics.registry.get_sample_value
    assert value("sotto_events_total", {"event": "QuoteReceived"}) == 2
    assert value("sotto_rfqs_over_total", {"outcome": "done"}) == 1
    assert value("sotto_filled_lots_total", {"where": "quote"}) == 40
    assert value("sotto_filled_lots_total", {"where": "lit"}) == 50
    assert value("sotto_rfq_to_award_seconds_count") == 1
    assert value("sotto_rfq_to_award_seconds_sum") == 9.0
    assert value("sotto_lift_answer_seconds_sum") == 1.0
    assert not metrics._received and not metrics._lifted


def test_what_never_ends_is_forgotten(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(m, "RECEIVED_KEPT", 5)
    metrics = Metrics(CollectorRegistry())
    for n in range(20):
        metrics.saw(f"rfq-{n}", ev.Stamped(1, life_of(f"rfq-{n}")[0][0], at(n), at(n)))
    assert list(metrics._received) == [f"rfq-{n}" for n in range(15, 20)]


def test_a_watched_gauge_is_read_when_asked() -> None:
    metrics, held = Metrics(CollectorRegistry()), [1, 2]
    metrics.watch("open_rfqs", "RFQs not over", lambda: len(held))
    held.append(3)
    assert b"sotto_open_rfqs 3.0" in metrics.page()
