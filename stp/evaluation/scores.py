"""Scores of a run's test clips, before softmax, stored so that tables and fusions need no network."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from stp.config import Fusion, FusionSpace
from stp.data.hdf5 import SCORES, offset, read_hdf5, write_hdf5
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

    def fused_values(self, space: FusionSpace) -> np.ndarray:
        """The values that a fusion averages: video scores, or their probabilities; float (clips, classes)."""
        values = self.video_scores()
        if space == "scores":
            return values
        from scipy.special import softmax  # here: scoring, which writes scores, does not wait for it

        probabilities: np.ndarray = softmax(values, axis=1)
        return probabilities


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
    values = [stream.fused_values(fusion.space) for stream in streams]
    weights = fusion.of(first.run.method)
    shares = [1.0] if len(streams) == 1 else [weight_of(stream.run.input, weights) for stream in streams]
    return np.average(values, axis=0, weights=shares)


def weight_of(run_input: str, weights: Mapping[str, float]) -> float:
    """The weight of an input; UserError if it has none."""
    if run_input not in weights:
        raise UserError(f"fusion.weights: no weight for '{run_input}'; add it, for example {run_input}: 1")
    return weights[run_input]


ATTRIBUTES = ("modality", "variant", "fold", "seed", "classes", "coarse", "parameters", "versions")


def _digest(scores: Scores, attributes: Mapping[str, object]) -> str:
    """SHA-256 of everything in a file of scores, as hexadecimal digits."""
    text = [*(str(attributes.get(name, "")) for name in ATTRIBUTES), scores.clips]
    digest = hashlib.sha256(json.dumps(text).encode())
    digest.update(scores.labels.astype("<i8").tobytes())
    digest.update(scores.values.astype("<f4").tobytes())
    return digest.hexdigest()


def _check(scores: Scores) -> None:
    """Raise a ValueError unless classes, clips, labels and values are such as scoring gives, and fit together."""
    classes, clips, coarse = scores.classes, scores.clips, scores.coarse
    if not classes or len(set(classes)) != len(classes):
        raise ValueError("the classes are not distinct names")
    if coarse and len(coarse) != len(classes):
        raise ValueError(f"{len(coarse)} coarser classes for {len(classes)} classes")
    if not all(isinstance(name, str) for name in (*classes, *coarse)):
        raise ValueError("a class is not a name")
    if not clips or len(set(clips)) != len(clips):
        raise ValueError("the clips are not distinct ids")
    if scores.values.ndim != 3 or scores.values.shape[::2] != (len(clips), len(classes)) or not scores.values.size:
        raise ValueError(f"scores of {scores.values.shape} for {len(clips)} clips and {len(classes)} classes")
    if scores.labels.shape != (len(clips),) or scores.labels.min() < -1 or scores.labels.max() >= len(classes):
        raise ValueError(f"labels that are not one of the {len(classes)} classes for each clip")
    finite = np.isfinite(scores.values).all((1, 2))
    if not finite.all():
        raise ValueError(f"scores of clip '{clips[int(finite.argmin())]}' that are NaN or infinite")


def write_scores(path: Path, scores: Scores, parameters: dict[str, object]) -> None:
    """Write scores as HDF5: `scores`, `labels`, `clips` and, as attributes, the run, its classes and `parameters`.

    The attribute `digest` is a digest of all of them.

    Raises:
        UserError: a score is NaN or infinite, or a clip or class is there twice.
    """
    run = scores.run
    try:
        _check(scores)
    except ValueError as error:
        raise UserError(f"{run}: {error}; train the run again") from None
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
        file.attrs["digest"] = _digest(scores, file.attrs)


def read_scores(path: str | Path) -> Scores:
    """Read a run's scores.

    Files that were written before there was a digest can be read, too.

    Raises:
        UserError: the file is not a scores file, is damaged, or has the form of another version.
    """
    with read_hdf5(Path(path), SCORES, "score the run again") as file:
        return _read(file)


def _read(file: h5py.File) -> Scores:
    """The scores in an open file; errors of many kinds if they are not such as `write_scores` writes them."""
    attributes = dict(file.attrs)
    if foreign := sorted(attributes.keys() - {*ATTRIBUTES, "digest"}):
        raise ValueError(f"unknown attribute {foreign[0]}")
    run = RunName.parse("{modality}/{variant}/fold{fold}/seed{seed}".format(**attributes))
    scores = Scores(
        run,
        tuple(json.loads(attributes["classes"])),
        tuple(_array(file, "clips").asstr()[:]),
        _array(file, "labels", np.int64)[:],
        _array(file, "scores", np.float32)[:],
        tuple(json.loads(attributes.get("coarse", "[]"))),
    )
    _check(scores)
    if attributes.get("digest", expected := _digest(scores, attributes)) != expected:
        raise ValueError("its content does not agree with its digest")
    return scores


def _array(file: h5py.File, name: str, kind: type = object) -> h5py.Dataset:
    """An array that lies in the file itself, as `write_scores` writes it; ValueError for anything else."""
    data = file[name]
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(data, h5py.Dataset):
        raise ValueError(f"'{name}' is not an array of this file")
    if data.dtype != kind:
        raise ValueError(f"'{name}' holds {data.dtype}, not {np.dtype(kind)}")
    offset(data, file.id.get_filesize())
    return data
