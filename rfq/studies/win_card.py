"""The win model's card, in Markdown: what it learned from and was judged on, beside what, and where it ends.

No fitted win model ships: a bank's own RFQs are no one else's. The card is of one evaluation, and stands beside its
page.
"""

from collections.abc import Sequence
from pathlib import Path

from ml.wins.features import FEATURES, RISING, SURPRISES
from rfq.code_version import code_version
from rfq.studies.figures import Figures, Value, shown

LIMITS = (
    "One bank's RFQs in one market: clients, instruments and competitors of another are not in it.",
    "The share of RFQs won drifts, and the mix of clients with it: validation inside the training months has been too "
    "hopeful.",
    "Outcomes of strictly earlier RFQs reach its rolling features: to be used, it has to be told how its quotes ended.",
    "It says which quotes win, not what a win earns or what the price does after it.",
)


def write_card(path: Path, figures: Figures, seed: int) -> None:
    """Writes the card. Raises OSError for a place that is not writable."""
    path.write_text(card(figures, seed))


def card(figures: Figures, seed: int) -> str:
    """Of the figures of an evaluation; `seed` is of its bootstrap, the fit itself draws nothing but the trees' rows."""
    found = figures.figures

    def row(title: str, name: str, beside: Sequence[tuple[str, str]] = ()) -> str:
        value = shown(found[name])
        if found.get(f"{name}_low") is not None:
            value += f" ({shown(found[f'{name}_low'])} to {shown(found[f'{name}_high'])})"
        others = "; ".join(f"{what} {shown(found[other])}" for what, other in beside if other in found)
        return f"| {title} | {value} | {others} |"

    def said(name: str) -> Value:
        return found.get(name)

    measured = [
        ("AUC", "auc", (("plain logistic regression", "plain_auc"), ("validation", "validation_auc"))),
        (
            "Brier score",
            "brier",
            (
                ("plain logistic regression", "plain_brier"),
                ("training share", "constant_brier"),
                ("validation", "validation_brier"),
            ),
        ),
        ("expected calibration error", "ece", ()),
        ("share won", "win_share", (("share said", "predicted_win_share"),)),
    ]
    lines = [
        "# Win model",
        "",
        f"Which of a bank's quotes win: {figures.title.removeprefix('win model: ')}.",
        "",
        "| | |",
        "|---|---|",
        f"| learned from | {shown(said('train_rfqs'))} RFQs until {said('train_until_utc')} UTC |",
        f"| judged on | {shown(said('test_rfqs'))} RFQs, {said('test_from_utc')} to {said('test_until_utc')} UTC |",
        f"| not met in training | {said('unseen_clients')} clients, {said('unseen_instruments')} instruments |",
        f"| chosen | half-life {shown(said('chosen_half_life_days'))} days, ridge {shown(said('chosen_ridge'))}, "
        f"{shown(said('chosen_trees'))} trees |",
        f"| seed of the bootstrap | {seed} |",
        f"| code | {code_version()} |",
        "",
        "## How good it is",
        "",
        "With 95% intervals by a bootstrap over days.",
        "",
        "| | found | beside |",
        "|---|---|---|",
        *(row(title, name, beside) for title, name, beside in measured if name in found),
        "",
        *(f"- {g.name} {g.bound}: {'met' if g.met else 'not met'}" for g in figures.goals),
        "",
        "## What it looks at",
        "",
        ", ".join(f"`{name}`" for name in (*FEATURES, *SURPRISES)) + ".",
        "",
        "The trees never fall with " + ", ".join(f"`{name}`" for name in sorted(RISING)) + ".",
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in LIMITS),
        "",
    ]
    return "\n".join(lines)
