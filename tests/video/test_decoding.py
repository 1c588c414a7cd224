"""Videos are judged by what their decoder says and timed by their stamps; frames are those of OpenCV's reader."""

import itertools
import struct
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stp.data.index import Clip
from stp.video.checking import check_videos
from stp.video.decoding import UndecodableError, decode, examine_damaged_video, examine_video, stored_size
from stp.video.rate import frames_at, take
from tests.video.clips import HEIGHT, WIDTH, number_of, remux, write

CODECS = {
    "avi": ("mpeg4", "mjpeg", "msmpeg4v2", "ffv1"),
    "mp4": ("libx264", "mpeg4"),
    "mov": ("libx264",),
    "mkv": ("libx264", "libvpx"),
    "webm": ("libvpx-vp9",),
    "mpg": ("mpeg1video", "mpeg2video"),
    "wmv": ("wmv2",),
    "ts": ("libx264", "mpeg2video"),
    "flv": ("flv",),
    "3gp": ("mpeg4",),
}
COMBINATIONS = [(suffix, codec) for suffix, codecs in CODECS.items() for codec in codecs]


def numbers(path: Path) -> list[int]:
    """The numbers that a video's frames show."""
    return [number_of(image) for image in decode(str(path), WIDTH, HEIGHT)]


@pytest.mark.parametrize(("suffix", "codec"), COMBINATIONS)
def test_every_frame_of_a_healthy_video_is_taken(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=30)
    facts = examine_video(str(path))
    assert (facts.frames, facts.width, facts.height, facts.rate) == (30, WIDTH, HEIGHT, 25)
    np.testing.assert_allclose(facts.times, np.arange(31) / 25, atol=0.001)
    assert numbers(path) == list(range(30))


@pytest.mark.parametrize(
    ("suffix", "codec"), [(s, c) for s, c in COMBINATIONS if (s, c) not in [("flv", "flv"), ("mkv", "libvpx")]]
)
def test_frames_are_the_bytes_that_opencv_reads(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec)
    capture, read = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while (found := capture.read())[0]:
        read.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
    np.testing.assert_array_equal(np.stack(list(decode(str(path), WIDTH, HEIGHT))), np.stack(read))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "mpeg4"), ("mp4", "libx264"), ("mpg", "mpeg1video"), ("wmv", "wmv2")]
)
def test_sound_may_outlast_the_picture(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, sound=2.0)
    assert examine_video(str(path)).frames == 20
    assert numbers(path) == list(range(20))


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_frames_that_an_edit_list_hides_are_not_shown(suffix: str, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", "libx264", 40, options={"g": "10"})
    path = remux(whole, tmp_path / f"trimmed.{suffix}", -0.8)
    assert examine_video(str(path)).frames == 20
    assert numbers(path) == list(range(20, 40))


def test_a_video_may_start_late(tmp_path: Path) -> None:
    path = remux(write(tmp_path / "whole.mp4", "libx264", 40), tmp_path / "late.mkv", 100.0)
    facts = examine_video(str(path))
    assert (facts.frames, facts.times[0]) == (40, 0)
    assert facts.times[-1] == pytest.approx(1.6, abs=0.002)


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("webm", "libvpx"), ("mp4", "libx264")])
def test_frames_at_uneven_times_have_their_own_times(suffix: str, codec: str, tmp_path: Path) -> None:
    waits = itertools.islice(itertools.cycle((17, 33, 50, 133)), 59)
    stamps = list(itertools.accumulate(waits, initial=0))
    facts = examine_video(str(write(tmp_path / f"a.{suffix}", codec, 60, milliseconds=stamps)))
    assert facts.frames == 60
    np.testing.assert_allclose(facts.times[:-1], np.array(stamps) / 1000, atol=0.001)
    assert facts.rate == pytest.approx(60 / facts.times[-1])


MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "upright": ((1, 0, 0, 1), lambda image: image),
    "a quarter turn right": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "half a turn": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "a quarter turn left": ((0, -1, 1, 0), np.rot90),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down": ((1, 0, 0, -1), np.flipud),
    "turned and mirrored": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_turned_and_mirrored_as_the_file_says(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264", 3)
    stored = list(decode(str(path), WIDTH, HEIGHT))
    (a, b, c, d), turn = MATRICES[name]
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 44  # the display matrix of the track, nine numbers with 16 binary places
    content[place : place + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    facts = examine_video(str(path))
    assert (facts.height, facts.width) == turn(stored[0]).shape[:2]
    shown = list(decode(str(path), facts.width, facts.height))
    np.testing.assert_array_equal(np.stack(shown), np.stack([turn(image) for image in stored]))


def test_pixels_that_are_not_square_make_the_picture_wider(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", aspect=Fraction(4, 3))
    facts = examine_video(str(path))
    assert (facts.width, facts.height) == (WIDTH * 4 // 3, HEIGHT)
    assert stored_size(str(path)) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("suffix", "codec"), COMBINATIONS)
@pytest.mark.parametrize("share", [0.4, 0.75])
def test_a_video_that_breaks_off_is_damaged(share: float, suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=60)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UndecodableError):
        examine_video(str(path))


@pytest.mark.parametrize(
    ("suffix", "codec"), [c for c in COMBINATIONS if c[1] not in ("libvpx", "libvpx-vp9", "mjpeg")]
)
def test_a_hole_in_a_video_is_named_with_its_frame(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=60)
    content = bytearray(path.read_bytes())
    hole = slice(int(len(content) * 0.4), int(len(content) * 0.6))
    content[hole] = bytes(hole.stop - hole.start)
    path.write_bytes(content)
    facts = examine_damaged_video(str(path))
    assert facts.frames > 20
    assert facts.damage.startswith("frame ")
    assert " is damaged (" in facts.damage
    good, bad = check_videos([clip(path)])
    assert (good, [(video.clip.clip, video.frames) for video in bad]) == ([], [("a", facts.frames)])
    used, bad = check_videos([clip(path)], use_damaged=True)
    assert ([(one.clip, one.frames) for one in used], len(bad)) == ([("a", facts.frames)], 1)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "mpeg4"), ("avi", "mjpeg"), ("mkv", "libvpx"), ("wmv", "wmv2")])
