"""Extraction of a shard: frames, flow and warped flow of clips of any length."""

from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from stp.data.index import Clip
from stp.data.shards import ClipFields, read_extra, write_shard
from stp.errors import UserError
from stp.extraction import pairs as clip_batches
from stp.extraction import stages as extraction
from stp.extraction.pairs import FlowSettings
from stp.flow import quantise, tvl1
from stp.video.identity import content_digest
from tests.data.test_index import write_video
from tests.video import clips as numbered

HEIGHT, WIDTH = 48, 64


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of clips of 1, 2 and 6 frames: a texture that moves 1 pixel a frame to the right."""
    path = tmp_path_factory.mktemp("shard") / "rgb.h5"
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH + 10, 3)).astype(np.uint8)
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    with write_shard(path, "rgb", {}) as shard:
        for length in (1, 2, 6):
            moved = [texture[:, 10 - t : 10 - t + WIDTH].transpose(2, 0, 1) for t in range(length)]
            shard.write(f"clip{length}", np.stack(moved))
    return path


def extract(frames: Path, folder: Path) -> tuple[ClipFields, ClipFields]:
    of, wof = folder / "of.h5", folder / "wof.h5"
    extraction.extract_flow(frames, of, wof, FlowSettings("numba", detector="orb"), 4.0, 1)
    return ClipFields([of]), ClipFields([wof])


def test_flow_has_one_field_fewer_than_frames_but_at_least_one(frames: Path, tmp_path: Path) -> None:
    of, wof = extract(frames, tmp_path)
    assert {clip: of[clip].shape for clip in of.clips()} == {
        "clip1": (1, 2, HEIGHT, WIDTH),
        "clip2": (1, 2, HEIGHT, WIDTH),
        "clip6": (5, 2, HEIGHT, WIDTH),
    }
    assert (of["clip1"][:] == 128).all()
    assert (wof["clip1"][:] == 128).all()
    assert of.parameters["bound"] == 4
    assert of.parameters["backend"] == "numba"
    x = (np.median(of["clip6"][:, 0]) - 127.5) * 8 / 255
    assert x == pytest.approx(1, abs=0.1)


def test_flow_is_that_of_the_public_function(frames: Path, tmp_path: Path) -> None:
    of, _ = extract(frames, tmp_path)
    grey = np.stack(list(extraction.grey(ClipFields([frames])["clip6"])))
    assert np.array_equal(of["clip6"][:], quantise(tvl1(grey[:-1], grey[1:]), 4.0))


def test_long_clips_are_cut_without_a_seam(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = extract(frames, tmp_path / "whole")
    monkeypatch.setattr(clip_batches, "PAIRS_AT_ONCE", 2)
    for a, b in zip(whole, extract(frames, tmp_path / "cut"), strict=True):
        assert all(np.array_equal(a[clip][:], b[clip][:]) for clip in a.clips())


def test_warped_flow_records_the_camera(frames: Path, tmp_path: Path) -> None:
    extract(frames, tmp_path)
    with h5py.File(tmp_path / "wof.h5") as file:
        assert file["homographies/clip6"].shape == (5, 3, 3)
        assert file["inliers/clip6"].shape == (5,)
        assert file["identity/clip6"].dtype == bool


def test_flow_without_warped_flow(frames: Path, tmp_path: Path) -> None:
    extraction.extract_flow(frames, tmp_path / "of.h5", None, FlowSettings(), 4.0, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["of.h5"]


def test_frames_of_a_video_that_changed_since_the_index_are_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=9)
    extraction.extract_frames((Clip("a", str(video), "x", frames=9),), tmp_path / "0.h5", 32, 24)
    assert ClipFields([tmp_path / "0.h5"])["a"].shape == (9, 3, 24, 32)
    with pytest.raises(UserError, match="9 frames, but the index says 12"):
        extraction.extract_frames((Clip("a", str(video), "x", frames=12),), tmp_path / "1.h5", 32, 24)
    assert not (tmp_path / "1.h5").exists()


def test_a_video_that_changed_without_changing_its_length_is_refused(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=9)
    clip = Clip("a", str(video), "x", frames=9)
    clip = replace(clip, digest=content_digest(clip))
    extraction.extract_frames((clip,), tmp_path / "0.h5", 32, 24)
    # Other versions of the decoders are no change of the video.
    extraction.extract_frames((replace(clip, digest=f"{clip.digest[:16]}0000"),), tmp_path / "1.h5", 32, 24)
    content = bytearray(video.read_bytes())
    content[len(content) // 2] ^= 1
    video.write_bytes(content)
    with pytest.raises(
        UserError, match=r"a.mp4: the video or its boxes have changed since the index; make the index again"
    ):
        extraction.extract_frames((clip,), tmp_path / "2.h5", 32, 24)


def test_frames_of_a_missing_video_are_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent.mp4: no such file; bring the video back, or make the index again"):
        extraction.extract_frames((Clip("a", str(tmp_path / "absent.mp4"), "x", frames=9),), tmp_path / "1.h5", 32, 24)


def test_videos_of_different_rates_are_stored_at_one(tmp_path: Path) -> None:
    # The same second and a fifth at 25 and at 50 frames per second, in which a box follows every frame.
    slow = numbered.write(tmp_path / "slow.mp4", "libx264", 30, rate=25)
    fast = numbered.write(tmp_path / "fast.mkv", "libx264", 60, rate=50)
    table = tmp_path / "boxes.csv"
    table.write_text("frame,x0,y0,x1,y1\n" + "".join(f"{t},{t},0,96,72\n" for t in range(60)))
    clips = (
        Clip("slow", str(slow), "x", frames=30),
        Clip("fast", str(fast), "x", frames=60, boxes=str(table)),
    )
    extraction.extract_frames(clips, tmp_path / "rgb.h5", 96, 72, fps=25)
    fields = ClipFields([tmp_path / "rgb.h5"])
    assert fields.parameters == {"width": 96, "height": 72, "fps": 25}
    shown = {
        name: [numbered.number_of(frame.transpose(1, 2, 0)) for frame in fields[name]] for name in ("slow", "fast")
    }
    assert shown == {"slow": list(range(30)), "fast": list(range(0, 60, 2))}
    assert read_extra(tmp_path / "rgb.h5", "boxes")["fast"][:, :2].tolist() == [[t, 2 * t] for t in range(30)]
    extraction.extract_frames(clips, tmp_path / "native.h5", 96, 72)
    fields = ClipFields([tmp_path / "native.h5"])
    assert fields.parameters == {"width": 96, "height": 72}
    assert len(fields["fast"]) == 60


def test_failed_flow_leaves_no_files(frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(frame: np.ndarray, *arguments: object) -> None:
        raise RuntimeError("no key points today")

    monkeypatch.setattr(clip_batches, "detect_keypoints", broken)
    with pytest.raises(RuntimeError, match="no key points today"):
        extract(frames, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_person_boxes_are_stored_in_stored_pixels_and_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "a.mp4", frames=3, width=64, height=48)
    table = tmp_path / "a.boxes.csv"
    table.write_text("frame,x0,y0,x1,y1\n0,0,0,16,24\n2,32,12,64,48\n2,0,0,2,2\n")
    clips = (Clip("a", str(video), "x", frames=3, boxes=str(table)), Clip("b", str(video), "x", frames=3))
    extraction.extract_frames(clips, tmp_path / "rgb.h5", 32, 48)
    stored = read_extra(tmp_path / "rgb.h5", "boxes")
    assert list(stored) == ["a"]
    assert stored["a"].dtype == np.float32
    assert stored["a"].tolist() == [[0, 0, 0, 8, 24], [2, 16, 12, 32, 48], [2, 0, 0, 1, 2]]

    masks: list[np.ndarray | None] = []
    detect = clip_batches.detect_keypoints

    def recording(frame: np.ndarray, detector: str, mask: np.ndarray | None, parameters: object) -> object:
        masks.append(mask)
        return detect(frame, detector, mask)

    monkeypatch.setattr(clip_batches, "detect_keypoints", recording)
    extract(tmp_path / "rgb.h5", tmp_path)
    assert [None if mask is None else int((mask == 0).sum()) for mask in masks] == [
        8 * 24,
        0,
        16 * 36 + 1 * 2,
        None,
        None,
        None,
    ]


def test_boxes_survive_storing() -> None:
    boxes = [
        np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.float32),
        np.empty((0, 4), np.float32),
        np.ones((1, 4), np.float32),
    ]
    rows = extraction.boxes_to_rows(boxes)
    assert rows.shape == (3, 5)
    for before, after in zip(boxes, extraction.rows_to_boxes(rows, 3), strict=True):
        assert np.array_equal(before, after)
    assert extraction.boxes_to_rows([np.empty((0, 4), np.float32)] * 3).shape == (0, 5)


def test_a_video_that_is_gone_is_no_such_file(tmp_path: Path) -> None:
    clip = Clip("a", str(tmp_path / "a.avi"), "nod", frames=60)
    with pytest.raises(UserError, match=r"a.avi: no such file; bring the video back, or make the index again"):
        extraction.extract_frames((clip,), tmp_path / "rgb.h5", 32, 24)
    assert not (tmp_path / "rgb.h5").exists()
