"""Guided Grad-CAM: the maps by hand, where they land in the frame, what is drawn, and `stp explain`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor, nn

from stp.cli.app import app
from stp.config import Views
from stp.data.index import Clip, Index, read_index, write_index
from stp.data.selection import chosen_clips, clip_fields, fields_by_modality
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.explain.explanation import (
    ExplainedRun,
    Explanation,
    crop_weight,
    explain,
    explained_runs,
    find_data,
    place_back,
    target_class,
)
from stp.explain.grad_cam import gradient_weights, guidable, guided_grad_cam, last_maps, share_weights
from stp.figures.explanations import (
    HEAT,
    caption,
    columns,
    draw,
    overlay,
    rows,
    save_explanations,
    shares,
    subsegments_at,
)
from stp.methods import c3d, dtpp, pyramid, r2plus1d, stpp, tan, trn, tsm, two_stream, video_network
from stp.methods.network import NetworkRecogniser
from stp.models.backbones import Backbone, InputFormat, build_backbone
from stp.models.feature_network import FeatureNetwork
from stp.models.pyramid import TemporalPyramidNetwork, subsegment_maps
from stp.sampling.crops import fixed_crops
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.training.run import Run
from stp.training.scoring import Scorer, score
from tests.runs import make_run, pyramid_network, untrained

CPU = torch.device("cpu")
PLAIN = InputFormat((0, 0, 0), (1, 1, 1))
CLASSES = ("nod", "wave")
TINY: dict[str, Any] = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32, "partial_bn": False}


class Pooled(nn.Module):
    """Layers, then the mean over places."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x).mean((2, 3))
        return features


