"""The torch reference of TV-L1 against the numba engine, and the triton engine against that reference.

Without a GPU the triton kernels run in triton's interpreter (see `tests.kernels`).
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from stp.errors import UserError
from stp.flow import TVL1Parameters, torch_engine, triton_engine, tvl1
from stp.flow.parameters import SEMANTICS
from stp.flow.torch_engine import tvl1_torch
from stp.flow.triton_engine import LINE, Level, Workspace, padded, tvl1_triton
from stp.system.triton_support import triton_available
from tests.flow.test_flow import assert_agree, grey_pairs, moving_texture
from tests.kernels import compiled_size, in_interpreter, mend_interpreter, not_in_interpreter, run_interpreted

both_semantics = pytest.mark.parametrize("semantics", SEMANTICS)


def textures(height: int, width: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (count, H, W) of moving textures, of which the second never moves and the third is constant."""
    pairs = [moving_texture(height, width, seed)[:2] for seed in range(count)]
    previous, following = (np.concatenate(frames) for frames in zip(*pairs, strict=True))
    following[1:2] = previous[1:2]
    previous[2:3], following[2:3] = 77, 77
    return previous, following


# -------------------------------------------------------------------------------------------------- torch reference


@both_semantics
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (15, 15), (16, 17), (47, 63), (19, 130)])
def test_torch_equals_numba_at_any_size(height: int, width: int, semantics: str) -> None:
    # Two levels: over five, rounding alone moves textures by hundredths of a pixel (lambda off by 1e-6 does as well).
    previous, following, _ = moving_texture(height, width)
    parameters = TVL1Parameters(nscales=2, warps=3, outer=3, semantics=semantics)
    flow = tvl1_torch(previous, following, parameters)
    assert flow.shape == (1, 2, height, width)
    assert flow.dtype == np.float32
    difference = np.linalg.norm(flow - tvl1(previous, following, backend="numba", parameters=parameters), axis=1)
    assert difference.mean() < 1e-3


@both_semantics
def test_torch_agrees_with_numba_on_real_clips(real_data: Path, semantics: str) -> None:
    videos = [
        real_data / "testvideos" / "v_IceDancing_g01_c01.avi",
        sorted((real_data / "ut_interaction" / "set1").glob("*.avi"))[0],
    ]
    pairs = [grey_pairs(video, [5]) for video in videos]
    previous, following = (
        np.stack([cv2.resize(frame, (170, 128), interpolation=cv2.INTER_AREA) for (frame,) in frames])
        for frames in zip(*pairs, strict=True)
    )
    parameters = TVL1Parameters(semantics=semantics)
    assert_agree(
        tvl1_torch(previous, following, parameters), tvl1(previous, following, backend="numba", parameters=parameters)
    )


@pytest.mark.parametrize(
    "parameters",
    [
        TVL1Parameters(median_filter=1, nscales=1, warps=2, outer=2),
        TVL1Parameters(tau=0.2, lambda_=0.3, theta=0.25, nscales=2, warps=2, epsilon=0.03, inner=7, outer=4),
        TVL1Parameters(scale_step=0.5, nscales=2, semantics="opencv-cuda", inner=7, outer=3),
    ],
)
def test_torch_equals_numba_for_other_parameters(parameters: TVL1Parameters) -> None:
    previous, following, _ = moving_texture(70, 90, seed=1)
    flow = tvl1_torch(previous, following, parameters)
    expected = tvl1(previous, following, backend="numba", parameters=parameters)
    assert np.linalg.norm(flow - expected, axis=1).mean() < 1e-3


@both_semantics
def test_torch_result_is_bit_equal_for_any_batch(semantics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    previous, following = textures(23, 31, 4)
    parameters = TVL1Parameters(warps=1, outer=1, semantics=semantics)
    flow = tvl1_torch(previous, following, parameters)
    np.testing.assert_array_equal(tvl1_torch(previous[::-1], following[::-1], parameters)[::-1], flow)
    monkeypatch.setattr(torch_engine, "BATCH_PIXELS", 2 * 23 * 31)
    np.testing.assert_array_equal(tvl1_torch(previous, following, parameters), flow)
    for n in range(4):
        np.testing.assert_array_equal(tvl1_torch(previous[n : n + 1], following[n : n + 1], parameters)[0], flow[n])


@both_semantics
def test_torch_sees_no_motion_where_there_is_none(semantics: str) -> None:
    parameters = TVL1Parameters(semantics=semantics)
    constant = np.full((2, 40, 50), 77, np.uint8)
    assert (tvl1_torch(constant, constant + 1, parameters) == 0).all()
    frames, _, _ = moving_texture(40, 50)
    frames.flags.writeable = False
    assert (tvl1_torch(frames, frames, parameters) == 0).all()


def test_sum_is_taken_by_halving() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 2, 5, 7)).astype(np.float32))
    np.testing.assert_allclose(torch_engine.sum_of_pairs(values), values.sum(dim=(1, 2, 3)), atol=1e-5)


