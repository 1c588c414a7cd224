"""Scores: what a run says of its test clips, before softmax, kept so that tables and fusions need no network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
from scipy.special import softmax

from stp.errors import UserError
from stp.system.files import complete_file
from stp.system.versions import versions

FusionSpace = Literal["scores", "probabilities"]
FUSION_ORDER = ("rgb", "of", "wof")


@dataclass(frozen=True)
class Scores:
    """Scores of one run's test clips: `values` float32 (clips, segments, classes), `labels` int64 (clips,).

    A label is -1 where it is hidden.
    `coarse` names the coarser class of each class (a body part of an action); it is empty where there are none.
    `seed` is the training's.
    """

    modality: str
    variant: str
    fold: int
    classes: tuple[str, ...]
    clips: tuple[str, ...]
    labels: np.ndarray
    values: np.ndarray
    coarse: tuple[str, ...] = ()
    seed: int = 0

    @property
    def run(self) -> str:
        """Name of the run, as in `stp.training.run`."""
        return f"{self.modality}/{self.variant}/fold{self.fold}/seed{self.seed}"

    def video_scores(self) -> np.ndarray:
        """Mean over segments: float32 (clips, classes), the paper's F."""
        mean: np.ndarray = self.values.mean(1)
        return mean


def fuse(streams: Sequence[Scores], weights: Mapping[str, float], space: FusionSpace = "scores") -> np.ndarray:
    """Weighted average of streams' video scores: float (clips, classes).

    `weights` is by modality (paper section 4.1: rgb 1, of 1.5, wof 1). TSN averages scores before softmax, the default;
    `probabilities` averages after it. Streams of other clips, classes, folds or seeds are
    refused.
    """
    first = streams[0]
    for other in streams[1:]:
        if (other.clips, other.classes, other.fold, other.seed) != (first.clips, first.classes, first.fold, first.seed):
            raise UserError(
                f"scores of {other.run} and of {first.run} are of other clips, classes, folds or seeds; run both again"
            )
    values = [stream.video_scores() for stream in streams]
    if space == "probabilities":
        values = [softmax(value, axis=1) for value in values]
    shares = np.array([weights[stream.modality] for stream in streams])
    return np.average(values, axis=0, weights=shares)


def write_scores(path: Path, scores: Scores, parameters: dict[str, object]) -> None:
    """Write scores as HDF5: `scores`, `labels`, `clips` and, as attributes, what they belong to."""
    with complete_file(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        file.create_dataset("scores", data=scores.values.astype(np.float32))
        file.create_dataset("labels", data=scores.labels.astype(np.int64))
        file.create_dataset("clips", data=list(scores.clips), dtype=h5py.string_dtype())
        file.attrs.update(modality=scores.modality, variant=scores.variant, fold=scores.fold, seed=scores.seed)
        file.attrs["classes"] = json.dumps(scores.classes)
        file.attrs["coarse"] = json.dumps(scores.coarse)
        file.attrs["parameters"] = json.dumps(parameters, sort_keys=True)
        file.attrs["versions"] = json.dumps(versions(), sort_keys=True)


def read_scores(path: Path) -> Scores:
    """Read a run's scores."""
    try:
        with h5py.File(path, "r") as file:
            return Scores(
                str(file.attrs["modality"]),
                str(file.attrs["variant"]),
                int(file.attrs["fold"]),
                tuple(json.loads(file.attrs["classes"])),
                tuple(file["clips"].asstr()[:]),
                file["labels"][:],
                file["scores"][:],
                tuple(json.loads(file.attrs.get("coarse", "[]"))),
                int(file.attrs["seed"]),
            )
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not a scores file ({error}); remove it and score the run again") from None
