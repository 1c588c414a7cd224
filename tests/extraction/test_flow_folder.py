"""`stp flow`: every format holds the flow, whatever the source is called; bad sources and interruptions do no harm."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stp.cli.app import app
from stp.cli.options import parse_size, parse_threads
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.extraction import engine as clip_flow
from stp.extraction import flow_folder
from stp.flow import quantise, tvl1
from stp.flow.colours import colour_wheel
from stp.video.decoding import decode_grey
from stp.video.sources import find_sources, natural_order, read_image
from tests.warped.plain import warped_flow

WIDTH, HEIGHT, FRAMES = 64, 48, 6
BOUND = 4.0


def panned(frames: int = FRAMES, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    """A texture under a moving camera, BGR."""
    noise = np.random.default_rng(0).integers(0, 256, (height + frames, width + 2 * frames, 3)).astype(np.uint8)
    canvas = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    return [canvas[t : t + height, 2 * t : 2 * t + width] for t in range(frames)]


def write_video(path: Path, frames: list[np.ndarray] | None = None, rate: float = 12.5) -> Path:
    frames = panned() if frames is None else frames
    path.parent.mkdir(parents=True, exist_ok=True)
    size = frames[0].shape[1], frames[0].shape[0]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def write_frames(folder: Path, frames: list[np.ndarray], suffix: str = ".png") -> Path:
    """Images 1, 2, ..., 10, 11, whose order by name is not that of the frames."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        assert cv2.imwrite(str(folder / f"{number}{suffix}"), frame)
    return folder


