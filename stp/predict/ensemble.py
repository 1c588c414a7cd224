"""Ensembles: trained runs that answer together, folds and seeds of a stream averaged and streams fused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.evaluation.scores import FUSION_ORDER, FusionSpace
from stp.extraction.recipe import Recipe, common_recipe
from stp.models.pyramid import TemporalPyramidNetwork
from stp.predict.windows import Window, pieces
from stp.sampling.loading import DeviceFields, open_fields
from stp.sampling.samples import scored_segments
from stp.system.devices import configure, full_memory_named
from stp.training.run import Run, load_run, training_fields
from stp.training.scoring import ready, score_clips


@dataclass(frozen=True)
class Model:
    """A trained run and where it lies."""

    path: Path
    run: Run
    network: TemporalPyramidNetwork


@dataclass(frozen=True)
class Ensemble:
    """Runs that answer together, as in `stp.evaluation.scores.fuse`: folds and seeds of a stream count alike, streams
    by weight.

    `models` are of one variant and of the same classes, in the order of Table 1's streams.
    """

    models: tuple[Model, ...]
    recipe: Recipe
    weights: Mapping[str, float]  # by modality
    space: FusionSpace
    segments: int  # of a video or window
    crops: int

    @property
    def classes(self) -> tuple[str, ...]:
        return self.models[0].run.classes

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model.run.modality for model in self.models))

    def probabilities(self, scores: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
        """Probabilities (windows, classes) from each modality's runs' scores, (windows, classes) each."""
        values = [
            np.mean(softmax(scores[name], axis=-1) if self.space == "probabilities" else scores[name], axis=0)
            for name in self.modalities
        ]
        fused = np.average(values, axis=0, weights=[self.weights[name] for name in self.modalities])
        return np.asarray(fused if self.space == "probabilities" else softmax(fused, axis=-1), np.float64)


def find_models(paths: Sequence[Path], fuse: bool = False) -> list[Path]:
    """Files of trained runs: those named, and every model.pt below the folders named, each once.

    With `fuse`, also the other modalities' runs of the same variant, fold and seed in the same results folder.

    Raises:
        UserError: nothing there, or with `fuse` a run that does not lie where the workflow puts it or has none beside.
    """
    found: list[Path] = []
    for path in paths:
        below = sorted(path.rglob("model.pt")) if path.is_dir() else [path] if path.is_file() else []
        if not below:
            raise UserError(f"--run: '{path}' is no trained run; name a model.pt, or a folder with some below it")
        found += below
    if fuse:
        found += [other for path in found for other in _other_streams(path.absolute())]
    return list({path.resolve(): path for path in found}.values())


def _other_streams(path: Path) -> list[Path]:
    place = Path(*path.parts[-5:])  # MODALITY/VARIANT/foldN/seedS/model.pt
    if len(path.parts) <= 5 or place.parts[0] not in MODALITIES:
        raise UserError(f"--fuse: '{path}' is not at runs/MODALITY/VARIANT/foldN/seedS; name each run by --run")
    root = path.parents[4]
    streams = [root.joinpath(name, *place.parts[1:]) for name in FUSION_ORDER if name != place.parts[0]]
    found = [stream for stream in streams if stream.is_file()]
    if not found:
        raise UserError(f"--fuse: no other stream beside '{path}', as '{streams[0]}'; train it or leave out --fuse")
    return found


def load_ensemble(
    paths: Sequence[Path],
    weights: Mapping[str, float],
    space: FusionSpace,
    segments: int,
    crops: int,
    device: torch.device,
    backend: str | None = None,
) -> Ensemble:
    """Load trained runs on a device; `backend` is as for `common_recipe`.

    Raises:
        UserError: the runs do not belong together, one does not say how its fields were made, or a weight is missing.
    """
    models = [Model(path, *load_run(path)) for path in paths]
    recipe = common_recipe([(model.path, model.run.modality, training_fields(model.path)) for model in models], backend)
    first = models[0]
    for model in models[1:]:
        for what in ("variant", "classes"):
            values = getattr(model.run, what), getattr(first.run, what)
            if values[0] != values[1]:
                raise UserError(f"--run: {model.path} has other {what} than {first.path}: {values[0]}, {values[1]}")
    if unweighted := {model.run.modality for model in models} - set(weights):
        raise UserError(f"--weights: no weight for {', '.join(sorted(unweighted))}; give rgb=1,of=1.5,wof=1")
    models.sort(key=lambda model: FUSION_ORDER.index(model.run.modality))
    configure(device, any(model.run.settings.deterministic for model in models), shapes_repeat=False)
    placed = tuple(replace(model, network=ready(model.network, device)) for model in models)
    return Ensemble(placed, recipe, weights, space, segments, crops)


def run_scores(
    model: Model, source: DeviceFields, clip: str, chosen: Sequence[Window], frames: int, segments: int, crops: int
) -> np.ndarray:
    """A run's scores of windows of a clip of so many frames, mean over segments and crops: float32 (windows, classes).

    Windows that share sub-segments share their features.
    """
    fields, variant = source.fields, model.network.variant
    length = len(fields[clip])
    samples = [
        scored_segments(fields, clip, variant, segments, crops, [window.span(frames, length) for window in piece])
        for piece in pieces(chosen)
    ]
    values = np.concatenate(list(score_clips(model.run, model.network, source, samples)))
    scores: np.ndarray = values.reshape(len(chosen), segments, -1).mean(1)
    return scores


@torch.inference_mode()
def ensemble_scores(
    ensemble: Ensemble,
    fields: Mapping[str, ClipFields],
    clip: str,
    chosen: Sequence[Window],
    frames: int,
    device: torch.device,
) -> dict[str, list[np.ndarray]]:
    """Scores of windows of a clip by each run, (windows, classes) each, listed by modality."""
    scores: dict[str, list[np.ndarray]] = {}
    for name in ensemble.modalities:
        source = open_fields(fields[name], [clip], device)
        for model in ensemble.models:
            if model.run.modality == name:
                with full_memory_named(model.run.name, "--crops, or take --device cpu"):
                    values = run_scores(model, source, clip, chosen, frames, ensemble.segments, ensemble.crops)
                scores.setdefault(name, []).append(values)
    return scores
