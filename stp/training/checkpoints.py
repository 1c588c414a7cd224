"""The state of a training in progress, saved so that a killed training can continue where it was.

The folder of a run holds files that are named by a hash of everything that defines the training:

    KEY.pt      the state; plain tensors and values, with checksums, complete or absent
    KEY.csv     the log of the epochs so far, growing
    KEY.json    what `stp runs` shows: name of the run, number of epochs

States of a different definition are left alone. A file that is not a complete state is renamed to KEY.pt.corrupt.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from stp.config import from_values
from stp.data.index import Clip
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.system.files import DiskFile, complete_file, is_system_error
from stp.system.tables import read_text, row_check
from stp.system.tensor_files import load_tensors
from stp.system.versions import versions
from stp.training.run import Run

log = logging.getLogger(__name__)

# At most this share of the time is spent on saving states at the ends of epochs: an epoch may take less than a second.
SAVING_SHARE = 0.05


def _written(path: Path) -> tuple[int, int]:
    """Size in bytes and time of writing; a file is assumed to be unchanged if both are the same."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def training_definition(
    run: Run,
    clips: Sequence[Clip],
    fields: Mapping[str, ClipFields],
    shards: Sequence[Path],
    device: torch.device,
) -> dict[str, Any]:
    """Everything that the result of a training depends on, as plain values."""
    weights = Path(getattr(run.options, "weights", "none"))
    made = {modality: stored.parameters for modality, stored in fields.items()}
    return {
        "run": run.values(),
        "clips": [(clip.clip, clip.label) for clip in clips],
        "fields": made if len(made) > 1 else next(iter(made.values())),
        "shards": [_written(path) for path in shards],
        "weights": _written(weights) if weights.is_file() else None,
        "device": device.type,
        "versions": versions(),
    }


@dataclass(frozen=True)
class Summary:
    """The summary of a training under way, which `stp runs` shows; `stopped` is true if it was interrupted."""

    run: str
    epochs: int
    checkpoint_minutes: float
    stopped: bool


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def read_summary(path: Path) -> Summary:
    """The summary of a training under way; UserError if the file is damaged."""
    try:
        values = json.loads(read_text(path))
        check = values.pop("check", None)
        summary = from_values(Summary, values, str(path))
        if check not in (None, row_check(_texts(asdict(summary)))):
            raise ValueError("its values were changed after they were written")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not the summary of a training ({reason}); move it away and train again") from None
    return summary


class Checkpoints:
    """The stored state of one training: loaded once, saved often, removed when the training is complete."""

    def __init__(self, folder: Path, definition: dict[str, Any], minutes: float = 5.0) -> None:
        """`folder` is for this run alone; a state is due `minutes` after the last one, and when an epoch ends."""
        text = json.dumps(definition, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path, self.log_path, self.summary_path = (folder / f"{self.key}.{kind}" for kind in ("pt", "csv", "json"))
        self._seconds = 60 * minutes
        self._last, self._cost = time.monotonic(), 0.0

    @contextmanager
    def under_way(self, name: str, epochs: int) -> Iterator[None]:
        """While the block runs, the run counts as training; if the block fails, it counts as interrupted."""
        self._summarise(name, epochs, stopped=False)
        try:
            yield
        except BaseException:
            self._summarise(name, epochs, stopped=True)
            raise

    def _summarise(self, name: str, epochs: int, stopped: bool) -> None:
        summary = asdict(Summary(name, epochs, self._seconds / 60, stopped))
        summary["check"] = row_check(_texts(summary))
        with complete_file(self.summary_path) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    def due(self, epoch_ended: bool) -> bool:
        """True if a state should be saved now: the last one is too old, or an epoch ended and saving is cheap."""
        age = time.monotonic() - self._last
        return age >= self._seconds or (epoch_ended and self._cost <= SAVING_SHARE * age)

    def save(self, state: dict[str, Any]) -> None:
        """Write the state; the previous one stays until this one is complete."""
        began = time.monotonic()
        with complete_file(self.path) as temporary, DiskFile(temporary) as file:
            torch.save({"key": self.key, **state}, file)
        self._last = time.monotonic()
        self._cost = self._last - began

    def load(self) -> dict[str, Any] | None:
        """Load the state, with tensors on the CPU; None if there is none or it had to be set aside."""
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = load_tensors(self.path)
            if state.pop("key") != self.key:
                raise ValueError("the state of another training")
        except Exception as error:  # zipfile and torch raise many kinds of errors for a foreign file
            if is_system_error(error):
                raise UserError(f"{self.path}: cannot be read ({error})") from None
            self.set_aside(error)
            return None
        return state

    def set_aside(self, error: Exception) -> None:
        """Rename a state that cannot be used."""
        aside = self.path.with_name(f"{self.path.name}.corrupt")
        self.path.replace(aside)
        log.warning("%s: not a whole state of this training (%s); renamed to %s", self.path, error, aside.name)

    def remove(self) -> None:
        """Remove the training's files, once its result is complete."""
        for path in (self.path, self.log_path, self.summary_path):
            path.unlink(missing_ok=True)
        folder = self.path.parent
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
