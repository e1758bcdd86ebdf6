"""Stylised facts of order books: what a simulated market has to share with a recorded one.

Every fact is measured on several streams that are pooled: days of a simulation, blocks of a recorded day, or one. No
return and no pair of signs spans two streams. All events and levels of the streams count: streams that are to be
compared must show the same number of levels (`BookStream.within`).
A fact is a sample (shape (n,), or (n, levels), one column a level), to be compared as a distribution, or a curve (one
value for each of its points, NaN where there is nothing to measure).
A survey of such facts: Bouchaud, Bonart, Donier, Gould, "Trades, Quotes and Prices" (2018), chapters 2 to 4 and 10.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from lit_router.market.stream import CANCEL, LIMIT, MARKET, BookStream
from rfq.domain.errors import BadInput

Floats = npt.NDArray[np.float64]
Streams = Sequence[BookStream]

MINUTE_S = 60
SIGNATURE_S = (1, 2, 5, 10, 30, 60, 120, 300)
SIGN_LAGS = tuple(range(1, 51))
RETURN_LAGS = tuple(range(1, 31))
RESPONSE_EVENTS = (1, 2, 5, 10, 20, 50)
BestEvent = Literal["market", "limit_at_best", "limit_inside", "cancel_at_best"]


def spread(streams: Streams) -> Floats:
    """Ticks between the best prices, by time."""
    return _pooled(_quotes(stream)[1] for stream in streams)


def depth(streams: Streams) -> Floats:
    """Shares at the first, second, ... occupied level of either side, by time; 0 where there is no such level."""
    sides = [side[:, :, 1] for stream in streams for side in (stream.bids, stream.asks)]
    return np.concatenate(sides).astype(float)


def imbalance(streams: Streams) -> Floats:
    """(bid - ask) / (bid + ask) shares at the best prices, -1 to 1, by time."""
    return _pooled(_imbalances(stream) for stream in streams)


def inter_arrivals(streams: Streams) -> Floats:
    """Milliseconds between events that follow each other."""
    return _pooled(np.diff(stream.times_s) * 1e3 for stream in streams)


def sizes(streams: Streams, kind: int) -> Floats:
    """Shares of each limit order, cancel or market order."""
    return _pooled(stream.lots[stream.kinds == kind] for stream in streams)


def levels(streams: Streams, kind: int) -> Floats:
    """Ticks from the best price of its side at which each limit order or cancel fell; negative inside the spread."""
    return _pooled(stream.ticks[stream.kinds == kind] for stream in streams)


def volume(streams: Streams) -> Floats:
    """Shares executed in each whole minute, counted from the beginning of a stream."""
    return _pooled(map(_volumes, streams))


def minute_move(streams: Streams) -> Floats:
    """Absolute moves of the mid over a minute, in ticks, from every sample on: the level of volatility, which the
    signature leaves out."""
    moves = np.abs(_pooled(_moves(stream, MINUTE_S) for stream in streams))
    return moves[np.isfinite(moves)]


def signature(streams: Streams) -> Floats:
    """Volatility signature: mean squared move of the mid a second over each lag of SIGNATURE_S, relative to the mean
    over the lags. Flat for a random walk, falling where moves are taken back (Bouchaud et al., chapter 2)."""
    moves = {lag_s: _pooled(_moves(stream, lag_s) for stream in streams) for lag_s in SIGNATURE_S}
    variances = np.array([_mean(moved**2) / lag_s for lag_s, moved in moves.items()])
    return variances / _mean(variances)


def sign_autocorrelation(streams: Streams) -> Floats:
    """Of the signs of market orders, +1 a buyer's, over SIGN_LAGS orders (Lillo and Farmer 2004: long memory)."""
    return autocorrelation([_signs(stream)[stream.kinds == MARKET] for stream in streams], SIGN_LAGS)


def return_autocorrelation(streams: Streams, every_s: int) -> Floats:
    """Of moves of the mid over `every_s` seconds, at RETURN_LAGS such moves, from every sample on (Cont 2001)."""
    steps = [every_s * _samples_a_second(stream) for stream in streams]
    series = [_moves(stream, every_s) for stream in streams]
    return autocorrelation(series, RETURN_LAGS, steps)


def response(streams: Streams, event: BestEvent) -> Floats:
    """Mean move of the mid in ticks, from before an event until so many events later, itself the first; a move counts
    as positive in the event's direction: up for a buyer's market order, a limit order to buy, a cancelled offer.

    Counted are events at the best prices or inside the spread: what happens deeper is not seen alike in all books.
    Source: Eisler, Bouchaud, Kockelkoren, "The price impact of order book events" (Quantitative Finance 2012).
    """
    moves = [_response_moves(stream, event) for stream in streams]
    return np.array([_mean(_pooled(moved)) for moved in zip(*moves, strict=True)])


def autocorrelation(series: Sequence[Floats], lags: Sequence[int], steps: Sequence[int] | None = None) -> Floats:
    """Pooled over the series, about their common mean; a lag is `steps` places of a series (1). NaN entries are left
    out; NaN for a lag at which there is no pair, and for a series that does not vary."""
    steps = steps or [1] * len(series)
    everything = _pooled(series)
    mean = _mean(everything)
    variance = _mean((everything - mean) ** 2) or np.nan
    about = [one - mean for one in series]

    def products(lag: int) -> Floats:
        return _pooled(one[lag * step :] * one[: -lag * step] for one, step in zip(about, steps, strict=True))

    return np.array([_mean(products(lag)) for lag in lags]) / variance


