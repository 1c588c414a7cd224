"""TV-L1 flow against OpenCV's and against known motion, and flow as bytes."""

import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stp.errors import UserError
from stp.flow import TVL1Parameters, available_backends, dequantise, quantise, resolve_backend, tvl1
from stp.flow import numba_engine as engine

HIGHEST_MEAN_DIFFERENCE = 0.02  # pixels; two versions of OpenCV differ from each other by .0166
HIGHEST_BYTE_DIFFERENCE = 0.0015  # share of bytes that differ by more than 1
BOUND = 20  # pixels/frame, of these bytes


def texture(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """A smooth random pattern of sixty plane waves, 7 to 40 pixels long, sampled exactly at real coordinates; uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros(np.broadcast(x, y).shape)
    for length, angle, phase in zip(
        rng.uniform(7, 40, 60), rng.uniform(0, 2 * np.pi, (60)), rng.random(60), strict=True
    ):
        total += np.sin(2 * np.pi * ((x * np.cos(angle) + y * np.sin(angle)) / length + phase))
    return np.clip(np.rint(128 + 12 * total), 0, 255).astype(np.uint8)


def moving_texture(
    height: int, width: int, seed: int = 0, speed: float = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (1, H, W) of a texture that moves smoothly by up to some 3 pixels, and its true flow (1, 2, H, W)."""
    y, x = np.mgrid[:height, :width].astype(float)
    true = np.stack([1.5 + np.sin(2 * np.pi * y / 200), -1 + 1.2 * np.cos(2 * np.pi * (x + y) / 250)]) * speed
    return texture(x + true[0], y + true[1], seed)[None], texture(x, y, seed)[None], true[None]


def assert_agree(flow: np.ndarray, oracle: np.ndarray, margin: int = 0) -> None:
    """Agreement as of two versions of OpenCV; bytes of a `margin` do not count.

    Near the border, warps bring in black from outside and rounding decides. Whole frames are no matter, small ones are
    mostly border.
    """
    assert np.linalg.norm(flow - oracle, axis=1).mean() <= HIGHEST_MEAN_DIFFERENCE
    inner = slice(margin, -margin or None)
    difference = np.abs(quantise(flow, BOUND).astype(int) - quantise(oracle, BOUND))[..., inner, inner]
    assert (difference > 1).mean() <= HIGHEST_BYTE_DIFFERENCE


def grey_pairs(video: Path, first_frames: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of consecutive frames as uint8 (N, 256, 340)."""
    capture, frames = cv2.VideoCapture(str(video)), {}
    for t in range(max(first_frames) + 2):
        read, frame = capture.read()
        assert read, f"{video} is too short"
        if t in first_frames or t - 1 in first_frames:
            frames[t] = cv2.cvtColor(cv2.resize(frame, (340, 256)), cv2.COLOR_BGR2GRAY)
    return np.stack([frames[t] for t in first_frames]), np.stack([frames[t + 1] for t in first_frames])


CUDA = TVL1Parameters(semantics="opencv-cuda")


def real_videos(folder: Path) -> list[Path]:
    videos = [folder / "testvideos" / f"v_{name}_g01_c01.avi" for name in ("IceDancing", "Bowling")]
    return videos + sorted((folder / "ut_interaction" / "set1").glob("*.avi"))[:2]


def smoothly_warped(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (N, H, W) as seen before a known smooth motion of some 2 pixels, and that true flow (N, 2, H, W)."""
    height, width = frames.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    moved, true = [], []
    for n, frame in enumerate(frames):
        u = 1.5 * np.sin(2 * np.pi * (y / height + 0.1 * n)) + 1
        v = 1.2 * np.cos(2 * np.pi * (x + y) / width) - 0.7
        moved.append(cv2.remap(frame, x + u, y + v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
        true.append(np.stack([u, v]))
    return np.stack(moved), np.stack(true)


def test_is_as_near_to_the_truth_as_opencv_on_real_frames(real_data: Path) -> None:
    frames = np.concatenate([grey_pairs(video, [20])[0] for video in real_videos(real_data)])
    moved, true = smoothly_warped(frames)
    error, opencv_error = (
        np.linalg.norm(tvl1(moved, frames, backend=backend) - true, axis=1).mean() for backend in ("numba", "opencv")
    )
    assert error == pytest.approx(opencv_error, rel=0.01)
    assert error < 0.4


def test_agrees_with_opencv_on_real_clips(real_data: Path) -> None:
    pairs = [grey_pairs(video, [5, 40]) for video in real_videos(real_data)]
    previous, following = (np.concatenate(frames) for frames in zip(*pairs, strict=True))
    flow = tvl1(previous, following)
    assert flow.shape == (8, 2, 256, 340)
    assert flow.dtype == np.float32
    assert_agree(flow, tvl1(previous, following, backend="opencv"))


@pytest.mark.parametrize(
    ("height", "width"), [(2, 3), (15, 15), (16, 17), (120, 160), (97, 353), (33, 704), (24, 705), (300, 18)]
)
def test_agrees_with_opencv_at_any_size(height: int, width: int) -> None:
    previous, following, _ = moving_texture(height, width)
    margin = 8 if min(height, width) > 32 else 0
    assert_agree(tvl1(previous, following), tvl1(previous, following, backend="opencv"), margin)


@pytest.mark.parametrize(
    "parameters",
    [
        TVL1Parameters(median_filter=1),
        TVL1Parameters(tau=0.2, lambda_=0.3, theta=0.25, nscales=3, warps=2, epsilon=0.03, inner=7, outer=4),
        TVL1Parameters(scale_step=0.5),
        TVL1Parameters(nscales=1, warps=1, inner=1, outer=1),
    ],
)
def test_agrees_with_opencv_for_other_parameters(parameters: TVL1Parameters) -> None:
    previous, following, _ = moving_texture(128, 144, seed=1)
    flow = tvl1(previous, following, parameters=parameters)
    assert_agree(flow, tvl1(previous, following, backend="opencv", parameters=parameters), margin=8)


def test_finds_a_known_smooth_motion() -> None:
    previous, following, true = moving_texture(180, 200, seed=2)
    error = np.linalg.norm(tvl1(previous, following) - true, axis=1)[0, 8:-8, 8:-8]
    assert np.median(error) < 0.1
    assert error.mean() < 0.1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 50), (50, 1), (2, 2), (3, 1)])
def test_frames_of_a_pixel_or_a_line(height: int, width: int) -> None:
    previous, following, _ = moving_texture(height, width)
    flow = tvl1(previous, following)
    assert np.isfinite(flow).all()
    if width == 1:
        assert (flow[:, 0] == 0).all()  # without a gradient there is no motion to be seen
    if height == 1:
        assert (flow[:, 1] == 0).all()


@pytest.mark.parametrize(("height", "width"), [(4096, 16), (16, 4096)])
def test_long_frames(height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width].astype(float)
    flow = tvl1(texture(x + 0.6, y - 0.4)[None], texture(x, y)[None])
    assert np.abs(np.median(flow, axis=(0, 2, 3)) - [0.6, -0.4]).max() < 0.05


def test_frames_without_motion() -> None:
    constant = np.full((2, 40, 50), 77, np.uint8)
    assert (tvl1(constant, constant) == 0).all()
    assert (tvl1(constant, constant + 1) == 0).all()
    frames, _, _ = moving_texture(60, 80)
    assert (tvl1(frames, frames) == 0).all()


def test_no_frames() -> None:
    none = np.empty((0, 20, 30), np.uint8)
    for backend in available_backends():  # of opencv-cpu
        assert tvl1(none, none, backend=backend).shape == (0, 2, 20, 30)


def test_noise_stays_finite() -> None:
    noise = np.random.default_rng(3).choice(np.array([0, 255], np.uint8), (4, 70, 90))
    assert np.isfinite(tvl1(noise[:-1], noise[1:])).all()


def test_result_is_bit_equal_for_any_batch_order_threads_and_memory_layout() -> None:
    pairs = [moving_texture(70, 400, seed)[:2] for seed in range(5)]
    previous, following = (np.concatenate(frames) for frames in zip(*pairs, strict=True))
    expected = tvl1(previous, following, threads=1)
    np.testing.assert_array_equal(tvl1(previous, following, threads=2), expected)
    np.testing.assert_array_equal(tvl1(previous[::-1], following[::-1])[::-1], expected)
    for n in range(5):
        np.testing.assert_array_equal(tvl1(previous[n : n + 1], following[n : n + 1])[0], expected[n])
    fortran = np.asfortranarray(previous)
    fortran.flags.writeable = False
    np.testing.assert_array_equal(tvl1(fortran, following), expected)


def test_one_compilation_serves_all_inputs() -> None:
    frames, _, _ = moving_texture(20, 30)
    before = len(engine.flow_of_pair.signatures)
    frozen = frames.copy()
    frozen.flags.writeable = False
    tvl1(frames, frozen)
    tvl1(frozen[:, ::2], frames[:, ::2], parameters=TVL1Parameters(median_filter=1, epsilon=1))
    assert len(engine.flow_of_pair.signatures) == max(before, 1)


def test_opencv_keeps_its_number_of_threads() -> None:
    frames, _, _ = moving_texture(20, 30)
    before = cv2.getNumThreads()
    tvl1(frames, frames, backend="opencv", threads=1)
    assert cv2.getNumThreads() == before


def workspace_of(fields: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A workspace that holds fields (10, H, W) cut into strips at `edges`; what no pixel may see is full of rubbish."""
    height, left = fields.shape[1], int(engine.LEFT)
    workspace = np.full((len(edges) - 1, height + 1, engine.FIELDS, int(engine.FIELD)), 1e3, np.float32)
    engine.clear_dual(workspace.ravel(), (len(edges) - 1) * (height + 1))
    for strip, first, stop in zip(workspace, edges[:-1], edges[1:], strict=True):
        strip[1:, :, left : left + stop - first] = fields[:, :, first:stop].transpose(1, 0, 2)
    return workspace.ravel()


SCALARS = engine.Scalars(
    np.float32(0.045),
    np.float32(0.3),
    np.float32(0.25 / 0.3),
    1e-4,
    warps=5,
    outer=10,
    inner=30,
    median=True,
    lazy_stop=False,
    scale_step=0.8,
    cubic=np.float32(-0.75),
    repeat_edges=False,
    centre=0.5,
)


def iterated_flow(fields: np.ndarray, edges: list[int], sweeps: list[int]) -> tuple[np.ndarray, float]:
    """u (2, H, W) after primal-dual iterations on fields (10, H, W) cut into strips, and the last squared update."""
    workspace, error = workspace_of(fields, np.array(edges)), 0.0
    for iterations in sweeps:
        error = float(
            engine.iterate(workspace, fields.shape[1], np.array(edges), iterations, engine.LARGEST, SCALARS)[1]
        )
    flow = np.empty((2, *fields.shape[1:]), np.float32)
    engine.take_flow(workspace, flow, np.array(edges))
    return flow, error


@pytest.mark.parametrize("height", [1, 2, 3, 30])
def test_iterations_do_not_depend_on_strips_and_sweeps(height: int) -> None:
    fields = np.random.default_rng(6).normal(size=(10, height, 48)).astype(np.float32)
    fields[2:6] = 0  # the dual variables start at zero
    fields[8] = 1 / (fields[6] ** 2 + fields[7] ** 2)
    flow, error = iterated_flow(fields, [0, 48], [1] * 8)
    swept, swept_error = iterated_flow(fields, [0, 48], [4, 3, 1])
    np.testing.assert_array_equal(swept, flow)
    assert swept_error == error
    # Strips are vectorised differently, hence rounding; a wrong neighbour at a seam changes the flow by some tenths.
    seamed, seamed_error = iterated_flow(fields, [0, 17, 31, 48], [4, 4])
    np.testing.assert_allclose(seamed, flow, atol=1e-5)
    assert seamed_error == pytest.approx(error, rel=1e-4)


def test_median_equals_opencv() -> None:
    rng = np.random.default_rng(4)
    width = 2 * engine.STRIP + 5
    edges = np.array([0, 200, 430, width])
    for values in (rng.normal(size=(60, width)), rng.integers(0, 2, (60, width))):
        image = values.astype(np.float32)
        workspace = np.zeros(3 * 61 * int(engine.ROW), np.float32)
        engine.median_5x5(image, engine.U2, workspace, edges, np.zeros(5 * int(engine.FIELD), np.float32))
        flow = np.empty((2, 60, width), np.float32)
        engine.take_flow(workspace, flow, edges)
        np.testing.assert_array_equal(flow[1], cv2.medianBlur(image, 5))
        assert (flow[0] == 0).all()


@pytest.mark.parametrize(
    ("source", "target"), [((37, 53), (30, 42)), ((30, 42), (37, 53)), ((1, 1), (3, 4)), ((5, 1), (2, 2))]
)
def test_resize_equals_opencv(source: tuple[int, int], target: tuple[int, int]) -> None:
    image = np.random.default_rng(5).random(source, np.float32)
    result = np.empty(target, np.float32)
    engine.resize_bilinear(image, result, source[0] / target[0], source[1] / target[1], np.float32(3), 0.5)
    np.testing.assert_allclose(result, 3 * cv2.resize(image, target[::-1]), atol=1e-5)


def test_backends() -> None:
    assert resolve_backend("auto") == resolve_backend("auto", "opencv-cuda") == "numba" == available_backends()[0]
    assert resolve_backend("opencv") == "opencv"
    with pytest.raises(UserError, match=r"'farneback' is unknown; choose one of: auto, numba"):
        resolve_backend("farneback")
    with pytest.raises(
        UserError, match=r"'opencv' computes the semantics opencv-cpu, not opencv-cuda; .*: auto, numba"
    ):
        resolve_backend("opencv", "opencv-cuda")


@pytest.mark.skipif("opencv-cuda" in available_backends("opencv-cuda"), reason="this machine has the CUDA backend")
def test_absent_backend() -> None:
    frames = np.zeros((1, 20, 20), np.uint8)
    with pytest.raises(UserError, match="'opencv-cuda' is not available") as error:
        tvl1(frames, frames, backend="opencv-cuda", parameters=CUDA)
    assert "\n" not in str(error.value)


@pytest.mark.gpu
@pytest.mark.opencv_cuda
@pytest.mark.skipif("opencv-cuda" not in available_backends("opencv-cuda"), reason="this OpenCV has no CUDA")
def test_agrees_with_opencv_cuda() -> None:
    previous, following, _ = moving_texture(180, 200, seed=2)
    flow = tvl1(previous, following, parameters=CUDA)
    assert_agree(flow, tvl1(previous, following, backend="opencv-cuda", parameters=CUDA))


def test_tensors_give_the_flow_of_arrays_as_a_tensor() -> None:
    previous, following, _ = moving_texture(40, 50)
    flow = tvl1(torch.from_numpy(previous), torch.from_numpy(following))
    assert isinstance(flow, torch.Tensor)
    np.testing.assert_array_equal(flow.numpy(), tvl1(previous, following))
    fields = quantise(flow, BOUND)
    assert fields.dtype == torch.uint8
    np.testing.assert_array_equal(fields.numpy(), quantise(flow.numpy(), BOUND))
    again = dequantise(fields, BOUND)
    assert isinstance(again, torch.Tensor)
    np.testing.assert_array_equal(again.numpy(), dequantise(fields.numpy(), BOUND))


def test_flow_of_arrays_does_not_ask_a_torch_that_another_thread_still_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    previous, following, _ = moving_texture(40, 50)
    expected = tvl1(previous, following)
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    np.testing.assert_array_equal(tvl1(previous, following), expected)


def test_what_is_neither_an_array_nor_a_tensor_is_called_by_its_type() -> None:
    frames = np.zeros((2, 20, 30), np.uint8)
    with pytest.raises(ValueError, match="previous must be a NumPy array or a torch tensor, not a list"):
        tvl1(frames.tolist(), frames)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="must both be NumPy arrays, or both torch tensors"):
        tvl1(frames, torch.from_numpy(frames))  # type: ignore[type-var]
    with pytest.raises(ValueError, match=r"following must be uint8, grey values 0\.\.255, not float32"):
        tvl1(torch.from_numpy(frames), torch.from_numpy(frames).float())
    with pytest.raises(ValueError, match="flow must be a NumPy array or a torch tensor, not a float"):
        quantise(1.0, BOUND)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="fields must be uint8, not int64"):
        dequantise(torch.zeros(2, dtype=torch.int64), BOUND)


def test_wrong_arguments() -> None:
    frames = np.zeros((2, 20, 30), np.uint8)
    with pytest.raises(ValueError, match=r"uint8, grey values 0\.\.255, not float32"):
        tvl1(frames.astype(np.float32), frames)  # type: ignore[type-var]
    with pytest.raises(ValueError, match=r"following must be grey frames .*\(2, 20, 30, 3\)"):
        tvl1(frames, np.zeros((2, 20, 30, 3), np.uint8))
    with pytest.raises(ValueError, match="previous must be grey frames"):
        tvl1(frames[0], frames[0])
    with pytest.raises(ValueError, match="one shape"):
        tvl1(frames, frames[:1])
    with pytest.raises(ValueError, match="grey frames"):
        tvl1(frames[:, :0], frames[:, :0])
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        tvl1(frames, frames, threads=0)


@pytest.mark.parametrize(
    "wrong", [{"tau": 0.0}, {"warps": 0}, {"scale_step": 1.0}, {"median_filter": 3}, {"semantics": "cuda"}]
)
def test_wrong_parameters(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TVL1Parameters(**wrong)  # type: ignore[arg-type]


BOUNDS = st.floats(0.5, 64)


@given(arrays(np.float32, (20,), elements=st.floats(-100, 100, width=32)), BOUNDS)
def test_quantisation_rounds_saturates_and_keeps_order(flow: np.ndarray, bound: float) -> None:
    flow = np.sort(flow)
    fields = quantise(flow, bound)
    assert (np.diff(fields.astype(int)) >= 0).all()
    assert (fields[flow >= bound] == 255).all()
    assert (fields[flow <= -bound] == 0).all()
    within = np.abs(flow) <= bound
    step = 2 * bound / 255
    assert np.abs(dequantise(fields, bound) - flow)[within].max(initial=0) <= step * 1.0001


@given(BOUNDS)
def test_zero_flow_is_128_and_back(bound: float) -> None:
    assert quantise(np.zeros(1, np.float32), bound) == 128
    assert dequantise(np.array([128], np.uint8), bound) == 0


def test_quantisation_rounds_half_to_even() -> None:
    steps = np.array([-1.0, 0, 1, 2])  # of 2 bound / 255, so that x falls between two bytes
    assert quantise(steps * 40 / 255, 20).tolist() == [126, 128, 128, 130]


def test_wrong_fields() -> None:
    with pytest.raises(ValueError, match="finite"):
        quantise(np.array([np.nan], np.float32), 20)
    with pytest.raises(ValueError, match="bound must be positive"):
        quantise(np.zeros(1, np.float32), 0)
    with pytest.raises(ValueError, match="uint8, not float32"):
        dequantise(np.zeros(1, np.float32), 20)
