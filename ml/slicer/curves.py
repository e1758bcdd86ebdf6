"""Curves of training as TensorBoard reads them."""

from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from ml.slicer.checkpoint import Progress
from rfq.domain.errors import BadInput


class Curves:
    """Writes one event file below a folder, closed at the end of a `with`."""

    def __init__(self, folder: Path, first: int = 0) -> None:
        """Training taken up again after `first` updates: what a run before it wrote beyond them is hidden. Raises
        BadInput for a folder that is not writable."""
        try:
            self._writer = SummaryWriter(str(folder), purge_step=first + 1 if first else None)
        except OSError as reason:
            raise BadInput("curves", str(folder), f"must be writable: {reason}") from None

    def __call__(self, progress: Progress) -> None:
        """One point on every curve: `slicer/` and the name of what is told."""
        for name, value in progress._asdict().items():
            if name != "update":
                self._writer.add_scalar(f"slicer/{name}", value, progress.update)

    def __enter__(self) -> "Curves":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()
