"""The plan and the calibration of the win model, chosen inside the training rows: always judged on later rows."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ml import scores
from ml.wins.features import quote_features
from ml.wins.model import OUTLIERS, Plan, WinModel, probability, ridge_logistic
from ml.wins.requests import Floats, Mids, Requests, joined
from rfq.domain.errors import BadInput

HALF_LIVES_DAYS = (10.0, 20.0, 40.0)
RIDGES = (20.0, 50.0, 150.0)
TREES = (0, 75, 150)
CAUTIOUS = Plan(half_life_days=20.0, ridge=150.0, trees=0)
"""Where there is too little to choose by."""
FIRST_SHARE, FOLDS = 0.4, 3
"""The first share of rows is learned from only; what follows is predicted in so many parts, each from all before it.
Few and long: in use, too, a model is not learned anew for weeks."""
FEWEST_WINS = 5
"""A part is predicted only from as many wins and losses."""
SEEDS = (1, 2, 3, 4, 5)
"""Trees of several seeds are averaged in the end."""
CALIBRATION_RIDGE = 10.0
LEAST_SLOPE = 0.1
"""A better quote is never called a worse one."""


class Chosen(NamedTuple):
    """A fitted model, how it did in validation, and what it says of the test rows.

    `held_out` are probabilities of those training rows that validation predicted from earlier ones only, `happened`
    their outcomes; none where there was too little.
    """

    model: WinModel
    happened: Floats
    held_out: Floats
    probability: Floats
    """Of each test row."""
    plain: Floats
    """Of each test row by the first regression alone, which learns nothing after the training rows."""


def fit_and_score(train: Requests, test: Requests, mids: Mids, say: Callable[[str], None]) -> Chosen:
    """Chooses and fits on `train`, scores `test` in time order. `mids` spans both.

    Raises BadInput where `train` has no win or no loss, and where `test` begins before `train` ends.
    """
    if not 0 < train.won.sum() < len(train.won):
        raise BadInput("train", f"{train.won.sum():.0f} of {len(train.won)} won", "must have both wins and losses")
    everything = joined(train, test)
    low, high = np.quantile(train.edge_bps, OUTLIERS)
    x = quote_features(everything, mids, (float(low), float(high)))
    rows = len(train.won)
    plan, margin, happened = _choose(x[:rows], train, say)
    say(f"fitting on {rows:,} RFQs: surprises fade in {plan.half_life_days:g} days, ridge {plan.ridge:g}, "
        f"{plan.trees} trees")  # fmt: skip
    model = WinModel.fit(x[:rows], train, plan, SEEDS)
    if len(happened):
        model = model._replace(calibration=_calibration(margin, happened))
    say(f"scoring {len(test.won):,} RFQs in time order")
    validated = train.take(slice(rows - len(margin), rows))  # Parts follow each other to the end.
    return Chosen(
        model,
        happened=happened,
        held_out=model.calibrated(margin, validated),
        probability=model.predict(x, everything)[rows:],
        plain=probability(model.quote.margin(x[rows:])),
    )


def parts(train: Requests) -> Sequence[tuple[int, int]]:
    """(begin, end) of the rows that are predicted from all before them; a moment is never cut in two."""
    rows = len(train.won)
    bounds = np.linspace(FIRST_SHARE * rows, rows, FOLDS + 1).astype(int)[:-1]
    starts = [*np.searchsorted(train.time_s, train.time_s[bounds]).tolist(), rows]
    return [
        (begin, end)
        for begin, end in pairwise(starts)
        if begin < end and min(train.won[:begin].sum(), (1 - train.won[:begin]).sum()) >= FEWEST_WINS
    ]


def _choose(x: Floats, train: Requests, say: Callable[[str], None]) -> tuple[Plan, Floats, Floats]:
    """The plan of least log loss after calibration, with its margins on predicted rows and what happened there."""
    split = parts(train)
    happened = np.concatenate([train.won[begin:end] for begin, end in split]) if split else np.empty(0)
    if not 0 < happened.sum() < len(happened):
        say("too few wins or losses to validate by: a cautious plan, without calibration")
        return CAUTIOUS, np.empty(0), np.empty(0)
    best, its_margin, least = CAUTIOUS, np.empty(0), np.inf
    for half_life_days in HALF_LIVES_DAYS:
        for ridge in RIDGES:
            plan = Plan(half_life_days, ridge, max(TREES))
            held: list[Floats] = []
            for begin, end in split:
                model = WinModel.fit(x[:begin], train.take(slice(begin)), plan, SEEDS[:1])
                held.append(model.margins(x[:end], train.take(slice(end)), TREES)[:, begin:])
            margins = np.concatenate(held, axis=1)
            for trees, margin in zip(TREES, margins, strict=True):
                intercept, slope = _calibration(margin, happened)
                loss = scores.log_loss(happened, probability(intercept + slope * margin))
                tried = f"half-life {half_life_days:g} days, ridge {ridge:g}, {trees} trees"
                say(f"validation: {tried}: log loss {loss:.4f}")
                if loss < least:
                    best, its_margin, least = plan._replace(trees=trees), margin, loss
    return best, its_margin, happened


def _calibration(margin: Floats, happened: Floats) -> tuple[float, float]:
    """Intercept and slope of the log-odds. A ridge holds the slope to 1 where there is little to see."""
    mean, scale = float(margin.mean()), max(float(margin.std()), 1e-9)
    shift, bend = ridge_logistic((margin[:, None] - mean) / scale, happened, CALIBRATION_RIDGE, offset=margin)
    bend = max(bend / scale, LEAST_SLOPE - 1)
    return float(shift - bend * mean), float(1 + bend)
