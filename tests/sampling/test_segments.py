"""Segments, sub-segments and crops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from stp.errors import UserError
from stp.methods import pyramid
from stp.sampling import segments as sampling
from stp.sampling.crops import Crop, fixed_crops, render, training_crop
from stp.sampling.segments import SegmentSampler
from stp.training.run import Run
from tests.plain import cut
from tests.runs import make_run

LENGTHS = (1, 4, 19, 20, 21, 1000)


def run_of(method: str, run_input: str = "of", **options: object) -> Run:
    return make_run(f"{run_input}/{method}/fold1/seed0", ("a", "b"), **options)


def test_variants_are_the_papers() -> None:
    assert pyramid.sampler(run_of("baseline")) == SegmentSampler(3, 5, 1, 5, stack=5, frame="first")
    assert pyramid.sampler(run_of("1-level", "rgb", rgb_frame="any")) == SegmentSampler(3, 20, 4, 5, stack=1)
    assert pyramid.sampler(run_of("3-level")).subsegment_starts == (0, 5, 10, 15)
    assert [pyramid.parts(run_of(name)) for name in ("baseline", "1-level", "3-level")] == [(1,), (1,), (1, 2, 4)]


def test_level_4_spreads_8_overlapping_subsegments_over_the_same_segment() -> None:
    chosen = pyramid.sampler(run_of("4-level"))
    assert chosen.subsegment_starts == (0, 2, 4, 6, 9, 11, 13, 15)
    assert chosen.subsegment_starts[-1] + chosen.subsegment_length == chosen.segment_length


def test_segments_start_where_the_sampling_says() -> None:
    rng = np.random.default_rng(0)
    drawn = {
        name: np.array([SegmentSampler(3, 20, 4, 5, 1, name, "first").draw(90, rng)[::4, 0] for _ in range(4000)])
        for name in ("starts", "clips")
    }
    ranges = {name: list(zip(starts.min(0), starts.max(0), strict=True)) for name, starts in drawn.items()}
    assert ranges == {"starts": [(0, 22), (23, 46), (47, 70)], "clips": [(0, 10), (30, 40), (60, 70)]}


@given(st.integers(1, 200), st.integers(1, 8), st.integers(1, 40))
def test_a_segment_lies_in_its_clip_or_begins_with_it(length: int, segments: int, segment_length: int) -> None:
    starts = sampling.starts_in_clips(length, segments, segment_length, np.random.default_rng(0))
    for number, start in enumerate(starts):
        first, end = number * length // segments, (number + 1) * length // segments
        assert first <= start <= end - segment_length or start == min(first, max(0, length - segment_length))


def test_the_sampling_is_recorded_unless_it_is_that_of_versions_without_the_key() -> None:
    assert "sampling" not in run_of("3-level").values()["settings"]
    assert run_of("3-level", sampling="clips").values()["settings"]["sampling"] == "clips"
    assert pyramid.sampler(run_of("3-level", sampling="clips")).sampling == "clips"
    assert pyramid.sampler(run_of("baseline", sampling="clips")).sampling == "clips"


def drawn_frames(method: str, rgb_frame: str, length: int) -> set[int]:
    """The frames of a video that RGB sees in 2000 training samples."""
    chosen, rng = pyramid.sampler(run_of(method, "rgb", rgb_frame=rgb_frame)), np.random.default_rng(0)
    return {int(frame) for _ in range(2000) for frame in chosen.draw(length, rng).reshape(-1)}


@pytest.mark.parametrize("method", ["baseline", "3-level", "4-level"])
def test_rgb_sees_every_frame_of_a_video_in_training(method: str) -> None:
    assert drawn_frames(method, "any", 40) == set(range(40))
    assert drawn_frames(method, "any", 7) == set(range(7))


@pytest.mark.parametrize("method", ["baseline", "3-level", "4-level"])
def test_with_first_rgb_never_sees_the_last_four_frames(method: str) -> None:
    assert drawn_frames(method, "first", 40) == set(range(36))


@pytest.mark.parametrize("method", ["baseline", "3-level", "4-level"])
def test_any_frame_lies_in_its_subsegment_and_in_the_order_of_time(method: str) -> None:
    """Sub-segments of 4 levels overlap. The starts of the segments use the same random numbers as with `first`."""
    chosen = pyramid.sampler(run_of(method, "rgb", rgb_frame="any"))
    for seed in range(200):
        places = chosen.draw(60, np.random.default_rng(seed)).reshape(3, chosen.subsegments)
        first = replace(chosen, frame="first").draw(60, np.random.default_rng(seed)).reshape(3, chosen.subsegments)
        assert ((first <= places) & (places < first + chosen.subsegment_length)).all()
        assert (np.diff(places, axis=1) >= 0).all()


@given(st.integers(1, 200), st.integers(0, 2**32 - 1), st.sampled_from(["baseline", "3-level", "4-level"]))
def test_flow_is_drawn_with_the_same_random_numbers_whichever_frame_rgb_sees(length: int, seed: int, name: str) -> None:
    generators = [np.random.default_rng(seed) for _ in range(2)]
    drawn = [
        pyramid.sampler(run_of(name, "of", rgb_frame=frame)).draw(length, rng)
        for frame, rng in zip(("any", "first"), generators, strict=True)
    ]
    assert (drawn[0] == drawn[1]).all()
    assert generators[0].bit_generator.state == generators[1].bit_generator.state


def test_any_frame_is_scored_by_the_middle_frames_and_first_by_the_first() -> None:
    frames = {
        name: pyramid.sampler(run_of("3-level", "rgb", rgb_frame=name)).spread(40, 1)[0, :, 0].tolist()
        for name in ("any", "first")
    }
    assert frames == {"any": [12, 17, 22, 27], "first": [10, 15, 20, 25]}
    assert pyramid.sampler(run_of("3-level", "of", rgb_frame="any")).spread(40, 1)[0, 0].tolist() == [
        10,
        11,
        12,
        13,
        14,
    ]


def test_a_run_without_the_key_sees_the_first_frames_and_does_not_record_it() -> None:
    assert pyramid.sampler(run_of("3-level", "rgb")).frame == "first"
    assert "rgb_frame" not in run_of("3-level", "rgb", rgb_frame="first").values()["settings"]
    assert run_of("3-level", "rgb", rgb_frame="any").values()["settings"]["rgb_frame"] == "any"


@pytest.mark.parametrize("name", ["0-level", "three", "10-level", ""])
def test_unknown_variant_is_refused(name: str) -> None:
    run = run_of("1-level")
    with pytest.raises(UserError, match=f"variant '{name}' is unknown; allowed are baseline, 1-level"):
        pyramid.parts(replace(run, name=replace(run.name, method=name)))


def test_subsegments_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match=r"pyramid.subsegments 6 cannot be divided into the 4 parts"):
        pyramid.sampler(run_of("3-level", subsegments=6))


def test_subsegments_longer_than_their_segment_are_refused() -> None:
    with pytest.raises(UserError, match=r"pyramid.subsegment_length 21 is more than pyramid.segment_length 20"):
        pyramid.sampler(run_of("3-level", subsegment_length=21))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", ["baseline", "3-level", "4-level"])
@pytest.mark.parametrize("run_input", ["rgb", "of"])
def test_fields_exist_at_every_clip_length(length: int, name: str, run_input: str) -> None:
    chosen = pyramid.sampler(run_of(name, run_input))
    stack = 1 if run_input == "rgb" else 5
    drawn = chosen.draw(length, np.random.default_rng(0)).reshape(chosen.segments, chosen.subsegments, stack)
    spread = chosen.spread(length, 25)
    assert spread.shape == (25, chosen.subsegments, stack)
    for fields in (drawn, spread):
        assert fields.min() >= 0
        assert fields.max() < length
        starts = fields[:, 0, 0]
        assert (np.diff(starts) >= 0).all()
        if length >= chosen.segment_length:  # nothing is clamped
            assert (starts + chosen.segment_length <= length).all()
            assert (fields[:, :, 0] - starts[:, None] == chosen.subsegment_starts).all()
            assert (np.diff(fields, axis=2) == 1).all()


def test_training_starts_reach_every_start_of_their_division() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([sampling.training_starts(28, 3, 20, rng) for _ in range(500)])
    assert [set(column) for column in drawn.T.tolist()] == [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}]


def test_even_starts_are_the_middles_of_even_divisions() -> None:
    assert sampling.even_starts(119, 4, 20).tolist() == [12, 37, 62, 87]
    assert sampling.even_starts(5, 3, 20).tolist() == [0, 0, 0]


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_training_crops_lie_inside_the_frame(height: int, width: int, seed: int) -> None:
    crop = training_crop(height, width, (1, 0.875, 0.75, 0.66), np.random.default_rng(seed))
    assert 0 <= crop.top < crop.top + crop.height <= height
    assert 0 <= crop.left < crop.left + crop.width <= width


def test_training_crops_take_13_positions_and_jitter_by_one_step() -> None:
    rng = np.random.default_rng(0)
    crops = [training_crop(256, 340, (1, 0.875, 0.75, 0.66), rng) for _ in range(3000)]
    places = {(c.top, c.left) for c in crops if (c.height, c.width) == (168, 168)}
    assert len(places) == 13
    sides = (256, 224, 192, 168)
    assert {(c.height, c.width) for c in crops} == {
        (a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1
    }
    assert {c.flip for c in crops} == {False, True}


@pytest.mark.parametrize("number", [1, 2, 5, 10])
def test_fixed_crops_are_tsns(number: int) -> None:
    crops = fixed_crops(256, 340, number)
    assert len(set(crops)) == number
    assert all((crop.height, crop.width) == (224, 224) for crop in crops)
    assert Crop(16, 58, 224, 224) in crops
    assert sum(crop.flip for crop in crops) == (number // 2 if number in (2, 10) else 0)


def test_other_numbers_of_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 1, 2, 5, 10 test crops, not 3"):
        fixed_crops(256, 340, 3)


def test_cut_stacks_fields_in_order() -> None:
    fields = np.arange(6, dtype=np.uint8).reshape(3, 2, 1, 1) * np.ones((1, 1, 4, 4), np.uint8)
    images = cut(fields, np.array([[0, 1], [1, 2]]), Crop(0, 0, 4, 4), 4, is_flow=True)
    assert images[:, :, 0, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5]]


def test_mirrored_flow_changes_the_sign_of_x_only() -> None:
    fields = np.zeros((1, 2, 2, 3), np.uint8)
    fields[0, 0] = [[128, 129, 255]] * 2
    fields[0, 1] = [[128, 129, 255]] * 2
    image = cut(fields, np.array([[0]]), Crop(0, 0, 2, 3, flip=True), 2, is_flow=True)
    assert image.shape == (1, 2, 2, 2)
    image = cut(fields[..., :2], np.array([[0]]), Crop(0, 0, 2, 2, flip=True), 2, is_flow=True)
    assert image[0, 0, 0].tolist() == [127, 128]
    assert image[0, 1, 0].tolist() == [129, 128]


def test_still_flow_stays_still_when_mirrored_and_resized() -> None:
    fields = np.full((5, 2, 8, 8), 128, np.uint8)
    image = cut(fields, np.arange(5)[None], Crop(1, 1, 6, 5, flip=True), 7, is_flow=True)
    assert torch.equal(image, torch.full((1, 10, 7, 7), 128.0))


@pytest.mark.parametrize("size", [8, 21, 64])
def test_resizing_is_pillows_bilinear_with_antialiasing(size: int) -> None:
    rng = np.random.default_rng(size)
    field = rng.integers(0, 256, (1, 3, 60, 80), np.uint8)
    for _ in range(10):
        crop = training_crop(60, 80, (1, 0.875, 0.75, 0.66), rng)
        found = render(torch.from_numpy(field[:, :, *crop.slices]), crop.flip, size, is_flow=False)[0]
        for channel, plane in zip(field[0], found, strict=True):
            region = Image.fromarray(channel[crop.slices].astype(np.float32))
            expected = np.asarray(region.resize((size, size), Image.Resampling.BILINEAR))
            expected = expected[:, ::-1] if crop.flip else expected
            np.testing.assert_allclose(plane.numpy(), expected, atol=0.01)


@given(arrays(np.uint8, (3, 2, 4, 4)))
def test_mirrored_flow_has_mirrored_columns_and_opposite_x(fields: np.ndarray) -> None:
    image = cut(fields, np.arange(3)[:, None], Crop(0, 0, 4, 4, flip=True), 4, is_flow=True).numpy()
    np.testing.assert_array_equal(image[:, 1], fields[:, 1, :, ::-1])
    flow = fields[:, 0, :, ::-1].astype(int) - 128
    exact = flow > -128  # byte 0 has no opposite
    np.testing.assert_array_equal((image[:, 0] - 128)[exact], -flow[exact])
    assert (image[:, 0][~exact] == 255).all()


@given(arrays(np.uint8, (1, 2, 4, 4), elements=st.integers(1, 255)))
def test_flow_mirrored_twice_is_unchanged(fields: np.ndarray) -> None:
    crop, first = Crop(0, 0, 4, 4, flip=True), np.zeros((1, 1), int)
    once = cut(fields, first, crop, 4, is_flow=True).numpy().astype(np.uint8)
    assert np.array_equal(cut(once, first, crop, 4, is_flow=True), fields)


def test_rgb_is_mirrored_unchanged() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 4), dtype=np.uint8)
    image = cut(frames, np.array([[0]]), Crop(0, 0, 4, 4, flip=True), 4, is_flow=False)
    assert np.array_equal(image[0].numpy(), frames[0][..., ::-1])
