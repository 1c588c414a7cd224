"""Video files appear when all their frames are in them, and browsers play them."""

from __future__ import annotations

import base64
import logging
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from stp.errors import UserError
from stp.video import writing
from stp.video.decoding import decode, examine_video
from stp.video.writing import ENCODERS, Encoder, choose_encoder, video_writer

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
STP = ROOT / "stp"
COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (128, 128, 128)]
CODECS = pytest.mark.parametrize("encoder", ENCODERS, ids=[encoder.codec for encoder in ENCODERS])


def write(path: Path, written: int = 5, promised: int = 5, encoder: Encoder = ENCODERS[0]) -> Path:
    with video_writer(path, 64, 48, 12.5, promised, encoder) as video:
        for number in range(written):
            video.write(np.full((48, 64, 3), COLOURS[number % 5], np.uint8))
        assert not path.exists()
        if written > promised:
            raise ValueError("too many")
    return path


@CODECS
def test_a_video_decodes_to_the_frames_that_were_written(encoder: Encoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", encoder=encoder)
    facts = examine_video(str(path))
    assert (facts.frames, facts.width, facts.height, facts.rate) == (5, 64, 48, 12.5)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
    for frame, colour in zip(decode(str(path), 64, 48), COLOURS, strict=True):
        assert np.abs(frame.astype(int) - colour).max() < 6


@CODECS
def test_a_video_is_one_that_browsers_play(encoder: Encoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", encoder=encoder)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) in [("h264", "yuv420p"), ("vp9", "yuv420p")]
        assert stream.codec_context.colorspace == writing.BT601
    content = path.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")  # it plays before all of it has arrived


@CODECS
def test_chromium_plays_the_frames_in_the_colours_that_were_written(
    encoder: Encoder, tmp_path: Path, offline: Page
) -> None:
    video = base64.b64encode(write(tmp_path / "a.mp4", encoder=encoder).read_bytes()).decode()
    (tmp_path / "page.html").write_text(f'<video src="data:video/mp4;base64,{video}" muted></video>')
    offline.goto((tmp_path / "page.html").as_uri())
    shown, *facts = offline.evaluate(
        """async () => {
            const video = document.querySelector('video')
            const context = document.createElement('canvas').getContext('2d')
            const shown = []
            for (let frame = 0; frame < 5; frame++) {
                const there = new Promise(resolve => video.onseeked = resolve)
                video.currentTime = (frame + 0.5) / 12.5
                await there
                context.drawImage(video, 0, 0)
                shown.push([...context.getImageData(20, 20, 1, 1).data].slice(0, 3))
            }
            const ended = new Promise(resolve => video.onended = resolve)
            await video.play()
            await ended
            return [shown, video.videoWidth, video.videoHeight, video.duration]
        }"""
    )
    assert facts == [64, 48, 0.4]
    assert np.abs(np.array(shown) - COLOURS).max() < 8


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for encoder, names in zip(ENCODERS, (("a.mp4", "b.mp4"), ("c.mp4", "d.mp4")), strict=True):
        first, second = (write(tmp_path / name, encoder=encoder).read_bytes() for name in names)
        assert first == second


def test_a_video_that_lacks_frames_does_not_appear(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a.mp4: 2 of 3 frames were written"):
        write(tmp_path / "a.mp4", written=2, promised=3)
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too many"):
        write(tmp_path / "a.mp4", written=4, promised=3)
    assert list(tmp_path.iterdir()) == []


@CODECS
def test_a_full_disk_is_the_systems_error_with_the_videos_name(
    encoder: Encoder, small_disk: Callable[[int], Path]
) -> None:
    path = small_disk(1 << 14) / "a.mp4"

    def fill() -> None:
        with video_writer(path, 128, 96, 25, 20, encoder) as video:
            for frame in np.random.default_rng(0).integers(0, 256, (20, 96, 128, 3), np.uint8):
                video.write(frame)

    with pytest.raises(OSError, match="No space left on device") as found:
        fill()
    assert found.value.filename == str(path)
    assert list(path.parent.iterdir()) == []


def write_on(path: Path, encoder: Encoder) -> None:
    """Write 60 frames of noise, going on after errors; print the error in the end."""
    try:
        with video_writer(path, 128, 96, 25, 60, encoder) as video:
            for frame in np.random.default_rng(0).integers(0, 256, (60, 96, 128, 3), np.uint8):
                with suppress(OSError):
                    video.write(frame)
    except OSError as error:
        print(error)


@pytest.mark.parametrize("number", range(len(ENCODERS)), ids=[encoder.codec for encoder in ENCODERS])
def test_no_call_after_an_error_of_a_full_disk_crashes(number: int, small_disk: Callable[[int], Path]) -> None:
    page = resource.getpagesize()
    disks = [small_disk((1 + room) * page) for room in range(7)]  # where the header, a packet or the end is too much
    for disk in disks:
        (disk / "filler").write_bytes(bytes(page))  # a disk of 0 bytes would be one without limit
    code = "import sys; from tests.video.test_writing import *; [write_on(Path(p), ENCODERS[%d]) for p in sys.argv[1:]]"
    paths = [str(disk / "a.mp4") for disk in disks]
    # In a process of its own, because a crash ends it, and because PyAV leaves a file open whose header failed.
    ended = subprocess.run([sys.executable, "-c", code % number, *paths], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"[Errno 28] No space left on device: '{path}'" for path in paths]
    assert {file.name for disk in disks for file in disk.iterdir()} == {"filler"}


@pytest.mark.parametrize(
    ("name", "width", "rate", "words"),
    [
        ("a.mp4", 65, 25, "a.mp4: H.264 video has even sides, not 65x48; add one to the odd one"),
        ("a.avi", 64, 25, "a.avi: videos are written as mp4 alone; end the name in .mp4"),
        ("a.mp4", 64, 0, "a.mp4: 0 frames per second; give a rate above 0"),
    ],
)
def test_what_cannot_be_written_is_one_line(name: str, width: int, rate: float, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words), video_writer(tmp_path / name, width, 48, rate, 1):
        raise AssertionError("the block must not begin")
    assert list(tmp_path.iterdir()) == []


def test_another_encoder_is_taken_with_a_word_and_none_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = ENCODERS
    absent = Encoder("no-such-encoder", "H.264", {})
    try:
        monkeypatch.setattr(writing, "ENCODERS", (first, second))
        choose_encoder.cache_clear()
        assert (choose_encoder(), caplog.messages) == (first, [])
        monkeypatch.setattr(writing, "ENCODERS", (absent, second))
        choose_encoder.cache_clear()
        with caplog.at_level(logging.WARNING):
            assert choose_encoder() == choose_encoder() == second
        assert caplog.messages == ["video: PyAV lacks no-such-encoder here, so videos are VP9"]
        monkeypatch.setattr(writing, "ENCODERS", (absent, absent))
        choose_encoder.cache_clear()
        with pytest.raises(UserError, match=r"PyAV writes neither H.264 \(no-such-encoder\) nor .*force-reinstall av"):
            choose_encoder()
    finally:
        choose_encoder.cache_clear()


def test_videos_are_written_in_one_place_only() -> None:
    writing = [
        path.relative_to(STP).as_posix()
        for path in STP.rglob("*.py")
        if any(word in path.read_text("utf-8") for word in ("cv2.VideoWriter", ".add_stream("))
    ]
    assert writing == ["video/writing.py"]
