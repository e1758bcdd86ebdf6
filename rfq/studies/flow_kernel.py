"""What a dealer's own flow does to the mid, in closed form: the study world's stand-in for the simulated market.

There a dealer trades ahead or hedges as `pending` lots at a pace, and the propagator answers. Trading Q lots evenly
over T presses the mid, after t, by

    LEVEL * sigma * (Q / ADV)^EXPONENT * (day / T)^(1/2) * integral over s < t of v(s)^(1/2) (t - s)^-BETA ds

in days, with v the pace of trading relative to Q / T, smoothed over SMOOTHED_S: the propagator's own law (`impact`).
LEVEL and EXPONENT are fitted to paired markets, with the flow and without, by `fit`; `python -m
rfq.studies.flow_kernel` measures and fits again. Flows are added as if each were alone: a square root of their sum
would be less, so where several dealers trade at once the kernel is the upper end.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from lit_router.market.batch.impact import BETA, DAY_S, SMOOTHED_S
from lit_router.market.parameters import BookParameters, load
from rfq.domain.errors import BadInput
from rfq.studies.impact_study import mid_after, warmed_markets

Array = NDArray[np.float64]

SHARES = (0.001, 0.003, 0.01)
"""Lots of a flow as a share of the day's volume: what dealers trade ahead of, or hedge of, a block."""
DURATIONS_S = (60.0, 120.0, 300.0, 900.0)
ELAPSED_S = (10.0, 60.0, 290.0, 1790.0)
"""Since the flow began: the mark-out horizons, less the answer window."""


POINTS = 400
"""Of the integral's grid."""


class Kernel(msgspec.Struct, frozen=True):
    """The fitted law. Moves are in the unit of `sigma`, the standard deviation of a day's return."""

    level: float = 0.555
    exponent: float = 0.504

    def move(self, sigma: Array | float, share: Array | float, duration_s: Array | float, elapsed_s: float) -> Array:
        """How far the mid has moved `elapsed_s` after a flow of `share` of ADV over `duration_s` began."""
        return sigma * np.asarray(share) ** self.exponent * self.of_one(duration_s, elapsed_s)

    def of_one(self, duration_s: Array | float, elapsed_s: float) -> Array:
        """The same for a flow of a whole day's volume, in daily volatilities."""
        duration_s = np.asarray(duration_s, dtype=np.float64)
        return self.level * (DAY_S / duration_s) ** 0.5 * _pressed(duration_s, max(0.0, elapsed_s))


def _pressed(duration_s: Array, elapsed_s: float) -> Array:
    """The integral, in days: what is left at `elapsed_s` of a flow at full pace until `duration_s`.

    In w = (t - s)^(1 - BETA) the integrand is bounded, so that the midpoint rule does.
    """
    top = elapsed_s ** (1 - BETA)
    s = elapsed_s - (top * (np.arange(POINTS) + 0.5) / POINTS) ** (1 / (1 - BETA))
    until = np.minimum(s, duration_s[..., None])
    pace = (1.0 - np.exp(-until / SMOOTHED_S)) * np.exp((until - s) / SMOOTHED_S)
    return np.sqrt(pace).mean(axis=-1) * (elapsed_s / DAY_S) ** (1 - BETA) / (1 - BETA)


class Measured(NamedTuple):
    """Paired markets' mean move in a flow's direction, daily volatilities, [flows, elapsed], and its standard error.
    `shares` is what was executed, of the day's volume."""

    shares: Array
    durations_s: Array
    moves: Array
    errors: Array


def measure(
    parameters: BookParameters,
    markets: int,
    seed: int,
    shares: Sequence[float] = SHARES,
    durations_s: Sequence[float] = DURATIONS_S,
    threads: int = 1,
) -> Measured:
    """Plays `markets` markets for each flow, half of them buying, and the same without it.

    Raises BadInput for a set whose day was not measured.
    """
    if not (parameters.day_lots > 0 and parameters.day_sigma_grids > 0):
        raise BadInput(f"{parameters.name}: day_lots, day_sigma_grids", 0, "must be measured, see `rfq calibrate`")
    alone = _path(parameters, markets, seed, 0, 1.0, threads)[0]
    rows = []
    for share in shares:
        for duration_s in durations_s:
            lots = round(share * parameters.day_lots)
            mids, done, sigma = _path(parameters, markets, seed, lots, duration_s, threads)
            sides = np.where(np.arange(markets) % 2, -1, 1)
            moved = sides * (mids - alone) / sigma
            seen = np.isfinite(moved).all(axis=0)
            error = moved[:, seen].std(axis=1) / np.sqrt(seen.sum())
            rows.append((done / parameters.day_lots, duration_s, moved[:, seen].mean(axis=1), error))
    executed, lasting, moves, errors = (np.array(column) for column in zip(*rows, strict=True))
    return Measured(executed, lasting, moves, errors)


def fit(measured: Measured) -> Kernel:
    """Least squares on log moves, elapsed times of a minute and more."""
    late = [place for place, elapsed_s in enumerate(ELAPSED_S) if elapsed_s >= 60.0]
    unit = Kernel(1.0, 0.5)
    known = np.array([unit.of_one(measured.durations_s, ELAPSED_S[place]) for place in late]).T
    y = np.log(np.maximum(measured.moves[:, late], 1e-9)) - np.log(known)
    x = np.log(np.broadcast_to(measured.shares[:, None], y.shape))
    exponent, level = np.polyfit(x.ravel(), y.ravel(), 1)
    return Kernel(float(np.exp(level)), float(exponent))


def _path(
    parameters: BookParameters, markets: int, seed: int, lots: int, duration_s: float, threads: int
) -> tuple[Array, float, Array]:
    """Mids at ELAPSED_S [elapsed, markets], mean lots executed, and a day's volatility in price units [markets]."""
    made = warmed_markets(parameters, markets, seed, threads)
    s = made.state
    sides = np.where(np.arange(markets) % 2, -1, 1)
    for place in range(markets):
        s.pending[place, 0] = int(sides[place]) * lots
    s.pace_lots[:, 0] = lots * made.step_s / duration_s
    mids, at = [], 0.0
    for elapsed_s in ELAPSED_S:
        mids.append(mid_after(made, round((elapsed_s - at) / made.step_s)))
        at = elapsed_s
    done = lots - float(np.abs(s.pending[:, 0].numpy()).mean())
    return np.array(mids), done, parameters.day_sigma_grids * s.grid.numpy()


def main() -> None:
    """Measures and fits in both shipped sets, and prints the fit beside the moves."""
    for name in ("small_tick", "large_tick"):
        found = measure(load(name), 800, 7, threads=2)
        kernel = fit(found)
        print(name, kernel)
        for row in range(len(found.shares)):
            told = [float(kernel.move(1.0, found.shares[row], found.durations_s[row], e)) for e in ELAPSED_S]
            shown = "  ".join(
                f"{m:.4f}±{1.96 * e:.4f} ({k:.4f})"
                for m, e, k in zip(found.moves[row], found.errors[row], told, strict=True)
            )
            print(f"{found.shares[row]:.4f} over {found.durations_s[row]:4.0f} s: {shown}")


if __name__ == "__main__":
    main()
