"""Samples of whole videos: which frames, and which fields of each modality around them."""

import numpy as np
import pytest

from stp.sampling.frames import FrameSampler, SparseSampler, StridedSampler
from stp.sampling.samples import images_of


def test_sparse_frames_are_one_in_each_even_division() -> None:
    sampler, rng = SparseSampler(5, (1,)), np.random.default_rng(0)
    drawn = np.array([sampler.draw(50, rng) for _ in range(400)])
    assert drawn.shape == (400, 5, 1)
    for part in range(5):
        assert set(drawn[:, part, 0]) == set(range(10 * part, 10 * part + 10))
    assert sampler.spread(50, 2)[:, :, 0].tolist() == [[2, 12, 22, 32, 42], [7, 17, 27, 37, 47]]


def test_flow_stacks_lie_around_their_frame_and_within_the_video() -> None:
    sampler, rng = SparseSampler(3, (1, 10)), np.random.default_rng(0)
    drawn = np.array([sampler.draw(30, rng) for _ in range(400)])
    assert drawn.shape == (400, 3, 11)
    frames, flow = drawn[..., :1], drawn[..., 1:]
    assert (flow - frames == np.arange(-5, 5)).all()  # 5 fields before the frame, then those from it on
    assert flow.min() == 0
    assert flow.max() == 29


@pytest.mark.parametrize("longer", [5, 7])
def test_a_frame_is_the_middle_of_an_odd_number_of_fields(longer: int) -> None:
    frame, *flow = SparseSampler(1, (1, longer)).spread(30, 1)[0, 0]
    assert frame == flow[longer // 2]


def test_of_two_stacks_the_shorter_has_the_frame_of_the_longer() -> None:
    assert SparseSampler(1, (2, 4)).spread(4, 1).tolist() == [[[1, 2, 0, 1, 2, 3]]]
    assert SparseSampler(1, (3, 6)).spread(6, 1).tolist() == [[[2, 3, 4, 0, 1, 2, 3, 4, 5]]]


def test_a_frame_at_the_end_of_a_video_has_the_last_fields_around_it() -> None:
    *_, last = SparseSampler(11, (1, 10)).spread(20, 1)[0]
    assert last.tolist() == [15, *range(10, 20)]
    sample = StridedSampler(3, (1, 10), together=True, least=5, most=15).spread(12, 1)[0, 0]
    assert sample[:3].tolist() == [5, 6, 7]
    assert sample[3:].reshape(3, 10)[:, -1].tolist() == [9, 10, 11]


def test_frames_together_are_one_image_a_modality_after_the_other() -> None:
    sampler = StridedSampler(2, (1, 3), together=True, least=4, most=4)
    assert (sampler.columns, sampler.stack, sampler.subsegments) == ((2, 6), 8, 1)
    assert sampler.spread(7, 1).tolist() == [[[1, 5, 0, 1, 2, 4, 5, 6]]]
    assert sampler.subsegment_length == 7


def test_an_image_has_a_picture_of_each_frame_and_modality() -> None:
    samplers = (SparseSampler(4, (5,)), SparseSampler(3, (1, 10)), StridedSampler(32, (1,), together=True))
    assert [sampler.pictures for sampler in samplers] == [1, 2, 32]
    fusion = StridedSampler(5, (1, 10), together=True, least=5, most=15)
    assert fusion.pictures == 10
    assert [images_of(256, sampler) for sampler in (*samplers, fusion)] == [256, 128, 8, 25]
    assert images_of(256, StridedSampler(300, (1,), together=True)) == 1


def test_strided_frames_have_a_drawn_distance_and_the_largest_in_scoring() -> None:
    sampler, rng = StridedSampler(4, (1,), least=2, most=5), np.random.default_rng(0)
    drawn = np.array([sampler.draw(40, rng)[:, 0] for _ in range(600)])
    steps = np.diff(drawn)
    assert (steps == steps[:, :1]).all()
    assert set(steps[:, 0]) == {2, 3, 4, 5}
    assert drawn.min() == 0
    assert drawn.max() == 39
    assert (np.diff(sampler.spread(40, 3)[:, :, 0]) == 5).all()


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "sampler",
    [SparseSampler(4, (5,)), StridedSampler(16, (1,), True), StridedSampler(5, (1, 10), True, least=5, most=15)],
)
def test_a_video_that_is_too_short_repeats_its_last_field(sampler: FrameSampler, length: int) -> None:
    rng = np.random.default_rng(0)
    for indices in (sampler.draw(length, rng), *sampler.spread(length, 3)):
        assert indices.shape == (sampler.subsegments, sampler.stack)
        assert indices.min() >= 0
        assert indices.max() <= length - 1


def test_a_video_that_is_too_short_for_the_distance_is_seen_at_a_smaller_one() -> None:
    sampler = StridedSampler(5, (1,), least=5, most=15)
    assert sampler.spread(13, 1)[0, :, 0].tolist() == [0, 3, 6, 9, 12]
    assert sampler.draw(13, np.random.default_rng(0))[:, 0].tolist() == [0, 3, 6, 9, 12]
