"""The log of a training: one row per epoch, in a csv file that grows and, on request, as TensorBoard curves."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from stp.errors import UserError
from stp.system.tables import read_table, read_text, verify_rows, with_check, write_table

if TYPE_CHECKING:
    import pandas as pd

LOG_COLUMNS = (
    "epoch",
    "loss",
    "accuracy",
    "learning_rate",
    "seconds",
    "images_per_second",
    "class_accuracy",
    "gpu_mib",
)
Row = list[str]


@dataclass
class EpochTally:
    """Sums over the batches so far; `correct` and `videos` are counts per class, `loss` is summed over videos."""

    correct: list[int]
    videos: list[int]
    batches: int = 0
    loss: float = 0.0
    images: int = 0
    seconds: float = 0.0

    @classmethod
    def empty(cls, classes: int) -> "EpochTally":
        return cls([0] * classes, [0] * classes)

    def add(self, loss: float, labels: np.ndarray, predictions: np.ndarray, images: int, seconds: float) -> None:
        """Add a batch: its mean loss, true and predicted classes int64 (B,), number of images, and duration."""
        for label, prediction in zip(labels.tolist(), predictions.tolist(), strict=True):
            self.videos[label] += 1
            self.correct[label] += label == prediction
        self.batches += 1
        self.loss += loss * len(labels)
        self.images += images
        self.seconds += seconds

    def mean_loss(self) -> float:
        return self.loss / sum(self.videos)

    def accuracy(self) -> float:
        """Share of all videos that are recognised, 0..1."""
        return sum(self.correct) / sum(self.videos)

    def class_accuracy(self) -> float:
        """Share of each class's videos that are recognised, averaged over the classes that have videos, 0..1."""
        return float(np.mean([c / n for c, n in zip(self.correct, self.videos, strict=True) if n]))


def log_row(epoch: int, tally: EpochTally, learning_rate: float, gpu_mib: int) -> Row:
    """The row of a finished epoch, in the order of LOG_COLUMNS.

    `gpu_mib` is the process's peak of GPU memory in MiB, 0 on a CPU.
    """
    return [
        str(epoch),
        f"{tally.mean_loss():.5f}",
        f"{tally.accuracy():.4f}",
        f"{learning_rate:.3g}",
        f"{tally.seconds:.2f}",
        f"{tally.images / tally.seconds:.1f}",
        f"{tally.class_accuracy():.4f}",
        str(gpu_mib),
    ]


def write_log(path: Path, rows: Sequence[Row]) -> None:
    """Write the log of a complete training as csv, with a digest of each row."""
    write_table(path, LOG_COLUMNS, rows)


def read_rows(path: Path, required: Sequence[str], growing: bool = False) -> list[dict[str, str]]:
    """The rows of a log, one per epoch; of a `growing` log, which may end within a row, the complete ones.

    The columns `required` must be there, and their cells are finite numbers.

    Raises:
        UserError: the file is no log of a training, or a row was changed after it was written.
    """
    text = read_text(path)
    names, rows = read_table(path, text[: text.rfind("\n") + 1] if growing else text)
    if missing := [name for name in required if name not in names]:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; train the run again")
    verify_rows(path, rows, LOG_COLUMNS, "train the run again")
    for number, (line, row) in enumerate(rows, start=1):
        for name in required:
            if not _is_number(row[name]) or (name == "epoch" and row[name] != str(number)):
                raise UserError(f"{path}: line {line}: {name} cannot be '{row[name]}'; train the run again")
    return [row for _, row in rows]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def read_log(path: Path) -> "pd.DataFrame":
    """Read the log of a complete training: one row per epoch, with the columns LOG_COLUMNS as numbers.

    Raises:
        UserError: as for `read_rows`, or it has no epoch.
    """
    if not read_rows(path, LOG_COLUMNS):
        raise UserError(f"{path}: has no epoch; train the run again")
    import pandas as pd  # here: trainings, which write logs, do not wait for it

    return pd.read_csv(path, usecols=list(LOG_COLUMNS))[list(LOG_COLUMNS)]


def _summary_writer(folder: Path, first_epoch: int) -> Any:
    """A TensorBoard writer; it discards what a killed process wrote about `first_epoch` and later epochs."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "training.tensorboard: true, but TensorBoard is not installed; pip install tensorboard, or set it to false"
        ) from None
    return SummaryWriter(str(folder), purge_step=first_epoch)


class TrainingLog:
    """A log that receives a row when an epoch ends; `rows` begins with those of earlier epochs, and grows."""

    def __init__(self, rows: list[Row], growing: Path | None = None, tensorboard: Path | None = None) -> None:
        """`growing` is a csv file that can be read during the training, `tensorboard` the folder of the run's curves.

        Raises:
            UserError: TensorBoard is requested but not installed.
        """
        self.rows = rows
        self._curves = _summary_writer(tensorboard, len(rows) + 1) if tensorboard else None
        self._growing = growing
        if growing:
            write_log(growing, rows)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if self._growing:
            with self._growing.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerow(with_check(LOG_COLUMNS, row))
        if self._curves:
            for name, value in zip(LOG_COLUMNS[1:], row[1:], strict=True):
                self._curves.add_scalar(name, float(value), int(row[0]))
            self._curves.flush()

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._curves:
            self._curves.close()
