"""`stp predict --fuse` of a method whose streams have weights of their own, as R(2+1)D's publication gives them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from typer.testing import CliRunner

from stp.cli.app import app
from stp.config import Fusion, Views
from stp.data.index import Clip
from stp.data.shards import RAW, ClipFields
from stp.errors import UserError
from stp.extraction.pairs import FlowSettings
from stp.extraction.stages import extract_flow, extract_frames
from stp.predict.ensemble import load_ensemble
from stp.system.devices import Compute
from stp.training.model_file import TrainedOn
from stp.video.checking import check_video
from tests.predict.test_videos import write_video
from tests.runs import make_run, pyramid_network, read_run, untrained

CPU = torch.device("cpu")
CLASSES = ("down", "up", "left")
SMALL: dict[str, Any] = {"weights": "none", "width": 0.1, "input_size": 24, "frames": 4, "partial_bn": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video, its fields, and runs of R(2+1)D on RGB, on flow and on warped flow, with random weights."""
    made = tmp_path_factory.mktemp("own")
    clip = check_video(Clip("clip", str(write_video(made / "clip.avi", 9, 0)), "up"))
    assert isinstance(clip, Clip)
    extract_frames((clip,), made / "rgb.h5", 60, 40, RAW)
    extract_flow(made / "rgb.h5", made / "of.h5", made / "wof.h5", FlowSettings("numba", detector="orb"), 6.0, 1, RAW)
    for seed, modality in enumerate(("rgb", "of", "wof")):
        run = make_run(f"{modality}/r2plus1d/fold1/seed0", CLASSES, backbone="r2plus1d_18", **SMALL)
        torch.manual_seed(seed)
        recogniser = untrained(run)
        torch.nn.init.normal_(pyramid_network(recogniser).classifier.weight)
        fields = {modality: ClipFields([made / f"{modality}.h5"]).parameters}
        recogniser.save(made / "runs" / str(run.name) / "model.pt", TrainedOn(["x"], fields))
    return made


def model(folder: Path, modality: str) -> Path:
    return folder / "runs" / modality / "r2plus1d/fold1/seed0/model.pt"


def probabilities(folder: Path, weights: dict[str, float]) -> np.ndarray:
    """Of the clip, by the weighted mean of the streams' scores in one segment and crop."""
    fused = np.zeros(len(CLASSES))
    for name, weight in weights.items():
        fields = {name: ClipFields([folder / f"{name}.h5"])}
        fused += weight * read_run(model(folder, name)).scores(["clip"], fields, Views(1, 1), Compute(CPU))[0, 0]
    shares: np.ndarray = softmax(fused / sum(weights.values()))
    return shares


@pytest.mark.parametrize(
    ("options", "weights"), [([], {"rgb": 0.6, "of": 0.4}), (["--weights", "rgb=1,of=3"], {"rgb": 1.0, "of": 3.0})]
)
def test_streams_are_fused_by_the_methods_weights_unless_others_are_given(
    folder: Path, tmp_path: Path, options: list[str], weights: dict[str, float]
) -> None:
    runs = [part for name in weights for part in ("--run", model(folder, name))]
    views = ["--segments", 1, "--crops", 1, "--device", "cpu", "--threads", 1]
    arguments = [folder / "clip.avi", *runs, *views, "--json", tmp_path / "predicted.json", *options]
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == 0, result.exception
    content = json.loads((tmp_path / "predicted.json").read_text())
    assert content["weights"] == weights
    found = list(content["videos"][0]["windows"][0]["probabilities"].values())
    assert found == pytest.approx(probabilities(folder, weights), rel=1e-5)
    other = probabilities(folder, {"rgb": 1.0, "of": 1.5})
    assert found != pytest.approx(other, rel=1e-3)


def test_a_single_stream_needs_no_weight_and_several_need_one_each(folder: Path) -> None:
    load_ensemble([model(folder, "wof")], Fusion(), Views(1, 1), CPU)
    with pytest.raises(UserError, match="--weights: no weight for wof; give one"):
        load_ensemble([model(folder, "of"), model(folder, "wof")], Fusion(), Views(1, 1), CPU)
