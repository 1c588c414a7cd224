"""The demo data set: determinism, balance, subtle motion, and classes that differ only in motion and its order."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stp.data.index import Clip
from stp.datasets.demo import CLASSES, DemoFormat, draw_clip, find_clips, generate
from stp.datasets.demo.drawing import draw_room
from stp.datasets.demo.movement import SUB_MOTIONS, Actor, action_clock, pose, sub_motions
from stp.errors import UserError
from stp.video.decoding import VideoFacts, even_times, examine_video

NUMBERS = range(20)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, generate(folder, clips_per_class=4, actors=2)


def decode(path: Path) -> NDArray[np.uint8]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1][..., ::-1])
    return np.stack(frames).astype(np.uint8)


def test_clip_depends_on_its_seed_and_number_alone() -> None:
    clip = draw_clip("passing", 1, 9, DemoFormat(seed=3))
    assert clip.shape == (24, 96, 128, 3)
    assert clip.dtype == np.uint8
    draw_clip("gesture", 0, 4)  # nothing is carried over from another clip
    assert np.array_equal(clip, draw_clip("passing", 1, 9, DemoFormat(seed=3)))
    assert not np.array_equal(clip, draw_clip("passing", 1, 10, DemoFormat(seed=3)))
    assert not np.array_equal(clip, draw_clip("passing", 1, 9, DemoFormat(seed=4)))


def test_every_action_fits_into_the_fewest_frames() -> None:
    for number in range(300):
        done = sub_motions("passing", number, frames=12)
        assert (done["reach"][0], done["lean"][0]) == (0, 0)
        assert done["reach"][-1] == done["lean"][-1] == 1


def test_other_sizes() -> None:
    assert draw_clip("attention", 0, 0, DemoFormat(30, 96, 72)).shape == (30, 72, 96, 3)


def test_files_have_the_size_asked_for(tmp_path: Path) -> None:
    clips = generate(tmp_path, 1, clip_format=DemoFormat(frames=12, width=64, height=48, rate=10, seed=3))
    facts = examine_video(clips[0].path)
    assert clips[0].frames == 12
    assert replace(facts, times=()) == VideoFacts(12, 64, 48, 10, ())
    assert facts.times == pytest.approx(even_times(12, 10))
    drawn = draw_clip("pointing", 0, 0, DemoFormat(12, 64, 48, seed=3)).astype(np.float64)
    assert np.abs(drawn - decode(Path(clips[0].path))).mean() < 12


def test_files_do_not_depend_on_processes_or_on_how_many_are_made(
    made: tuple[Path, list[Clip]], tmp_path: Path
) -> None:
    folder, clips = made
    again = generate(tmp_path, clips_per_class=1, actors=2, threads=2)
    assert [clip.clip for clip in again] == [clip.clip for clip in clips[::4]]
    for clip in again:
        assert Path(clip.path).read_bytes() == (folder / Path(clip.path).relative_to(tmp_path)).read_bytes()


def test_rows_files_and_balance(made: tuple[Path, list[Clip]]) -> None:
    folder, clips = made
    assert (clips[1].clip, clips[1].group) == ("pointing/pointing_a01_001", "a01")
    assert Counter((clip.label, clip.group) for clip in clips) == {(c, g): 2 for c in CLASSES for g in ("a00", "a01")}
    files = sorted(path for path in folder.rglob("*") if path.is_file())  # and no unfinished ones
    assert files == sorted(Path(clip.path) for clip in clips)
    assert all(Path(clip.path) == folder / f"{clip.clip}.mp4" for clip in clips)


def test_importer_finds_what_was_made_in_the_papers_order(made: tuple[Path, list[Clip]]) -> None:
    folder, clips = made
    assert find_clips(folder) == [replace(clip, frames=0) for clip in clips]


def test_every_file_decodes_to_what_was_drawn(made: tuple[Path, list[Clip]]) -> None:
    for clip in made[1]:
        assert decode(Path(clip.path)).shape == (24, 96, 128, 3)
    drawn = draw_clip("pointing", 0, 0).astype(np.float64)  # the first clip: take 0 of class 0
    error = np.square(drawn - decode(Path(made[1][0].path))).mean()
    assert 10 * np.log10(255**2 / error) > 28  # dB


@pytest.mark.parametrize("number", [0, 5])
def test_first_frame_is_the_same_for_every_class_but_for_what_is_held(number: int) -> None:
    first = {label: draw_clip(label, 2, number)[0] for label in CLASSES}
    holds = {"passing", "gesture"}
    for label in set(CLASSES) - holds:
        assert np.array_equal(first["pointing"], first[label])
    for label in holds:
        differs = (first["pointing"] != first[label]).any(-1)
        rows, columns = np.nonzero(differs)
        assert 50 < differs.sum() < 500  # pixels
        assert max(np.ptp(rows), np.ptp(columns)) < 30
    folder, notebook = ((first["pointing"] != first[label]).any(-1) for label in ("passing", "gesture"))
    assert np.array_equal(folder, notebook)  # of one size, in one place


def red(image: NDArray[np.uint8]) -> int:
    """The number of pixels as red as the folder."""
    r, g, b = image.astype(np.int64).transpose(2, 0, 1)
    return int(((r > 120) & (r > 2.2 * g) & (r > 2.2 * b)).sum())


def blue(image: NDArray[np.uint8]) -> int:
    """The number of pixels as blue as the notebook."""
    r, g, b = image.astype(np.int64).transpose(2, 0, 1)
    return int(((b > 120) & (b > 1.5 * g) & (b > 3 * r)).sum())


@pytest.mark.parametrize("number", range(5))
def test_a_folder_is_in_the_hand_until_it_is_passed_and_once_it_is_received(number: int) -> None:
    for label, begins_with, ends_with in (("passing", True, False), ("receiving", False, True)):
        held = np.array([red(image) > 40 for image in draw_clip(label, 1, number)])
        assert (held[0], held[-1]) == (begins_with, ends_with)
        assert np.count_nonzero(np.diff(held)) == 1
        assert 8 <= np.flatnonzero(np.diff(held))[0] <= 15  # of 24 frames
    assert max(red(image) for image in draw_clip("gesture", 1, number)) < 40


@pytest.mark.parametrize("number", range(5))
def test_a_notebook_is_taken_up_to_point_and_laid_down_for_a_gesture(number: int) -> None:
    for label, begins_with in (("pointing", False), ("gesture", True)):
        held = np.array([blue(image) > 40 for image in draw_clip(label, 1, number)])
        assert held[0] == held[-1] == begins_with
        assert held[12] != begins_with
        taken, laid_down = np.flatnonzero(np.diff(held))
        assert 3 <= taken <= 7  # of 24 frames
        assert 14 <= laid_down <= 19
    assert max(blue(image) for label in ("positive", "passing") for image in draw_clip(label, 1, number)) < 40


@pytest.mark.parametrize("held", ["folder", "notebook"])
def test_how_long_an_object_is_held_does_not_tell_the_class_but_when_it_is_held_does(held: str) -> None:
    """The shares of a clip, its halves and its quarters in which each of the two classes holds it, in the mean."""
    actor = Actor.cast(0, 0)
    first, second = ("passing", "receiving") if held == "folder" else ("pointing", "gesture")
    series = [
        np.mean([getattr(pose(label, actor, n, 24, 0), held) for n in range(200)], axis=0) for label in (first, second)
    ]
    for label in set(CLASSES) - {first, second}:
        assert not getattr(pose(label, actor, 0, 24, 0), held).any()
    clip, halves, quarters = (
        np.array([[part.mean() for part in np.split(s, parts)] for s in series]) for parts in (1, 2, 4)
    )
    assert clip == pytest.approx(0.5, abs=0.05)
    if held == "folder":
        assert halves == pytest.approx(np.array([[1, 0], [0, 1]]), abs=0.1)
    else:
        assert halves == pytest.approx(0.5, abs=0.05)
        assert (np.abs(quarters[0] - quarters[1]) > 0.5).all()


def test_an_actor_has_a_room_of_his_own() -> None:
    """Clips of one actor have one wall, whatever the class; walls of others have another colour."""

    def wall(label: str, actor: int, number: int) -> NDArray[np.float64]:
        means = draw_clip(label, actor, number, DemoFormat(12)).astype(np.float64)[:, :12].mean((0, 1, 2))
        return np.asarray(means / means.sum())  # without the strength of the light

    own = wall("gesture", 0, 0)
    assert np.abs(wall("positive", 0, 1) - own).max() < 0.015
    assert max(np.abs(wall("gesture", actor, 0) - own).max() for actor in (1, 2)) > 0.02
    assert np.array_equal(draw_room(3, 0, 1), draw_room(3, 0, 1))
    assert not np.array_equal(draw_room(3, 0, 1), draw_room(3, 1, 1))


def test_rest_postures_vary_more_than_the_action_moves() -> None:
    actor = Actor.cast(0, 0)
    for label in CLASSES:
        bodies = [pose(label, actor, n, 24, 0) for n in NUMBERS]
        series = [[b.hands[0][:, k] - b.base[:, k] for b in bodies] for k in (0, 1)]
        series += [[getattr(b, name) for b in bodies] for name in ("lean", "yaw", "pitch", "twist")]
        for values in series:
            rest = np.ptp([v[0] for v in values])
            assert rest > np.mean([np.ptp(v) for v in values])


def speeds(label: str, number: int, frames: int = 24) -> dict[str, NDArray[np.floating]]:
    """The speed of every sub-motion, by frame."""
    return {name: np.diff(series) for name, series in sub_motions(label, number, frames).items()}


@pytest.mark.parametrize("number", NUMBERS)
def test_passing_and_receiving_are_the_same_sub_motions_in_opposite_order(number: int) -> None:
    first, second = speeds("passing", number), speeds("receiving", number)
    a, b = (name for name in SUB_MOTIONS if first[name].any())
    assert [name for name in SUB_MOTIONS if second[name].any()] == [a, b]
    assert [s.sum() for s in (first[a], first[b], second[a], second[b])] == pytest.approx([1, 1, 1, 1], abs=1e-5)
    np.testing.assert_allclose(first[a], second[b], atol=1e-6)  # each takes the other's place in time
    np.testing.assert_allclose(first[b], second[a], atol=1e-6)
    time = np.arange(len(first[a]))
    assert abs(np.average(time, weights=first[a]) - np.average(time, weights=first[b])) > 6  # frames apart
    assert not np.any((first[a] > 0) & (first[b] > 0))  # one rests before the other starts


@pytest.mark.parametrize("number", NUMBERS)
def test_only_the_quarters_of_pointing_and_gesture_differ(number: int) -> None:
    """Their halves are made of the same sub-motions, so a mean over a half says nothing."""
    first, second = (speeds(label, number, frames=2400) for label in ("pointing", "gesture"))
    names = [name for name in SUB_MOTIONS if first[name].any()]
    assert names == [name for name in SUB_MOTIONS if second[name].any()] == ["raise", "extend"]
    clock = action_clock(number, 2400, 0, "aligned")[1:]
    for name, other in (("raise", "extend"), ("extend", "raise")):
        for half in (clock < 0.5, clock >= 0.5):
            assert first[name][half].sum() == pytest.approx(second[name][half].sum(), abs=0.01)
            assert abs(first[name][half].sum()) == pytest.approx(1, abs=0.01)
        for quarter in range(4):
            within = (clock >= quarter / 4) & (clock < (quarter + 1) / 4)
            assert first[name][within].sum() == pytest.approx(second[other][within].sum(), abs=0.01)
            moves = [np.abs(series[name][within]).max() > 1e-4 for series in (first, second)]
            assert moves.count(True) == 1


def test_action_fits_the_clip() -> None:
    for label in CLASSES:
        for number in NUMBERS:
            for series in sub_motions(label, number, frames=24, seed=1).values():
                assert series[0] == 0
                assert series[-1] == pytest.approx(series[-2], abs=1e-4)


def test_motion_is_subtle_but_there() -> None:
    actor = Actor.cast(1, 0)
    bodies = [pose(label, actor, number, 24, 0) for label in CLASSES for number in NUMBERS]
    hands = [max(np.linalg.norm(hand - hand[0], axis=1).max() for hand in body.hands) for body in bodies]
    assert 6 < max(hands) < 14  # pixels of a 128 x 96 frame
    for name, low, high in (("yaw", 0.3, 0.8), ("pitch", 0.2, 0.6), ("lean", 0.05, 0.12)):  # radians
        assert low < max(np.ptp(getattr(body, name)) for body in bodies) < high
    clip = draw_clip("gesture", 1, 6).astype(np.int64)
    assert 1 <= np.median(np.abs(np.diff(clip, axis=0))) <= 12  # camera and sensor noise included, of 255


def test_whole_scene_drifts_with_the_camera() -> None:
    clip = draw_clip("attention", 0, 3)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float64) for frame in clip]
    shifts = np.array([cv2.phaseCorrelate(grey[0][:28], g[:28])[0] for g in grey])  # the wall above the head
    assert 1 < np.linalg.norm(np.ptp(shifts, axis=0)) < 15
    steps = np.linalg.norm(np.diff(shifts, axis=0), axis=1)
    assert np.median(steps) < 1.2


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="frames: 5"):
        DemoFormat(frames=5)
    with pytest.raises(UserError, match="129 x 96"):
        DemoFormat(width=129)
    with pytest.raises(ValueError, match="waving"):
        sub_motions("waving", 0)
