"""Does the win model know a bank's own RFQs? Learned from one file, judged on a later one."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ml import scores
from ml.wins import choosing
from ml.wins.requests import NO_MIDS, Floats, Requests, read_mids, read_requests
from ml.wins.rolling import DAY_S
from rfq.domain.errors import BadInput
from rfq.studies.figures import Figures, progress
from rfq.studies.win_card import write_card
from rfq.studies.win_page import write_page
from rfq.studies.win_reliability import reliability

Score = Callable[[Floats, Floats], float]

LEAST_AUC, MOST_BRIER = 0.74, 0.090
"""A quick baseline's, on later months of the same kind."""
GOOD_AUC, GOOD_BRIER = 0.769, 0.086
"""A good one's."""
RESAMPLES, SEED = 1_000, 20_190_125
INTERVAL = (0.025, 0.975)


def run(train_path: Path, test_path: Path, mids_path: Path | None, page: Path | None) -> Figures:
    """Figures of the test file's RFQs whose outcome is known; the page with the reliability plot if one is asked for,
    and the model card beside it.

    The model is chosen and fitted inside the training file. Test rows are scored in time order; outcomes of strictly
    earlier ones reach its rolling features. Without any outcome there is nothing to judge: the RFQs are scored, and
    `auc`, `brier` and `ece` are left out.

    Raises BadInput for files that are broken, a training file without wins or without losses, a test file that begins
    before it ends, and a page that cannot be written or has nothing to show.
    """
    train = read_requests(train_path, outcomes=True)
    test = read_requests(test_path, outcomes=False)
    mids = NO_MIDS if mids_path is None else read_mids(mids_path)
    if page is not None and not page.absolute().parent.is_dir():
        raise BadInput("page", str(page), "must be in a folder that exists")
    if page is not None and not test.known.any():
        raise BadInput("page", str(page), "needs outcomes in the test file: there is nothing to draw")
    chosen = choosing.fit_and_score(train, test, mids, progress)
    figures = Figures(f"win model: learned from {train_path.name}, judged on {test_path.name}")
    _describe(figures, train, test, chosen)
    known = test.known
    if not known.any():
        progress("no outcome is known in the test file: auc, brier and ece cannot be said")
        return figures
    happened, found = test.won[known], chosen.probability[known]
    days = (test.time_s[known] // DAY_S).astype(int)
    _judge(figures, happened, found, days)
    constant = np.full(len(happened), train.won.mean())
    if 0 < happened.sum() < len(happened):
        figures.add("plain_auc", scores.auc(happened, chosen.plain[known]))
    figures.add("plain_brier", scores.brier(happened, chosen.plain[known]))
    figures.add("constant_brier", scores.brier(happened, constant))
    bins = reliability(happened, found)
    for line in bins.lines():
        progress(line)
    if page is not None:
        write_page(page, bins, happened, found, figures)
        write_card(page.with_suffix(".md"), figures, SEED)
    return figures


def _describe(figures: Figures, train: Requests, test: Requests, chosen: choosing.Chosen) -> None:
    figures.add("train_rfqs", len(train.won))
    figures.add("train_until_utc", _shown(train.time_s[-1]))
    figures.add("test_rfqs", len(test.won))
    figures.add("test_from_utc", _shown(test.time_s[0]))
    figures.add("test_until_utc", _shown(test.time_s[-1]))
    figures.add("test_outcomes_known", int(test.known.sum()))
    figures.add("unseen_clients", len({*test.client} - {*train.client}))
    figures.add("unseen_instruments", len({*test.instrument} - {*train.instrument}))
    figures.add("chosen_half_life_days", chosen.model.plan.half_life_days)
    figures.add("chosen_ridge", chosen.model.plan.ridge)
    figures.add("chosen_trees", chosen.model.plan.trees)
    figures.add("validated_rfqs", len(chosen.happened))
    if len(chosen.happened):
        figures.add("validation_auc", scores.auc(chosen.happened, chosen.held_out))
        figures.add("validation_brier", scores.brier(chosen.happened, chosen.held_out))
    figures.add("predicted_win_share", float(chosen.probability.mean()))


def _judge(figures: Figures, happened: Floats, found: Floats, days: np.ndarray) -> None:
    """`auc` and `brier` with 95% intervals by a bootstrap over days, `ece` in ten bins of equal width."""
    figures.add("win_share", float(happened.mean()))
    judged: dict[str, Score] = {"auc": scores.auc, "brier": scores.brier}
    if not 0 < happened.sum() < len(happened):
        progress("all known outcomes of the test file are alike: auc is not defined")
        del judged["auc"]
    for name, score in judged.items():
        figures.add(name, score(happened, found))
        low, high = interval(score, happened, found, days)
        figures.add(f"{name}_low", low)
        figures.add(f"{name}_high", high)
    figures.add("ece", scores.calibration_error(happened, found))
    figures.add("log_loss", scores.log_loss(happened, found))
    if "auc" in judged:
        auc = scores.auc(happened, found)
        figures.add(f"auc_above_{GOOD_AUC}", auc - GOOD_AUC)
        figures.goal("auc", auc, ">=", LEAST_AUC)
    brier = scores.brier(happened, found)
    figures.add(f"brier_above_{GOOD_BRIER}", brier - GOOD_BRIER)
    figures.goal("brier", brier, "<=", MOST_BRIER)


def interval(score: Score, happened: Floats, found: Floats, days: np.ndarray) -> tuple[float | None, float | None]:
    """95% interval by resampling whole days: RFQs of a day share market and clients. None of a single day."""
    rows = [np.flatnonzero(days == day) for day in np.unique(days)]
    if len(rows) < 2:
        return None, None
    rng = np.random.default_rng(SEED)
    drawn: list[float] = []
    for _ in range(RESAMPLES):
        those = np.concatenate([rows[day] for day in rng.integers(len(rows), size=len(rows))])
        if 0 < happened[those].sum() < len(those):
            drawn.append(score(happened[those], found[those]))
    if not drawn:
        return None, None
    low, high = np.quantile(drawn, INTERVAL)
    return float(low), float(high)


def _shown(time_s: float) -> str:
    return f"{datetime.fromtimestamp(float(time_s), UTC):%F %T}"
