"""What to expect of each dealer for one request: response, quote, leakage and fade, for a whole panel at once."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml import registry
from ml.features import FEATURES, features, schema_hash
from ml.forest import Forest, Predict
from ml.leakage import Leakage
from ml.memory import DealerState, PanelMemory
from ml.model_card import CARD, card
from ml.outcomes import RequestFacts
from ml.quote_law import reference_cost_bps
from ml.quote_model import Margin, relative_quantiles, scale_of
from ml.registry import Manifest
from ml.response_model import response_probability
from ml.response_times import ResponseTimes
from rfq.domain.selection import QUANTILES
from rfq.domain.values import DealerId

Array = NDArray[np.float64]

KIND = "dealers"
MOST_COUNTS = 8
"""Numbers asked that are predicted for; further ones use the nearest."""
UNSEEN_WIDENING = 1.5
"""A dealer never asked looks average to the models, and may be worse: its dear quantiles are spread by this."""
MEDIAN = QUANTILES.index(0.5)
_TWO_WAY = FEATURES.index("two_way")
_NAMES = np.array(FEATURES, dtype=object)


class Forecast(msgspec.Struct, frozen=True):
    """Expectations for A numbers asked and D dealers. Costs in bps of mid, positive when worse for the desk."""

    dealers: tuple[DealerId, ...]
    asked: tuple[int, ...]
    response: Array
    """Probability of a quote, (A, D)."""
    cost_bps: Array
    """Quantiles at QUANTILES given a quote, (A, D, Q), rising along Q."""
    leakage_bps: Array
    """Adverse move expected from asking and not hitting, (A, D)."""
    fade: Array
    """Probability that a lift is refused, (D,)."""
    quoted_size: Array
    """Usual quantity quoted as a share of ADV, (D,)."""
    seen: NDArray[np.bool_]
    """Whether the dealer was asked within the lookback, (D,)."""
    response_s: Array
    """Median time to a quote, given that there will be one, (D,)."""
    x: NDArray[np.float32]


class Asking(msgspec.Struct, frozen=True):
    """What a forecast is wanted of: a request, the dealers, and the numbers asked to be considered."""

    facts: RequestFacts
    dealers: Sequence[DealerId]
    asked: Sequence[int]


def counts_up_to(most: int) -> list[int]:
    """Numbers asked to predict for: each up to MOST_COUNTS, else so many spread from 1 to `most`."""
    if most <= MOST_COUNTS:
        return list(range(1, most + 1))
    return sorted({round(n) for n in np.geomspace(1, most, MOST_COUNTS)})


class DealerModels:
    """The fitted models. Every method is synchronous, thread-safe and uses one thread."""

    def __init__(
        self,
        manifest: Manifest,
        response: xgb.Booster,
        quote: xgb.Booster,
        margin: Margin,
        leakage: Leakage,
        leakage_trees: xgb.Booster | None,
        times: ResponseTimes,
    ) -> None:
        self.manifest, self.times = manifest, times
        self._response, self._quote, self._margin = response, quote, margin
        self.leakage, self._leakage_trees = leakage, leakage_trees
        for booster in filter(None, (response, quote, leakage_trees)):
            booster.set_param({"nthread": 1})
        varying = [FEATURES.index(name) for name in ("log_asked", "law")]
        walked = Forest(quote, varying)
        self._predict_quote: Predict = walked.inplace_predict
        self._moved_by_trees: Predict = partial(walked.contributions, output=MEDIAN)
        self._predict_response: Predict = Forest(response, varying[:1]).inplace_predict
        self._predict_bend: Predict | None = leakage_trees and Forest(leakage_trees, varying).inplace_predict

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def knows_hidden_sides(self) -> bool:
        """Whether both kinds of request, with the side shown and hidden, were among those learned from."""
        return self._margin.low[_TWO_WAY] < self._margin.high[_TWO_WAY]

    def by_xgboost(self) -> "DealerModels":
        """The same models, with XGBoost itself to predict: for comparison."""
        same = DealerModels(
            self.manifest, self._response, self._quote, self._margin, self.leakage, self._leakage_trees, self.times
        )
        same._predict_quote, same._predict_response = self._quote.inplace_predict, self._response.inplace_predict
        same._predict_bend = self._leakage_trees and self._leakage_trees.inplace_predict
        same._moved_by_trees = same._contributions
        return same

    def _contributions(self, x: NDArray[np.float32]) -> Array:
        """XGBoost's own, to the median quantile."""
        found = self._quote.predict(xgb.DMatrix(x, nthread=1), pred_contribs=True, approx_contribs=True)
        return np.asarray(found, dtype=np.float64).reshape(len(x), len(QUANTILES), -1)[:, MEDIAN, :-1]

    @classmethod
    def load(cls, folder: Path | None = None) -> "DealerModels":
        """From `folder`, or those shipped with the package. Raises ModelMismatch."""
        manifest, boosters = registry.load(folder or registry.SHIPPED / KIND, KIND, schema_hash())
        try:
            margin = msgspec.convert(manifest.parameters["margin"], Margin)
            leakage = msgspec.convert(manifest.parameters["leakage"], Leakage)
            times = msgspec.convert(manifest.parameters["response_times"], ResponseTimes)
            trees = boosters.get("leakage")
            return cls(manifest, boosters["response"], boosters["quote"], margin, leakage, trees, times)
        except (KeyError, msgspec.ValidationError) as broken:
            raise registry.ModelMismatch(f"model {manifest.version} is incomplete: {broken}") from broken

    def save(self, folder: Path) -> "DealerModels":
        """Writes the models and their card; returns them under their final version."""
        boosters = {"response": self._response, "quote": self._quote}
        if self._leakage_trees is not None:
            boosters["leakage"] = self._leakage_trees
        self.manifest = registry.save(folder, self.manifest, boosters)
        (folder / CARD).write_text(card(self.manifest))
        return self

    def quote_quantiles(self, x: NDArray[np.float32]) -> Array:
        """Quantiles at QUANTILES of the cost over the reference cost, of rows of features."""
        return relative_quantiles(self._predict_quote, self._margin, x)

    def answer_probability(self, x: NDArray[np.float32]) -> Array:
        """Of a quote, of rows of features."""
        return response_probability(self._predict_response, x)

    def forecast(
        self, facts: RequestFacts, dealers: Sequence[DealerId], memory: PanelMemory, asked: Sequence[int]
    ) -> Forecast:
        """One batched prediction per model for every dealer and every number asked."""
        return self.forecasts([Asking(facts, dealers, asked)], memory)[0]

    def forecasts(self, askings: Sequence["Asking"], memory: PanelMemory) -> list[Forecast]:
        """The same for several requests at once, each as it would be alone: calling a model costs more than a row."""
        return [
            self._forecast(asking, *features(asking.facts, asking.dealers, memory, asking.asked)) for asking in askings
        ]

    def _forecast(self, asking: "Asking", matrix: NDArray[np.float32], state: DealerState) -> Forecast:
        facts, dealers, shape = asking.facts, asking.dealers, matrix.shape[:2]
        flat = matrix.reshape(-1, len(FEATURES))
        cost = (self.quote_quantiles(flat) * reference_cost_bps(facts)).reshape(*shape, len(QUANTILES))
        middle = cost[:, :, MEDIAN : MEDIAN + 1]
        # The keen side stays: widening it as well would make every newcomer look like the best quote of the set.
        doubted = middle + np.where(cost > middle, UNSEEN_WIDENING, 1.0) * (cost - middle)
        cost = np.where(state.seen[None, :, None], cost, doubted)
        leakage = np.broadcast_to(self.leakage.expected_bps(facts, dealers), shape)
        if self._predict_bend is not None:
            bend = np.asarray(self._predict_bend(flat), dtype=np.float64).reshape(shape)
            leakage = np.maximum(0.0, leakage + bend * self.leakage.scale_bps(facts))
        response = response_probability(self._predict_response, flat).reshape(shape)
        return Forecast(
            dealers=tuple(dealers),
            asked=tuple(asking.asked),
            response=response * self.times.left_of_answers(facts.window_s, dealers),
            cost_bps=cost,
            leakage_bps=leakage,
            fade=state.fade_rate,
            quoted_size=np.minimum(state.reach, facts.size),
            seen=state.seen,
            response_s=self.times.median_s(facts.window_s, dealers),
            x=matrix,
        )

    def reasons(self, facts: RequestFacts, x: NDArray[np.float32], most: int = 5) -> list[dict[str, float]]:
        """Per row: the features that move its expected quote most, in bps; positive makes it dearer.

        The margin's share is exact; the trees' is the approximate contribution (Saabas) to the median quantile: far
        less work than exact Shapley values, and it adds up to the same prediction.
        """
        return self.all_reasons([facts], [x], most)[0]

    def all_reasons(
        self, facts: Sequence[RequestFacts], x: Sequence[NDArray[np.float32]], most: int = 5
    ) -> list[list[dict[str, float]]]:
        """The same for several requests at once: one matrix for each."""
        flat = np.concatenate(x)
        moved = self._margin.contributions(flat) + self._moved_by_trees(flat) * scale_of(flat)[:, None]
        moved *= np.repeat([reference_cost_bps(f) for f in facts], [len(rows) for rows in x])[:, None]
        largest = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :most]
        moved = moved[np.arange(len(flat))[:, None], largest].round(3).tolist()
        causes = _NAMES[largest].tolist()
        told = [dict(zip(names, row, strict=True)) for names, row in zip(causes, moved, strict=True)]
        ends = np.cumsum([len(rows) for rows in x]).tolist()
        return [told[end - len(rows) : end] for end, rows in zip(ends, x, strict=True)]
