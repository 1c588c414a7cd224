"""C3D's features are fc6 of clips cut by hand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stp.config import from_values
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.features import c3d, find
from stp.models.c3d import C3D, initialise_as_he
from stp.models.video_backbones import build_video_backbone
from stp.sampling.crops import fixed_crops
from stp.system.devices import Compute
from tests.plain import cut

OPTIONS = c3d.C3DFeatureOptions("none", 0.05, 32, "he", frames=4, overlap=1)
STARTS = {"a": (3, [0]), "b": (9, [0, 3]), "c": (10, [0, 3, 6]), "d": (60, list(range(0, 57, 3)))}  # length, starts


def test_clips_of_16_frames_overlap_by_8() -> None:
    options = c3d.C3DFeatureOptions()
    assert c3d.clips_of(40, options)[:, 0].tolist() == [0, 8, 16, 24]
    assert c3d.clips_of(39, options)[:, 0].tolist() == [0, 8, 16]
    assert c3d.clips_of(16, options).tolist() == [list(range(16))]
    assert c3d.clips_of(5, options).tolist() == [[0, 1, 2, 3] + [4] * 12]


@pytest.mark.parametrize(("name", "channels"), [("rgb", 3), ("of", 2)])
def test_features_are_fc6_of_clips_cut_by_hand(tmp_path: Path, name: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    with write_shard(tmp_path / "0.h5", name, {}) as shard:
        for video, (length, _) in STARTS.items():
            shard.write(video, rng.integers(0, 256, (length, channels, 36, 48), dtype=np.uint8))
    fields = ClipFields([tmp_path / "0.h5"])
    found = dict(c3d.extract(OPTIONS, {fields.modality: fields}, Compute(torch.device("cpu"))))
    assert list(found) == list(STARTS)
    torch.manual_seed(0)
    backbone = build_video_backbone("c3d", MODALITIES[name], 4, "none", 0.05, 32).eval()
    initialise_as_he(backbone.network)
    assert isinstance(backbone.network, C3D)
    (crop,) = fixed_crops(36, 48, 1)
    for video, (length, starts) in STARTS.items():
        indices = np.minimum(np.array(starts)[:, None] + np.arange(4), length - 1)
        with torch.inference_mode():
            images = cut(fields[video], indices, crop, 32, name == "of")
            expected = backbone.network.fc6_features(backbone.volume(images)).numpy()
        assert found[video].dtype == np.float32
        assert found[video].shape == (len(starts), round(4096 * 0.05))
        np.testing.assert_allclose(found[video], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        assert np.ptp(expected) > 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"overlap": 16}, "option overlap: 16 is not allowed; allowed: 0 to 15, less than the frames of a clip"),
        ({"frames": 0}, "option frames: 0 is not allowed; allowed: 1 to 1000"),
    ],
)
def test_wrong_options_are_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        from_values(find("c3d").options, values, "config: features.c3d")


def test_weights_that_are_missing_are_named_before_anything_is_computed() -> None:
    for kind, words in (("c3d", "is neither a file nor weights of 'c3d'"), ("frozen", "does not exist; allowed are")):
        found = find(kind)
        with pytest.raises(UserError, match=rf"^features.{kind}.weights: 'absent.pth' {words}"):
            found.prepare(from_values(found.options, {"weights": "absent.pth"}, ""))
