"""Ensembles of trained runs that predict together: folds and seeds of a stream are averaged, and streams are fused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from stp import methods
from stp.config import Fusion, Views
from stp.data.joint import input_fields
from stp.data.run_name import RunName
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.evaluation.fused import STREAMS
from stp.evaluation.scores import weight_of
from stp.extraction.recipe import Recipe, common_recipe
from stp.methods.network import NetworkRecogniser
from stp.predict.windows import Window, pieces
from stp.sampling.loading import DeviceFields, open_fields
from stp.sampling.samples import scored_segments
from stp.system.devices import configure, full_memory_named
from stp.training.model_file import ModelFile
from stp.training.run import Run
from stp.training.scoring import Scorer


@dataclass(frozen=True)
class Model:
    """A trained network and its file."""

    path: Path
    run: Run
    scorer: Scorer

    @property
    def input(self) -> str:
        """The input of the run: one modality, or several joined by +."""
        return self.run.name.input


@dataclass(frozen=True)
class Ensemble:
    """Runs that predict together, fused as in `stp.evaluation.scores.fuse`.

    Folds and seeds of a stream count equally, streams count by their weights. `models` share one method and the same
    classes, and are in the order of Table 1's streams.
    """

    models: tuple[Model, ...]
    recipe: Recipe
    fusion: Fusion
    views: Views  # of each video or window

    @property
    def classes(self) -> tuple[str, ...]:
        return self.models[0].run.classes

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(model.input for model in self.models))

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each input in the fusion: the method's own, where it has its own; a single input needs none."""
        if len(self.inputs) == 1:
            return {self.inputs[0]: 1.0}
        known = self.fusion.of(self.models[0].run.name.method)
        return {name: weight_of(name, known) for name in self.inputs}

    def probabilities(self, scores: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
        """Probabilities, float64 (windows, classes), from the scores (windows, classes) of each input's runs."""
        values = [
            np.mean(softmax(scores[name], axis=-1) if self.fusion.space == "probabilities" else scores[name], axis=0)
            for name in self.inputs
        ]
        fused = np.average(values, axis=0, weights=list(self.weights.values()))
        return np.asarray(fused if self.fusion.space == "probabilities" else softmax(fused, axis=-1), np.float64)


def find_models(paths: Sequence[Path], fuse: bool = False) -> list[Path]:
    """Files of trained runs: the files given and every model.pt below the folders given, each once.

    With `fuse`, also the other modalities' runs of the same method, fold and seed in the same results folder.

    Raises:
        UserError: a path leads to no run or, with `fuse`, a run is not where the workflow puts it, or no other stream
            is beside it.
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
    """The files of other single streams' runs beside a run's file, in the order of Table 1."""
    try:
        name = RunName.parse("/".join(path.parts[-5:-1]))
    except UserError:
        name = None
    if name is None or name.input not in STREAMS:
        raise UserError(f"--fuse: '{path}' is not at runs/INPUT/METHOD/foldN/seedS; name each run by --run")
    root = path.parents[4]
    streams = [root / str(replace(name, input=other)) / path.name for other in STREAMS if other != name.input]
    found = [stream for stream in streams if stream.is_file()]
    if not found:
        raise UserError(
            f"--fuse: no other stream beside '{path}', such as '{streams[0]}'; train it or leave out --fuse"
        )
    return found


def load_model(path: Path) -> tuple[Model, ModelFile]:
    """A trained network; UserError for a run of another family, which cannot predict videos."""
    recogniser, file = methods.load(path)
    if not isinstance(recogniser, NetworkRecogniser):
        raise UserError(f"--run: {path} is a run of '{file.kind}', which has no network; give a run of a network")
    return Model(path, recogniser.run, recogniser.scorer), file


def load_ensemble(
    paths: Sequence[Path], fusion: Fusion, views: Views, device: torch.device, backend: str | None = None
) -> Ensemble:
    """Load trained runs on a device; `backend` is as for `common_recipe`.

    Raises:
        UserError: the runs do not belong together, one does not say how its fields were made, or a weight is missing.
    """
    loaded = [load_model(path) for path in paths]
    models = [model for model, _ in loaded]
    for model in models:
        if "first" in model.run.name.modalities:
            raise UserError(f"--run: {model.path} sees first-person video; give a run that sees the clips themselves")
    recipe = common_recipe(
        [(model.path, name, file.fields()[name]) for model, file in loaded for name in model.run.name.modalities],
        backend,
    )
    first = models[0]
    for model in models[1:]:
        facts = {
            "variant": (model.run.name.method, first.run.name.method),
            "classes": (model.run.classes, first.run.classes),
        }
        for what, (own, others) in facts.items():
            if own != others:
                raise UserError(f"--run: {model.path} has other {what} than {first.path}: {own}, {others}")
    inputs = {model.input for model in models}
    if len(inputs) > 1 and (unweighted := inputs - set(fusion.of(first.run.name.method))):
        raise UserError(f"--weights: no weight for {', '.join(sorted(unweighted))}; give one, as in rgb=1,of=1.5,wof=1")
    models.sort(key=lambda model: STREAMS.index(model.input) if model.input in STREAMS else len(STREAMS))
    configure(device, any(model.run.options.deterministic for model in models), shapes_repeat=False)
    placed = tuple(replace(model, scorer=model.scorer.on(device)) for model in models)
    return Ensemble(placed, recipe, fusion, views)


def run_scores(
    model: Model, source: DeviceFields, clip: str, chosen: Sequence[Window], frames: int, views: Views
) -> np.ndarray:
    """A run's scores of windows of a clip, averaged over segments and crops: float32 (windows, classes).

    `frames` is the number of frames of the clip. Windows that share sub-segments share their features.
    """
    fields, sampler = source.fields, model.scorer.sampler
    length = fields.shape(clip)[0]
    samples = [
        scored_segments(fields, clip, sampler, views, [window.span(frames, length) for window in piece])
        for piece in pieces(chosen)
    ]
    values = np.concatenate(list(model.scorer.score_clips(source, samples)))
    scores: np.ndarray = values.reshape(len(chosen), views.segments, -1).mean(1)
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
    """Each run's scores of windows of a clip, float32 (windows, classes) each, in lists by input."""
    scores: dict[str, list[np.ndarray]] = {}
    for name in ensemble.inputs:
        for model in ensemble.models:
            if model.input == name:
                columns = model.scorer.sampler.columns
                source = open_fields(input_fields(fields, name), [clip], device, columns=columns)
                with full_memory_named(str(model.run.name), "--crops, or take --device cpu"):
                    values = run_scores(model, source, clip, chosen, frames, ensemble.views)
                scores.setdefault(name, []).append(values)
    return scores
