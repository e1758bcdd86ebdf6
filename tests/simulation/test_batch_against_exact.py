"""The batched market against the exact one: a step of a quarter of a second must not be seen in what comes out.

Spread, volatility, volume and the chance of being filled, each within 2% of exact stepping. Half-widths are of the
relative difference, 95%, from the spread between markets; they are printed (pytest -s).
"""

import msgspec
import numpy as np
import pytest
import torch
from scipy.stats import norm

from lit_router.market import parameters
from lit_router.market.batch import makers
from lit_router.market.batch.laws import OCTAVE
from lit_router.market.batch.market import BatchedMarket, Character
from lit_router.market.exact import Resting, stepped
from lit_router.market.parameters import QUANTILES, BookParameters, Floats, SizeLaw

MARKETS, SEED = 4096, 1 << 20
SAMPLE_S, MINUTE = 15.0, 4
"""The mid is taken every 15 s, so that changes over 60 s overlap and say more."""
LOOK_STEPS = 15
"""Steps between two looks at the spread: odd, and four of them a sample."""


def large_tick(dispersion: float = 0.0) -> BookParameters:
    """The shipped set without impact, which exact stepping does not know; with log-normal sizes if they disperse."""
    plain = msgspec.structs.replace(parameters.load("large_tick"), day_lots=0.0, day_sigma_grids=0.0)
    if not dispersion:
        return plain

    def classes(sigma: float) -> tuple[float, ...]:
        sizes = np.exp(sigma * norm.ppf((np.arange(QUANTILES) + 0.5) / QUANTILES))
        return tuple(sizes / sizes.mean())

    law = SizeLaw(thin=classes(dispersion / 2), thick=classes(dispersion))
    return msgspec.structs.replace(plain, limit_sizes=law, cancel_sizes=law, market_sizes=law)


def mean_lots(book: BookParameters) -> int:
    """Of an average event: one lot where all are alike."""
    return 100 if book.limit_sizes else 1


def batched(book: BookParameters, pace: float, strain: float) -> BatchedMarket:
    """Markets of the plain book at constant pace and strain, with room for four orders."""
    markets = BatchedMarket(
        book,
        range(SEED, SEED + MARKETS),
        characters=Character(mean_lots=mean_lots(book), pace=pace),
        conditions=strain != 0,
        pool_characters=(),
    )
    if strain:
        rules = markets.rules
        off = {name: torch.zeros_like(getattr(rules, name)) for name in STILL} | dict.fromkeys(NEVER, 0)
        off["regime_strain"] = torch.full_like(rules.regime_strain, round((strain + makers.EASE) * OCTAVE))
        off["strides"] = 1
        markets.processor.take(markets.laws, rules._replace(**off))
    return markets


STILL = ("curve", "burst_logs", "regime_pace", "regime_drift", "regime_news", "flow_kick", "tactical")
NEVER = ("burst_switch", "regime_switch", "halt_chance", "heat_decay", "load", "adapts", "contrarian")
NEVER += ("lull", "stir_log")
"""Strain comes with the conditions; these are all the others, to be turned off."""


def empty_cells(markets: BatchedMarket) -> tuple[np.ndarray, np.ndarray]:
    """Cells that are empty before the best anonymous bid and ask, [B] each."""
    queues, levels = markets.state.queues.numpy() > 0, markets.parameters.levels
    last = np.ones((len(queues), 1), np.bool_)
    bids, asks = queues[:, :levels][:, ::-1], queues[:, levels:]
    return np.hstack([bids, last]).argmax(1), np.hstack([asks, last]).argmax(1)


