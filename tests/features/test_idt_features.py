"""Improved trajectories as features: those of the arithmetic, by either flow, stored as half floats."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from stp.config import from_values
from stp.data.shards import ClipFields, write_shard
from stp.encoding.descriptors import COLUMNS as ENCODED_COLUMNS
from stp.encoding.descriptors import TYPES
from stp.errors import UserError
from stp.features import find, idt
from stp.flow import dequantise
from stp.system.devices import Compute
from stp.trajectories import (
    COLUMNS,
    SIZES,
    FarnebackFlow,
    TrajectoryParameters,
    given_flow,
    trajectories,
)
from stp.video.clip import grey
from tests.trajectories.plain import joined

COMPUTE = Compute(torch.device("cpu"))
LENGTHS = {"long": 20, "single": 1, "short": 9}
BOUNDS = {"of": 6.0, "wof": 4.0}


def shards(folder: Path, size: tuple[int, int] = (48, 64), fields: int = -1) -> dict[str, ClipFields]:
    """A square that moves, in frames of this height and width; `fields` is how many more of flow there are."""
    rng = np.random.default_rng(0)
    height, width = size
    wall, square = (
        cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3)).astype(np.uint8), (0, 0), 1.5) for shape in (size, (24, 24))
    )
    parameters: dict[str, dict[str, Any]] = {"rgb": {}} | {name: {"bound": bound} for name, bound in BOUNDS.items()}
    for modality, own in parameters.items():
        with write_shard(folder / f"{modality}.h5", modality, own) as shard:
            for clip, length in LENGTHS.items():
                images = np.tile(wall, (length, 1, 1, 1))
                for t in range(length):
                    images[t, :24, 2 * t : 2 * t + 24] = square
                flow = rng.integers(40, 160, (max(length + fields, 1), 2, height, width), dtype=np.uint8)
                shard.write(clip, images.transpose(0, 3, 1, 2) if modality == "rgb" else flow)
    return {modality: ClipFields([folder / f"{modality}.h5"]) for modality in parameters}


@pytest.mark.parametrize("flow", ["stored", "farneback"])
def test_features_are_the_trajectories_of_each_clip(tmp_path: Path, flow: str) -> None:
    sources = shards(tmp_path)
    options = from_values(idt.IdtFeatureOptions, {"flow": flow, "min_motion": 0.5, "stride": 7}, "")
    given = sources if flow == "stored" else {"rgb": sources["rgb"]}
    found = dict(idt.extract(options, given, COMPUTE))
    assert list(found) == sources["rgb"].clips()
    for clip, length in LENGTHS.items():
        of, wof = (dequantise(sources[name][clip][:], bound) for name, bound in BOUNDS.items())
        source = given_flow(zip(of, wof, strict=True)) if flow == "stored" else FarnebackFlow()
        frames = grey(sources["rgb"][clip])
        expected = joined(trajectories(frames, length, source, TrajectoryParameters(min_motion=0.5, stride=7))).rows(
            length
        )
        assert found[clip].dtype == np.float16
        assert found[clip].shape == (len(expected), 430)
        assert (len(expected) > 0) == (clip == "long")
        np.testing.assert_array_equal(found[clip], expected.astype(np.float16))


def test_columns_are_those_that_methods_read() -> None:
    assert COLUMNS == ENCODED_COLUMNS
    assert {name: part.stop - part.start for name, part in TYPES.items()} == SIZES
    assert list(TYPES) == list(SIZES)
    assert TYPES["shape"].start == COLUMNS - sum(SIZES.values())


def test_stored_flow_is_asked_for_where_it_is_missing(tmp_path: Path) -> None:
    sources = shards(tmp_path)
    del sources["wof"]
    words = "features.idt.flow: stored, but there are no shards of wof; add them to modalities, or set flow: farneback"
    with pytest.raises(UserError, match=re.escape(words)):
        next(idt.extract(idt.IdtFeatureOptions(), sources, COMPUTE))


def test_flow_that_is_not_from_frame_to_frame_is_refused(tmp_path: Path) -> None:
    words = "clip 'long' has 20 frames, but 18 fields of of; flow from each frame to the next is needed"
    with pytest.raises(UserError, match=words):
        next(idt.extract(idt.IdtFeatureOptions(), shards(tmp_path, fields=-2), COMPUTE))


def test_frames_that_are_smaller_than_a_patch_are_one_line(tmp_path: Path) -> None:
    sources = shards(tmp_path, size=(24, 64))
    words = (
        "features.idt.patch: frames of 64x24 are smaller than a patch of 32 pixels; lower it, or store larger frames"
    )
    with pytest.raises(UserError, match=words):
        next(idt.extract(idt.IdtFeatureOptions(), sources, COMPUTE))
    assert len(next(idt.extract(idt.IdtFeatureOptions(patch=24), sources, COMPUTE))[1]) > 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_motion": -1}, "option min_motion: -1 is not allowed; allowed: 0 to 100"),
        ({"scales": 9}, "option scales: 9 is not allowed; allowed: 1 to 8"),
        ({"stride": 0}, "option stride: 0 is not allowed; allowed: 1 to 100"),
        ({"patch": 15}, "option patch: 15 is not allowed; allowed: even numbers, 4 to 256"),
        ({"flow": "tvl1"}, "flow: 'tvl1' is not of type Literal['stored', 'farneback']"),
    ],
)
def test_wrong_options_are_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        from_values(find("idt").options, values, "config: features.idt")
