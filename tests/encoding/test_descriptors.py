"""Stored trajectories: where each type is, and samples that are even over clips."""

import numpy as np
import pytest

from stp.encoding.descriptors import COLUMNS, TYPES, check_trajectories, even_shares, sample
from stp.errors import UserError
from stp.trajectories import COLUMNS as stored_columns
from stp.trajectories import SIZES


def test_the_types_are_where_trajectories_are_stored() -> None:
    assert {name: columns.stop - columns.start for name, columns in TYPES.items()} == SIZES
    assert list(TYPES) == list(SIZES)
    assert [n for columns in TYPES.values() for n in range(COLUMNS)[columns]] == list(range(4, COLUMNS))
    assert stored_columns == COLUMNS


def test_other_arrays_are_one_line() -> None:
    with pytest.raises(UserError, match=r"must be \(trajectories, 430\), but is \(3, 100\); compute them again"):
        check_trajectories(np.zeros((3, 100)))


def test_what_short_clips_lack_is_taken_from_the_others() -> None:
    assert even_shares(np.array([10, 10, 10]), 12).tolist() == [4, 4, 4]
    assert even_shares(np.array([10, 1, 10]), 12).tolist() == [5, 1, 6]
    assert even_shares(np.array([0, 2, 100, 5]), 40).tolist() == [0, 2, 33, 5]
    assert even_shares(np.array([3, 1]), 100).tolist() == [3, 1]
    assert even_shares(np.array([0, 0]), 100).tolist() == [0, 0]


def test_a_sample_has_each_clips_share_each_row_once_and_repeats() -> None:
    clips = [np.full((n, COLUMNS), i, np.float16) for i, n in enumerate((50, 0, 3, 50))]
    for clip in clips:
        clip[:, 1] = np.arange(len(clip))
    lengths = np.array([len(clip) for clip in clips])
    rows = sample(clips, lengths, 23, seed=0)
    assert rows.dtype == np.float16
    assert np.bincount(rows[:, 0].astype(int)).tolist() == [10, 0, 3, 10]
    assert len(np.unique(rows[:, :2], axis=0)) == 23
    assert np.array_equal(sample(clips, lengths, 23, seed=0), rows)
    assert not np.array_equal(sample(clips, lengths, 23, seed=1), rows)
    assert sample(clips[1:2], lengths[1:2], 23, seed=0).shape == (0, COLUMNS)