def test_lazy_stop_test_takes_few_sums() -> None:
    """After a sum of s thresholds about s iterations go untested."""
    flow = torch.zeros(1, 2, 4, 4)
    pairs = torch_engine.PairsInProgress(flow, TVL1Parameters(epsilon=1, inner=12, outer=1, semantics="opencv-cuda"))
    errors = iter([50.0, 48.0, 0.0, 0.0, 0.0, 1.0])  # the threshold is 16
    done: list[int] = []

    def iterate(linear: object) -> torch.Tensor:
        done.append(int(pairs.active.sum()))
        return torch.tensor([next(errors)])

    pairs.iterate = iterate  # type: ignore[method-assign]
    pairs.solve_lazily(None)  # type: ignore[arg-type]
    # `previous` is -16 at n = 1, then 48, 32, 16 and 0 at n = 5, the next odd one under the threshold.
    assert done == [1] * 6


# ------------------------------------------------------------------------------------- triton, without a device


def test_importing_flow_imports_neither_torch_nor_triton() -> None:
    code = "import sys, stp.flow; assert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    frames = np.zeros((1, 20, 20), np.uint8)
    assert not triton_available()
    with pytest.raises(UserError, match="needs the package triton") as error:
        tvl1_triton(frames, frames, TVL1Parameters())
    assert "\n" not in str(error.value)


@not_in_interpreter
def test_device_that_triton_cannot_use() -> None:
    frames = np.zeros((1, 20, 20), np.uint8)
    with pytest.raises(UserError, match="cannot run on device 'cpu'; it needs a CUDA device") as error:
        tvl1_triton(frames, frames, TVL1Parameters(), device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (256, 340), (4096, 16), (16, 4096), (2160, 3840), (8, 70000)])
