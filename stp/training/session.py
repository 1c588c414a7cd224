"""A session: where a training writes its log and its states, and what may stop it."""

from dataclasses import dataclass
from pathlib import Path

from stp.system.signals import StopRequest
from stp.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class Session:
    """The log, states and curves that a training writes, and what may stop it.

    `log_csv` is the log to write. `checkpoints` saves the state; without it, no state is kept. `stop` says whether a
    stop was requested. `tensorboard` is the folder of the run's curves; without it, none are written.
    """

    log_csv: Path
    checkpoints: Checkpoints | None = None
    stop: StopRequest | None = None
    tensorboard: Path | None = None