class Fact(NamedTuple):
    """One row of FACTS. `unit` is of the sample, or of the curve's values; `log` whether samples are compared as
    log(1 + x); `points` where a curve is measured, `along` what they are; no points: a sample."""

    name: str
    measure: Callable[[Streams], Floats]
    unit: str
    log: bool = False
    points: tuple[int, ...] = ()
    along: str = ""


# One scale a fact, fixed before anything was simulated. Raw, but for what is positive with a long tail: there one block
# order would outweigh a thousand ordinary ones. Between arrivals it is the logarithm of milliseconds: they span eight
# decades, of which seconds would show only the longest, and within a millisecond nothing that is tested here could act.
FACTS = (
    Fact("spread", spread, "ticks"),
    Fact("depth", depth, "shares", log=True),
    Fact("imbalance", imbalance, "-1 to 1"),
    Fact("inter_arrivals", inter_arrivals, "ms", log=True),
    Fact("limit_sizes", partial(sizes, kind=LIMIT), "shares", log=True),
    Fact("cancel_sizes", partial(sizes, kind=CANCEL), "shares", log=True),
    Fact("market_sizes", partial(sizes, kind=MARKET), "shares", log=True),
    Fact("limit_levels", partial(levels, kind=LIMIT), "ticks"),
    Fact("cancel_levels", partial(levels, kind=CANCEL), "ticks"),
    Fact("minute_volume", volume, "shares", log=True),
    Fact("minute_move", minute_move, "ticks"),
    Fact("volatility_signature", signature, "of the mean", False, SIGNATURE_S, "seconds"),
    Fact("sign_autocorrelation", sign_autocorrelation, "correlation", False, SIGN_LAGS, "market orders"),
    Fact("return_autocorrelation_1s", partial(return_autocorrelation, every_s=1), "correlation", False, RETURN_LAGS,
         "returns"),
    Fact("return_autocorrelation_10s", partial(return_autocorrelation, every_s=10), "correlation", False, RETURN_LAGS,
         "returns"),
    *(Fact(f"response_to_{event}", partial(response, event=event), "ticks", False, RESPONSE_EVENTS,
           "events at the best") for event in get_args(BestEvent)),
)  # fmt: skip


def _pooled(each: Iterable[npt.NDArray]) -> Floats:
    return np.concatenate([np.asarray(one, dtype=float) for one in each])


def _mean(values: Floats) -> float:
    """Of what is a number; NaN if nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else np.nan


def _quotes(stream: BookStream) -> tuple[Floats, Floats]:
    """Mid, NaN while a side is empty, and spread of the samples with both sides; in ticks."""
    both = (stream.bids[:, 0, 1] > 0) & (stream.asks[:, 0, 1] > 0)
    bid, ask = stream.bids[:, 0, 0].astype(float), stream.asks[:, 0, 0].astype(float)
    return np.where(both, (bid + ask) / 2, np.nan), (ask - bid)[both]


def _imbalances(stream: BookStream) -> Floats:
    bid, ask = stream.bids[:, 0, 1].astype(float), stream.asks[:, 0, 1].astype(float)
    both = (bid > 0) & (ask > 0)
    return (bid - ask)[both] / (bid + ask)[both]


def _volumes(stream: BookStream) -> Floats:
    minutes = int((stream.ends_s - stream.begins_s) / 60 + 1e-9)
    traded = stream.kinds == MARKET
    minute = ((stream.times_s[traded] - stream.begins_s) // 60).astype(int)
    return np.bincount(minute, stream.lots[traded], minlength=minutes)[:minutes].astype(float)


def _samples_a_second(stream: BookStream) -> int:
    """Raises BadInput unless a second is a whole number of samples."""
    sampled_s = stream.sampled_s
    if len(sampled_s) < 2:
        return 1
    a_second = (len(sampled_s) - 1) / (sampled_s[-1] - sampled_s[0])
    if round(a_second) < 1 or abs(a_second - round(a_second)) > 1e-6:
        raise BadInput("sampled_s", f"{1 / a_second:g} s apart", "must be a whole number of samples a second")
    return round(a_second)


def _moves(stream: BookStream, lag_s: int) -> Floats:
    """Moves of the mid over a lag, in ticks, from every sample on; NaN where a side was empty."""
    mids, lag = _quotes(stream)[0], lag_s * _samples_a_second(stream)
    return mids[lag:] - mids[:-lag]


def _signs(stream: BookStream) -> Floats:
    """Direction of each event: +1 for what pushes the price up."""
    own_side_gains = stream.kinds == LIMIT
    return np.where(stream.bid_queue == own_side_gains, 1.0, -1.0)


def _response_moves(stream: BookStream, event: BestEvent) -> list[Floats]:
    """Signed moves after events of a type, an array for each of RESPONSE_EVENTS."""
    mids = np.where(stream.mids >= 0, stream.mids / 2, np.nan)
    before = np.concatenate([[np.nan], mids[:-1]])[: len(mids)]
    best = np.flatnonzero((stream.ticks <= 0) | (stream.kinds == MARKET))
    kinds, ticks = stream.kinds[best], stream.ticks[best]
    chosen = {
        "market": kinds == MARKET,
        "limit_at_best": (kinds == LIMIT) & (ticks == 0),
        "limit_inside": (kinds == LIMIT) & (ticks < 0),
        "cancel_at_best": (kinds == CANCEL) & (ticks == 0),
    }[event]
    places = np.flatnonzero(chosen)
    signs = _signs(stream)[best]
    moves: list[Floats] = []
    for events in RESPONSE_EVENTS:
        at = places[places + events <= len(best)]
        moves.append(signs[at] * (mids[best[at + events - 1]] - before[best[at]]))
    return moves
