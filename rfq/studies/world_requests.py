"""What comes to the study world from outside: its declared terms, instruments, and requests with all their chances.

Whatever is random about a request is drawn from (seed, number, dealer) before anybody is asked. Two policies in the
same state therefore meet the same answers, prices and leaks, and differ by nothing but what they chose.
"""

import datetime as dt
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dealers.behaviour_pricing import skewed_noise
from dealers.circumstances import TraitColumns
from dealers.panel import SECTORS
from ml.outcomes import RequestFacts
from rfq.domain.errors import BadInput
from rfq.domain.fill import MARK_OUT_HORIZONS_S
from rfq.domain.values import Instrument, Price, Quantity, Side, Symbol, TickBand

Array = NDArray[np.float64]

DAY_S = 23_400.0
DISCLOSED_REST = 0.4
"""Share of the block to be worked beside the auction, where dealers are told."""
START = dt.datetime(2026, 1, 5, 14, 30, tzinfo=dt.UTC)
BLOCK = 64
"""Requests whose chances are drawn together."""
URGENT_WINDOWS_S, USUAL_WINDOWS_S = (5.0, 10.0), (10.0, 20.0)
ELAPSED_S = np.diff((0.0, *MARK_OUT_HORIZONS_S))


class WorldTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Declared parameters, fixed before any result; studies that vary one say so. `msgspec.to_builtins(WorldTerms())`
    lists them. What dealers are is declared in `dealers.drawn_panel`, how they behave in `dealers.behaviour_laws`."""

    requests: int = 6000
    dealers: int = 30
    desks: int = 6
    instruments: int = 4
    """Per sector."""
    rare_share: float = 0.25
    """Share of the requests that are in half of the instruments: the unusual ones."""
    requests_per_day: float = 60.0

    explored: float = 0.15
    """Probability that a slot is filled at random instead of by the desk's habit; 0 is a pure desk log."""
    recounted: float = 0.15
    """Probability that the number asked is drawn evenly from `least` to `most`; 0 leaves it to the habit."""
    least: int = 2
    most: int = 10

    usual_size: float = 0.04
    """Median request, as a share of ADV."""
    size_spread: float = 1.0
    urgent: float = 0.25
    """Share of requests in a hurry."""
    urgent_drift: float = 0.25
    """Mean adverse move of urgent blocks that no asking caused, in standard deviations of the mid over the time."""
    two_way: float = 0.15
    anonymous: float = 0.3
    residual_disclosed: float = 0.3

    noise: float = 1.0
    """Standard deviation of the mid's moves over what daily volatility gives: 1.5 makes mark-outs so much noisier."""
    sector_share: float = 0.7
    """Share of an instrument's variance that is its sector's."""
    control_noise: float = 0.15
    """Standard deviation of the control's error, over that of the sector's own move."""
    foresight: float = 0.05
    """Share of the instrument's own move that informed dealers know; of the sector's move they know all."""
    missing: float = 0.02
    """Share of requests whose mark-outs could not be had."""

    rest_impact: float = 2.0 / 3.0
    rest_spread: float = 0.6
    """Cost of working what is left: so many half spreads and so much square-root impact, as in `ml.residual_cost`."""
    standing: float = 0.25
    """Least weight of flow caused, though little be left to work: the desk will trade the name again."""
    max_winners: int = 3

    def __post_init__(self) -> None:
        for name in ("explored", "recounted", "urgent", "two_way", "anonymous", "residual_disclosed", "rare_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(name, getattr(self, name), "must lie between 0 and 1")
        for name in ("sector_share", "foresight", "missing"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(name, getattr(self, name), "must lie between 0 and 1")
        for name in ("dealers", "desks", "instruments", "requests_per_day", "noise", "usual_size"):
            if not getattr(self, name) > 0:
                raise BadInput(name, getattr(self, name), "must be positive")


class Chances(NamedTuple):
    """All that chance does in one request. Arrays [dealers] unless said otherwise; z standard normal, u uniform."""

    answer_u: Array
    silent_u: Array
    pace_z: Array
    lots_z: Array
    noise: Array
    """Of the quote, from the dealer's own skewed law."""
    fade_u: Array
    leak_u: Array
    leak_z: Array
    inventory_z: Array
    """[dealers, sectors]: what happens to inventories until this request."""
    path_z: Array
    """[horizons, 3]: increments of the sector's, the instrument's own and the control's error path."""
    desk_u: Array
    """[12]: what is asked for."""
    market_z: Array
    """[4]: gap in time, regime, size, and the mid's move between quote and lift."""


class Request(NamedTuple):
    """One request as it stands before anybody is asked. Only `facts` may be seen by who chooses."""

    number: int
    facts: RequestFacts
    instrument: Instrument
    sector: int
    desk: int
    quantity: int
    chances: Chances
    lift_move_bps: float
    """The mid's move between quote and lift, positive against the dealer."""
    own_bps: Array
    """[horizons]: adverse move of the mid that nobody asked has caused, sector and drift included."""
    control_bps: Array
    """[horizons]: the sector's return as the desk measures it, turned to its side."""
    belief_bps: float
    """What informed dealers know of the coming move, positive upwards."""


class Requests:
    """The stream of requests of a seed. Reads nothing of what was chosen before."""

    def __init__(self, seed: int, terms: WorldTerms, columns: TraitColumns) -> None:
        self.terms = terms
        self._seed, self._columns = seed, columns
        self.instruments = tuple(_instruments(np.random.default_rng([seed, 0xA0]), terms.instruments))
        self.desks = desk_names(terms.desks)
        self._blocks: dict[tuple[int, int], list[Array]] = {}

    @property
    def unusual(self) -> frozenset[Symbol]:
        """Instruments that are rarely asked for: the second half of each sector's."""
        each = self.terms.instruments
        return frozenset(i.symbol for n, i in enumerate(self.instruments) if n % each >= (each + 1) // 2)

    def chances(self, number: int, again: int = 0) -> Chances:
        """Of one request; `again` > 0 are independent redraws of the same."""
        # Redraws are a block for each request, and stay out of the stream's own.
        key, row = (number // BLOCK, 0), number % BLOCK
        if again:
            key, row = (number, again // BLOCK + 1), again % BLOCK
        if key not in self._blocks:
            while len(self._blocks) > 3:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[key] = self._drawn(*key)
        return Chances(*(block[row] for block in self._blocks[key]))

    def at(self, number: int, now: dt.datetime) -> Request:
        """The request of this number, come at `now`."""
        return self._made(number, now, self.chances(number))

    def redrawn(self, request: Request, again: int) -> Request:
        """The same facts, with other chances: averages over redraws are expectations."""
        chances = self.chances(request.number, again)
        kept = request.chances
        chances = chances._replace(desk_u=kept.desk_u, market_z=np.append(kept.market_z[:3], chances.market_z[3]))
        return self._made(request.number, request.facts.at, chances)

    def gap_s(self, number: int) -> float:
        """Market seconds since the request before: exponential."""
        z = float(self.chances(number).market_z[0])
        tail = max(1e-12, 0.5 * math.erfc(z / math.sqrt(2.0)))
        return -math.log(tail) * DAY_S / self.terms.requests_per_day

    def _made(self, number: int, now: dt.datetime, chances: Chances) -> Request:
        terms, u, z = self.terms, chances.desk_u.tolist(), chances.market_z.tolist()
        sector, urgent = int(u[0] * len(SECTORS)), u[4] < terms.urgent
        instrument = self.instruments[sector * terms.instruments + self._which(u[1], u[2])]
        desk, side = int(u[3] * terms.desks), Side.BUY if u[5] < 0.5 else Side.SELL
        regime = math.exp(0.3 * z[1])
        volatility = instrument.volatility_bps * regime
        size = min(0.4, max(0.002, terms.usual_size * math.exp(terms.size_spread * z[2])))
        quantity = max(1, int(size * instrument.adv))
        windows = URGENT_WINDOWS_S if urgent else USUAL_WINDOWS_S
        facts = RequestFacts(
            at=now,
            symbol=instrument.symbol,
            sector=instrument.sector,
            side=side,
            two_way=u[6] < terms.two_way,
            size=quantity / instrument.adv,
            volatility_bps=volatility,
            spread_bps=instrument.spread_bps * math.sqrt(regime),
            usual_volatility_bps=instrument.volatility_bps,
            usual_spread_bps=instrument.spread_bps,
            window_s=windows[u[7] < 0.3],
            anonymous=u[8] < terms.anonymous,
            residual_disclosed=u[9] < terms.residual_disclosed,
            urgent=urgent,
            desk=self.desks[desk],
        )
        deviation = volatility * terms.noise * np.sqrt(np.array(MARK_OUT_HORIZONS_S) / DAY_S)
        steps = volatility * terms.noise * np.sqrt(ELAPSED_S / DAY_S)[:, None] * chances.path_z
        sector_bps = math.sqrt(terms.sector_share) * np.cumsum(steps[:, 0])
        alone_bps = math.sqrt(1.0 - terms.sector_share) * np.cumsum(steps[:, 1])
        error_bps = math.sqrt(terms.sector_share) * terms.control_noise * np.cumsum(steps[:, 2])
        drift_bps = terms.urgent_drift * urgent * deviation / terms.noise
        return Request(
            number=number,
            facts=facts,
            instrument=instrument,
            sector=sector,
            desk=desk,
            quantity=quantity,
            chances=chances,
            lift_move_bps=volatility * math.sqrt(facts.window_s / DAY_S) * z[3],
            own_bps=side.sign * (sector_bps + alone_bps) + drift_bps,
            control_bps=side.sign * (sector_bps + error_bps),
            belief_bps=float(sector_bps[-2] + terms.foresight * alone_bps[-2]),
        )

    def _which(self, rare_u: float, u: float) -> int:
        """Place of the instrument in its sector."""
        usual = (self.terms.instruments + 1) // 2
        if rare_u < self.terms.rare_share and usual < self.terms.instruments:
            return usual + int(u * (self.terms.instruments - usual))
        return int(u * usual)

    def _drawn(self, block: int, again: int) -> list[Array]:
        rng = np.random.default_rng([self._seed, 0xC4, block, again])
        c, shape = self._columns, (BLOCK, self._columns.count)
        uniform, normal = rng.random, rng.standard_normal
        drawn = {
            "answer_u": uniform(shape),
            "silent_u": uniform(shape),
            "pace_z": normal(shape),
            "lots_z": normal(shape),
            "noise": skewed_noise(rng, c.noise_shape, c.noise_skew, shape),
            "fade_u": uniform(shape),
            "leak_u": uniform(shape),
            "leak_z": normal(shape),
            "inventory_z": normal((*shape, len(SECTORS))),
            "path_z": normal((BLOCK, len(MARK_OUT_HORIZONS_S), 3)),
            "desk_u": uniform((BLOCK, 12)),
            "market_z": normal((BLOCK, 4)),
        }
        return [drawn[name] for name in Chances._fields]


def desk_names(count: int) -> tuple[str, ...]:
    return tuple(f"desk-{n + 1}" for n in range(count))


def _instruments(rng: np.random.Generator, each: int) -> Iterator[Instrument]:
    """So many a sector, with volatilities, spreads and volumes drawn once."""
    for sector in SECTORS:
        for number in range(each):
            yield Instrument(
                symbol=Symbol(f"{sector[:3].upper()}{number}"),
                currency="USD",
                price_unit=Decimal("0.005"),
                tick_bands=(TickBand(Price(0), 2),),
                adv=Quantity(int(1_000_000 * math.exp(0.7 * rng.standard_normal()))),
                volatility_bps=float(150 * math.exp(0.25 * rng.standard_normal())),
                spread_bps=float(5 * math.exp(0.4 * rng.standard_normal())),
                sector=sector,
            )
