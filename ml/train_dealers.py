"""Trains the dealer models from history and measures them on a later stretch that nothing was chosen by."""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml import leakage_trees, quote_model, response_model
from ml.dealer_models import KIND, DealerModels
from ml.features import FEATURES, schema_hash
from ml.leakage import Leakage, fit_leakage
from ml.leakage_trees import fit_leakage_trees
from ml.outcomes import Outcome
from ml.quote_model import Margin, calibrated, fit_margin, fit_quantiles, relative_quantiles
from ml.registry import Manifest
from ml.response_model import fit_response, response_probability
from ml.scores import auc, brier, pinball
from ml.training_rows import TrainingRows, training_rows
from rfq.domain.errors import BadInput
from rfq.domain.selection import QUANTILES

FIT, CHECK = 0.70, 0.85
"""Up to the first share of time models are fitted, up to the second chosen; the rest is held out."""
LEAST_AUCTIONS = 400


def train_dealers(outcomes: Iterable[Outcome], seed: int, trained_on: str) -> DealerModels:
    """Fits response, quote and leakage; metrics are of the held-out last stretch and stand in the manifest.

    Raises BadInput with fewer than LEAST_AUCTIONS auctions, or where no dealer ever quoted.
    """
    return train_on(training_rows(outcomes, seed), seed, trained_on)


def train_on(rows: TrainingRows, seed: int, trained_on: str) -> DealerModels:
    """The same from history that was walked already."""
    count = len(rows.outcomes)
    if count < LEAST_AUCTIONS:
        raise BadInput("outcomes", count, f"must hold at least {LEAST_AUCTIONS} auctions")
    fit_end, check_end = int(FIT * count), int(CHECK * count)
    fit, check = rows.between(0, fit_end), rows.between(fit_end, check_end)
    if not (rows.priced & fit).any() or not (rows.priced & check).any():
        raise BadInput("outcomes", 0, "must hold quotes to learn their cost from")
    held = rows.between(check_end, count)

    response = fit_response(rows.x[fit], rows.answered[fit], (rows.x[check], rows.answered[check]), seed)
    margin, quote, plain = _fit_quotes(rows, fit & rows.priced, check & rows.priced, seed)
    leakage = fit_leakage(rows.outcomes[:fit_end])
    trees, leak_losses = fit_leakage_trees(rows, leakage, (0, fit_end), (fit_end, check_end), seed)
    metrics = {
        "auctions": float(count),
        "rows": float(len(rows.x)),
        **_response_metrics(rows, response, fit, held),
        **_quote_metrics(rows, margin, quote, plain, fit & rows.priced, held & rows.priced),
        **leak_losses,
        "leakage_noise_daily_volatilities": leakage.noise,
    }
    manifest = Manifest(
        kind=KIND,
        version="",
        schema=schema_hash(),
        features=FEATURES,
        seed=seed,
        trained_on=trained_on,
        metrics={name: round(value, 6) for name, value in metrics.items()},
        parameters=_parameters(margin, leakage),
        library="",
        digests={},
        signs={
            "probability of a quote": response_model.SIGNS,
            "cost of a quote": quote_model.SIGNS,
            "leakage": leakage_trees.SIGNS,
        },
        code="",
    )
    return DealerModels(manifest, response, quote, margin, leakage, trees)


def _parameters(margin: Margin, leakage: Leakage) -> Mapping[str, object]:
    return {"margin": msgspec.to_builtins(margin), "leakage": msgspec.to_builtins(leakage)}


def _fit_quotes(
    rows: TrainingRows, fit: NDArray[np.bool_], check: NDArray[np.bool_], seed: int
) -> tuple[Margin, xgb.Booster, xgb.Booster]:
    """The margin, the quantiles on top of it, and quantiles without it to compare with."""
    relative = rows.cost_bps / rows.reference_bps
    margin = fit_margin(rows.x[fit], relative[fit])
    later = (rows.x[check], relative[check])
    quote = fit_quantiles(rows.x[fit], relative[fit], margin, later, seed)
    margin = calibrated(quote, margin, *later)
    plain = fit_quantiles(rows.x[fit], relative[fit], None, later, seed)
    return margin, quote, plain


def _response_metrics(
    rows: TrainingRows, booster: xgb.Booster, fit: NDArray[np.bool_], held: NDArray[np.bool_]
) -> dict[str, float]:
    happened = rows.answered[held]
    probability = response_probability(booster.inplace_predict, rows.x[held])
    return {
        "response_auc": auc(happened, probability),
        "response_brier": brier(happened, probability),
        "response_brier_constant": brier(happened, np.full(len(happened), rows.answered[fit].mean())),
    }


def _quote_metrics(
    rows: TrainingRows,
    margin: Margin,
    quote: xgb.Booster,
    plain: xgb.Booster,
    fit: NDArray[np.bool_],
    held: NDArray[np.bool_],
) -> dict[str, float]:
    """Pinball in bps, and per daily volatility (the unit in which such studies are compared)."""
    actual, reference = rows.cost_bps[held], rows.reference_bps[held][:, None]
    per_volatility = 1.0 / rows.volatility_bps[held]
    predicted = relative_quantiles(quote.inplace_predict, margin, rows.x[held]) * reference
    ways = {
        "": predicted,
        "_no_margin": relative_quantiles(plain.inplace_predict, None, rows.x[held]) * reference,
        "_scaled_constant": np.quantile(rows.cost_bps[fit] / rows.reference_bps[fit], QUANTILES) * reference,
        "_constant": np.broadcast_to(np.quantile(rows.cost_bps[fit], QUANTILES), predicted.shape),
    }
    found = {f"quote_pinball_bps{way}": pinball(actual, values, QUANTILES) for way, values in ways.items()}
    found["quote_pinball_per_volatility"] = pinball(actual, predicted, QUANTILES, per_volatility)
    inside = (actual >= predicted[:, 0]) & (actual <= predicted[:, -1])
    found["quote_cover_of_90_percent"] = float(inside.mean())
    return found
