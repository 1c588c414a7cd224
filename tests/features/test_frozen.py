"""Frozen features are those of the backbone on images cut by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.features import find, frozen
from stp.models.backbones import build_backbone
from stp.sampling.crops import fixed_crops
from stp.sampling.segments import even_starts
from stp.system.devices import Compute
from tests.plain import cut

OPTIONS = frozen.FrozenOptions("convnet", "none", 0.5, 32, images=6, flow_fields=5)
LENGTHS = {"a": 3, "b": 9, "c": 40}  # where images repeat, overlap, and lie apart


@pytest.mark.parametrize(("modality", "channels", "stack"), [("rgb", 3, 1), ("of", 2, 5)])
def test_features_are_those_of_the_backbone_on_images_cut_by_hand(
    tmp_path: Path, modality: str, channels: int, stack: int
) -> None:
    rng = np.random.default_rng(0)
    with write_shard(tmp_path / "0.h5", modality, {}) as shard:
        for clip, length in LENGTHS.items():
            shard.write(clip, rng.integers(0, 256, (length, channels, 36, 48), dtype=np.uint8))
    fields = ClipFields([tmp_path / "0.h5"])
    found = dict(frozen.extract(OPTIONS, {fields.modality: fields}, Compute(torch.device("cpu"))))
    assert list(found) == list(LENGTHS)
    torch.manual_seed(0)
    backbone = build_backbone("convnet", channels * stack, modality == "of", "none", 0.5, 32).eval()
    (crop,) = fixed_crops(36, 48, 1)
    for clip, length in LENGTHS.items():
        starts = even_starts(length, 6, 5)
        indices = np.minimum(starts[:, None] + np.arange(stack), length - 1)
        with torch.inference_mode():
            expected = backbone(cut(fields[clip], indices, crop, 32, modality == "of")).numpy()
        assert found[clip].dtype == np.float32
        assert found[clip].shape == (6, backbone.num_features)
        np.testing.assert_allclose(found[clip], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        assert (np.ptp(expected, axis=0) > 0).any() == (len(np.unique(indices)) > stack)


def test_unknown_features_are_one_line() -> None:
    assert find("frozen") is frozen.FEATURES
    with pytest.raises(UserError, match=r"^features 'frosen' are unknown; allowed are c3d, .*frozen, idt"):
        find("frosen")
