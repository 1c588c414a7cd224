"""Methods learn from the training clips of a fold and then score other clips. A file in this folder is a method.

A method's file defines METHOD, a `Method`. It is found by its file name: there is no list to add it to. `network` and
`shallow` are not methods themselves, but families that methods are built from.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stp.config import Views, from_values
from stp.data.index import Clip
from stp.data.run_name import RunName
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.evaluation.run_facts import RunFacts
from stp.system.devices import Compute
from stp.training.model_file import ModelFile, TrainedOn, read_model
from stp.training.run import Run
from stp.training.session import Session


class Recogniser(Protocol):
    """A trained run, which can score clips."""

    @property
    def run(self) -> Run:
        """The run that was trained."""
        ...

    def scores(
        self, clips: Sequence[str], fields: Mapping[str, ClipFields], views: Views, compute: Compute
    ) -> np.ndarray:
        """Scores of the clips with these ids, before softmax: float32 (clips, segments, classes).

        `fields` are the stored fields of each modality of the run's input. A method that sees a clip as a whole gives
        one segment per clip.
        """
        ...

    def facts(self, trained_on: TrainedOn) -> RunFacts:
        """What tables of methods say about it; `trained_on` is that of its model file."""
        ...

    def save(self, path: Path, trained_on: TrainedOn) -> None:
        """Write everything that scoring needs, so that the method's `load` can read it."""
        ...


@dataclass(frozen=True)
class Task:
    """A training task for a method: a run, its training clips, and the stored fields of each modality of its input."""

    run: Run
    clips: Sequence[Clip]
    fields: Mapping[str, ClipFields]
    compute: Compute
    session: Session

    @property
    def labels(self) -> np.ndarray:
        """The class number of each training clip, int64 (clips,)."""
        number = {name: i for i, name in enumerate(self.run.classes)}
        return np.array([number[clip.label] for clip in self.clips], np.int64)


@dataclass(frozen=True)
class Method:
    """A method: how its runs are trained and read back.

    `options` is a frozen dataclass of the method's keys in the config. Its defaults are the publication's values, and a
    run holds an instance of it. `fit` trains a run; `load` reads a trained run from its model file. `check` raises a
    UserError before anything is computed if the options of a run contradict each other, and `prepare` one if what it
    starts from, such as a file of weights, is missing or does not fit.
    """

    options: type
    fit: Callable[[Task], Recogniser]
    load: Callable[[ModelFile], Recogniser]
    check: Callable[[Run], object] = lambda run: None
    prepare: Callable[[Run], object] = lambda run: None

    def run(self, name: RunName, kind: str, classes: Sequence[str], values: Mapping[str, Any]) -> Run:
        """A run with options from plain values; UserError for keys that the method does not have."""
        return Run(name, kind, tuple(classes), from_values(self.options, values, f"options of method '{kind}'"))


def find(kind: str) -> Method:
    """The method in the file `kind`; UserError if there is none."""
    known = sorted(item.name for item in pkgutil.iter_modules(__path__))
    if kind in known:
        method = getattr(importlib.import_module(f"{__name__}.{kind}"), "METHOD", None)
        if isinstance(method, Method):
            return method
    others = ("network", "shallow", "joint", "pyramid", "aligned")  # the families, and the files of pyramids
    allowed = ", ".join(name for name in known if name not in others)
    raise UserError(f"method '{kind}' is unknown; allowed are baseline, T-level, aligned-T-level, {allowed}")


def load(path: Path) -> tuple[Recogniser, ModelFile]:
    """A trained run, and the file that it was read from.

    Raises:
        UserError: the file is not a trained run, or it is one of another version that has other methods or options.
    """
    file = read_model(path)
    try:
        return find(file.kind).load(file), file
    except UserError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise file.unusable(str(error)) from None
