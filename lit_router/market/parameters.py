"""What a simulated book runs on: rates by queue size, order sizes, volume over the day. One JSON file a market.

Everything measured stands here with its evidence (counts, exposure, standard errors); what nobody can measure from a
book (regimes, news, dark pools, impact) is declared in files of its own and not part of a set.
"""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from rfq.domain.errors import BadInput
from rfq.domain.values import Frozen

SHIPPED = Path(__file__).parent / "parameters"
LARGEST = 63
"""Queue sizes are tabulated from 0 up to here, in average event sizes; a larger queue counts as this."""
QUANTILES = 64
Floats = npt.NDArray[np.float64]
ByLevel = tuple[tuple[float, ...], ...]


class Evidence(Frozen, frozen=True, kw_only=True):
    """By level and queue size point: events counted, seconds of exposure, and the rate's standard error."""

    limit_counts: ByLevel
    cancel_counts: ByLevel
    market_counts: ByLevel
    exposure_s: ByLevel
    limit_errors: ByLevel
    cancel_errors: ByLevel
    market_errors: ByLevel
    thin: tuple[str, ...] = ()
    """Cells with too few events to believe, in words."""
    market_exposure_s: ByLevel = ()
    """Seconds for which the level was the best of its side: the exposure of market orders, if counted so."""
    spread_law: tuple[float, ...] = ()
    """Share of time at a spread of 0 (crossed or locked), 1, 2... grid steps, the last one or more."""


class SizeLaw(Frozen, frozen=True, kw_only=True):
    """Order sizes as multiples of the average event size: means of equiprobable classes, smallest first, QUANTILES of
    them; `thin` where the queue holds no more than `thin_queue` average events, `thick` above."""

    thin: tuple[float, ...]
    thick: tuple[float, ...]


class BookParameters(Frozen, frozen=True, kw_only=True):
    """One market's set. Rates are events per second on one side, `[level][point]`, linear between points."""

    name: str
    source: str
    """Where each number is from; for a mixed set, which is which."""
    tick: str
    """The tick in money, a decimal string."""
    grid_ticks: int
    """Ticks between two modelled price levels: 1 for a large-tick name."""
    mean_lots: int
    """Average event size, shares: the unit of queue sizes."""
    queue_sizes: tuple[float, ...]
    """The points at which rates are given, in average event sizes; the first is 0."""
    limit: ByLevel
    cancel: ByLevel
    market: ByLevel
    """Market orders that arrive while this level is the best of its side; they walk on if it is not enough."""
    occupancy: ByLevel = ()
    """By level, share of time at each queue size 0..LARGEST: what fresh levels are drawn from. Empty: the invariant law
    of the rates."""
    follow: int = 1
    """The reference price may follow a move of the mid once this many levels between it and the best are empty."""
    theta: float = 0.7
    theta_reinit: float = 0.85
    limit_sizes: SizeLaw | None = None
    cancel_sizes: SizeLaw | None = None
    market_sizes: SizeLaw | None = None
    """None: every event is exactly the average."""
    thin_queue: int = 3
    volume_curve: tuple[float, ...] = (1.0,) * 13
    """Pace of the market by half hour of the session, mean 1."""
    burst: tuple[float, ...] = (1.0,) * QUANTILES
    """Pace of single seconds relative to the pace of their minute: equiprobable classes, mean 1 (clustering)."""
    burst_s: float = 1.0
    """Seconds that one such class lasts on average."""
    gaps_s: tuple[float, ...] = ()
    """Seconds between events that follow each other in one burst: equiprobable classes. Empty: uniform in a step."""
    day_sigma_grids: float = 0.0
    """Standard deviation of a simulated day's change of mid, in grid steps; measured on this set, 0 if not yet."""
    day_lots: float = 0.0
    """Lots traded in a simulated day, likewise."""
    hidden_share: float = 0.0
    """Share of executed volume that was hidden or off the exchange."""
    evidence: Evidence | None = None

    @property
    def levels(self) -> int:
        return len(self.limit)

    def by_size(self, rates: ByLevel) -> Floats:
        """Rates at every queue size, shape (levels, LARGEST + 1)."""
        points = np.arange(LARGEST + 1)
        return np.array([np.interp(points, self.queue_sizes, level) for level in rates])

    def laws(self) -> Floats:
        """What fresh levels are drawn from: probabilities, shape (levels, LARGEST + 1)."""
        if self.occupancy:
            laws = np.array(self.occupancy)
            return laws / laws.sum(axis=1, keepdims=True)
        return np.array([_invariant(*level) for level in zip(*map(self.by_size, (self.limit, self.cancel, self.market)),
                                                             strict=True)])  # fmt: skip


