"""Video files appear when all their frames are in them."""

from pathlib import Path

import numpy as np
import pytest

from stp.video.decoding import examine_video
from stp.video.writing import video_writer

STP = Path(__file__).resolve().parents[2] / "stp"


def frame(value: int) -> np.ndarray:
    return np.full((48, 64, 3), 40 * value, np.uint8)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG")])
def test_a_video_decodes_to_the_frames_that_were_written(name: str, codec: str, tmp_path: Path) -> None:
    with video_writer(tmp_path / name, 64, 48, 12.5, 5, codec) as video:
        for value in range(5):
            video.write(frame(value))
        assert not (tmp_path / name).exists()
    facts = examine_video(str(tmp_path / name))
    assert (facts.frames, facts.width, facts.height, facts.rate) == (5, 64, 48, 12.5)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def write(path: Path, written: int, promised: int) -> None:
    with video_writer(path, 64, 48, 25, promised) as video:
        for value in range(written):
            video.write(frame(value))
        if written > promised:
            raise ValueError("too many")


def test_a_video_that_lacks_frames_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a.mp4: 2 of 3 frames were written"):
        write(tmp_path / "a.mp4", written=2, promised=3)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too many"):
        write(tmp_path / "a.mp4", written=4, promised=3)
    assert list(tmp_path.iterdir()) == []


def test_a_codec_that_opencv_lacks_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="OpenCV cannot write ZZZZ video of 64x48 here"),
        video_writer(tmp_path / "a.mp4", 64, 48, 25, 1, "ZZZZ"),
    ):
        raise AssertionError("the block must not begin")
    assert list(tmp_path.iterdir()) == []


def test_videos_are_written_in_one_place_only() -> None:
    writing = [
        path.relative_to(STP).as_posix() for path in STP.rglob("*.py") if "VideoWriter(" in path.read_text("utf-8")
    ]
    assert writing == ["video/writing.py"]
