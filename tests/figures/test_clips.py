"""Figures of stored clips: which clips, which moments, which colours."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stp.data.index import Clip, Index, write_index
from stp.data.shards import ClipFields, write_shard
from stp.figures.clips import first_of_classes, full_colour, images, moments, save_example
from stp.flow.colours import colour_wheel
from tests.cli.test_cli import stp

BOUND = 4.0
CLIP = Clip("nod/1", "", "nod")


def shards(
    folder: Path, modalities: tuple[str, ...] = ("rgb", "of", "wof"), **parameters: float
) -> dict[str, ClipFields]:
    """A clip of 4 grey frames of 9x7; its flow goes right, its warped flow stands still."""
    stored = {"rgb": np.full((4, 3, 7, 9), 90, np.uint8), "of": np.full((3, 2, 7, 9), 128, np.uint8)}
    stored["wof"] = stored["of"].copy()
    stored["of"][:, 0] = 255
    for name in modalities:
        with write_shard(folder / f"{name}.h5", name, {"bound": BOUND} | parameters) as shard:
            shard.write(CLIP.clip, stored[name])
    return {name: ClipFields([folder / f"{name}.h5"]) for name in modalities}


@given(st.integers(1, 500), st.integers(1, 12))
def test_moments_are_distinct_and_spread_over_the_clip(length: int, number: int) -> None:
    places = moments(length, number)
    assert len(places) == min(length, number)
    assert 0 <= places[0] <= places[-1] < length
    assert np.ptp(np.diff(np.concatenate([[-1], places, [length]]))) <= max(2, length / number)


def test_first_clip_of_each_class_in_the_order_of_the_index() -> None:
    clips = [Clip(name, "", name.split("/")[0]) for name in ("wave/2", "nod/1", "wave/1", "push/1")]
    index = Index((Clip("hidden", "", ""), *clips))
    assert first_of_classes(index, 2) == ["wave/2", "nod/1"]
    assert first_of_classes(index, 9) == ["wave/2", "nod/1", "push/1"]


def test_full_colour_is_the_length_of_the_longest_vectors_and_never_zero() -> None:
    flow = np.zeros((1, 2, 10, 10), np.float32)
    assert full_colour(flow, BOUND) == 2 * BOUND / 255
    flow[:, :, :5] = [[[3.0]], [[4.0]]]
    assert full_colour(flow, BOUND) == pytest.approx(5)


def test_images_are_frames_and_colours_of_the_stored_motion(tmp_path: Path) -> None:
    fields = shards(tmp_path)
    places = np.array([0, 2])
    assert (np.stack(images(fields["rgb"], CLIP.clip, places, BOUND)) == 90).all()
    assert (np.stack(images(fields["wof"], CLIP.clip, places, BOUND)) == 255).all()
    right = np.zeros((2, 7, 9), np.float32)
    right[0] = BOUND
    assert all((image == colour_wheel(right, BOUND)).all() for image in images(fields["of"], CLIP.clip, places, BOUND))


@pytest.mark.parametrize(("parameters", "rate"), [({}, 8), ({"fps": 25}, 8), ({"fps": 5}, 2.5)])
def test_a_video_is_in_slow_motion_at_any_rate_of_the_stored_frames(
    parameters: dict[str, float], rate: float, tmp_path: Path
) -> None:
    save_example(tmp_path / "nod__1", shards(tmp_path, ("rgb",), **parameters), CLIP)
    assert cv2.VideoCapture(str(tmp_path / "nod__1.mp4")).get(cv2.CAP_PROP_FPS) == rate


@pytest.mark.parametrize("modalities", [("rgb",), ("rgb", "wof"), ("rgb", "of", "wof")], ids="+".join)
def test_figure_and_video_hold_every_modality_that_is_stored(tmp_path: Path, modalities: tuple[str, ...]) -> None:
    save_example(tmp_path / "out/nod__1", shards(tmp_path, modalities), CLIP)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"nod__1.{kind}" for kind in ("png", "pdf", "mp4")}
    video = cv2.VideoCapture(str(tmp_path / "out/nod__1.mp4"))
    frames, width = (video.get(key) for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH))
    assert frames == (4 if modalities == ("rgb",) else 3)
    assert width % len(modalities) == 0
    image = video.read()[1][-100]  # BGR, across the streams
    third = image[:: int(width) // len(modalities)]
    assert np.allclose(third[0], 90, atol=6)
    assert len(modalities) < 3 or third[1, 2] > third[1, 0] + 50  # motion to the right is red
    with Image.open(tmp_path / "out/nod__1.png") as figure:
        names = ", ".join({"rgb": "RGB", "of": "optical flow", "wof": "warped flow"}[name] for name in modalities)
        assert figure.info["Title"] == f"nod/1: {names}"


def test_unknown_clip_is_one_line(tmp_path: Path) -> None:
    shards(tmp_path, ("rgb",))
    (tmp_path / "index.csv").write_text("clip,path,label\nnod/1,a.avi,nod\n")
    files = [str(tmp_path / name) for name in ("index.csv", "rgb.h5")]
    result = stp("examples", *files, "--clip", "nod/2", "-o", str(tmp_path / "out"))
    assert result.returncode == 1
    assert not (tmp_path / "out").exists()
    assert result.stderr.startswith("stp: ERROR: clip 'nod/2' is not in ")
    assert result.stderr.count("\n") == 1


def test_a_clip_whose_name_is_as_long_as_names_may_be_is_drawn(tmp_path: Path) -> None:
    clip = Clip("nod/" + "x" * 251, str(tmp_path / "x.mp4"), "nod", frames=4)
    write_index(tmp_path / "index.csv", [clip])
    with write_shard(tmp_path / "rgb.h5", "rgb", {}) as shard:
        shard.write(clip.clip, np.full((4, 3, 16, 16), 90, np.uint8))
    done = stp("examples", str(tmp_path / "index.csv"), str(tmp_path / "rgb.h5"), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".mp4", ".pdf", ".png"]
