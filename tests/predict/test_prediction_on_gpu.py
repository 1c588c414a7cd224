"""Predictions and explanations on a GPU are the CPU's up to rounding."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from stp.cli.app import app
from stp.config import Fusion, Views
from stp.data.shards import RAW
from stp.predict.ensemble import load_ensemble
from stp.predict.videos import predict_video
from tests.predict.test_videos import Data, make_data, write_video

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return make_data(tmp_path_factory.mktemp("data"), RAW, ("rgb", "of", "wof"), (1,))


def test_a_prediction_is_the_cpus(data: Data) -> None:
    runs = [data.model(modality) for modality in ("rgb", "of", "wof")]
    found = []
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        ensemble = load_ensemble(runs, Fusion(), Views(25, 10), device)
        found.append([predict_video(ensemble, Path(clip.path), device).probabilities for clip in data.clips])
    np.testing.assert_allclose(np.array(found[1]), np.array(found[0]), atol=2e-2)  # bfloat16


def test_an_explanation_is_the_cpus(data: Data, tmp_path: Path) -> None:
    video, images = write_video(tmp_path / "alone.avi", 20, 5), []
    for device in ("cpu", "cuda"):
        words = ["explain", str(video), "--run", str(data.model("rgb")), "--device", device, "--class", "up"]
        words += ["--segments", "2", "--crops", "1", "-o", str(tmp_path / device)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.exception
        (path,) = (tmp_path / device).glob("*.png")
        images.append(np.asarray(cv2.imread(str(path))).astype(float))
    assert images[0].std() > 10
    assert np.abs(images[0] - images[1]).mean() < 1
