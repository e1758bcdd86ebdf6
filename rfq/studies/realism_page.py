"""The realism report as one picture: every stylised fact, recorded and simulated, and the impact of our own orders."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from rfq.studies import page
from rfq.studies.figures import shown
from rfq.studies.realism import LARGEST_RATIO, Comparison, measure_of

Floats = npt.NDArray[np.float64]

COLUMNS = 4
COLUMN, ROW, HEAD = 4.5, 3.1, 1.2
"""Inches: width of a panel, height of a panel, height of what is above them."""
CALIBRATED, HELD_OUT, SIMULATED = "#98a4b3", "#1b2a3a", "#e4572e"
MET, NOT_MET = "#2c7a3f", "#b3261e"
LEGEND = {CALIBRATED: "recorded, calibrated on", HELD_OUT: "recorded, held out", SIMULATED: "simulated"}
STYLE = {
    CALIBRATED: {"linewidth": 1.6, "zorder": 2},
    HELD_OUT: {"linewidth": 1.8, "zorder": 3},
    SIMULATED: {"linewidth": 1.4, "zorder": 4},
}
POINTS = 1500
"""Quantiles of which the curve of a distribution is drawn."""
SQUARE_ROOT = 0.5


class Impact(NamedTuple):
    """Impact of our own orders in the simulated market. Arrays of a pair have one length.

    `of_volume` is order size over the day's volume, `peak_sigmas` the move of the mid at the end of the order in units
    of daily volatility, with `half_widths` of its 95% interval; the fit is `prefactor * of_volume ** exponent`.
    `decay_times` count from the end of the order in durations of it; `decay_shares` are what is left of the peak.
    """

    of_volume: Floats
    peak_sigmas: Floats
    half_widths: Floats
    exponent: float
    prefactor: float
    decay_times: Floats
    decay_shares: Floats


def write_page(path: Path, comparisons: Sequence[Comparison], impact: Impact | None, title: str) -> None:
    """Writes a PNG: a panel for each fact, with two more for the impact if there is one. The whole file or nothing.

    Raises BadInput for a place that is not writable.
    """
    panels: list[Callable[[Axes], None]] = [lambda axes, one=one: _draw_fact(axes, one) for one in comparisons]
    if impact is not None:
        panels += [lambda axes: _draw_impact(axes, impact), lambda axes: _draw_decay(axes, impact)]
    rows = -(-len(panels) // COLUMNS)
    height = HEAD + ROW * rows
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, rect=(0.0, 0.0, 1.0, 1 - HEAD / height))
    figure = Figure(figsize=(COLUMN * COLUMNS, height), dpi=110, facecolor="white", layout=layout)
    canvas = FigureCanvasAgg(figure)
    for place, draw in enumerate(panels):
        axes = figure.add_subplot(rows, COLUMNS, place + 1)
        page.plain(axes, 8)
        draw(axes)
    _head(figure, comparisons, title)
    page.write(canvas, path)


def _head(figure: Figure, comparisons: Sequence[Comparison], title: str) -> None:
    height = figure.get_size_inches()[1]

    def say(text: str, x: float, inches: float, **how: object) -> None:
        figure.text(x, 1 - inches / height, text, va="center", **how)  # type: ignore[arg-type]

    met = sum(one.within for one in comparisons)
    say(title, 0.012, 0.32, fontsize=19, fontweight="bold", color=HELD_OUT)
    say(
        f"{met} of {len(comparisons)} facts within {LARGEST_RATIO:g} yardsticks. A yardstick is the distance between "
        "the two recorded parts; distributions are drawn cumulatively, on the scale on which they are compared.",
        0.012, 0.68, fontsize=10.5, color="#555555",
    )  # fmt: skip
    handles = [Line2D([], [], color=colour, linewidth=3, label=text) for colour, text in LEGEND.items()]
    figure.legend(handles=handles, loc="center left", bbox_to_anchor=(0.006, 1 - 1.0 / height), ncols=len(handles),
                  frameon=False, fontsize=11, columnspacing=2.0)  # fmt: skip


def _titled(axes: Axes, name: str, beside: str, colour: str) -> None:
    axes.set_title(name, loc="left", fontsize=10.5, fontweight="bold", color=HELD_OUT)
    axes.set_title(beside, loc="right", fontsize=9.5, color=colour)


def _labelled(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=8.5, color="#444444")
    axes.set_ylabel(y, fontsize=8.5, color="#444444")


def _draw_fact(axes: Axes, one: Comparison) -> None:
    name = one.fact.name.replace("_", " ").capitalize()
    verdict, colour = ("met", MET) if one.within else ("NOT MET", NOT_MET)
    _titled(axes, name, f"ratio {one.ratio:.2f}, {verdict}", colour)
    lines = ((CALIBRATED, one.calibrated), (HELD_OUT, one.held_out), (SIMULATED, one.simulated))
    if one.fact.points:
        _draw_curves(axes, one, lines)
    elif one.held_out.ndim == 2:
        _draw_levels(axes, one, lines)
    else:
        _draw_samples(axes, one, lines)
    axes.annotate(
        f"{measure_of(one.fact)}\ndistance {shown(one.distance)}, yardstick {shown(one.yardstick)}, "
        f"alternate blocks {shown(one.alternate)}",
        (1.0, 0.0), (-2, -30), xycoords="axes fraction", textcoords="offset points",
        ha="right", va="top", fontsize=7, color="#777777",
    )  # fmt: skip


def _draw_samples(axes: Axes, one: Comparison, lines: Sequence[tuple[str, Floats]]) -> None:
    shares = np.linspace(0, 1, POINTS)
    for colour, sample in lines:
        if len(sample):
            axes.plot(np.quantile(sample, shares), shares, color=colour, **STYLE[colour])
    everything = np.concatenate([sample for _, sample in lines])
    if not len(everything):
        return
    low, high = np.quantile(everything, (0.001, 0.998))
    if one.fact.log:
        _log_scale(axes, "x", high)
    axes.set_xlim(low - (0 if one.fact.log else 0.02 * (high - low)), max(high, low + 1e-9))
    axes.set_ylim(0, 1.01)
    _labelled(axes, one.fact.unit, "share at or below")


def _draw_levels(axes: Axes, one: Comparison, lines: Sequence[tuple[str, Floats]]) -> None:
    """The median of each level, with bars from the first to the last tenth."""
    top = 0.0
    for offset, (colour, sample) in zip((-0.18, 0.0, 0.18), lines, strict=True):
        if not len(sample):
            continue
        lower, middle, upper = np.quantile(sample, (0.1, 0.5, 0.9), axis=0)
        places = np.arange(1, sample.shape[1] + 1) + offset
        axes.errorbar(places, middle, yerr=(middle - lower, upper - middle), color=colour, fmt="o-", markersize=4,
                      capsize=2, **STYLE[colour])  # fmt: skip
        top = max(top, float(upper.max()))
    if one.fact.log:
        _log_scale(axes, "y", top)
    axes.set_ylim(0, top * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(range(1, one.held_out.shape[1] + 1)))
    _labelled(axes, "occupied level", f"{one.fact.unit}, median and middle 80%")


def _draw_curves(axes: Axes, one: Comparison, lines: Sequence[tuple[str, Floats]]) -> None:
    points = np.array(one.fact.points, dtype=float)
    marker = "o" if len(points) <= 10 else ""
    for colour, curve in lines:
        axes.plot(points, curve, color=colour, marker=marker, markersize=4, **STYLE[colour])
    if len(points) <= 10:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(one.fact.points))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if np.nanmin([np.nanmin(curve, initial=0.0) for _, curve in lines]) < 0:
        axes.axhline(0, color="#888888", linewidth=0.8, zorder=1)
    else:
        axes.set_ylim(bottom=0)
    _labelled(axes, one.fact.along, one.fact.unit)


def _log_scale(axes: Axes, which: str, largest: float) -> None:
    """log(1 + value), marked at 0 and the powers of ten."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    getattr(axes, f"set_{which}scale")("function", functions=(_log, np.expm1))
    axis.set_major_locator(FixedLocator([0, *(10.0**power for power in range(int(np.log10(max(largest, 1))) + 1))]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _log(values: Floats) -> Floats:
    return np.log1p(np.maximum(values, -0.9))  # The scale is also asked about margins below zero.


def _draw_impact(axes: Axes, impact: Impact) -> None:
    _titled(axes, "Impact at the end of an order", f"exponent {impact.exponent:.2f}", SIMULATED)
    axes.errorbar(impact.of_volume, impact.peak_sigmas, yerr=impact.half_widths, fmt="o", color=SIMULATED,
                  markersize=5, capsize=3)  # fmt: skip
    along = np.geomspace(impact.of_volume.min(), impact.of_volume.max(), 50)
    fitted = impact.prefactor * along**impact.exponent
    axes.plot(along, fitted, color=SIMULATED, linewidth=1.4,
              label=f"{impact.prefactor:.2f} (Q/V)^{impact.exponent:.2f}")  # fmt: skip
    middle = len(along) // 2
    axes.plot(along, fitted[middle] * (along / along[middle]) ** SQUARE_ROOT, color=CALIBRATED, linestyle="--",
              label="a square root")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.legend(fontsize=8, frameon=False)
    _labelled(axes, "order size over the day's volume, Q/V", "move of the mid, daily volatilities")


def _draw_decay(axes: Axes, impact: Impact) -> None:
    _titled(axes, "What is left of the impact", "", SIMULATED)
    axes.plot(impact.decay_times, impact.decay_shares, color=SIMULATED, marker="o", markersize=4)
    axes.axhline(1, color="#888888", linewidth=0.8)
    axes.set_ylim(bottom=min(0.0, float(np.nanmin(impact.decay_shares))))
    _labelled(axes, "time since its end, durations of the order", "share of the peak")
