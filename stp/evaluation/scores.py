"""Scores of a run's test clips, before softmax, stored so that tables and fusions need no network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.special import softmax

from stp.config import Fusion
from stp.data.hdf5 import read_hdf5, write_hdf5
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.system.versions import versions


@dataclass(frozen=True)
class Scores:
    """Scores of one run's test clips: `values` float32 (clips, segments, classes), `labels` int64 (clips,).

    A hidden label is -1. `coarse` names the coarser class of each class (for example the body part of an action); it is
    empty if there are none.
    """

    run: RunName
    classes: tuple[str, ...]
    clips: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray
    coarse: tuple[str, ...] = ()

    def video_scores(self) -> np.ndarray:
        """Mean over segments: float32 (clips, classes), the paper's F."""
        mean: np.ndarray = self.values.mean(1)
        return mean


def fuse(streams: Sequence[Scores], fusion: Fusion) -> np.ndarray:
    """Weighted average of the streams' video scores: float (clips, classes); a single stream needs no weight.

    Raises:
        UserError: the streams have different clips, classes, folds or seeds, or one of several has no weight.
    """
    first = streams[0]
    for other in streams[1:]:
        same_run = (other.run.fold, other.run.seed) == (first.run.fold, first.run.seed)
        if not same_run or (other.clips, other.classes) != (first.clips, first.classes):
            raise UserError(
                f"scores of {other.run} and of {first.run} are of other clips, classes, folds or seeds; run both again"
            )
    values = [stream.video_scores() for stream in streams]
    if fusion.space == "probabilities":
        values = [softmax(value, axis=1) for value in values]
    shares = np.array([1.0] if len(streams) == 1 else [weight_of(stream.run.input, fusion) for stream in streams])
    return np.average(values, axis=0, weights=shares)


def weight_of(run_input: str, fusion: Fusion) -> float:
    """The weight of an input; UserError if it has none."""
    if run_input not in fusion.weights:
        raise UserError(f"fusion.weights: no weight for '{run_input}'; add it, for example {run_input}: 1")
    return fusion.weights[run_input]


def write_scores(path: Path, scores: Scores, parameters: dict[str, object]) -> None:
    """Write scores as HDF5: `scores`, `labels`, `clips` and, as attributes, the run, its classes and `parameters`."""
    run = scores.run
    with write_hdf5(path) as output:
        file = output.file
        file.create_dataset("scores", data=scores.values.astype(np.float32))
        file.create_dataset("labels", data=scores.labels.astype(np.int64))
        file.create_dataset("clips", data=list(scores.clips), dtype=h5py.string_dtype())
        file.attrs.update(modality=run.input, variant=run.method, fold=run.fold, seed=run.seed)
        file.attrs["classes"] = json.dumps(scores.classes)
        file.attrs["coarse"] = json.dumps(scores.coarse)
        file.attrs["parameters"] = json.dumps(parameters, sort_keys=True)
        file.attrs["versions"] = json.dumps(versions(), sort_keys=True)


def read_scores(path: Path) -> Scores:
    """Read a run's scores; UserError if the file is not a scores file."""
    with read_hdf5(path, "a scores file", "remove it and score the run again") as file:
        attributes = file.attrs
        run = RunName(
            str(attributes["modality"]),
            str(attributes["variant"]),
            int(attributes["fold"]),
            int(attributes["seed"]),
        )
        return Scores(
            run,
            tuple(json.loads(attributes["classes"])),
            tuple(file["clips"].asstr()[:]),
            file["labels"][:],
            file["scores"][:],
            tuple(json.loads(attributes.get("coarse", "[]"))),
        )
