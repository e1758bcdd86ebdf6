"""Simulated markets as streams of orders, to be compared with recorded ones.

The model knows cells and steps; a stream has ticks and times. What lies between is declared here and drawn from a
generator of its own: the order of a step's events (limit orders and cancels before or after market orders, as the step
has it), their times within the step, and the tick of its cell at which an order shows, any of them alike. Several
arrivals in one cell and step are several orders of one size.
"""

from collections.abc import Sequence

import numpy as np

from lit_router.market.batch.market import STEP_S, BatchedMarket, Character
from lit_router.market.parameters import BookParameters
from lit_router.market.stream import BookStream
from rfq.domain.errors import BadInput

SHOWN = 10
"""Occupied levels a side of the samples."""
WARM_UP_S = 3600.0
"""Played before the recording begins, so that its conditions are no fresh ones."""
FIRST_BID = 60_000
"""Price units: far enough from zero for a day."""


def days(
    parameters: BookParameters,
    seeds: Sequence[int],
    begins_s: float,
    ends_s: float,
    rng: np.random.Generator,
    *,
    conditions: bool = True,
) -> list[BookStream]:
    """Independent days of a set from `begins_s` to `ends_s` seconds of the session, one for each seed, nobody taking
    part. Raises BadInput for times that are not in order or not of whole seconds."""
    if not 0 <= begins_s < ends_s or begins_s % 1 or ends_s % 1:
        raise BadInput("begins_s, ends_s", (begins_s, ends_s), "must be whole seconds, in order")
    character = Character(FIRST_BID, mean_lots=parameters.mean_lots, opened_s=begins_s - WARM_UP_S)
    market = BatchedMarket(
        parameters, seeds, characters=character, conditions=conditions, pool_characters=()
    )
    market.advance(round(WARM_UP_S / STEP_S))
    return record(market, ends_s - begins_s, rng, begins_s=begins_s)


def record(
    market: BatchedMarket, lasts_s: float, rng: np.random.Generator, *, begins_s: float = 0.0, every_s: float = 1.0
) -> list[BookStream]:
    """Plays every market for `lasts_s` seconds and records it, with samples each `every_s`, as from `begins_s` on.

    For markets on a processor in which nobody takes part. Prices are in ticks of the parameter set. Raises BadInput
    for times that are not whole steps, and for markets with participants.
    """
    from lit_router.market.batch.compiled_recording import EVENT, listen

    steps, every = round(lasts_s / market.step_s), round(every_s / market.step_s)
    if abs(steps * market.step_s - lasts_s) > 1e-9 or abs(every * market.step_s - every_s) > 1e-9 or every < 1:
        raise BadInput("lasts_s, every_s", (lasts_s, every_s), f"must be whole steps of {market.step_s:g} s")
    if market.taking_part():
        raise BadInput("market", "orders, impact or dealers' flows", "must not be there: anonymous books are recorded")
    records, tables, rule = market.processor.compiled
    ticks, cells, samples = market.parameters.grid_ticks, 2 * market.parameters.levels, steps // every + 1
    first, gaps_s = int(market.state.step), np.array(market.parameters.gaps_s)
    streams = []
    for b in range(market.markets):
        bids, asks = np.zeros((2, samples, SHOWN, 2), np.int64)
        shelves, room = np.zeros((cells, ticks), np.int64), np.empty(1024 * cells, EVENT)
        log, many, counted = listen(
            records[b], tables, rule, first, steps, gaps_s, every, shelves, rng, room, bids, asks
        )
        market.processor.events[b] += counted
        events = log[:many]
        streams.append(
            BookStream(
                times_s=begins_s + events["time"],
                kinds=events["kind"].copy(),
                bid_queue=events["bid"].copy(),
                ticks=events["ticks"].copy(),
                rank=events["rank"].copy(),
                lots=events["lots"].copy(),
                mids=events["mid"].copy(),
                sampled_s=begins_s + every_s * np.arange(samples, dtype=np.float64),
                bids=bids,
                asks=asks,
                begins_s=begins_s,
                ends_s=begins_s + lasts_s,
            )
        )
    market.state.step.add_(steps)
    return streams
