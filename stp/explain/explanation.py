"""Explanations: the places in a clip that raise a trained run's score of a class (paper Fig. 3).

A run scores a clip as in testing, over segments and crops. The maps of all crops are put back at the crops' places and
averaged, so that an explanation covers the whole frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional as F

from stp import methods
from stp.config import Views
from stp.data.index import Clip, Index
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.explain.grad_cam import gradient_weights, guidable, guided_grad_cam, last_maps, share_weights
from stp.extraction.recipe import Recipe, common_recipe
from stp.methods.network import NetworkRecogniser
from stp.models.pyramid import TemporalPyramidNetwork
from stp.sampling.crops import Crop
from stp.sampling.loading import open_fields
from stp.sampling.samples import Sample, images_of, scored_segments
from stp.system.progress import progress
from stp.training.model_file import read_model
from stp.training.run import Run
from stp.training.scoring import Scorer, divide

PICTURES_AT_ONCE = 32  # a backward pass keeps every layer's maps: 3 GB with BN-Inception at 224


@dataclass(frozen=True, eq=False)
class ExplainedRun:
    """A trained run, and the ids of the clips on which it was trained."""

    run: Run
    scorer: Scorer
    trained_on: frozenset[str]

    def note(self, clip: str) -> str:
        """The run's fold, and if the clip was one of its training clips, in a few words."""
        return f"fold {self.run.name.fold}, {'training clip' if clip in self.trained_on else 'unseen clip'}"


@dataclass(frozen=True, eq=False)
class Explanation:
    """Maps of the places that raise a run's score of a class, for each of a clip's n distinct sub-segments.

    run      the run that is explained
    target   number of the class
    scores   the clip's scores before softmax, float32 (classes,)
    starts   first frames of the sub-segments, ascending, int64 (n,)
    frames   a frame that stands for each of them, the only one that RGB saw or the middle one of flow, int64 (n,)
    heat     Grad-CAM in the stored frames' pixels, float32 (n, H, W), never negative
    guided   guided Grad-CAM, likewise
    """

    run: Run
    subsegment_length: int  # frames
    target: int
    scores: np.ndarray
    starts: np.ndarray
    frames: np.ndarray
    heat: np.ndarray
    guided: np.ndarray

    @property
    def probabilities(self) -> np.ndarray:
        """The clip's probabilities of the classes, float64 (classes,)."""
        shares: np.ndarray = softmax(self.scores.astype(np.float64))
        return shares


def place_back(maps: Tensor, crop: Crop, height: int, width: int) -> Tensor:
    """Maps of a crop (m, size, size), placed in the whole frame with zeros around them: (m, height, width)."""
    antialias = maps.shape[-1] > min(crop.height, crop.width)
    size = (crop.height, crop.width)
    maps = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False, antialias=antialias)[:, 0]
    if crop.flip:
        maps = maps.flip(-1)
    return F.pad(maps, (crop.left, width - crop.left - crop.width, crop.top, height - crop.top - crop.height))


def crop_weight(crop: Crop, height: int, width: int) -> Tensor:
    """Weights of a crop's pixels in the mean of overlapping crops, lower towards its sides, so that no seams show.

    (height, width) float32, positive inside the crop and zero around it.
    """
    rows, columns = (
        torch.minimum(torch.arange(side) + 0.5, side - torch.arange(side) - 0.5) / side
        for side in (crop.height, crop.width)
    )
    weight = torch.zeros(height, width)
    weight[crop.slices] = rows[:, None] * columns
    return weight


def target_class(word: str, clip: Clip, scores: np.ndarray, classes: Sequence[str]) -> int:
    """Number of the class to explain: the clip's `own`, the `predicted` one, or the class with the name `word`."""
    if word == "predicted":
        return int(scores.argmax())
    name = clip.label if word == "own" else word
    if name not in classes:
        raise UserError(f"--class: '{name}' is unknown; allowed are own, predicted, {', '.join(classes)}")
    return list(classes).index(name)