def test_tiles_cover_the_image_and_stay_few(height: int, width: int) -> None:
    none = torch.empty(0)
    level = Level(height, width, none, none, width, none)
    strips = -(-max(1, width - 2 * triton_engine.HALO) // triton_engine.STRIP)
    assert level.tiles == strips * -(-height // level.rows)
    assert level.tiles <= max(triton_engine.MOST_TILES, strips)


POINTERS = {"state": "*i32", "order": "*i32", "remaining": "*i32"} | dict.fromkeys(
    ["flow", "dual", "linear", "previous", "errors", "image", "moved", "reference", "source", "target"], "*fp32"
)
FLOATS = dict.fromkeys(["stop", "lambda_theta", "theta", "tau_theta", "scale_y", "scale_x", "gain"], "fp32")
ITERATE: dict[str, Any] = {
    "ROWS": triton_engine.ROWS,
    "STEPS": triton_engine.STEPS,
    "HALO": triton_engine.HALO,
    "PARTIALS": 256,
}
BLOCK = {"BLOCK": triton_engine.BLOCK}


@not_in_interpreter
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("name", "constants", "pointers"),
    [
        ("iterate", ITERATE | {"LAZY": False}, {}),
        ("iterate", ITERATE | {"LAZY": True}, {}),
        ("conclude", {"LAZY": False}, {}),
        ("conclude", {"LAZY": True}, {}),
        ("iterate", ITERATE | {"LAZY": False, "PARTIALS": 1}, {}),  # a level of one tile
        ("compact", {"BLOCK": 512}, {}),
        ("compact", {"BLOCK": 1}, {}),  # a single pair
        ("median_5x5", {"ROWS": triton_engine.MEDIAN_ROWS}, {}),
        ("image_gradients", BLOCK, {"image": "*u8"}),
        ("image_gradients", BLOCK, {}),
        ("linearise", BLOCK | {"CLAMPED": False}, {"reference": "*u8"}),
        ("linearise", BLOCK | {"CLAMPED": True}, {}),
        ("resize", BLOCK | {"FIELDS": 1, "HALF_PIXEL": True}, {"source": "*u8"}),
        ("resize", BLOCK | {"FIELDS": 2, "HALF_PIXEL": False}, {}),
    ],
)
def test_kernels_compile(name: str, constants: dict[str, Any], pointers: dict[str, str], capability: int) -> None:
    pytest.importorskip("triton")
    from stp.flow import triton_kernels

    kernel = getattr(triton_kernels, name)
    options = {"num_warps": 1 if name == "median_5x5" else 4}
    if name == "iterate":
        options = {"num_warps": 1, "maxnreg": triton_engine.STRIP_REGISTERS}
    registers, stack = compiled_size(kernel, POINTERS | FLOATS | pointers, constants, capability, options)
    # Of a multiprocessor's 65536: for PROGRAMS_A_MULTIPROCESSOR programs of a warp, or five of four warps.
    assert registers <= (triton_engine.STRIP_REGISTERS if name == "iterate" else 96)
    assert stack <= 8


# ------------------------------------------------------------------------------------- triton in the interpreter


@not_in_interpreter
def test_kernels_in_the_interpreter() -> None:
    run_interpreted(__file__)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles so small that tiny frames have several, and the interpreter fixed."""
    mend_interpreter(monkeypatch)
    monkeypatch.setattr(triton_engine, "ROWS", 4)
    monkeypatch.setattr(triton_engine, "LAST", triton_engine.LastWorkspace())


def to_lines(fields: np.ndarray) -> torch.Tensor:
    """Fields (N, F, H, W) as the kernels want them: line by line."""
    n, count, height, width = fields.shape
    pitch = padded(width)
    filled = np.full((n, count, height, pitch), 1e9, np.float32)  # what lies beyond the row must not be seen
    filled[..., :width] = fields
    lines = filled.reshape(n, count, height, pitch // LINE, LINE).transpose(0, 2, 3, 1, 4)
    return torch.from_numpy(np.ascontiguousarray(lines))


def from_lines(lines: torch.Tensor, width: int) -> np.ndarray:
    """The inverse of `to_lines`."""
    n, height, _, count, _ = lines.shape
    return lines.numpy().transpose(0, 3, 1, 2, 4).reshape(n, count, height, -1)[..., :width]


@in_interpreter
@both_semantics
def test_interpreted_flow_of_several_loops(semantics: str, small_tiles: None) -> None:
    """Four tiles, two loops; one pair goes on to the end, two stop at once; the fourth launch of a loop is surplus."""
    previous, following = textures(5, 34, 3)
    parameters = TVL1Parameters(nscales=1, warps=2, inner=3, outer=2, epsilon=0.03, semantics=semantics)
    flow = tvl1_triton(previous, following, parameters, "cpu")
    expected = tvl1_torch(previous, following, parameters)
    np.testing.assert_allclose(flow, expected, atol=1e-4)
    assert np.abs(flow[0]).max() > 0.3
    assert (flow[1:] == 0).all()


@in_interpreter
@both_semantics
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_interpreted_stop_is_the_same_iteration(
    steps: int, semantics: str, small_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pairs that stop in the middle of a loop, after 5 and 6 iterations, or lazily after 8 and 6.

    Some of these are the last of their launch, others its first, second or third.
    """
    monkeypatch.setattr(triton_engine, "STEPS", steps)
    previous, following, _ = moving_texture(5, 34)
    previous, following = np.concatenate([previous, previous]), np.concatenate([following, previous // 2 + 50])
    parameters = [
        TVL1Parameters(nscales=1, warps=1, inner=10, outer=1, median_filter=1, epsilon=epsilon, semantics=semantics)
        for epsilon in (0.175, 1e-6)
    ]
    flow = tvl1_triton(previous, following, parameters[0], "cpu")
    expected, unstopped = (tvl1_torch(previous, following, each) for each in parameters)
    np.testing.assert_allclose(flow, expected, atol=1e-4)
    assert (np.abs(unstopped - expected).max(axis=(1, 2, 3)) > 0.01).all()


@in_interpreter
@both_semantics
def test_interpreted_strips_and_walks(semantics: str, small_tiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three strips of three tiles: how many of these a program walks down changes no bit, nor where a pair stops."""
    previous, following, _ = moving_texture(9, 121)
    parameters = TVL1Parameters(nscales=1, warps=1, inner=8, outer=1, epsilon=0.25, semantics=semantics)
    flow = tvl1_triton(previous, following, parameters, "cpu")
    np.testing.assert_allclose(flow, tvl1_torch(previous, following, parameters), atol=1e-4)
    monkeypatch.setattr(triton_engine, "WALK", 1)
    monkeypatch.setattr(triton_engine, "LAST", triton_engine.LastWorkspace())
    np.testing.assert_array_equal(tvl1_triton(previous, following, parameters, "cpu"), flow)


@in_interpreter
@both_semantics
def test_interpreted_pyramid(semantics: str, small_tiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_engine, "ROWS", 16)
    previous, following, _ = moving_texture(20, 21)
    parameters = TVL1Parameters(warps=1, inner=2, outer=1, semantics=semantics)
    flow = tvl1_triton(previous, following, parameters, "cpu")
    np.testing.assert_allclose(flow, tvl1_torch(previous, following, parameters), atol=1e-4)


@in_interpreter
@both_semantics
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (5, 1)])
def test_interpreted_flow_of_a_pixel_or_a_line(height: int, width: int, semantics: str, small_tiles: None) -> None:
    previous, following, _ = moving_texture(height, width)
    parameters = TVL1Parameters(warps=1, inner=2, outer=1, semantics=semantics)
    flow = tvl1_triton(previous, following, parameters, "cpu")
    np.testing.assert_allclose(flow, tvl1_torch(previous, following, parameters), atol=1e-4)


@in_interpreter
def test_interpreted_result_is_bit_equal_for_any_batch(small_tiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    previous, following = textures(5, 34, 3)
    solve = partial(tvl1_triton, parameters=TVL1Parameters(warps=1, inner=2, outer=1), device="cpu")
    flow = solve(previous, following)
    np.testing.assert_array_equal(solve(previous[::-1], following[::-1])[::-1], flow)
    np.testing.assert_array_equal(solve(previous[:1], following[:1]), flow[:1])  # in the workspace for four
    monkeypatch.setattr(triton_engine, "LAST", triton_engine.LastWorkspace())
    monkeypatch.setattr(triton_engine, "LARGEST_BATCH", 2)
    np.testing.assert_array_equal(solve(previous, following), flow)


@in_interpreter
@both_semantics
def test_interpreted_linearisation(semantics: str, small_tiles: None) -> None:
    """At displacements that lead out of the image, far out too."""
    from stp.flow import triton_kernels

    rng = np.random.default_rng(0)
    height, width, pitch = 6, 37, 64
    reference, moved = (rng.integers(0, 256, (2, height, width), dtype=np.uint8) for _ in range(2))
    flow = rng.normal(0, 8, (2, 2, height, width)).astype(np.float32)
    flow[0, 0, 0, :2] = 1e30, -1e30
    flow[1, :, 2] = np.rint(flow[1, :, 2])
    packed, linear = torch.empty(2, height, 2, 3, LINE), torch.empty(2, height, 2, 3, LINE)
    sides = torch.stack([torch.full((2, height, 2, 2, LINE), 1e9), to_lines(flow)])
    state = torch.zeros((2, 5, 2), dtype=torch.int32)
    state[0, 2] = 1  # FLOW_SIDE
    first, second = torch.from_numpy(reference), torch.from_numpy(moved)
    grid = (height * pitch // 128, 2)
    triton_kernels.image_gradients[grid](second, packed, height, width, width, pitch, BLOCK=128)
    triton_kernels.linearise[grid](
        first, packed, sides, state, linear, 2, height, width, width, pitch,
        CLAMPED=semantics == "opencv-cuda", BLOCK=128,
    )  # fmt: skip
    expected_packed = torch_engine.image_gradients(second.float())
    expected = torch_engine.linearise(first.float(), expected_packed, torch.from_numpy(flow), semantics)
    np.testing.assert_array_equal(from_lines(packed, width), expected_packed)
    near = np.abs(flow).max(axis=1) < 1e3
    found = from_lines(linear, width)
    np.testing.assert_allclose(found[:, :2], expected.gradient, atol=1e-3)
    np.testing.assert_allclose(found[:, 2][near], expected.constant.numpy()[near], atol=2e-2)


@in_interpreter
@pytest.mark.parametrize(("height", "width"), [(7, 37), (1, 2), (4, 121), (2, 60)])
def test_interpreted_median(height: int, width: int, small_tiles: None) -> None:
    from stp.flow import triton_kernels

    rng = np.random.default_rng(1)
    pitch = padded(width)
    flow = np.stack([rng.normal(size=(2, height, width)), rng.integers(0, 2, (2, height, width))]).astype(np.float32)
    sides = torch.stack([to_lines(flow), torch.zeros(2, height, pitch // LINE, 2, LINE)])
    order, remaining = torch.tensor([1, 0], dtype=torch.int32), torch.tensor([2], dtype=torch.int32)
    state = torch.zeros((2, 5, 2), dtype=torch.int32)
    triton_kernels.median_5x5[(3,)](sides, state, order, remaining, 2, height, width, pitch, ROWS=3)
    np.testing.assert_array_equal(from_lines(sides[1], width), torch_engine.median_5x5(torch.from_numpy(flow)))


@in_interpreter
def test_interpreted_list_of_remaining_pairs(small_tiles: None) -> None:
    from stp.flow import triton_kernels

    state = torch.zeros((2, 5, 7), dtype=torch.int32)
    state[0, 0] = torch.tensor([1, 0, 0, 1, 1, 0, 1])  # ACTIVE
    order, remaining = torch.zeros(7, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    triton_kernels.compact[(1,)](state, order, remaining, 7, BLOCK=8)
    assert remaining.item() == 4
    assert order[:4].tolist() == [0, 3, 4, 6]


# ------------------------------------------------------------------------------------------------ triton on a device


@pytest.mark.gpu
@both_semantics
@pytest.mark.parametrize(("height", "width"), [(1, 1), (15, 15), (16, 17), (97, 353), (300, 18), (256, 340)])
def test_gpu_equals_torch_at_any_size(height: int, width: int, semantics: str) -> None:
    previous, following = textures(height, width, 3)
    parameters = TVL1Parameters(nscales=2, semantics=semantics)
    difference = tvl1_triton(previous, following, parameters) - tvl1_torch(previous, following, parameters)
    assert np.linalg.norm(difference, axis=1).mean() < 2e-3


@pytest.mark.gpu
@both_semantics
def test_gpu_agrees_with_numba_on_real_clips(real_data: Path, semantics: str) -> None:
    videos = [real_data / "testvideos" / f"v_{name}_g01_c01.avi" for name in ("IceDancing", "Bowling")]
    videos += sorted((real_data / "ut_interaction" / "set1").glob("*.avi"))[:2]
    pairs = [grey_pairs(video, [5, 40]) for video in videos]
    previous, following = (np.concatenate(frames) for frames in zip(*pairs, strict=True))
    parameters = TVL1Parameters(semantics=semantics)
    expected = tvl1(previous, following, backend="numba", parameters=parameters)
    assert_agree(tvl1_triton(previous, following, parameters), expected)


@pytest.mark.gpu
@both_semantics
def test_gpu_result_is_bit_equal_for_any_batch(semantics: str, monkeypatch: pytest.MonkeyPatch) -> None:
    previous, following = textures(120, 200, 7)
    solve = partial(tvl1_triton, parameters=TVL1Parameters(semantics=semantics))
    flow = solve(previous, following)
    np.testing.assert_array_equal(solve(previous, following), flow)
    np.testing.assert_array_equal(solve(previous[::-1], following[::-1])[::-1], flow)
    for n in range(7):
        monkeypatch.setattr(triton_engine, "LAST", triton_engine.LastWorkspace())
        np.testing.assert_array_equal(solve(previous[n : n + 1], following[n : n + 1])[0], flow[n])
    monkeypatch.setattr(triton_engine, "LARGEST_BATCH", 4)
    monkeypatch.setattr(triton_engine, "LAST", triton_engine.LastWorkspace())
    np.testing.assert_array_equal(solve(previous, following), flow)


@pytest.mark.gpu
@both_semantics
def test_gpu_graphs_equal_plain_launches(semantics: str) -> None:
    frames = [torch.from_numpy(frames).pin_memory() for frames in textures(70, 100, 3)]
    with torch.inference_mode():  # as in production, and as the graphs of other tests
        workspace = Workspace(4, 70, 100, TVL1Parameters(semantics=semantics), torch.device("cuda", 0))
        flow = workspace.solve(*frames).cpu()
        workspace.loops = [partial(workspace.launch_loop, level) for level in workspace.levels]
        np.testing.assert_array_equal(workspace.solve(*frames).cpu(), flow)
