"""A drawn page as a file: whole, or not at all; and the plain look of its panels."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rfq.domain.errors import BadInput


def plain(axes: Axes, label_size: int) -> None:
    """No frame, a faint grid behind what is drawn."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=label_size, color="#888888")
    axes.grid(True, color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)


def write(canvas: FigureCanvasAgg, path: Path) -> None:
    """Raises BadInput where it cannot be written; what was there before then stays."""
    half = path.with_name(f"{path.name}.part")
    try:
        with half.open("wb") as file:
            canvas.print_png(file)
        half.replace(path)
    except OSError as reason:
        half.unlink(missing_ok=True)
        raise BadInput("page", str(path), f"must be writable: {reason}") from None
