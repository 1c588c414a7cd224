"""The status of the runs in a results folder, finished and in progress, for display."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stp.data.modalities import MODALITIES
from stp.data.run_name import NAME, RunName, method_order
from stp.errors import UserError
from stp.evaluation.scores import Scores, read_scores
from stp.training.checkpoints import read_summary
from stp.training.health import loss_health, run_state
from stp.training.log import read_rows

SILENT_MINUTES = 10.0  # a training that has not saved its state for this long is assumed to be killed
# Columns of a log that the table needs; other versions have others besides.
SHOWN = ("loss", "accuracy", "learning_rate", "seconds")
HEADERS = ("run", "status", "epoch", "loss", "train acc.", "test acc.", "minutes left", "flag")


@dataclass(frozen=True)
class RunStatus:
    """A run's status according to its files: done, training, interrupted or none; `rows` are the rows of its log."""

    name: str
    status: str
    epochs: int
    rows: tuple[dict[str, str], ...]

    def minutes_left(self) -> float | None:
        """Minutes that the remaining epochs take at the mean speed of those before; None before the first has ended."""
        if not self.rows:
            return None
        seconds = sum(float(row["seconds"]) for row in self.rows) / len(self.rows)
        return seconds * (self.epochs - len(self.rows)) / 60

    def flag(self, tested: Scores | None) -> str:
        """The fault of the run by its loss and its test scores; empty if there is none.

        That is: at chance, diverged, blind to some classes, still falling. The loss of a training that goes on may
        still be falling.
        """
        loss, rate = (np.array([float(row[name]) for row in self.rows]) for name in ("loss", "learning_rate"))
        health = loss_health(loss, rate)
        if tested:
            health = run_state(health, tested.labels, tested.video_scores().argmax(1), len(tested.classes))
        return "" if health == "ok" or (health == "still falling" and self.status != "done") else health

    def cells(self, tested: Scores | None = None) -> list[str]:
        """The run's row in the table, with the accuracy on its test clips if it has been scored."""
        last = self.rows[-1] if self.rows else {"loss": "", "accuracy": ""}
        left = None if self.status in ("done", "none") else self.minutes_left()
        epoch = f"{len(self.rows)} of {self.epochs}" if self.epochs else ""
        accuracy = f"{(tested.video_scores().argmax(1) == tested.labels).mean():.4f}" if tested else ""
        minutes = "" if left is None else f"{left:.1f}"
        return [self.name, self.status, epoch, last["loss"], last["accuracy"], accuracy, minutes, self.flag(tested)]


def _read_rows(path: Path, growing: bool) -> tuple[dict[str, str], ...]:
    """The complete rows of a log, which may still be growing; none if there is no log yet."""
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not the log of a training; move it away")
    return tuple(read_rows(path, SHOWN, growing)) if path.is_file() else ()


def _under_way(folder: Path, now: float) -> tuple[RunStatus, float] | None:
    """The latest training in a folder of states and the time of its last sign of life (seconds since the epoch)."""
    newest: dict[str, float] = {}
    for path in folder.glob("*.*"):
        if path.suffix in (".pt", ".csv", ".json") and not path.name.startswith("."):
            newest[path.stem] = max(newest.get(path.stem, 0), path.stat().st_mtime)
    heard = {key: when for key, when in newest.items() if (folder / f"{key}.json").is_file()}
    if not heard:
        return None
    key = max(heard, key=lambda name: heard[name])
    summary = read_summary(folder / f"{key}.json")
    silent = now - heard[key] > 60 * max(SILENT_MINUTES, 2 * summary.checkpoint_minutes)
    status = "interrupted" if summary.stopped or silent else "training"
    rows = _read_rows(folder / f"{key}.csv", growing=True)
    return RunStatus(summary.run, status, summary.epochs, rows), heard[key]


def _status(results: Path, name: str, now: float) -> RunStatus:
    model = results / "runs" / name / "model.pt"
    try:
        under_way = _under_way(results / "state" / name, now)
    except FileNotFoundError:  # the training has just ended and removed its state
        under_way = None
    if under_way and not (model.is_file() and model.stat().st_mtime > under_way[1]):
        return under_way[0]
    rows = _read_rows(model.with_name("log.csv"), growing=False)
    return RunStatus(name, "done" if model.is_file() else "none", len(rows), rows)


def _order(name: RunName) -> tuple[object, ...]:
    """Sort key: input, method, fold and seed, as in the tables: baseline, 1-level, ..., then all others by name."""
    modalities = list(MODALITIES)
    place = modalities.index(name.input) if name.input in modalities else len(modalities)
    return place, name.input, *method_order(name.method), name.method, name.fold, name.seed


def run_statuses(results: Path, now: float | None = None) -> list[RunStatus]:
    """The status of every run found below `results`; `now` is in seconds since the epoch.

    Raises:
        UserError: the folder does not exist, or a log or the summary of a training is damaged.
    """
    if not results.is_dir():
        raise UserError(f"RESULTS: folder '{results}' does not exist; give the config's results folder")
    found = {
        RunName.parse(path.relative_to(results / part).as_posix())
        for part in ("runs", "state")
        for path in (results / part).glob("*/*/fold*/seed*")
        if path.is_dir() and NAME.fullmatch(path.relative_to(results / part).as_posix())
    }
    return [_status(results, str(name), time.time() if now is None else now) for name in sorted(found, key=_order)]


def run_table(statuses: list[RunStatus], results: Path) -> str:
    """The runs as a plain-text table, with what their scores below the results folder say of those that are done.

    Raises:
        UserError: a file of scores is damaged.
    """
    rows = []
    for status in statuses:
        scores = results / "runs" / status.name / "scores.h5"
        rows.append(status.cells(read_scores(scores) if status.status == "done" and scores.is_file() else None))
    table = pd.DataFrame(rows, columns=list(HEADERS))
    return table.to_markdown(index=False, tablefmt="plain", disable_numparse=True)