def played(markets: BatchedMarket, minutes: int) -> tuple[Floats, Floats, Floats]:
    """Mean spread [B], mids [B, samples + 1], both in cells, and lots traded a minute [B]."""
    spread, looks, mids = np.zeros(MARKETS), 0, []
    samples, a_sample = minutes * MINUTE, round(SAMPLE_S / markets.step_s)
    for sample in range(samples + 1):
        for _ in range(a_sample // LOOK_STEPS if sample else 0):
            markets.advance(LOOK_STEPS)
            below, above = empty_cells(markets)
            spread += below + above + 1
            looks += 1
        below, above = empty_cells(markets)
        mids.append(markets.state.first_bid.numpy() / markets.state.grid.numpy() + (above - below) / 2)
    return spread / looks, np.array(mids).T, markets.state.volume.numpy() / minutes


def filled(markets: BatchedMarket, lots: int, minutes: int) -> Floats:
    """Share of orders that were filled within the minute after they had joined the back of a best queue, [B]."""
    state, a_minute = markets.state, round(60 / markets.step_s)
    everywhere, done = torch.ones(MARKETS, dtype=torch.bool), np.zeros(MARKETS)
    for _ in range(minutes):
        below, above = map(torch.from_numpy, empty_cells(markets))
        for slot, side in enumerate((1, -1)):
            markets.cancel(slot, everywhere)
            price = state.first_bid - below * state.grid if side > 0 else state.first_bid + (above + 1) * state.grid
            markets.enter(slot, markets.ticket(side, lots, price.long(), rests=1, owner=slot))
        assert (state.side[:, 0] > 0).all() and (state.side[:, 1] < 0).all(), "both rest"
        markets.advance(a_minute)
        done += (state.leaves[:, :2] == 0).sum(1).numpy()
    return done / (2 * minutes)


def squares(mids: Floats) -> Floats:
    """Mean square of the mid's changes over a minute, [B]."""
    return np.square(mids[:, MINUTE:] - mids[:, :-MINUTE]).mean(1)


@pytest.mark.parametrize(
    ("book", "pace", "strain", "minutes", "order_minutes", "half_width"),
    [
        (large_tick(), 1.0, 0.0, 62, 20, 0.005),
        (large_tick(dispersion=0.8), 1.0, 0.0, 18, 9, 0.01),
        (large_tick(), 1.5, 0.0, 16, 8, 0.01),
        (large_tick(), 1.0, 1.0, 16, 8, 0.01),
    ],
    ids=["plain", "sizes", "quicker", "strained"],
)
def test_steps_are_not_seen(
    book: BookParameters, pace: float, strain: float, minutes: int, order_minutes: int, half_width: float
) -> None:
    lots, strains = mean_lots(book), (strain, strain)
    orders = (Resting(buys=True, lots=lots), Resting(buys=False, lots=lots))
    common = {"mean_lots": lots, "pace": pace, "strains": strains}
    exact = stepped(book, range(MARKETS), minutes * MINUTE, sample_s=SAMPLE_S, **common)
    resting = stepped(book, range(MARKETS), order_minutes, orders=orders, **common)
    spread, mids, volume = played(batched(book, pace, strain), minutes)
    fills = filled(batched(book, pace, strain), lots, order_minutes)
    walked = np.hstack([np.zeros((MARKETS, 1)), exact.changes_cells.cumsum(1)])
    pairs = {
        "spread": (exact.spread_cells, spread),
        "volatility": (squares(walked), squares(mids)),
        "volume": (exact.lots / minutes, volume),
        "filled": (np.isfinite(resting.filled_s).mean((1, 2)), fills),
    }
    found = {name: compared(*pair, root=name == "volatility") for name, pair in pairs.items()}
    for name, (off, width) in found.items():
        print(f"{name:<12} {off:+.2%} +- {width:.2%}")
    assert all(width < half_width for _, width in found.values()), found
    assert all(abs(off) < 0.02 for off, _ in found.values()), found


def compared(exact: Floats, fast: Floats, *, root: bool) -> tuple[float, float]:
    """Relative difference of the means (of their roots) and its half-width."""
    ratio = fast.mean() / exact.mean()
    width = 1.96 * ratio * np.hypot(*(each.std() / each.mean() / len(each) ** 0.5 for each in (exact, fast)))
    return (ratio**0.5 - 1, width / ratio**0.5 / 2) if root else (ratio - 1, width)
