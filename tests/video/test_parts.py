"""Parts of a video have the frames that the whole has between their times, in every container."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame

from stp.data.index import Clip
from stp.video import decoding
from stp.video.checking import BadVideo, check_video
from stp.video.decoding import Part, UndecodableError, declared_frames, decode, examine_video
from stp.video.identity import content_digest
from tests.video.clips import HEIGHT, WIDTH, number_of, remux, write
from tests.video.test_decoding import COMBINATIONS


def numbers(path: Path, part: Part | None = None) -> list[int]:
    """The numbers that the frames of a video or of a part of it show."""
    return [number_of(image) for image in decode(str(path), WIDTH, HEIGHT, part)]


@pytest.mark.parametrize(("suffix", "codec"), COMBINATIONS)
def test_a_part_has_the_frames_that_the_whole_shows_between_its_times(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=60, options={"g": "12"})
    whole = list(decode(str(path), WIDTH, HEIGHT))
    for start, end in ((0.0, 0.4), (0.4, 1.2), (1.2, float("inf")), (1.0, 1.04)):
        first, last = round(start * 25), 60 if end > 3 else round(end * 25)
        shown = list(decode(str(path), WIDTH, HEIGHT, (start, end)))
        np.testing.assert_array_equal(np.stack(shown), np.stack(whole[first:last]))
        facts = examine_video(str(path), (start, end))
        assert facts.frames == last - first
        np.testing.assert_allclose(facts.times, np.arange(last - first + 1) / 25, atol=0.0015)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[VideoFrame]:
    """The frames that come out of the decoder, those that are thrown away, too."""
    frames: list[VideoFrame] = []
    decode_packet = decoding._Reader._decode

    def listed(*arguments: Any) -> Iterator[VideoFrame]:
        for frame in decode_packet(*arguments):
            frames.append(frame)
            yield frame

    monkeypatch.setattr(decoding._Reader, "_decode", listed)
    return frames


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mjpeg"), ("mp4", "libx264"), ("mkv", "libx264")])
def test_a_part_is_decoded_from_the_key_frame_before_it_wherever_it_begins(
    suffix: str, codec: str, tmp_path: Path, decoded: list[VideoFrame]
) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=200, options={"g": "10"})
    whole = list(decode(str(path), WIDTH, HEIGHT))
    assert len(decoded) == 200
    for late in (0.0, 0.01, 0.03):
        decoded.clear()
        first = 155 + (late > 0)  # the frame at the start, or the next one after it
        shown = list(decode(str(path), WIDTH, HEIGHT, (155 / 25 + late, 165 / 25)))
        np.testing.assert_array_equal(np.stack(shown), np.stack(whole[first:165]))
        assert len(decoded) <= 20, late  # the part, those since the last key frame, and some that come out of order


@pytest.mark.parametrize(("suffix", "codec"), [("ts", "libx264"), ("mpg", "mpeg2video")])
def test_a_part_of_a_container_without_an_index_is_decoded_from_some_seconds_before_it(
    suffix: str, codec: str, tmp_path: Path, decoded: list[VideoFrame]
) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=600, options={"g": "12"})
    whole = list(decode(str(path), WIDTH, HEIGHT))
    decoded.clear()
    shown = list(decode(str(path), WIDTH, HEIGHT, (560.5 / 25, 571 / 25)))
    np.testing.assert_array_equal(np.stack(shown), np.stack(whole[561:571]))
    assert len(decoded) <= decoding.LEAD * 25 + 30  # and the part, and the frames since a key frame
    assert examine_video(str(path), (560.5 / 25, 571 / 25)).frames == 10


def test_a_part_of_a_video_that_starts_late_counts_from_its_first_frame(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", "libx264", 60, options={"g": "10"})
    late = remux(whole, tmp_path / "late.mkv", 100.0)
    assert numbers(late, (0.8, 1.2)) == list(range(20, 30))


def test_a_part_follows_the_stamps_of_a_rate_that_varies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "libx264", 4, milliseconds=(0, 900, 1000, 3000), options={"g": "2"})
    assert numbers(path, (0.5, 2.9)) == [1, 2]


@pytest.mark.parametrize("part", [(2.4, 3.0), (100.0, float("inf"))])
def test_a_part_behind_the_end_is_refused(part: Part, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264", 60)
    with pytest.raises(UndecodableError, match=f"ends before {part[0]:g} seconds, where the clip begins"):
        examine_video(str(path), part)


def test_damage_counts_in_the_part_where_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", "mjpeg", frames=60)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    parts = ((0.0, 0.8), (0.8, 1.6), (1.6, 2.4))
    found = [check_video(Clip("a", str(path), "a", start=start, end=end)) for start, end in parts]
    assert [isinstance(each, BadVideo) for each in found] == [False, True, False]
    assert [found[0].frames, found[2].frames] == [20, 20]


def test_frames_of_a_part_are_declared_by_its_time(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.mp4", "libx264", 60))
    assert [declared_frames(path), declared_frames(path, 10)] == [60, 24]
    assert [declared_frames(path, None, (1.0, 2.0)), declared_frames(path, 10, (2.0, 9.0))] == [25, 4]


def test_parts_of_one_video_are_told_apart_by_their_digests(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.mp4", "libx264", 20))
    clips = [Clip("a", path, "a", start=start, end=end) for start, end in ((None, None), (0.0, 0.4), (0.4, 0.8))]
    assert len({content_digest(clip) for clip in clips}) == 3
    assert content_digest(clips[0]) == content_digest(Clip("other", path, "b"))