def greys(video: Path, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    return np.stack(list(decode_grey(str(video), width, height)))


def flow_of(video: Path, step: int = 1) -> np.ndarray:
    images = greys(video)
    return tvl1(images[:-step], images[step:])


def run(*arguments: object) -> None:
    """`stp flow` in this process; raises what it raises."""
    CliRunner().invoke(app, ["flow", *map(str, arguments), "--bound", str(BOUND)], catch_exceptions=False)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def images(folder: Path, suffix: str) -> np.ndarray:
    """(T, 2, H, W) uint8 of flow_x_00001, flow_y_00001, ..."""
    count = len(list(folder.iterdir())) // 2
    read = [
        [cv2.imread(str(folder / f"flow_{axis}_{t:05d}{suffix}"), cv2.IMREAD_UNCHANGED) for axis in "xy"]
        for t in range(1, count + 1)
    ]
    return np.array(read)


def test_h5_is_a_shard_of_the_pipeline(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    run(video, "-o", tmp_path / "out", "--warped")
    assert files(tmp_path / "out") == ["flow.json", "of/a.h5", "wof/a.h5"]
    flow = flow_of(video)
    of, wof = ClipFields([tmp_path / "out/of/a.h5"]), ClipFields([tmp_path / "out/wof/a.h5"])
    assert (of.modality, wof.modality) == ("of", "wof")
    assert of.clips() == wof.clips() == ["a"]
    assert np.array_equal(of["a"][:], quantise(flow, BOUND))
    warped = warped_flow(greys(video), flow)
    assert np.array_equal(wof["a"][:], quantise(warped.flow, BOUND))
    with h5py.File(tmp_path / "out/wof/a.h5") as file:
        assert np.array_equal(file["homographies/a"], warped.homographies)
        assert np.array_equal(file["identity/a"], warped.identity)


def test_npy_is_the_flow_itself(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    run(video, "-o", tmp_path / "out", "--format", "npy")
    stored = np.load(tmp_path / "out/of/a.npy")
    assert stored.dtype == np.float32
    assert np.array_equal(stored, flow_of(video))


def test_png_and_jpg_are_named_as_others_name_them(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    expected = quantise(flow_of(video), BOUND)
    for suffix in ("png", "jpg"):
        run(video, "-o", tmp_path / suffix, "--format", suffix)
        assert files(tmp_path / suffix / "of/a")[0] == f"flow_x_00001.{suffix}"
        assert len(files(tmp_path / suffix / "of/a")) == 2 * (FRAMES - 1)
    assert np.array_equal(images(tmp_path / "png/of/a", ".png"), expected)
    error = images(tmp_path / "jpg/of/a", ".jpg").astype(int) - expected
    assert np.abs(error).mean() < 2


def test_mp4_shows_the_colour_wheel_at_the_sources_rate(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    run(video, "-o", tmp_path / "out", "--format", "mp4", "--size", f"{WIDTH + 1}x{HEIGHT + 1}")
    shown = cv2.VideoCapture(str(tmp_path / "out/of/a.mp4"))
    assert shown.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    grey = greys(video, WIDTH + 1, HEIGHT + 1)
    for flow in tvl1(grey[:-1], grey[1:]):
        ok, frame = shown.read()
        assert ok
        assert frame.shape == (HEIGHT + 2, WIDTH + 2, 3)
        difference = frame[: HEIGHT + 1, : WIDTH + 1, ::-1].astype(int) - colour_wheel(flow, BOUND)
        assert np.abs(difference).mean() < 8
    assert not shown.read()[0]


def test_mp4_in_a_process_that_has_not_imported_torch(tmp_path: Path) -> None:
    for name in "abc":  # torch is imported to write the first flow, while that of later frames is computed
        write_video(tmp_path / "v" / f"{name}.avi", panned(40))
    command = [sys.executable, "-m", "stp", "flow", str(tmp_path / "v"), "-o", str(tmp_path / "out"), "--format", "mp4"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert files(tmp_path / "out/of") == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_colour_means_the_same_in_every_field() -> None:
    slow, fast = np.zeros((2, 2, 5, 7), np.float32)
    slow[0] = fast[0] = 1.0
    fast[:, 0, 0] = 3.0, -2.0
    assert np.array_equal(colour_wheel(slow, BOUND)[1:], colour_wheel(fast, BOUND)[1:])
    beyond = np.full((2, 5, 7), 100, np.float32)
    full = np.full((2, 5, 7), BOUND / np.sqrt(2), np.float32)
    assert np.abs(colour_wheel(beyond, BOUND).astype(int) - colour_wheel(full, BOUND)).max() <= 1
    assert (colour_wheel(np.zeros((2, 5, 7), np.float32), BOUND) == 255).all()


def test_folder_of_frames_has_the_flow_of_the_video_in_natural_order(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", panned(12))
    capture = cv2.VideoCapture(str(video))
    folder = write_frames(tmp_path / "b", [capture.read()[1] for _ in range(12)])
    run(video, folder, "-o", tmp_path / "out", "--format", "npy")
    assert np.array_equal(np.load(tmp_path / "out/of/a.npy"), np.load(tmp_path / "out/of/b.npy"))
    assert np.load(tmp_path / "out/of/b.npy").shape == (11, 2, HEIGHT, WIDTH)


def test_step_and_size(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    run(video, "-o", tmp_path / "step", "--format", "npy", "--step", 2)
    assert np.array_equal(np.load(tmp_path / "step/of/a.npy"), flow_of(video, step=2))
    run(video, "-o", tmp_path / "size", "--format", "npy", "--size", "40x30")
    small = greys(video, 40, 30)
    assert np.array_equal(np.load(tmp_path / "size/of/a.npy"), tvl1(small[:-1], small[1:]))


def test_folders_are_searched_and_names_may_be_odd(tmp_path: Path) -> None:
    root = tmp_path / "my clips"
    write_video(root / "it's.avi")
    write_video(root / 'nod/ünï "two".1.avi')
    write_video(root / "nod/.hidden.avi")
    write_frames(root / "wave/a b/frames", panned(3), ".jpg")
    write_frames(root / "nod/images", panned(3)).joinpath("notes.txt").touch()
    cv2.imwrite(str(root / "nod/thumbnail.jpg"), panned(1)[0])  # beside videos: no frame
    run(root, "-o", tmp_path / "out")
    names = ["it's", "nod/images", 'nod/ünï "two".1', "wave/a b/frames"]
    assert files(tmp_path / "out/of") == [f"{name}.h5" for name in names]
    shards = ClipFields([tmp_path / f"out/of/{name}.h5" for name in names])  # all made alike
    assert shards.clips() == names
    run(root / "wave/a b/frames", "-o", tmp_path / "png", "--format", "png")
    assert len(files(tmp_path / "png/of/frames")) == 4


def test_complete_clips_are_not_computed_again(tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{name}.avi") for name in "abc"]
    for kind in ("h5", "png"):
        out = tmp_path / kind
        run(*videos[:2], "-o", out, "--format", kind)
        before = {name: (out / name).stat().st_mtime_ns for name in files(out) if name != "flow.json"}
        run(*videos, "-o", out, "--format", kind)
        assert {name: (out / name).stat().st_mtime_ns for name in before} == before
        assert len(list((out / "of").iterdir())) == 3
        assert set(json.loads((out / "flow.json").read_text())["sources"]) == set("abc")


@pytest.mark.parametrize("kind", ["h5", "npy", "png", "mp4"])
def test_interrupted_run_leaves_nothing_half_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    videos = [write_video(tmp_path / f"{name}.avi", panned(20)) for name in "ab"]
    arguments = [*videos, "--format", kind, "--warped", "--threads", 1]
    run(*arguments, "-o", tmp_path / "whole")
    expected = files(tmp_path / "whole")
    calls = 0

    def interrupted(*arguments: object) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 8:  # of 10 batches
            time.sleep(0.5)  # what is ready is written meanwhile
            raise KeyboardInterrupt
        return tvl1(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_flow, "tvl1", interrupted)
    run(*arguments, "-o", tmp_path / "out")
    monkeypatch.undo()
    left = files(tmp_path / "out")
    assert not [name for name in left if ".part" in name]
    done = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in left if name != "flow.json"}
    assert 0 < len(done) < len(expected) - 1
    run(*arguments, "-o", tmp_path / "out")
    assert files(tmp_path / "out") == expected
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done} == done
    if kind in ("npy", "png"):
        for name in expected[1:]:
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_other_options_want_another_folder(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    run(video, "-o", tmp_path / "out")
    for option, was in (
        (["--format", "npy"], "format: npy, but .* was made with h5"),
        (["--step", "2"], "step: 2, but .* was made with 1"),
        (["--size", "40x30"], "size: 40x30, but .* was made with own"),
        (["--warped"], "warped: True, but .* was made with False"),
        (["--semantics", "opencv-cuda"], "semantics: opencv-cuda, but .* was made with opencv-cpu"),
    ):
        with pytest.raises(UserError, match=f"^--{was}"):
            run(video, "-o", tmp_path / "out", *option)
    assert files(tmp_path / "out") == ["flow.json", "of/a.h5"]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    mine = tmp_path / "out/of/a.h5"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"a.h5' exists but was not made by stp flow"):
        run(video, "-o", tmp_path / "out")
    assert mine.read_text() == "mine"
    assert files(tmp_path / "out") == ["of/a.h5"]
    (tmp_path / "json").mkdir()
    (tmp_path / "json/flow.json").write_text("[]")
    with pytest.raises(UserError, match="no report of stp flow"):
        run(video, "-o", tmp_path / "json")
    with pytest.raises(UserError, match="is a file; name a folder"):
        run(video, "-o", video)


def test_another_source_of_a_name_that_is_there_is_refused(tmp_path: Path) -> None:
    run(write_video(tmp_path / "one/a.avi"), "-o", tmp_path / "out")
    with pytest.raises(UserError, match=r"two/a.avi' and '.*one/a.avi', of which .* are both named 'a'"):
        run(write_video(tmp_path / "two/a.avi"), "-o", tmp_path / "out")


def while_decoding(monkeypatch: pytest.MonkeyPatch, other: Callable[[], None]) -> None:
    """Let another call of `stp flow` run from its beginning to its end while the next one decodes its sources."""
    decode_sources = flow_folder.clips_with_flow

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(flow_folder, "clips_with_flow", decode_sources)
        other()
        return decode_sources(*arguments)

    monkeypatch.setattr(flow_folder, "clips_with_flow", interrupted)


def test_a_call_keeps_the_sources_that_another_has_added_while_it_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = write_video(tmp_path / "a.avi"), write_video(tmp_path / "b.avi")
    while_decoding(monkeypatch, lambda: run(two, "-o", tmp_path / "out"))
    run(one, "-o", tmp_path / "out")
    assert set(json.loads((tmp_path / "out/flow.json").read_text())["sources"]) == {"a", "b"}
    run(one, two, "-o", tmp_path / "out")
    assert files(tmp_path / "out") == ["flow.json", "of/a.h5", "of/b.h5"]


def test_a_name_that_another_call_has_taken_while_a_source_was_decoded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = write_video(tmp_path / "one/a.avi"), write_video(tmp_path / "two/a.avi", panned()[::-1])
    while_decoding(monkeypatch, lambda: run(two, "-o", tmp_path / "out"))
    with pytest.raises(UserError, match=r"one/a.avi' and '.*two/a.avi', of which .* are both named 'a'"):
        run(one, "-o", tmp_path / "out")
    assert np.array_equal(ClipFields([tmp_path / "out/of/a.h5"])["a"][:], quantise(flow_of(two), BOUND))


def test_only_one_call_at_a_time_reads_and_writes_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    check, write, locked = flow_folder.claim, flow_folder.complete_file, []

    def is_locked() -> bool:
        if not (tmp_path / "stp-flow.lock").exists():
            return False
        with (tmp_path / "stp-flow.lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            locked.append(is_locked())
            return function(*arguments)

        return called

    monkeypatch.setattr(flow_folder, "claim", noted(check))
    monkeypatch.setattr(flow_folder, "complete_file", noted(write))
    run(write_video(tmp_path / "a.avi"), "-o", tmp_path / "out")
    assert locked == [False, True, True]  # the first look, before any decoding; then reading and writing
    assert not is_locked()


def test_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    one, two = write_video(tmp_path / "one/a.avi"), write_video(tmp_path / "two/a.mkv")
    with pytest.raises(UserError, match=r"one/a.avi' and '.*two/a.mkv' are both named 'a'"):
        find_sources([one, two])
    with pytest.raises(UserError, match="both named 'a'"):
        find_sources([one, one])
    write_frames(tmp_path / "x/frames", panned(2))
    write_frames(tmp_path / "x/frames/deeper", panned(2))
    with pytest.raises(UserError, match=r"named 'frames/deeper', below 'frames'"):
        find_sources([tmp_path / "x"])


def test_sources_that_are_not_there_are_named_at_once(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"source '.*absent.avi' does not exist"):
        run(video, tmp_path / "absent.avi", "-o", tmp_path / "out")
    with pytest.raises(UserError, match="empty' holds neither videos nor images"):
        run(tmp_path / "empty", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_sources_are_named_and_skipped_and_the_exit_status_says_so(tmp_path: Path) -> None:
    good = write_video(tmp_path / "v/good.avi")
    long = write_video(tmp_path / "long.avi", panned(60)).read_bytes()
    (tmp_path / "v/cut.avi").write_bytes(long[: len(long) // 2])
    (tmp_path / "v/text.avi").write_text("no video")
    write_video(tmp_path / "v/single.avi", panned(1))
    write_frames(tmp_path / "v/sizes", [*panned(2), panned(1, width=40)[0]])
    half = write_frames(tmp_path / "v/half", panned(3), ".jpg") / "2.jpg"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (write_frames(tmp_path / "v/empty", panned(2)) / "2.png").write_bytes(b"")
    command = [sys.executable, "-m", "stp", "flow", str(tmp_path / "v"), "-o", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("stp:")]
    reasons = {Path(match[1]).name: match[2] for line in lines if (match := re.search("skipped (.*?): (.*)", line))}
    assert reasons.pop("cut.avi").startswith("frame 28 is damaged (")
    assert reasons == {
        "text.avi": "cannot be opened as a video (Invalid data found when processing input)",
        "single.avi": "1 frames; flow of step 1 needs 2 or more",
        "sizes": "3.png is 40x48, not 64x48 as the first",
        "half": "2.jpg cannot be read as an image",
        "empty": "2.png cannot be read as an image",
    }
    assert re.search(r"1 clips, 5 pairs, .* pairs/s, \d+ % of the wall time inside TV-L1", lines[-2])
    assert lines[-1] == "stp: ERROR: 6 of 7 sources cannot be used and were skipped; the reasons are above"
    assert files(tmp_path / "out") == ["flow.json", "of/good.h5"]
    assert np.array_equal(ClipFields([tmp_path / "out/of/good.h5"])["good"][:], quantise(flow_of(good), 20))


def test_ctrl_c_leaves_no_half_files(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", panned(400, 160, 120))
    command = [sys.executable, "-m", "stp", "flow", str(video), "-o", str(tmp_path / "out"), "--format", "npy"]
    process = subprocess.Popen(
        [*command, "--threads", "1"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out/of/.a.npy.*.part")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert files(tmp_path / "out") == ["flow.json"]


@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["", "frame_", "é 2 "]))
def test_natural_order_is_that_of_the_numbers(numbers: list[int], prefix: str) -> None:
    names = sorted((f"{prefix}{number}.png" for number in numbers), key=natural_order)
    assert names == [f"{prefix}{number}.png" for number in sorted(numbers)]


def test_images_of_any_kind_are_read_as_colour(tmp_path: Path) -> None:
    grey = panned(1)[0][..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    for name in ("grey.png", "deep.png"):
        assert np.array_equal(read_image(tmp_path / name), np.repeat(grey[..., None], 3, axis=2))


def test_sizes_and_threads_of_the_command_line() -> None:
    assert parse_size("340x256") == (340, 256)
    assert parse_threads("3") == 3
    assert parse_threads("all") == len(os.sched_getaffinity(0))
    for wrong in ("340", "0x5", "340x", "a x b", "340x256x3"):
        with pytest.raises(UserError, match="--size"):
            parse_size(wrong)
    for wrong in ("0", "-1", "many"):
        with pytest.raises(UserError, match="--threads"):
            parse_threads(wrong)


def test_unknown_backend_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="flow backend: 'abacus' is unknown"):
        run(write_video(tmp_path / "a.avi"), "-o", tmp_path / "out", "--backend", "abacus")


def test_names_that_are_not_utf8_or_very_long_stop_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "videos"
    long = write_video(folder / f"{'x' * 251}.avi")
    (folder / os.fsdecode(b"caf\xe9.avi")).write_bytes(long.read_bytes())
    (folder / os.fsdecode(b"fra\xefmes")).mkdir()
    cv2.imwrite(str(tmp_path / "1.png"), panned(1)[0])
    (tmp_path / "1.png").rename(folder / os.fsdecode(b"fra\xefmes") / "1.png")
    with pytest.raises(UserError, match="2 of 3 sources cannot be used"):
        run(folder, "-o", tmp_path / "out")
    assert sum("the name is not UTF-8: rename the file or its folder" in line for line in caplog.messages) == 2
    assert files(tmp_path / "out") == ["flow.json", f"of/{'x' * 251}.h5"]
