"""The win model's reliability as one picture: what was said beside what was won, and what it said to whom."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from rfq.studies import page
from rfq.studies.figures import Figures, shown
from rfq.studies.win_reliability import Floats, Reliability

SAID, WON, LOST = "#1b2a3a", "#e4572e", "#98a4b3"
BARS = 30
HEAD = ("auc", "brier", "ece")


def write_page(path: Path, bins: Reliability, happened: Floats, found: Floats, figures: Figures) -> None:
    """Writes a PNG with the reliability plot and the probabilities of won and lost quotes. The whole file or nothing.

    Raises BadInput for a place that is not writable.
    """
    figure = Figure(figsize=(11, 5.6), dpi=110, facecolor="white",
                    layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, rect=(0.0, 0.0, 1.0, 0.88)))  # fmt: skip
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        page.plain(axes, 9)
    _draw_reliability(left, bins)
    _draw_probabilities(right, happened, found)
    said = ", ".join(f"{name} {shown(figures.figures[name])}" for name in HEAD if name in figures.figures)
    figure.text(0.012, 0.955, figures.title, fontsize=15, fontweight="bold", color=SAID, va="center")
    figure.text(0.012, 0.905, f"{said}, {len(happened):,} RFQs", fontsize=11, color="#555555", va="center")
    page.write(canvas, path)


def _draw_reliability(axes: Axes, bins: Reliability) -> None:
    top = min(1.0, 1.05 * max(float(bins.high.max()), float(bins.said.max())))
    axes.plot([0, top], [0, top], color="#888888", linewidth=0.9, linestyle="--", label="as said")
    below, above = np.maximum(bins.won - bins.low, 0), np.maximum(bins.high - bins.won, 0)
    axes.errorbar(bins.said, bins.won, yerr=(below, above), fmt="o-", color=WON, markersize=5, capsize=3, linewidth=1.2,
                  label=f"{len(bins.said)} bins of a like number of RFQs, 95%")  # fmt: skip
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_xlabel("probability of the win", fontsize=9.5)
    axes.set_ylabel("share won", fontsize=9.5)
    axes.set_title("Reliability", loc="left", fontsize=11.5, fontweight="bold", color=SAID)
    axes.legend(fontsize=9, frameon=False, loc="upper left")


def _draw_probabilities(axes: Axes, happened: Floats, found: Floats) -> None:
    edges = np.linspace(0, max(float(found.max()), 1e-9), BARS + 1)
    for outcome, colour, name in ((0, LOST, "lost"), (1, WON, "won")):
        its = found[happened == outcome]
        if len(its):
            axes.hist(its, bins=edges.tolist(), weights=np.full(len(its), 1 / len(its)), color=colour, alpha=0.65,
                      label=f"{name}, {len(its):,}")  # fmt: skip
    axes.set_xlabel("probability of the win", fontsize=9.5)
    axes.set_ylabel("share of them", fontsize=9.5)
    axes.set_title("What was said of quotes that", loc="left", fontsize=11.5, fontweight="bold", color=SAID)
    axes.legend(fontsize=9, frameon=False, loc="upper right")
