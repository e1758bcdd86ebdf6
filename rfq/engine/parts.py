"""What the engine is given: the ports, the instruments and its own few settings."""

from collections.abc import Callable, Mapping

from rfq.domain.events import Stamped
from rfq.domain.values import DealerId, Frozen, Instrument, RfqId, Symbol
from rfq.ports import (
    Clock,
    ControlStore,
    DealerGateway,
    DealerPredictor,
    IdSource,
    MarketClock,
    MarketData,
    ResidualCost,
    RfqReader,
    RfqStore,
    Router,
)


class EngineSettings(Frozen, frozen=True):
    """Bounds on waiting and on size. Seconds are the session clock's unless said."""

    open_rfqs: int = 1000
    """RFQs this engine works at one time; one more is refused."""
    stale_after_s: float = 30.0
    """Market seconds after which a view of the market is no arrival."""
    lift_answer_s: float = 2.0
    """Time to answer a lift beyond the quote's last look."""
    unknown_limit_s: float = 10.0
    """How long a lift may stay unknown before a person is asked."""
    takeover_s: float = 2.0
    """Pause between looks for RFQs whose owner is gone."""
    compete_disclosed: bool = True
    """Whether dealers are told how many others are asked."""
    regulatory_dealers: int = 0
    """Dealers that a rule demands to be asked; 0 where none does."""
    leakage_budget_bps: float = 0.0
    """Most leakage expected of all asked together, in bps; 0: no bound."""
    wave_decision_s: float = 0.5
    """Longest wait for the models to decide on a further wave; then a rule does."""


class Parts:
    """Everything the story reaches the world through. Plain wiring, made once by app.py."""

    def __init__(
        self,
        *,
        clock: Clock,
        market_clock: MarketClock,
        market: MarketData,
        ids: IdSource,
        store: RfqStore,
        reader: RfqReader,
        controls: ControlStore,
        gateway: DealerGateway,
        predictor: DealerPredictor,
        residual: ResidualCost,
        router: Router,
        instruments: Mapping[Symbol, Instrument],
        seed: int,
        settings: EngineSettings | None = None,
        panel: frozenset[DealerId] | None = None,
        observe: Callable[[RfqId, Stamped], None] | None = None,
    ) -> None:
        self.clock = clock
        self.market_clock = market_clock
        self.market = market
        self.ids = ids
        self.store = store
        self.reader = reader
        self.controls = controls
        self.gateway = gateway
        self.predictor = predictor
        self.residual = residual
        self.router = router
        self.instruments = instruments
        self.seed = seed
        self.settings = settings or EngineSettings()
        self.panel = panel
        """Dealers that may be asked at all; None means everyone the gateway reaches."""
        self.observe = observe
        """Told of every event as it happens in this process: counters, benchmarks. Must not block or raise."""