def explain(
    explained: ExplainedRun, fields: ClipFields, clip: Clip, target: str, views: Views, device: torch.device
) -> Explanation:
    """Guided Grad-CAM of a clip over evenly spread segments, each seen in the crops of `views`.

    `target` is as for `target_class`.

    Raises:
        UserError: the class is unknown.
        Unexplainable: the network has no maps or no rectifiers.
    """
    run, sampler = explained.run, explained.scorer.sampler
    network = explained.scorer.network.to(device).eval()
    scorer = replace(explained.scorer, network=network)
    source = open_fields(fields, [clip.clip], device)
    chosen = scored_segments(fields, clip.clip, sampler, views)
    with torch.inference_mode():
        scores = next(iter(scorer.score_clips(source, [chosen]))).mean(0)
    number = target_class(target, clip, scores, run.classes)
    places = torch.from_numpy(chosen.places).to(device)

    def weights_of(view: Sample) -> Tensor:
        if type(network) is TemporalPyramidNetwork:  # its subclasses are not linear
            return share_weights(network, places, number)
        with torch.no_grad():  # the weights depend on what the view shows
            features = torch.cat(list(scorer.pass_backbone(source, [view])))
        return gradient_weights(network, features, places, number)

    backbone = guidable(network.backbone)
    layer: nn.Module | None = None
    height, width = fields.shape(clip.clip)[2:]
    sums = torch.zeros((2, len(chosen.views[0].indices), height, width), device=device)  # of heat and guided
    seen = torch.zeros((height, width), device=device)
    for view in progress(chosen.views, desc=f"explain {run.name}", unit="crop"):
        crop_share = crop_weight(view.crop, height, width).to(device)
        seen += crop_share
        weights, first = weights_of(view), 0
        for images in source.images(divide([view], images_of(PICTURES_AT_ONCE, sampler)), run.options.input_size):
            if layer is None:
                layer = last_maps(backbone, images[:1])
            rows = slice(first, first + len(images))
            for total, maps in zip(sums, guided_grad_cam(backbone, layer, images, weights[rows]), strict=True):
                total[rows] += crop_share * place_back(maps, view.crop, height, width)
            first += len(images)
    heat, guided = torch.where(seen > 0, sums / seen, 0).cpu().numpy()
    first_fields = chosen.views[0].indices[:, 0]
    starts = np.maximum(first_fields - sampler.scored_field, 0)
    frames = chosen.views[0].indices[:, sampler.stack // 2]
    return Explanation(run, sampler.subsegment_length, number, scores, starts, frames, heat, guided)


def results_folder(model: Path) -> Path:
    """The results folder of a run: the parent of the folder `runs` above it."""
    for folder in model.absolute().parents:
        if folder.name == "runs":
            return folder.parent
    raise UserError(f"{model}: is not in a folder 'runs' of a results folder; name --index and --clips")


def find_data(models: Sequence[Path], index: Path | None, shards: Sequence[Path] | None) -> tuple[Path, list[Path]]:
    """The index and the shards that are given, or those of the runs' results folder.

    Raises:
        UserError: the runs are in no results folder or in several, or it has no index.
    """
    if index and shards:
        return index, list(shards)
    folders = sorted({results_folder(model) for model in models})
    if len(folders) > 1:
        raise UserError(
            f"the runs are in {' and '.join(map(str, folders))}; explain those of one results folder at a time"
        )
    index = index or folders[0] / "index.csv"
    if not index.is_file():
        raise UserError(f"{index}: does not exist; name the runs' index with --index")
    return index, list(shards or sorted(folders[0].glob("clips/*/*.h5")))


def recipe_of(models: Sequence[Path]) -> Recipe:
    """How the fields of runs were made; UserError if they were made differently, or a file does not say it."""
    files = [read_model(path) for path in models]
    return common_recipe([(file.path, name, file.fields()[name]) for file in files for name in file.name.modalities])


def explained_runs(models: Sequence[Path], index: Index | None, source: str) -> list[ExplainedRun]:
    """Read runs; UserError if one has other classes than the index, if one is given, which was read from `source`."""
    runs = []
    for path in models:
        if not path.is_file():
            raise UserError(f"{path}: does not exist; --run takes the folder of a trained run, in which model.pt is")
        recogniser, file = methods.load(path)
        if not isinstance(recogniser, NetworkRecogniser):
            raise UserError(f"{path}: is a run of '{file.kind}', which has no maps to explain; give a run of a network")
        run = recogniser.run
        if len(run.name.modalities) > 1:
            raise UserError(f"{path}: sees several modalities at once, which cannot be explained; give another run")
        if index and set(run.classes) != set(index.classes):
            raise UserError(
                f"{path}: trained on classes {', '.join(run.classes)}, but {source} has {', '.join(index.classes)}; "
                "name the run's own index with --index"
            )
        runs.append(ExplainedRun(run, recogniser.scorer, file.clips()))
    return runs
