"""A model card: what a saved model is, what it learned from, how good it was found to be, and where it ends.

Written beside the weights whenever models are saved, from the manifest alone, so that the two cannot disagree.
"""

from ml.registry import Manifest

CARD = "card.md"

MEASURED: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("will it quote: Brier score", "response_brier", (("constant", "response_brier_constant"),)),
    ("will it quote: AUC", "response_auc", ()),
    (
        "its quote: pinball loss, bps",
        "quote_pinball_bps",
        (
            ("boosted trees alone", "quote_pinball_bps_no_margin"),
            ("constant times the reference cost", "quote_pinball_bps_scaled_constant"),
            ("constant", "quote_pinball_bps_constant"),
        ),
    ),
    ("its quote: share within the 90% interval", "quote_cover_of_90_percent", ()),
    ("leakage: loss of mark-outs while choosing", "check_loss_trees", (("without trees", "check_loss_theta"),)),
    (
        "leakage by dealer against the truth: RMSE, bps",
        "leakage_truth_rmse_bps",
        (("constant", "leakage_truth_rmse_bps_constant"),),
    ),
    ("leakage by dealer against the truth: rank correlation", "leakage_truth_spearman", ()),
    ("leakage: share of truths within the 90% interval", "leakage_interval_90_percent_covers", ()),
)
"""What is shown, by its name among the metrics, and what it stands beside; what was not measured is left out."""

LIMITS = (
    "It knows the dealers of its history by name. Any other is scored by what newcomers do, and its dear quantiles are "
    "widened.",
    "A study world is not the market: signs and shapes follow published studies, the numbers are declared assumptions. "
    "On your own dealers, train on your own record (`rfq train dealers --stored`).",
    "Mark-outs are many times noisier than what asking leaks: leakage is a shrunk estimate with an interval, and a log "
    "without any randomisation cannot tell who leaks from who is asked.",
    "Inventories and beliefs of dealers are hidden: recent quotes and trades stand in for them, and much is left "
    "unknown.",
    "What hiding the side saves is known only from logs that hold both kinds of request.",
    "Held-out figures are of later requests of the same world: a market that changes makes them too hopeful.",
)


def card(manifest: Manifest) -> str:
    """The card, in Markdown."""
    lines = [
        f"# {manifest.version}",
        "",
        "Whom to ask: for each dealer of a panel, the probability of a quote, quantiles of its cost, and what asking "
        "it leaks.",
        "",
        "| | |",
        "|---|---|",
        f"| learned from | {manifest.trained_on} |",
        f"| seed | {manifest.seed} |",
        f"| code | {manifest.code} |",
        f"| library | {manifest.library} |",
        f"| feature schema | {manifest.schema} |",
        *(f"| {name} | SHA-256 {digest} |" for name, digest in sorted(manifest.digests.items())),
        "",
        "## How good it is",
        "",
        "On the last 15% of the history, which nothing was fitted to or chosen by, but where it says otherwise.",
        "",
        "| | found | beside |",
        "|---|---|---|",
    ]
    metrics = manifest.metrics
    for title, name, beside in MEASURED:
        if name in metrics:
            others = "; ".join(f"{what} {metrics[other]:.6g}" for what, other in beside if other in metrics)
            lines.append(f"| {title} | {metrics[name]:.6g} | {others} |")
    lines += ["", "## What it looks at", "", ", ".join(f"`{name}`" for name in manifest.features) + ".", ""]
    lines += ["By constraint, all else equal:", ""]
    for what, signs in sorted(manifest.signs.items()):
        told = ", ".join(f"{'rises' if sign > 0 else 'falls'} with `{name}`" for name, sign in sorted(signs.items()))
        lines.append(f"- {what} {told}")
    lines += ["", "## Limits", "", *(f"- {limit}" for limit in LIMITS), ""]
    return "\n".join(lines)
