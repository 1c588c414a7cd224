"""Pooled time series: windows, operators and norms by hand."""

import numpy as np
import pytest

from stp.encoding.pooled_series import normed, pooled, pooled_series, windows


def test_a_series_has_fifteen_windows_whose_borders_are_rounded_and_shared() -> None:
    expected = [[0, 89], [0, 45], [45, 89], [0, 22], [22, 45], [45, 67], [67, 89]]  # of 89 steps: 44.5; 22.25, 66.75
    expected += [[0, 11], [11, 22], [22, 33], [33, 45], [45, 56], [56, 67], [67, 78], [78, 89]]
    assert windows(90).tolist() == expected  # 11.125, 22.25, 33.375, 44.5, 55.625, 66.75, 77.875
    assert windows(1).tolist() == [[0, 0]] * 15


def ramp() -> np.ndarray:
    """Eight windows of two frames each: up by .02 a frame, level, down by .004 a frame, down by .01 a frame."""
    return np.array([[0.0], [0.02], [0.04], [0.04], [0.04], [0.036], [0.032], [0.022], [0.012]])


def test_sums_and_maxima_of_a_series_by_hand() -> None:
    series = ramp()
    sums = pooled(series, "sum")
    assert sums[:3] == pytest.approx([0.242, 0.14, 0.142])  # all; frames 0 to 4; 4 to 8
    assert sums[3:7] == pytest.approx([0.06, 0.12, 0.108, 0.066])  # 0 to 2, 2 to 4, 4 to 6, 6 to 8
    assert sums[7:9] == pytest.approx([0.02, 0.06])  # frames 0 and 1, 1 and 2
    assert pooled(series, "max")[[0, 2, 6, 7, 14]] == pytest.approx([0.04, 0.04, 0.032, 0.02, 0.022])
    assert pooled(-series, "max")[[0, 2]] == pytest.approx([0, -0.012])


def test_counts_and_changes_of_a_series_by_hand() -> None:
    # Differences over two frames: none, none, .04, .02, 0, -.004, -.008, -.014, -.02
    series = ramp()
    counts = pooled(series, "counts").reshape(15, 2)  # up, down
    assert counts[0].tolist() == [2, 2]
    assert counts[1:3].tolist() == [[2, 0], [0, 2]]
    assert counts[3:7].tolist() == [
        [1, 0],
        [2, 0],
        [0, 0],
        [0, 2],
    ]  # frames 2 and 3 of the second also see frames 0 and 1
    changes = pooled(series, "changes").reshape(15, 2)
    assert changes[0] == pytest.approx([0.06, 0.046])
    assert changes[6] == pytest.approx([0, 0.042])  # frames 6 to 8


def test_every_operator_keeps_the_order_of_the_series() -> None:
    series = np.concatenate([ramp(), 10 * ramp()], axis=1)
    for operator, numbers in (("sum", 1), ("max", 1), ("counts", 2), ("changes", 2)):
        block = pooled(series, operator).reshape(15, numbers, 2)  # type: ignore[arg-type]
        for place in (0, 1):
            own = pooled(series[:, place : place + 1], operator).reshape(15, numbers)  # type: ignore[arg-type]
            np.testing.assert_allclose(block[:, :, place], own)


def test_each_operators_block_has_signed_roots_and_length_one() -> None:
    assert normed(np.array([-4.0, 9.0])) == pytest.approx([-2 / 13**0.5, 3 / 13**0.5])
    assert normed(np.zeros(3)).tolist() == [0, 0, 0]
    both = pooled_series(ramp(), ("sum", "counts"))
    np.testing.assert_allclose(both, np.concatenate([normed(pooled(ramp(), "sum")), normed(pooled(ramp(), "counts"))]))
    assert both @ both == pytest.approx(2)


def test_a_clip_of_one_frame_has_values_but_no_gradients() -> None:
    series = np.array([[0.5]])
    assert pooled(series, "sum").tolist() == pooled(series, "max").tolist() == [0.5] * 15
    assert not pooled(series, "counts").any()