def test_packets_that_are_lost_in_a_hole_are_noticed(suffix: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{suffix}", codec, frames=60)
    whole, lost = path.read_bytes(), 0
    for place in range(len(whole) // 4, len(whole) * 3 // 4, len(whole) // 40):
        path.write_bytes(whole[:place] + bytes(300) + whole[place + 300 :])
        facts = examine_damaged_video(str(path))
        lost += facts.frames < 60
        assert facts.frames == 60 or facts.damage
    assert lost > 0


def test_frames_that_a_recorder_dropped_are_no_damage(tmp_path: Path) -> None:
    # The avi file has empty chunks in their places.
    facts = examine_video(str(write(tmp_path / "a.avi", frames=9, ticks=(0, 1, 2, 5, 6, 7, 8, 12, 13))))
    assert facts.frames == 9
    np.testing.assert_allclose(facts.times[:-1], np.array([0, 1, 2, 5, 6, 7, 8, 12, 13]) / 25)


def test_the_first_of_several_video_streams_is_taken(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.mp4", frames=5), write(tmp_path / "2.mp4", "libx264", 30, options={"crf": "1"})
    with av.open(str(first)) as a, av.open(str(second)) as b, av.open(str(tmp_path / "both.mkv"), "w") as made:
        copies = [made.add_stream_from_template(found.streams.video[0]) for found in (a, b)]
        for found, copied in zip((a, b), copies, strict=True):
            for packet in found.demux(video=0):
                if packet.dts is not None:
                    packet.stream = copied
                    made.mux(packet)
    assert examine_video(str(tmp_path / "both.mkv")).frames == 5


def clip(path: Path) -> Clip:
    return Clip(path.stem, str(path), "label")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be opened as a video"),
        (b"no video", "cannot be opened as a video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "its container is none of those of videos"),
    ],
)
def test_what_is_no_video_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "other.mp4")
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(UndecodableError, match=reason):
        examine_video(str(path))


def test_a_codec_that_is_not_known_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libx264")
    content = bytearray(path.read_bytes())
    place = content.index(b"avc1", content.index(b"stsd"))
    content[place : place + 4] = b"zzzz"
    path.write_bytes(content)
    with pytest.raises(UndecodableError, match=r"cannot be decoded .*zzzz"):
        examine_video(str(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    (tmp_path / "a.wav").rename(tmp_path / "a.avi")
    with pytest.raises(UndecodableError, match=r"none of those of videos|has no pictures"):
        examine_video(str(tmp_path / "a.avi"))


@pytest.mark.parametrize("name", ["a:b.mp4", "100% %03d.mp4", "http: x.mp4", "手.mp4"])
def test_names_are_files_and_nothing_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write(tmp_path / "a.mp4", frames=5).rename(path)
    assert examine_video(str(path)).frames == 5


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UndecodableError, match="is a folder"):
        examine_video(str(tmp_path))
    with pytest.raises(UndecodableError, match="no such file"):
        examine_video(str(tmp_path / "a.mp4"))


def test_nothing_of_the_decoder_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.avi", frames=60)
    content = path.read_bytes()
    path.write_bytes(content[:4000] + bytes(4000) + content[8000:])
    assert examine_damaged_video(str(path)).damage
    assert list(decode(str(path), 32, 24))
    assert capfd.readouterr() == ("", "")


def test_a_rate_takes_the_frames_that_are_shown_at_its_times() -> None:
    fast = [number / 50 for number in range(101)]
    assert frames_at(fast, 25) == list(range(0, 100, 2))
    assert frames_at(fast, 50) == list(range(100))
    assert frames_at(fast, 100) == [number // 2 for number in range(200)]
    slow_then_fast = (0.0, 0.5, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
    assert frames_at(slow_then_fast, 10) == [0] * 5 + [1] * 5 + [2, 3, 4, 5, 6]
    rounded = [round(number / 30, 3) for number in range(31)]  # as Matroska stores them
    assert frames_at(rounded, 30) == list(range(30))
    assert frames_at((0.0, 0.01), 25) == [0]
    assert list(take("abcdef", [0, 0, 2, 5])) == ["a", "a", "c", "f"]