def pointwise(first: Tensor, activation: nn.Module, second: Tensor) -> Backbone:
    """Two 1x1 convolutions of these matrices with rectifiers after them; images are taken as they are."""
    layers: list[nn.Module] = []
    for matrix, after in ((first, activation), (second, nn.ReLU(inplace=True))):
        layer = nn.Conv2d(matrix.shape[1], matrix.shape[0], 1, bias=False)
        layer.weight.data = matrix[:, :, None, None]
        layers += [layer, after]
    return Backbone(FeatureNetwork(Pooled(*layers), len(second), PLAIN), False).eval()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_guided_grad_cam_of_two_layers_by_hand(seed: int) -> None:
    """Each place of 1x1 convolutions is by itself, so the gradients are products of matrices."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(4, 3, generator=generator), torch.randn(5, 4, generator=generator)
    images, weights = torch.randn(2, 3, 6, 6, generator=generator), torch.randn(2, 5, generator=generator)
    backbone = guidable(pointwise(first, nn.ReLU(inplace=True), second))
    heat, guided = guided_grad_cam(backbone, last_maps(backbone, images), images, weights)

    hidden = torch.einsum("dc,mchw->mdhw", first, images).relu()
    maps = torch.einsum("ed,mdhw->mehw", second, hidden).relu()
    expected = ((weights / 36)[:, :, None, None] * maps).sum(1).relu()
    assert torch.allclose(heat, expected, atol=1e-6)
    gradient = (weights / 36).relu()[:, :, None, None] * (maps > 0)  # guided: what is negative goes no further
    gradient = torch.einsum("ed,mehw->mdhw", second, gradient).relu() * (hidden > 0)
    gradient = torch.einsum("dc,mdhw->mchw", first, gradient)
    assert torch.allclose(guided, gradient.norm(dim=1) * expected, atol=1e-6)


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.ReLU6(inplace=True), nn.SiLU(inplace=True), nn.GELU(), nn.LeakyReLU(0.1, inplace=True)]
)
def test_every_rectifier_lets_only_positive_gradients_through(activation: nn.Module) -> None:
    torch.manual_seed(0)
    first, second = torch.randn(4, 3), torch.eye(4)
    images, weights = torch.randn(1, 3, 6, 6), torch.tensor([[1.0, -1, 2, -2]])
    backbone = guidable(pointwise(first, activation, second))
    heat, guided = guided_grad_cam(backbone, last_maps(backbone, images), images, weights)
    before = torch.einsum("dc,mchw->mdhw", first, images).requires_grad_()
    after = activation(before.clone())
    (slope,) = torch.autograd.grad(after.sum(), before)
    gradient = ((weights / 36).relu()[:, :, None, None] * (after > 0) * slope).relu()
    gradient = torch.einsum("dc,mdhw->mchw", first, gradient)
    assert guided.max() > 0
    assert torch.allclose(guided, gradient.norm(dim=1) * heat, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "width"),
    [("bninception", 64, 0.25), ("convnet", 32, 0.5), ("efficientnet_lite0", 64, 1.0), ("test_resnet", 64, 1.0)],
)
def test_the_maps_that_are_weighed_are_those_that_are_pooled(name: str, size: int, width: float) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, 10, True, "none", width).eval()
    images = torch.randint(0, 256, (2, 10, size, size)).float()
    copied = guidable(backbone)
    maps: list[Tensor] = []
    last_maps(copied, images).register_forward_hook(lambda module, inputs, output: maps.append(output))
    features = copied(images)
    assert torch.allclose(features, backbone(images), atol=1e-6)
    assert torch.allclose(maps[0].mean((2, 3)), features, atol=1e-5)
    heat, guided = guided_grad_cam(copied, last_maps(copied, images), images, torch.randn(2, backbone.num_features))
    assert heat.shape == guided.shape == (2, size, size)
    assert heat.min() >= 0
    assert (heat.max() > 0) == (guided.max() > 0)


def test_networks_without_maps_or_rectifiers_are_refused() -> None:
    with pytest.raises(UserError, match="needs a backbone with rectifiers"):
        guidable(Backbone(FeatureNetwork(Pooled(nn.Conv2d(3, 4, 3)), 4, PLAIN), False))
    flat = Backbone(FeatureNetwork(nn.Sequential(nn.Flatten(), nn.Linear(48, 4), nn.ReLU()), 4, PLAIN), False)
    with pytest.raises(UserError, match="needs maps of several places"):
        last_maps(flat, torch.zeros(1, 3, 4, 4))


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(["baseline", "1-level", "3-level", "4-level"]), seed=st.integers(0, 1000))
def test_shares_of_subsegments_sum_to_the_score(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    run = tiny_run("rgb", name)
    network = TemporalPyramidNetwork(build_backbone("convnet", 3, False), pyramid.parts(run), 4, 0.5).eval()
    nn.init.normal_(network.classifier.weight)
    features = torch.randn(9, 96)
    places = torch.randint(0, 9, (3, pyramid.sampler(run).subsegments))
    places[0, 0] = 8
    expected = network.scores(features[places]).mean(0)
    shares = torch.stack([(share_weights(network, places, c) * features).sum() for c in range(4)])
    assert torch.allclose(shares + network.classifier.bias, expected, atol=1e-4)
    for c in range(4):
        assert torch.allclose(
            gradient_weights(network, features, places, c), share_weights(network, places, c), atol=1e-5
        )


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(4, 40), width=st.integers(4, 40), crops=st.sampled_from([1, 2, 5, 10]), seed=st.integers(0, 99)
)
def test_what_is_cut_out_is_put_back_where_it_was(height: int, width: int, crops: int, seed: int) -> None:
    frame = torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed))
    for crop in fixed_crops(height, width, crops):
        cut = frame[:, *crop.slices]
        back = place_back(cut.flip(-1) if crop.flip else cut, crop, height, width)
        weight = crop_weight(crop, height, width)
        assert torch.equal(weight > 0, place_back(torch.ones_like(cut), crop, height, width)[0] > 0)
        assert torch.allclose(back, frame * (weight > 0), atol=1e-6)


def bright_network(name: str) -> TemporalPyramidNetwork:
    """A network whose class 1 has the more, the more of an image is bright; class 0 the less."""
    network = Pooled(nn.AvgPool2d(4), nn.Conv2d(3, 1, 1), nn.ReLU(inplace=True))
    convolution = network.get_submodule("layers.1")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    nn.init.constant_(convolution.weight, 1 / 3)
    nn.init.constant_(convolution.bias, -100.0)
    parts = pyramid.parts(tiny_run("rgb", name))
    bright = TemporalPyramidNetwork(Backbone(FeatureNetwork(network, 1, PLAIN), False), parts, 2, 0.5).eval()
    bright.classifier.weight.data = torch.tensor([[-1.0], [1.0]]).expand(2, sum(parts)).clone()
    nn.init.zeros_(bright.classifier.bias)
    return bright


def tiny_run(modality: str, name: str, classes: tuple[str, ...] = CLASSES, **options: Any) -> Run:
    return make_run(f"{modality}/{name}/fold1/seed0", classes, **TINY | options)


def to_explain(run: Run, network: TemporalPyramidNetwork) -> ExplainedRun:
    return ExplainedRun(run, Scorer(network, run.options, pyramid.sampler(run)), frozenset())


@dataclass(frozen=True)
class Results:
    """A results folder of two clips of 40 frames of 64x48 pixels: in the second, a bright square moves to the right."""

    folder: Path

    @property
    def index(self) -> Index:
        return read_index(self.folder / "index.csv")

    def fields(self) -> dict[str, ClipFields]:
        return fields_by_modality(sorted(self.folder.glob("clips/*/*.h5")))

    def model(self, modality: str, name: str) -> Path:
        return self.folder / f"runs/{modality}/{name}/fold1/seed0/model.pt"


def square(t: int) -> tuple[slice, slice]:
    """Rows and columns of the square in frame t."""
    return slice(24, 36), slice(4 + t, 16 + t)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    found = Results(tmp_path_factory.mktemp("beside") / "results")
    clips = (Clip("nod/a b", "", "nod"), Clip("wave/1", "", "wave"))
    write_index(found.folder / "index.csv", clips)
    frames = np.full((40, 3, 48, 64), 60, np.uint8)
    for t in range(40):
        frames[t, :, *square(t)] = 255
    rng = np.random.default_rng(0)
    flow = rng.integers(100, 156, (39, 2, 48, 64), np.uint8)
    for number, clip in enumerate(clips):  # a shard each, to be put together again
        for modality, fields in (("rgb", frames if number else frames // 2), ("of", flow)):
            with write_shard(found.folder / f"clips/{modality}/{number}.h5", modality, {}) as shard:
                shard.write(clip.clip, fields)
    torch.manual_seed(0)
    for modality, name in (("rgb", "baseline"), ("of", "3-level")):
        found.model(modality, name).parent.mkdir(parents=True)
        untrained(tiny_run(modality, name)).save(found.model(modality, name), TrainedOn(["nod/a b"]))
    return found


def explained(results: Results, modality: str = "rgb", name: str = "3-level", crops: int = 10) -> Explanation:
    run = tiny_run(modality, name)
    network = bright_network(name) if modality == "rgb" else pyramid.build(run).eval()
    clip, fields = results.index.clips[1], results.fields()[modality]
    return explain(to_explain(run, network), fields, clip, "own", Views(3, crops), CPU)


@pytest.mark.parametrize(("name", "crops"), [("baseline", 1), ("3-level", 10)])
def test_maps_lie_where_the_class_is_and_follow_it(results: Results, name: str, crops: int) -> None:
    explanation = explained(results, "rgb", name, crops)
    assert len(explanation.starts) == (3 if name == "baseline" else 12)
    assert explanation.heat.shape == explanation.guided.shape == (len(explanation.starts), 48, 64)
    for t, heat, guided in zip(explanation.frames, explanation.heat, explanation.guided, strict=True):
        inside = np.zeros((48, 64), bool)
        inside[square(t)] = True
        for maps in (heat, guided):
            assert inside[np.unravel_index(maps.argmax(), maps.shape)]
            assert maps[inside].mean() > 20 * maps[~inside].mean()


@pytest.mark.parametrize(("rgb_frame", "offset"), [("any", 2), ("first", 0)])
def test_an_rgb_run_is_shown_with_the_frames_that_it_saw(results: Results, rgb_frame: str, offset: int) -> None:
    tiny = tiny_run("rgb", "3-level")
    run = replace(tiny, options=replace(tiny.options, rgb_frame=rgb_frame))
    chosen, fields = to_explain(run, bright_network("3-level")), results.fields()["rgb"]
    explanation = explain(chosen, fields, results.index.clips[1], "own", Views(1, 1), CPU)
    assert explanation.starts.tolist() == [10, 15, 20, 25]
    assert (explanation.frames - explanation.starts).tolist() == [offset] * 4
    for t, heat in zip(explanation.frames, explanation.heat, strict=True):
        middle = np.average(np.arange(64), weights=heat.sum(0))
        assert abs(middle - (4 + t + 5.5)) < 0.7


def test_class_that_nothing_speaks_for_has_no_heat(results: Results) -> None:
    clip = results.index.clips[1]
    fields = results.fields()["rgb"]
    bright = to_explain(tiny_run("rgb", "3-level"), bright_network("3-level"))
    explanation = explain(bright, fields, clip, "nod", Views(3, 1), CPU)
    assert explanation.heat.max() == explanation.guided.max() == 0
    assert explanation.scores.argmax() == 1
    assert caption(explanation).splitlines()[0].startswith("predicted wave ")
    figure = draw(np.zeros((40, 48, 64, 3), np.uint8), [explanation], [""], "")
    assert figure.axes
    plt.close(figure)


@pytest.mark.parametrize("modality", ["rgb", "of"])
def test_scores_are_those_of_scoring(results: Results, modality: str) -> None:
    torch.manual_seed(0)
    run, fields, clip = tiny_run(modality, "3-level"), results.fields()[modality], results.index.clips[1]
    chosen, views = to_explain(run, pyramid.build(run).eval()), Views(5, 2)
    expected = score(chosen.scorer, "x", fields, [clip.clip], views, Compute(CPU)).mean(1)[0]
    explanation = explain(chosen, fields, clip, "predicted", views, CPU)
    assert np.allclose(explanation.scores, expected)
    assert explanation.target == expected.argmax()
    assert np.isclose(explanation.probabilities.sum(), 1)


def test_a_sliding_pyramid_is_explained_by_the_phase_that_it_finds(results: Results) -> None:
    """With a temperature near 0 only the sub-segments of the best offset have a share, that of the pyramid there."""
    run = tiny_run("of", "aligned-3-level", temperature=1e-3, extra_subsegments=3)
    recogniser = untrained(run)
    network, features = pyramid_network(recogniser), torch.randn(7, 24)
    torch.nn.init.normal_(network.classifier.weight)
    best = int(torch.stack([TemporalPyramidNetwork.scores(network, features[o : o + 4])[1] for o in range(4)]).argmax())
    expected = torch.zeros(7, 24)
    expected[best : best + 4] = subsegment_maps(network.classifier.weight.detach(), 4, (1, 2, 4))[:, 1]
    found = gradient_weights(network, features, torch.arange(7)[None], 1)
    assert torch.allclose(found, expected, atol=1e-5)
    fields, clip = results.fields()["of"], results.index.clips[1]
    explanation = explain(ExplainedRun(run, recogniser.scorer, frozenset()), fields, clip, "own", Views(2, 2), CPU)
    scores = score(recogniser.scorer, "x", fields, [clip.clip], Views(2, 2), Compute(CPU)).mean(1)[0]
    assert np.allclose(explanation.scores, scores)
    assert explanation.heat.shape == (len(explanation.starts), 48, 64)
    assert explanation.heat.max() > 0


@pytest.mark.parametrize(
    ("method", "options", "images"),
    [
        (dtpp, {"images": 4}, 4),
        (trn, {"images": 4}, 4),
        (tsm, {"frames": 4}, 1),
        (two_stream, {"flow_fields": 4}, 1),
        (c3d, {"frames": 8, "backbone": "c3d", "initial": "he"}, 1),
        (r2plus1d, {"frames": 8, "backbone": "r2plus1d_18"}, 1),
        (stpp, {"frames": 8, "backbone": "r2plus1d_18", "levels": (1, 2), "pooling": "max"}, 1),
        (video_network, {"frames": 16, "backbone": "torchvision/s3d", "width": 1.0, "input_size": 64}, 1),
    ],
)
def test_methods_that_see_the_whole_video_are_explained(
    results: Results, method: ModuleType, options: dict[str, Any], images: int
) -> None:
    run = tiny_run("of", method.__name__.rsplit(".", 1)[-1], **options)
    torch.manual_seed(0)
    network, sampler = method.build(run).eval(), method.sampler(run)
    fields, clip = results.fields()["of"], results.index.clips[1]
    chosen = ExplainedRun(run, Scorer(network, run.options, sampler), frozenset())
    both = [explain(chosen, fields, clip, name, Views(1, 2), CPU) for name in CLASSES]
    for explanation in both:
        assert explanation.heat.shape == explanation.guided.shape == (images, 48, 64)
    assert max(explanation.heat.max() for explanation in both) > 0  # nothing may speak for one of them
    assert max(explanation.guided.max() for explanation in both) > 0


def test_batches_of_any_size_give_the_same_maps(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    first = explained(results, crops=2)
    monkeypatch.setattr("stp.explain.explanation.PICTURES_AT_ONCE", 5)
    second = explained(results, crops=2)
    assert first.heat.max() > 0
    assert np.allclose(first.heat, second.heat, rtol=1e-4, atol=1e-8)
    assert np.allclose(first.guided, second.guided, rtol=1e-4, atol=1e-8)


def test_a_volume_of_eight_frames_takes_the_room_of_eight_images(results: Results) -> None:
    run = tiny_run("of", "c3d", frames=8, backbone="c3d", width=0.05)
    network, sizes = c3d.build(run).eval(), set[int]()
    network.backbone.register_forward_hook(lambda module, inputs, output: sizes.add(len(output)))
    chosen = ExplainedRun(run, Scorer(network, run.options, c3d.sampler(run)), frozenset())
    explain(chosen, results.fields()["of"], results.index.clips[1], "own", Views(9, 1), CPU)
    assert sizes == {9, 4, 1}  # scored at once, and explained in batches of 32 / 8, after the maps were found in one


def test_a_run_that_sees_several_modalities_is_refused_in_one_line(tmp_path: Path) -> None:
    run = tiny_run("rgb+of", "tan", postures=2, shared_width=4, lstm_width=4)
    network = tan.build(run).eval()
    path = tmp_path / "model.pt"
    NetworkRecogniser(run, Scorer(network, run.options, tan.sampler(run))).save(path, TrainedOn(["a"]))
    with pytest.raises(UserError, match=r"model\.pt: sees several modalities at once, which cannot be explained"):
        explained_runs([path], None, "index")


def test_target_class() -> None:
    clip, scores = Clip("wave/1", "", "wave"), np.array([2.0, 1.0])
    assert [target_class(word, clip, scores, CLASSES) for word in ("own", "predicted", "wave")] == [1, 0, 1]
    with pytest.raises(UserError, match="--class: 'jump' is unknown; allowed are own, predicted, nod, wave"):
        target_class("jump", clip, scores, CLASSES)


@given(own=st.integers(1, 30), more=st.integers(0, 30))
def test_columns_are_in_order_and_within_the_figure(own: int, more: int) -> None:
    places = columns(own, own + more)
    assert places == sorted(set(places))
    assert 0 <= places[0] <= places[-1] < own + more


@pytest.mark.parametrize(("own", "lengths"), [(1, [1]), (6, [6]), (8, [4, 4]), (12, [6, 6]), (13, [5, 4, 4])])
def test_sub_segments_stand_in_rows_wide_enough_to_see_them(own: int, lengths: list[int]) -> None:
    maps = np.zeros((own, 1, 1))
    explanation = Explanation(
        tiny_run("rgb", "baseline"), 5, 0, np.zeros(2), np.arange(own), np.arange(own), maps, maps
    )
    assert [len(row) for row in rows(explanation)] == lengths
    assert np.concatenate(rows(explanation)).tolist() == list(range(own))


def test_heat_is_in_colours_whose_lightness_grows_evenly() -> None:
    colours = 255 * matplotlib.colormaps[HEAT](np.linspace(0, 1, 64))[None, :, :3]
    lightness = cv2.cvtColor(np.rint(colours).astype(np.uint8), cv2.COLOR_RGB2LAB)[0, :, 0].astype(float)
    steps = np.diff(lightness)
    assert steps.min() >= 0
    assert steps.max() < 3 * steps.mean()


def test_heat_lies_over_a_grey_frame_and_weak_heat_hardly() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    plain = overlay(frame, np.zeros((8, 8)))
    assert np.array_equal(plain, cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    weak, strong = (np.abs(overlay(frame, np.full((8, 8), heat)).astype(int) - plain).mean() for heat in (0.05, 1))
    assert 0 < weak < strong / 3
    assert shares(np.array([0.0, 2, 4])).tolist() == [0, 0.5, 1]
    assert shares(np.zeros(3)).tolist() == [0, 0, 0]


def test_files_of_an_explanation(results: Results, tmp_path: Path) -> None:
    """Two runs: figure, the same bytes each time, and a video in which frames that a run never saw are dark."""
    frames = results.fields()["rgb"]["wave/1"][:].transpose(0, 2, 3, 1)
    explanations = [explained(results, "rgb", "baseline", 1), explained(results, "of", "3-level", 1)]
    for stem in ("first", "second"):
        parameters = {"clip": "wave/1", "segments": 3, "crops": 1}
        save_explanations(tmp_path / stem, frames, explanations, ["a note", ""], parameters)
    for kind in ("png", "pdf"):
        assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()
    made = json.loads(Image.open(tmp_path / "first.png").info["Description"])
    assert made["runs"] == ["rgb/baseline/fold1/seed0", "of/3-level/fold1/seed0"]
    assert (made["classes"], made["segments"], made["clip"]) == (["wave", "wave"], 3, "wave/1")
    assert "captum" in made["versions"]

    video = cv2.VideoCapture(str(tmp_path / "first.mp4"))
    shown = [video.read()[1] for _ in range(int(video.get(cv2.CAP_PROP_FRAME_COUNT)))]
    assert len(shown) == 40
    assert shown[0].shape == (288 + 36 + 24, 2 * 384, 3)
    brightness = np.array([image[40:200, :384].mean() for image in shown])  # of the baseline, above the square
    seen = np.array([len(subsegments_at(explanations[0], t)) > 0 for t in range(40)])
    assert seen.sum() == 15
    assert brightness[seen].min() > 2 * brightness[~seen].max()


def test_long_names_stay_beside_the_images(results: Results) -> None:
    explanation = explained(results, "rgb", "3-level", 1)
    classes = ("nod", "a slight shift of attention towards somebody who speaks")
    long = replace(explanation, run=tiny_run("rgb", "3-level", classes))
    figure = draw(np.zeros((40, 48, 64, 3), np.uint8), [long, long], ["note"] * 2, "title")
    figure.canvas.draw()
    words = [text for ax in figure.axes for text in ax.texts if "slight" in text.get_text()]
    assert len(words) == 2
    for text in words:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert text.axes is not None
        assert box.x1 < text.axes.get_window_extent().x0
    plt.close(figure)


def test_one_command_line_explains(results: Results, tmp_path: Path) -> None:
    runs = [str(results.model("rgb", "baseline").parent), str(results.model("of", "3-level"))]
    arguments = ["explain", "wave/1", "nod/a b", "wave/1", "--run", runs[0], "--run", runs[1], "-o", str(tmp_path)]
    app([*arguments, "--segments", "1", "--crops", "2", "--device", "cpu"], standalone_mode=False)
    files = {f"{stem}.{kind}" for stem in ("wave__1", "nod__a b") for kind in ("png", "pdf", "mp4")}
    assert {path.name for path in tmp_path.iterdir()} == files


def test_notes_say_whether_a_run_knew_the_clip(results: Results) -> None:
    (run,) = explained_runs([results.model("rgb", "baseline")], results.index, "index")
    assert isinstance(run, ExplainedRun)
    assert [run.note(clip.clip) for clip in results.index.clips] == [
        "fold 1, training clip",
        "fold 1, unseen clip",
    ]


def test_data_lie_beside_the_runs_or_are_named(results: Results, tmp_path: Path) -> None:
    model = results.model("rgb", "baseline")
    index, shards = find_data([model, results.model("of", "3-level")], None, None)
    assert index == results.folder / "index.csv"
    assert [str(path.relative_to(results.folder)) for path in shards] == [
        f"clips/{name}.h5" for name in ("of/0", "of/1", "rgb/0", "rgb/1")
    ]
    assert find_data([tmp_path / "model.pt"], index, shards[:1]) == (index, shards[:1])
    assert find_data([model], None, shards[:1]) == (index, shards[:1])
    with pytest.raises(UserError, match=r"model.pt: is not in a folder 'runs'.*--index and --clips"):
        find_data([tmp_path / "model.pt"], index, None)
    other = tmp_path / "other/runs/rgb/baseline/fold1/model.pt"
    with pytest.raises(UserError, match="explain those of one results folder at a time"):
        find_data([model, other], None, None)
    with pytest.raises(UserError, match=r"other/index.csv: does not exist; .* --index"):
        find_data([other], None, None)


def test_mistakes_are_named(results: Results, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"clip 'wave/11' is not in index; clips are called as wave/1"):
        chosen_clips(results.index, ["wave/11"], "index")
    with pytest.raises(UserError, match=r"clips 'a/b' and 'a__b' would both be written to a__b"):
        chosen_clips(Index((Clip("a/b", "", "x"), Clip("a__b", "", "y"))), ["a/b", "a__b"], "index")
    with pytest.raises(UserError, match=r"model.pt: does not exist; --run takes the folder"):
        explained_runs([tmp_path / "model.pt"], results.index, "index")
    others = Index((Clip("a", "", "jump"), Clip("b", "", "nod")))
    with pytest.raises(
        UserError, match="trained on classes nod, wave, but index has jump, nod; name the run's own index"
    ):
        explained_runs([results.model("rgb", "baseline")], others, "index")
    with pytest.raises(UserError, match="no shards of 'of', which clip 'wave/1' needs"):
        clip_fields({"rgb": results.fields()["rgb"]}, "of", "wave/1")
    with write_shard(tmp_path / "of.h5", "of", {}) as shard:
        shard.write("wave/1", np.zeros((39, 2, 24, 32), np.uint8))
    with pytest.raises(UserError, match=r"clip 'wave/1': of has size \(24, 32\), frames have \(48, 64\); give its own"):
        clip_fields(results.fields() | {"of": ClipFields([tmp_path / "of.h5"])}, "of", "wave/1")
    (tmp_path / "text.h5").write_text("no shard")
    with pytest.raises(UserError, match=r"text.h5: not a shard of clips"):
        fields_by_modality([tmp_path / "text.h5"])
