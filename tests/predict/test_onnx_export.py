"""`stp export --onnx`: onnxruntime gives torch's scores, and the file tells what it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from stp.cli.app import app
from stp.errors import UserError
from stp.models.pyramid import TemporalPyramidNetwork
from stp.predict import onnx_export as export
from stp.predict.ensemble import Model, load_model
from stp.training.model_file import TrainedOn
from tests import tiny_resnet
from tests.runs import make_run, pyramid_network, untrained, with_random_classifiers

a_tiny_resnet = tiny_resnet.a_tiny_resnet
BACKBONES: dict[str, dict[str, Any]] = {
    "convnet": {"width": 0.5, "input_size": 32, "partial_bn": False},
    "bninception": {"width": 0.06, "input_size": 64, "partial_bn": True},
}


def save(folder: Path, backbone: str = "convnet", modality: str = "of", variant: str = "3-level") -> Path:
    options = {"backbone": backbone, "weights": "none", **BACKBONES[backbone]}
    torch.manual_seed(0)
    recogniser = untrained(make_run(f"{modality}/{variant}/fold1/seed0", ("a", "b", "zurück"), **options))
    network = pyramid_network(recogniser)
    torch.nn.init.normal_(network.classifier.weight)
    for name, value in network.backbone.state_dict().items():  # batch norms that do something
        if name.endswith(("running_mean", "bias")):
            value.copy_(0.1 * torch.randn(value.shape))
        if name.endswith("running_var"):
            value.copy_(0.5 + torch.rand(value.shape))
    recogniser.save(folder / "model.pt", TrainedOn([], {modality: {"width": 64, "height": 48}}))
    return folder


def stp_export(*arguments: object) -> None:
    CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def convnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run with its stream.onnx."""
    folder = save(tmp_path_factory.mktemp("convnet"))
    stp_export(folder / "model.pt", "-o", folder / "stream.onnx", "--onnx")
    return folder


def assert_scores_are_torchs(folder: Path) -> None:
    model, _ = load_model(folder / "model.pt")
    session = onnxruntime.InferenceSession(folder / "stream.onnx")
    for number in (1, 5):
        images = 255 * np.random.default_rng(number).random((number, *export.input_shape(model)), np.float32)
        with torch.inference_mode():
            expected = model.scorer.network(torch.from_numpy(images)[:, None])[:, 0].numpy()
        (scores,) = session.run(None, {"images": images})
        assert scores.shape == (number, 3)
        assert np.abs(scores - expected).max() <= 1e-4 * np.abs(expected).max()
        assert np.ptp(expected) > 0


def test_onnxruntime_gives_torchs_scores(convnet: Path) -> None:
    assert_scores_are_torchs(convnet)


def test_bn_inception_with_frozen_batch_norms_and_a_baseline_export_too(tmp_path: Path) -> None:
    for backbone, modality, variant in (("bninception", "rgb", "4-level"), ("convnet", "rgb", "baseline")):
        folder = save(tmp_path / backbone, backbone, modality, variant)
        stp_export(folder, "-o", folder / "stream.onnx", "--onnx")
        assert_scores_are_torchs(folder)


def test_a_sliding_pyramid_exports_with_its_longer_segment(tmp_path: Path) -> None:
    folder = save(tmp_path, variant="aligned-3-level")
    stp_export(folder, "-o", folder / "stream.onnx", "--onnx")
    assert_scores_are_torchs(folder)
    values = {item.key: item.value for item in onnx.load(folder / "stream.onnx").metadata_props}
    assert json.loads(values["subsegment_starts"]) == list(range(0, 65, 5))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rgb+of/tpp/fold1/seed0", {"images": 5, "encoding": 8}),
        ("of/trn/fold1/seed0", {"images": 4}),
        ("of/tsm/fold1/seed0", {"frames": 4}),
        ("of/c3d/fold1/seed0", {"backbone": "c3d", "width": 0.1, "frames": 5, "initial": "he"}),
        ("of/stpp/fold1/seed0", {"backbone": "c3d", "width": 0.1, "frames": 4}),
        ("rgb+of/two_stream_fusion/fold1/seed0", {"frames": 3}),
        ("rgb+of/tan/fold1/seed0", {"postures": 3, "shared_width": 16, "lstm_width": 8}),
        ("rgb+of/multiplier_net/fold1/seed0", {"backbone": tiny_resnet.NAME, "width": 1.0, "frames": 2}),
        ("of/dtpp/fold1/seed0", {"images": 5}),
        ("of/two_stream/fold1/seed0", {}),
        ("of/r2plus1d/fold1/seed0", {"backbone": "r2plus1d_18", "width": 0.1, "frames": 4}),
        ("rgb/video_network/fold1/seed0", {"backbone": "torchvision/mc3_18", "width": 1.0, "frames": 2}),
    ],
)
def test_other_methods_export_too(tmp_path: Path, a_tiny_resnet: None, name: str, options: dict[str, Any]) -> None:
    values = {"backbone": "convnet", "weights": "none"} | BACKBONES["convnet"] | options
    run = make_run(name, ("a", "b", "c"), **values)
    recogniser = with_random_classifiers(run)
    recogniser.save(tmp_path / "model.pt", TrainedOn([], {modality: {} for modality in run.name.modalities}))
    stp_export(tmp_path, "-o", tmp_path / "stream.onnx", "--onnx")
    assert_scores_are_torchs(tmp_path)


def test_the_file_tells_what_it_is(convnet: Path) -> None:
    model = onnx.load(convnet / "stream.onnx")
    values = {item.key: item.value for item in model.metadata_props}
    assert json.loads(values["classes"]) == ["a", "b", "zurück"]
    assert json.loads(values["modality"]) == "of"
    assert json.loads(values["variant"])["levels"] == 3
    assert json.loads(values["subsegment_starts"]) == [0, 5, 10, 15]
    assert json.loads(values["fields"]) == {"width": 64, "height": 48}
    assert {"torch", "onnx", "onnxruntime"} <= set(json.loads(values["versions"]))
    assert "0..255" in values["input"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["segments", 4, 10, 32, 32]


def test_a_file_that_differs_from_torch_is_not_written(
    convnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (convnet / "stream.onnx").read_bytes()

    def wrong(network: export.SegmentsAlone, model: Model, properties: dict[str, str]) -> bytes:
        with torch.no_grad():
            assert isinstance(network.network, TemporalPyramidNetwork)
            network.network.classifier.bias.add_(0.001 * network(export.random_segments(model, 1)).abs().max())
        return content

    monkeypatch.setattr(export, "to_onnx", wrong)
    with pytest.raises(UserError, match=r"differ from torch's by [12].\de-03 of their size, more than 1e-04; nothing"):
        stp_export(convnet, "-o", tmp_path / "stream.onnx", "--onnx")
    assert list(tmp_path.iterdir()) == []


def test_exports_mistakes_are_one_line(tmp_path: Path) -> None:
    folder = save(tmp_path / "one")
    save(tmp_path / "two")
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"^export: name the format, --onnx"):
        stp_export(folder, "-o", tmp_path / "stream.onnx")
    with pytest.raises(UserError, match=r"^--output: '.*mine.onnx' exists"):
        stp_export(folder, "-o", tmp_path / "mine.onnx", "--onnx")
    with pytest.raises(UserError, match="holds 2 runs; name one"):
        stp_export(tmp_path, "-o", tmp_path / "stream.onnx", "--onnx")
