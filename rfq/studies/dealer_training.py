"""Training runs for the dealer models: from a study world of the service's fleet, or from its own stored history."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from dealers.panel import default_panel
from ml.dealer_models import KIND, DealerModels
from ml.outcomes import RequestFacts, auctions
from ml.registry import SHIPPED
from ml.scores import rank_correlation
from ml.train_dealers import train_dealers
from rfq.domain.values import Instrument, Side, Symbol
from rfq.ports import HistoryReader
from rfq.studies.dealer_world import DealerWorld
from rfq.studies.world_requests import WorldTerms
from rfq.studies.world_truth import Truth

DEFAULT_SEED = 20260302
DEFAULT_REQUESTS = 12_000
MOST_ROWS = 200_000


def train_from_study(
    folder: Path | None = None, seed: int = DEFAULT_SEED, requests: int = DEFAULT_REQUESTS
) -> DealerModels:
    """Trains on a study world and saves to `folder` (by default where the shipped models lie).

    The manifest's metrics gain how well leakage and response times agree with the world's truth, which a desk could
    never know.
    """
    world = fleet_world(seed, requests)
    outcomes = list(world.history())
    terms = world.terms
    models = train_dealers(
        outcomes,
        seed,
        f"study world: {requests} auctions of {len(world.panel)} declared dealers over "
        f"{(outcomes[-1].facts.at - outcomes[0].facts.at).days} days, {terms.explored:.0%} of slots and "
        f"{terms.recounted:.0%} of numbers asked at random, {terms.least} to {terms.most} asked",
    )
    metrics = {**models.manifest.metrics, **against_truth(world, models)}
    models.manifest = msgspec.structs.replace(models.manifest, metrics=metrics)
    return models.save(folder or SHIPPED / KIND)


def fleet_world(seed: int, requests: int) -> DealerWorld:
    """A study world of the twelve dealers that the service meets, rather than of drawn ones."""
    return DealerWorld(seed, WorldTerms(requests=requests, most=7), default_panel(seed))


async def train_from_history(
    reader: HistoryReader,
    instruments: Mapping[Symbol, Instrument],
    since: datetime,
    folder: Path,
    seed: int = DEFAULT_SEED,
) -> DealerModels:
    """Trains on stored outcomes since market time `since`. Raises BadInput where they are too few."""
    rows = [row async for row in reader.outcomes(since, MOST_ROWS)]
    described = f"stored history since {since.isoformat()}: {len(rows)} requests to dealers"
    return train_dealers(auctions(rows, instruments), seed, described).save(folder)


def against_truth(world: DealerWorld, models: DealerModels) -> dict[str, float]:
    """Per dealer, at a request of 5% of ADV, 150 bps of volatility and 10 s: predicted against the world's truth."""
    instrument = world.requests.instruments[0]
    facts = RequestFacts(
        at=world.now,
        symbol=instrument.symbol,
        sector=instrument.sector,
        side=Side.BUY,
        two_way=False,
        size=0.05,
        volatility_bps=150.0,
        spread_bps=instrument.spread_bps,
        usual_volatility_bps=instrument.volatility_bps,
        usual_spread_bps=instrument.spread_bps,
    )
    dealers, truth = world.dealers, Truth(world).leakage_bps(facts)
    found = models.leakage.expected_bps(facts, dealers)
    bounds = np.array([models.leakage.interval_bps(facts, d) for d in dealers])
    covered = (bounds[:, 0] <= truth) & (truth <= bounds[:, 1])
    times, true_s = models.times.median_s(facts.window_s, dealers), Truth(world).response_s(facts.window_s)
    measured = {
        "leakage_truth_spearman": rank_correlation(truth, found),
        "leakage_truth_rmse_bps": float(np.sqrt(np.mean((found - truth) ** 2))),
        "leakage_truth_rmse_bps_constant": float(truth.std()),
        "leakage_interval_90_percent_covers": float(covered.mean()),
        "response_time_truth_error": float(np.mean(np.abs(times - true_s) / true_s)),
    }
    return {name: round(value, 6) for name, value in measured.items()}
