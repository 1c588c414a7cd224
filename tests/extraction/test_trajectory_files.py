"""`stp trajectories`: files hold the trajectories of each video; bad videos and repetitions do no harm."""

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.shards import ClipFields, read_extra
from stp.errors import UserError
from stp.extraction.trajectory_files import Spool
from stp.flow import tvl1
from stp.trajectories import FarnebackFlow, Trajectories, TrajectoryParameters, given_flow, trajectories
from stp.trajectories.overlay import draw_trajectories
from stp.video.decoding import decode_grey
from tests.trajectories.plain import joined
from tests.warped.plain import warped_flow

WIDTH, HEIGHT, FRAMES = 72, 54, 18


def moving_square(width: int = WIDTH, height: int = HEIGHT, count: int = FRAMES) -> list[np.ndarray]:
    """A square that moves rightwards by 2 pixels a frame before a wall, BGR."""
    rng = np.random.default_rng(0)
    wall, square = (
        cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3)).astype(np.uint8), (0, 0), 1.5)
        for shape in ((height, width), (24, 24))
    )
    frames = []
    for t in range(count):
        frame = wall.copy()
        part = frame[4:28, 4 + 2 * t : 28 + 2 * t]
        part[:] = square[:, : part.shape[1]]
        frames.append(frame)
    return frames


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def call(*arguments: str | Path) -> str:
    """Run the subcommand; a UserError is raised."""
    result = CliRunner().invoke(app, ["trajectories", *map(str, arguments)], catch_exceptions=False)
    if result.exception:
        raise result.exception
    return result.output


def expected_of(path: Path, tvl1_flow: bool = False, **options: Any) -> Trajectories:
    frames = np.array(list(decode_grey(str(path), WIDTH, HEIGHT)))
    source = FarnebackFlow()
    if tvl1_flow:
        flow = tvl1(frames[:-1], frames[1:], threads=1)
        source = given_flow(zip(flow, warped_flow(frames, flow).flow, strict=True))  # type: ignore[assignment]
    return joined(trajectories(frames, len(frames), source, TrajectoryParameters(**options)))


@pytest.mark.parametrize("flow", ["farneback", "tvl1"])
def test_a_file_holds_the_trajectories_of_each_video(tmp_path: Path, flow: str) -> None:
    videos = [write_video(tmp_path / "a.avi", moving_square()), write_video(tmp_path / "b.avi", moving_square(count=9))]
    call(*videos, "-o", tmp_path / "out.h5", "--flow", flow, "--min-motion", "0.5", "--stride", "8", "--threads", "2")
    found = ClipFields([tmp_path / "out.h5"])
    assert found.modality == "idt"
    assert found.parameters["options"]["min_motion"] == 0.5
    assert found.clips() == ["a", "b"]
    expected = expected_of(videos[0], flow == "tvl1", min_motion=0.5, stride=8)
    assert len(expected.points) > 5
    np.testing.assert_array_equal(found["a"][:], expected.rows(FRAMES))
    points, last_frames = (read_extra(tmp_path / "out.h5", name) for name in ("points", "last_frames"))
    np.testing.assert_array_equal(points["a"], expected.points)
    np.testing.assert_array_equal(last_frames["a"], expected.last_frames)
    assert found["b"].shape == (0, 430)
    assert points["b"].shape == (0, 16, 2)


def test_complete_files_in_a_folder_stay_and_other_options_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "videos" / "x" / "a.avi", moving_square())
    call(tmp_path / "videos", "-o", tmp_path / "out")
    written = tmp_path / "out" / "x" / "a.h5"
    before = written.stat().st_mtime_ns, written.read_bytes()
    write_video(tmp_path / "videos" / "b.avi", moving_square(count=16))
    call(tmp_path / "videos", "-o", tmp_path / "out")
    assert (written.stat().st_mtime_ns, written.read_bytes()) == before
    assert ClipFields([tmp_path / "out" / "b.h5"]).clips() == ["b"]
    with pytest.raises(UserError, match=r"b\.h5' was made with other options or of another video"):
        call(tmp_path / "videos", "-o", tmp_path / "out", "--min-motion", "0.5")
    with pytest.raises(UserError, match=r"b\.h5' exists; move it away or choose another name"):
        call(tmp_path / "videos", "-o", tmp_path / "out" / "b.h5")


def test_videos_that_cannot_be_used_are_named_and_the_others_go_on(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "no.avi").write_bytes(b"no video")
    write_video(tmp_path / "small.avi", moving_square(width=48, height=30))
    write_video(tmp_path / "good.avi", moving_square())
    with pytest.raises(UserError, match="2 of 3 videos cannot be used and were skipped"):
        call(*(tmp_path / f"{name}.avi" for name in ("no", "small", "good")), "-o", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.h5"]
    assert re.search(r"skipped .*no\.avi: ", caplog.text)
    assert "small.avi: frames of 48x30 are smaller than a patch of 32 pixels; give a smaller --patch" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--patch", "15"], "--patch: 15 is odd; give an even number"),
        (["b.avi", "--overlay", "x.mp4"], "--overlay: draws on one video, but 2 are given"),
        (["--overlay", "a.avi"], "--overlay: 'a.avi' exists"),
    ],
)
def test_wrong_options_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.avi").touch()
    with pytest.raises(UserError, match=re.escape(words)):
        call("a.avi", "-o", "out.h5", *arguments)


def test_the_overlay_has_every_frame_and_tails_where_the_square_moves(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", moving_square())
    call(video, "-o", tmp_path / "out.h5", "--overlay", tmp_path / "a.mp4", "--size", "71x53")
    seen = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    frames = [seen.read()[1].astype(int) for _ in range(FRAMES)]
    assert not seen.read()[0]
    assert frames[0].shape == (54, 72, 3)  # even
    drawn = frames[15]  # where the first trajectories end
    red = drawn[:, :, 2] - drawn[:, :, :2].max(axis=2) > 80
    green = drawn[:, :, 1] - drawn[:, :, [0, 2]].max(axis=2) > 50
    assert red[:32].sum() > 50
    assert green[:32].sum() > 50
    assert red[32:].sum() == green[32:].sum() == 0


def test_tails_are_as_long_as_their_trajectories_have_come() -> None:
    points = np.stack([10 + 3 * np.arange(16), np.full(16, 20)], axis=1)[np.newaxis].astype(np.float32)
    for frame, end in ((4, None), (5, 10), (9, 22), (20, 55), (21, None)):
        image = np.zeros((40, 80, 3), np.uint8)
        draw_trajectories(image, frame, points, np.array([20]))
        if end is None:
            assert not image.any()
            continue
        assert image[20, end].tolist() == [255, 0, 0]
        assert not image[20, end + 3 :].any()
        assert image[20, 10 : end - 2, 1].all()


@pytest.mark.parametrize("counts", [[], [0], [3, 0, 2]])
def test_a_spool_gives_back_all_rows(tmp_path: Path, counts: list[int]) -> None:
    rows = [np.random.default_rng(n).random((n, 2, 3)) for n in counts]
    with (tmp_path / "spool").open("w+b") as file:
        spool = Spool(file, (2, 3), np.float32)
        for some in rows:
            spool.append(some)
        np.testing.assert_array_equal(spool.array(), np.concatenate([np.empty((0, 2, 3)), *rows]).astype(np.float32))
