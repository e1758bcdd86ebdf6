"""From raw facts to the feature matrix: one function, used in training and live alike.

Rows are (number asked, dealer) pairs, columns are FEATURES. Nothing enters that a desk could not know at the
moment of asking.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.memory import DEPTH, DealerState, PanelMemory
from ml.outcomes import SETTLE_S, RequestFacts
from ml.recall import HALF_LIFE_S, LOOKBACK_S, RECENT_S
from rfq.domain.values import DealerId

REQUEST_FEATURES = (
    "log_size",
    "log_volatility",
    "volatility_now",
    "spread_now",
    "spread_per_volatility",
    "two_way",
    "anonymous",
    "residual_disclosed",
    "log_window",
    "log_asked",
)

DEALER_FEATURES = (
    "asked",
    "answer_rate",
    "sector_answer_rate",
    "pace",
    "cost",
    "sector_cost",
    "cost_spread",
    "axe",
    "flow",
    "win_rate",
    "fade_rate",
    "quoted_size",
    "size_of_usual",
    "lost_move",
    "log_idle",
    "keen",
    "given",
    "law",
    "law_scale",
)

FEATURES = REQUEST_FEATURES + DEALER_FEATURES

RULES = "3"
"""Version of how features are computed; raise it with any change of meaning."""


def constraints(signs: Mapping[str, int], names: Sequence[str] = FEATURES) -> str:
    """Signs that theory gives, by feature, as XGBoost takes them: 1 never falls with it, -1 never rises."""
    return "(" + ",".join(str(signs.get(name, 0)) for name in names) + ")"


def schema_hash() -> str:
    """Names, order and the constants that give them meaning: a model fits only features of the same hash."""
    constants = [DEPTH, LOOKBACK_S, HALF_LIFE_S, RECENT_S, SETTLE_S]
    return hashlib.sha256(json.dumps([FEATURES, constants, RULES]).encode()).hexdigest()[:16]


def features(
    facts: RequestFacts, dealers: Sequence[DealerId], memory: PanelMemory, asked: Sequence[int]
) -> tuple[NDArray[np.float32], DealerState]:
    """The matrix of shape (len(asked), len(dealers), len(FEATURES)), and the state that it was made from.

    `asked` lists the numbers of dealers asked to be considered: one in training, several when choosing.
    """
    state = memory.state(dealers, facts, SETTLE_S)
    matrix = np.empty((len(asked), len(dealers), len(FEATURES)), dtype=np.float32)
    matrix[:, :, 0] = math.log(facts.size)
    matrix[:, :, 1] = math.log(facts.volatility_bps)
    matrix[:, :, 2] = math.log(facts.volatility_bps / facts.usual_volatility_bps)
    matrix[:, :, 3] = math.log(facts.spread_bps / facts.usual_spread_bps)
    matrix[:, :, 4] = math.log(facts.spread_bps / facts.volatility_bps)
    matrix[:, :, 5] = facts.two_way
    matrix[:, :, 6] = facts.anonymous
    matrix[:, :, 7] = facts.residual_disclosed
    matrix[:, :, 8] = math.log(facts.window_s)
    matrix[:, :, 9] = np.log(np.asarray(asked, dtype=np.float64))[:, None]
    first = len(REQUEST_FEATURES)
    columns = (
        np.log1p(state.asked),
        state.answer_rate,
        state.sector_answer_rate,
        state.pace,
        state.cost,
        state.sector_cost,
        state.cost_spread,
        state.axe,
        state.flow,
        state.win_rate,
        state.fade_rate,
        np.log(state.quoted_size),
        math.log(facts.size) - np.log(state.quoted_size),
        state.lost_move,
        np.log1p(state.idle_days),
        state.keen,
        state.given,
    )
    for offset, column in enumerate(columns):
        matrix[:, :, first + offset] = column
    law, both = state.law.at(facts, state.quoted_size, asked)
    matrix[:, :, first + len(columns)] = law
    matrix[:, :, first + len(columns) + 1] = both * state.cost_spread
    return matrix, state
