"""A session: where a training writes its log and its states, and who may stop it."""

from dataclasses import dataclass
from pathlib import Path

from stp.system.signals import StopRequest
from stp.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Session:
    """`log_csv` is the log to write; without `checkpoints` no state is kept; `tensorboard` is the folder of curves."""

    log_csv: Path
    checkpoints: Checkpoints | None = None
    stop: StopRequest | None = None
    tensorboard: Path | None = None