def _invariant(limit: Floats, cancel: Floats, market: Floats) -> Floats:
    """Stationary law of one birth-death queue (Huang, Lehalle, Rosenbaum 2015, section 2.3.2)."""
    with np.errstate(divide="ignore"):
        steps = np.log(limit[:-1]) - np.log(cancel[1:] + market[1:])
    weights = np.exp(np.concatenate([[0.0], np.cumsum(steps)]))
    return weights / weights.sum()


def shipped() -> tuple[str, ...]:
    """Names of the sets in the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


def load(name_or_path: str | Path) -> BookParameters:
    """A shipped set by name, or one from a file. Raises BadInput naming file, field and rule."""
    path = Path(name_or_path)
    if path.suffix != ".json":
        path = SHIPPED / f"{name_or_path}.json"
        if not path.exists():
            raise BadInput("parameters", str(name_or_path), f"must be one of {', '.join(shipped())} or a .json file")
    try:
        parameters = msgspec.json.decode(path.read_bytes(), type=BookParameters)
    except (OSError, msgspec.DecodeError) as reason:
        raise BadInput("parameters", str(path), f"must be a readable parameter file: {reason}") from None
    check(parameters, str(path))
    return parameters


def save(parameters: BookParameters, path: Path) -> None:
    """Writes the whole file or nothing. Raises BadInput for a set that is not possible or a place not writable."""
    check(parameters, str(path))
    half = path.with_suffix(".json.part")
    try:
        half.write_bytes(msgspec.json.format(msgspec.json.encode(parameters), indent=1) + b"\n")
        half.replace(path)
    except OSError as reason:
        half.unlink(missing_ok=True)
        raise BadInput("out", str(path), f"must be writable: {reason}") from None


def check(parameters: BookParameters, where: str) -> None:
    """Raises BadInput for a set that no book can run on."""

    def must(holds: object, field: str, value: object, rule: str) -> None:
        if not holds:
            raise BadInput(f"{where}: {field}", value, rule)

    p, points = parameters, len(parameters.queue_sizes)
    must(p.levels >= 2, "limit", p.levels, "must have at least two levels")
    must(p.grid_ticks >= 1, "grid_ticks", p.grid_ticks, "must be at least 1")
    must(p.mean_lots >= 1, "mean_lots", p.mean_lots, "must be at least 1")
    must(p.queue_sizes[:1] == (0.0,), "queue_sizes", p.queue_sizes[:1], "must begin at 0")
    must(np.all(np.diff(p.queue_sizes) > 0), "queue_sizes", p.queue_sizes, "must rise")
    for field in ("limit", "cancel", "market"):
        rates: ByLevel = getattr(p, field)
        must(len(rates) == p.levels, field, len(rates), f"must have {p.levels} levels")
        for level, row in enumerate(rates):
            must(len(row) == points, f"{field}[{level}]", len(row), f"must have {points} points")
            must(np.isfinite(row).all() and min(row) >= 0, f"{field}[{level}]", row, "must be finite, not negative")
    must(all(row[0] == 0 for row in p.cancel), "cancel", 0, "must be 0 at an empty queue")
    must(all(max(row) > 0 for row in p.limit), "limit", 0, "must be above 0 somewhere on every level")
    must(not p.occupancy or len(p.occupancy) == p.levels, "occupancy", len(p.occupancy), f"must have {p.levels} levels")
    for level, row in enumerate(p.occupancy):
        right = len(row) == LARGEST + 1 and min(row) >= 0 and sum(row) > 0
        must(right, f"occupancy[{level}]", len(row), f"must be {LARGEST + 1} shares, not negative")
    for field in ("theta", "theta_reinit", "hidden_share"):
        must(0 <= getattr(p, field) <= 1, field, getattr(p, field), "must be a probability")
    must(1 <= p.follow < p.levels, "follow", p.follow, "must be at least 1 and below the levels")
    for field in ("limit_sizes", "cancel_sizes", "market_sizes"):
        law: SizeLaw | None = getattr(p, field)
        for kind, row in (("thin", law.thin), ("thick", law.thick)) if law else ():
            right = len(row) == QUANTILES and min(row) > 0 and np.isfinite(row).all()
            must(right, f"{field}.{kind}", row, f"must be {QUANTILES} positive multiples")
    must(len(p.burst) == QUANTILES and min(p.burst) >= 0, "burst", p.burst, f"must be {QUANTILES} paces")
    must(p.burst_s > 0, "burst_s", p.burst_s, "must be positive")
    must(p.volume_curve and min(p.volume_curve) > 0, "volume_curve", p.volume_curve, "must be positive paces")
