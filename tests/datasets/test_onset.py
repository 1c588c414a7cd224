"""The demo's hard case: the action begins anywhere, amid small movements that are the same for every class."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stp.config import Demo
from stp.config_check import checked_config
from stp.datasets.demo import CLASSES, DemoFormat, draw_clip
from stp.datasets.demo.movement import Actor, Pose, action_clock, pose, sub_motions
from stp.datasets.demo.onset import fidgets
from stp.errors import UserError

ANYWHERE = DemoFormat(frames=72, onset="anywhere")
ACTOR = Actor.cast(0, 0)


def begin_and_end(number: int, frames: int = 72, seed: int = 0) -> tuple[float, float]:
    """When the action begins and ends, in frames."""
    clock = action_clock(number, frames, seed, "anywhere")
    begin = -clock[0] / (clock[1] - clock[0])
    return begin, begin + 1 / (clock[1] - clock[0])


def series(body: Pose) -> np.ndarray:
    """All movement of a pose: (frames, values)."""
    alone = np.stack([body.lean, body.yaw, body.pitch, body.twist], 1)
    return np.concatenate([alone, body.base, *body.hands], 1)


def test_actions_begin_evenly_over_the_clip_and_fit_in_it() -> None:
    begins, ends = np.array([begin_and_end(number) for number in range(1500)]).T
    assert begins.min() >= 0.3
    assert ends.max() <= 70
    lengths = ends - begins
    assert 72 / 3 * 0.78 <= lengths.min() < lengths.max() <= 72 / 3 * 0.86
    shares = (begins - 0.3) / (70 - lengths - 0.3)  # of the time in which it may begin
    counts, _ = np.histogram(shares, 5, (0, 1))
    assert (np.abs(counts - 300) < 60).all()  # 4 standard deviations


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, 5000), frames=st.integers(36, 90), seed=st.integers(0, 9))
def test_every_sub_motion_is_at_rest_outside_of_the_action(number: int, frames: int, seed: int) -> None:
    begin, end = begin_and_end(number, frames, seed)
    for label in CLASSES:
        for name, done in sub_motions(label, number, frames, seed, "anywhere").items():
            assert (done[: int(begin) + 1] == 0).all(), name
            assert np.ptp(done[int(np.ceil(end)) :]) < 1e-6, name


@pytest.mark.parametrize("number", range(6))
def test_movements_around_the_action_are_the_same_for_every_class(number: int) -> None:
    """Until the action begins, all classes of a number move alike and look alike without an object; so after it."""
    begin, end = begin_and_end(number)
    bodies = [series(pose(label, ACTOR, number, 72, 0, "anywhere")) for label in CLASSES]
    before, after = int(begin) + 1, int(np.ceil(end))
    for body in bodies[1:]:
        assert np.array_equal(body[:before], bodies[0][:before])
        np.testing.assert_allclose(np.diff(body[after:], axis=0), np.diff(bodies[0][after:], axis=0), atol=1e-4)
    first = draw_clip(CLASSES[0], 2, number, ANYWHERE)[:before]
    assert np.array_equal(draw_clip("receiving", 2, number, ANYWHERE)[:before], first)


def test_there_are_movements_before_and_after_and_none_during_the_action() -> None:
    moved = {"before": 0, "after": 0}
    for number in range(40):
        clock = action_clock(number, 72, 0, "anywhere")
        other = fidgets(np.random.default_rng(number), (clock < 0) | (clock > 1))
        size = np.abs(np.concatenate([other.base, other.yaw[:, None], other.pitch[:, None], *other.hands], 1)).max(1)
        assert (size[(clock >= 0) & (clock <= 1)] == 0).all()
        moved["before"] += (size[clock < 0] > 0.05).any()
        moved["after"] += (size[clock > 1] > 0.05).any()
    assert min(moved.values()) > 20


def test_every_kind_of_movement_occurs_and_ends_where_it_began() -> None:
    found = [fidgets(np.random.default_rng(seed), np.ones(200, bool)) for seed in range(5)]
    for name in ("base", "yaw", "pitch"):
        assert max(np.abs(getattr(other, name)).max() for other in found) > 0.1
    assert all(max(np.abs(other.hands[k]).max() for other in found) > 1 for k in (0, 1))
    alone = np.zeros(200, bool)
    alone[60:100] = True
    for seed in range(20):
        other = fidgets(np.random.default_rng(seed), alone)
        assert (other.yaw[~alone] == 0).all()


def test_without_the_setting_actions_fill_their_clips_as_before() -> None:
    assert Demo().onset == DemoFormat().onset == "aligned"
    plain = pose("passing", ACTOR, 3, 24, 0)
    assert np.array_equal(series(plain), series(pose("passing", ACTOR, 3, 24, 0, "aligned")))
    clock = action_clock(3, 24, 0, "aligned")
    assert clock[0] < 0 < clock[5]
    assert clock[-1] > 1


def test_a_clip_must_hold_three_times_an_action() -> None:
    with pytest.raises(UserError, match=r"demo.frames: 24 is too short for an action that begins anywhere; give 36"):
        DemoFormat(frames=24, onset="anywhere")
    values = {"dataset": {"importer": "demo", "path": "results/videos"}, "demo": {"onset": "anywhere", "frames": 35}}
    with pytest.raises(UserError, match=r"demo.frames: 35 is too short"):
        checked_config(values)
    with pytest.raises(UserError, match=r"config: demo.onset: 'late' is not allowed"):
        checked_config(values | {"demo": {"onset": "late"}})
