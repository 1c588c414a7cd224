"""The demo as its actors see it: the view turns with the head, and shows the partner and what is handed over."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stp.datasets.demo import DemoFormat, draw_first_person, find_clips, generate
from stp.datasets.demo.first_person import FOCAL, TILT, rotation
from stp.datasets.demo.movement import Actor, Pose, pose
from stp.features.displacement import DisplacementOptions, cumulative_displacement
from tests.datasets.test_demo import blue, decode, red

SMALL = DemoFormat(24, 96, 72)


def moved(label: str, number: int) -> tuple[NDArray[np.floating], Pose]:
    """The mean displacement of all cells from the first frame, (24, 2) in widths and heights, and the actor's pose."""
    frames = draw_first_person(label, number % 6, number, SMALL)
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    series = cumulative_displacement(grey, (96, 72), DisplacementOptions())
    return series.reshape(24, 2, 50).mean(2), pose(label, Actor.cast(number % 6, 0), number, 24, 0)


def test_a_view_depends_on_its_seed_and_number_alone() -> None:
    clip = draw_first_person("passing", 1, 9, DemoFormat(seed=3))
    assert (clip.shape, clip.dtype) == ((24, 96, 128, 3), np.uint8)
    draw_first_person("gesture", 0, 4, SMALL)  # nothing is carried over from another clip
    assert np.array_equal(clip, draw_first_person("passing", 1, 9, DemoFormat(seed=3)))
    assert not np.array_equal(clip, draw_first_person("passing", 1, 10, DemoFormat(seed=3)))
    assert not np.array_equal(clip, draw_first_person("passing", 1, 9, DemoFormat(seed=4)))
    assert draw_first_person("passing", 1, 9, DemoFormat(36, 64, 48, onset="anywhere")).shape == (36, 48, 64, 3)


def test_a_head_at_rest_looks_ahead_and_a_little_down() -> None:
    (turn,) = rotation(np.zeros(1), np.zeros(1), np.zeros(1))
    right, down, ahead = turn.T
    assert right == pytest.approx([1, 0, 0])
    assert ahead == pytest.approx([0, np.sin(TILT), np.cos(TILT)])
    assert down @ ahead == pytest.approx(0)


def test_the_view_turns_as_the_second_person_sees_the_head_turn() -> None:
    """To the image's right is to the actor's left, x below 0; a nod is down, y above 0."""
    zero, some = np.zeros(1), np.full(1, 0.2)
    assert rotation(zero, some, zero)[0, 0, 2] < -0.15
    assert rotation(zero, zero, some)[0, 1, 2] == pytest.approx(np.sin(0.2 + TILT))
    assert rotation(some, zero, zero)[0, 0, 1] == pytest.approx(np.sin(0.2) * np.cos(TILT))  # upwards is to the left


@pytest.mark.parametrize("number", [3, 10, 24])
def test_the_scene_moves_sideways_as_the_head_is_shaken(number: int) -> None:
    scene, body = moved("negative", number)
    yaw = body.yaw - body.yaw[0]
    assert np.corrcoef(scene[:, 0], yaw)[0, 1] > 0.97
    assert scene[:, 0] @ yaw / (yaw @ yaw) == pytest.approx(FOCAL, rel=0.3)  # a width is seen at 1 / FOCAL
    assert np.corrcoef(np.diff(scene[:, 0]), np.diff(yaw))[0, 1] > 0.9


@pytest.mark.parametrize("number", [2, 9, 23])
def test_the_scene_moves_up_as_the_head_nods_down(number: int) -> None:
    scene, body = moved("positive", number)
    pitch = body.pitch - body.pitch[0]
    assert np.corrcoef(scene[:, 1], pitch)[0, 1] < -0.97
    assert -scene[:, 1] @ pitch / (pitch @ pitch) == pytest.approx(FOCAL * 96 / 72, rel=0.3)


def test_nods_and_shakes_are_told_apart_by_the_way_the_scene_moves() -> None:
    for number in (1, 5):
        (nod, _), (shake, _) = moved("positive", number), moved("negative", number)
        up, aside = np.abs(np.diff(nod, axis=0)).sum(0), np.abs(np.diff(shake, axis=0)).sum(0)
        assert up[1] / up[0] > 2 * aside[1] / aside[0]


# Nobody and nothing else that actor 1 sees is red.
def size_of_folder(image: NDArray[np.uint8]) -> int:
    """Rows of the image in which the red folder is seen whole; 0 if it is at an edge or not in view."""
    r, g, b = image.astype(np.int64).transpose(2, 0, 1)
    rows, columns = np.nonzero((r > 120) & (r > 2.2 * g) & (r > 2.2 * b))
    if len(rows) < 20 or rows.max() == image.shape[0] - 1 or columns.max() == image.shape[1] - 1 or columns.min() == 0:
        return 0
    return int(np.ptp(rows)) + 1


@pytest.mark.parametrize(("label", "first"), [("passing", "near"), ("receiving", "far")])
def test_the_folder_is_near_in_the_actors_hand_and_far_in_the_partners(label: str, first: str) -> None:
    ratios = []
    for number in range(9):
        begin, end = (size_of_folder(image) for image in draw_first_person(label, 1, number, SMALL)[[1, 22]])
        if begin and end:
            ratios.append(begin / end if first == "near" else end / begin)
    assert len(ratios) >= 3
    assert 1.5 < np.median(ratios) < 2.5  # some are half behind an arm


def test_other_actions_show_no_folder() -> None:
    for label in ("pointing", "attention", "gesture"):
        assert max(red(image) for image in draw_first_person(label, 1, 8, SMALL)) < 20


def test_the_actor_sees_the_notebook_in_his_own_hand_alone() -> None:
    pointing, gesture, passing = (
        [blue(image) for image in draw_first_person(label, 1, 8, SMALL)] for label in ("pointing", "gesture", "passing")
    )
    assert min(pointing[12], gesture[0], gesture[23]) > 80
    assert max(pointing[0], pointing[23], gesture[12], *passing) < 20


def test_files_have_the_names_of_the_clips_that_they_belong_to(tmp_path: Path) -> None:
    small = DemoFormat(12, 64, 48)
    seconds = generate(tmp_path / "second", 1, clip_format=small)
    firsts = generate(tmp_path / "first", 1, clip_format=small, threads=2, draw=draw_first_person)
    assert [clip.clip for clip in firsts] == [clip.clip for clip in seconds]
    assert [clip.clip for clip in find_clips(tmp_path / "second")] == [clip.clip for clip in seconds]
    drawn = draw_first_person("pointing", 0, 0, small).astype(np.float64)
    assert np.abs(drawn - decode(Path(firsts[0].path))).mean() < 12
