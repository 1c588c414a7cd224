"""All images of a batch in one launch equal those of `render`; see `tests.kernels` for how kernels are tested."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stp.config import Views
from stp.data.index import Clip
from stp.data.joint import JointFields
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields, write_shard
from stp.models.backbones import Backbone
from stp.sampling import batch_rendering
from stp.sampling.batch_rendering import ImageTable, Normalisation, Region, render_batch, taps
from stp.sampling.crops import Crop
from stp.sampling.loading import JointDeviceFields, MappedFields, ResidentFields, StreamedFields
from stp.sampling.samples import Sample
from stp.system.devices import Compute
from stp.training.loop import Training
from stp.training.scoring import Scorer, score
from tests.kernels import compiled_size, in_interpreter, mend_interpreter, not_in_interpreter, run_interpreted
from tests.plain import cut
from tests.runs import make_run, plan_of

CPU = torch.device("cpu")
LENGTHS = {"a": 9, "b": 4}
HEIGHT, WIDTH = 36, 48
# Corners, the centre, the whole field; shrunk, as they are, enlarged; alike and different in height and width.
CROPS = [
    Crop(0, 0, 27, 27),
    Crop(9, 21, 27, 27, True),
    Crop(4, 6, 20, 20, True),
    Crop(3, 5, 20, 31),
    Crop(0, 0, HEIGHT, WIDTH, True),
    Crop(30, 40, 5, 7, True),
    Crop(35, 47, 1, 1),
]


def write(path: Path, modality: str, sizes: Sequence[tuple[int, int]] = ((HEIGHT, WIDTH),)) -> ClipFields:
    """Two clips of random fields; their frame sizes are taken in turn."""
    rng = np.random.default_rng(len(modality))
    with write_shard(path, modality, {}) as shard:
        for k, (name, length) in enumerate(LENGTHS.items()):
            shape = (length, MODALITIES[modality].channels, *sizes[k % len(sizes)])
            shard.write(name, rng.integers(0, 256, shape, dtype=np.uint8))
    return ClipFields([path])


def batches_of(crops: Sequence[Crop], images: int, stack: int) -> list[list[Sample]]:
    """Batches of two samples, of one clip each, in these crops; their fields repeat, and are in no order."""
    rng = np.random.default_rng(1)
    clips = list(LENGTHS)
    samples = [
        Sample(clips[k % 2], rng.integers(0, LENGTHS[clips[k % 2]], (images, stack)), crop)
        for k, crop in enumerate(crops)
    ]
    return [samples[first : first + 2] for first in range(0, len(samples), 2)]


def plain(fields: ClipFields, samples: Sequence[Sample], size: int) -> Tensor:
    is_flow = MODALITIES[fields.modality].is_flow
    return torch.cat([cut(fields[s.clip], s.indices, s.crop, size, is_flow) for s in samples])


def assert_equal_to_render(images: Tensor, expected: Tensor, tolerance: float) -> None:
    """The images lie with channels last, and differ by at most `tolerance` grey levels."""
    assert images.dtype == torch.float32
    assert images.shape == expected.shape
    assert images.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(images.cpu(), expected, rtol=0, atol=tolerance)


def check_sources(
    path: Path, modality: str, stack: int, size: int, crops: Sequence[Crop], device: torch.device, tolerance: float
) -> None:
    """Resident and streamed fields give the same bits, and what `render` gives."""
    fields, batches = write(path, modality), batches_of(crops, 2, stack)
    streamed, resident = (
        list(source.images(batches, size))
        for source in (StreamedFields(fields, device), ResidentFields(fields, list(LENGTHS), device))
    )
    assert len(streamed) == len(resident) == len(batches)
    for samples, one, other in zip(batches, streamed, resident, strict=True):
        assert_equal_to_render(one, plain(fields, samples, size), tolerance)
        assert torch.equal(one, other)


def check_sizes(path: Path, device: torch.device, tolerance: float) -> None:
    """Streamed clips may differ in frame size."""
    fields = write(path, "of", ((HEIGHT, WIDTH), (30, 22)))
    samples = [Sample("b", np.array([[3, 0]]), Crop(2, 1, 28, 20, True)), Sample("a", np.array([[8, 8]]), CROPS[3])]
    (images,) = StreamedFields(fields, device).images([samples], 20)
    assert_equal_to_render(images, plain(fields, samples, 20), tolerance)


def check_joint(folder: Path, device: torch.device, tolerance: float) -> None:
    """Images of a frame and a stack of flow, in two batches; one modality is resident, the other streamed."""
    parts = (write(folder / "rgb.h5", "rgb"), write(folder / "of.h5", "of"))
    names, batches = list(LENGTHS), batches_of([*CROPS[1:3], CROPS[5], CROPS[2]], 1, 3)
    sources = [ResidentFields(parts[0], names, device), StreamedFields(parts[1], device)]
    made = JointDeviceFields(JointFields(parts), sources, (1, 2)).images(batches, 20)
    columns = [slice(1), slice(1, 3)]
    for samples, images in zip(batches, made, strict=True):
        expected = [
            plain(part, [Sample(s.clip, s.indices[:, chosen], s.crop) for s in samples], 20)
            for part, chosen in zip(parts, columns, strict=True)
        ]
        assert_equal_to_render(images, torch.cat(expected, 1), tolerance)


def check_normalised(folder: Path, device: torch.device, tolerance: float) -> None:
    """With a normalisation, images are bfloat16, rounded once; `tolerance` is relative."""
    flow = Normalisation(torch.tensor([128.0]), torch.tensor([3.0]), False)
    rgb = Normalisation(torch.tensor([128.0, 117.0, 104.0]), torch.tensor([1.0, 60.0, 70.0]), True)
    for modality, normalisation, stack in (("of", flow, 2), ("rgb", rgb, 1)):
        fields, (samples, *_) = write(folder / f"{modality}.h5", modality), batches_of(CROPS[1:3], 1, stack)
        source = ResidentFields(fields, list(LENGTHS), device)
        there = Normalisation(normalisation.mean.to(device), normalisation.std.to(device), normalisation.bgr)
        (images,) = source.images([samples], 20, there)
        mean, std = (values.view(-1, 1, 1) for values in normalisation[:2])
        expected = (plain(fields, samples, 20) - mean) / std
        expected = expected.flip(1) if normalisation.bgr else expected
        assert images.dtype == torch.bfloat16
        assert images.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(images.cpu().float(), expected, rtol=tolerance, atol=1e-3)


def check_far_bytes(data: Tensor, tolerance: float) -> None:
    """Fields may lie beyond 2 ** 31 bytes, from where their region begins, too: `data` is larger than that twice."""
    field, beyond = 2 * HEIGHT * WIDTH, 2**31 // (2 * HEIGHT * WIDTH) + 1
    rng = np.random.default_rng(0)
    near = torch.from_numpy(rng.integers(0, 256, (2, 2, HEIGHT, WIDTH), dtype=np.uint8))
    stored = data[: len(data) // field * field].view(-1, 2, HEIGHT, WIDTH)
    stored[beyond], stored[2 * beyond] = near[0], near[1]
    crop = CROPS[1]
    first = beyond * field + crop.top * WIDTH + crop.left
    region = Region(first, field, HEIGHT * WIDTH, WIDTH, crop.height, crop.width, crop.flip)
    table = ImageTable.of([region], [np.array([[0, beyond]])])
    table = ImageTable(table.numbers.to(data.device), table.regions, table.images, table.stack, table.longest)
    images = render_batch(data, table, MODALITIES["of"], 20)
    fields = near.numpy()
    assert_equal_to_render(images, cut(fields, np.array([[0, 1]]), crop, 20, True), tolerance)


# ---------------------------------------------------------------------------------------------- without a device


@pytest.mark.parametrize(("size", "longest"), [(224, 256), (224, 224), (224, 1), (20, 30), (20, 31), (7, 500), (1, 9)])
def test_taps_are_at_least_the_source_pixels_of_any_target(size: int, longest: int) -> None:
    """Counted as torch does, in float32."""
    half = np.float32(0.5)
    for length in range(1, longest + 1):
        scale = np.float32(length) / np.float32(size)
        support = max(scale, np.float32(1))
        centre = scale * (np.arange(size, dtype=np.float32) + half)
        first = np.maximum((centre - support + half).astype(int), 0)
        assert (np.minimum((centre + support + half).astype(int), length) - first).max() <= taps(length, size)


def test_few_kernels_are_compiled() -> None:
    """Usual crops of 256 x 340 pixels share a kernel, and there are few for all that could be."""
    assert {taps(round(256 * scale), 224) for scale in (1, 0.875, 0.75, 0.66)} == {3}
    assert [taps(longest, 100) for longest in (149, 150, 249, 250, 449, 450)] == [3, 5, 5, 9, 9, 17]


def test_a_cpu_renders_without_triton(tmp_path: Path) -> None:
    fields, (samples, *_) = write(tmp_path / "0.h5", "of"), batches_of(CROPS, 2, 3)
    for source in (MappedFields(fields), StreamedFields(fields, CPU), ResidentFields(fields, list(LENGTHS), CPU)):
        (images,) = source.images([samples], 20)
        assert torch.equal(images, plain(fields, samples, 20))


@not_in_interpreter
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(
    ("modality", "stack", "longest", "normalised"),
    [
        ("of", 5, 256, False),
        ("of", 5, 256, True),
        ("rgb", 1, 256, False),
        ("rgb", 1, 256, True),
        ("of", 5, 500, False),
        ("rgb", 16, 900, False),
        ("of", 5, 9000, False),
    ],
)
def test_kernel_compiles(modality: str, stack: int, longest: int, normalised: bool, capability: int) -> None:
    pytest.importorskip("triton")
    from stp.sampling.render_kernels import render_images

    constants: dict[str, Any] = {
        "SIZE": 224,
        "TAPS": taps(longest, 224),
        "STACK": stack,
        "CHANNELS": MODALITIES[modality].channels,
        "FLOW": MODALITIES[modality].is_flow,
        "REVERSED": normalised and modality == "rgb",
        "BLOCK": batch_rendering.BLOCK,
    }
    types = {"data": "*u8", "table": "*i64", "out": "*bf16" if normalised else "*fp32"}
    if normalised:
        types["normalisation"] = "*fp32"
    else:
        constants["normalisation"] = None
    options = {"num_warps": batch_rendering.WARPS, "enable_fp_fusion": False}
    registers, stack_bytes = compiled_size(render_images, types, constants, capability, options)
    assert registers <= 72  # seven programs of 128 threads on a multiprocessor
    assert stack_bytes <= 8


# ------------------------------------------------------------------------------------------------ in the interpreter


@not_in_interpreter
def test_kernels_in_the_interpreter() -> None:
    run_interpreted(__file__)


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    mend_interpreter(monkeypatch)


@in_interpreter
@pytest.mark.parametrize(
    ("modality", "stack", "size", "crops"),
    [
        ("of", 2, 20, CROPS[1:5]),
        ("rgb", 1, 20, CROPS[:4]),
        ("of", 1, 18, CROPS[5:]),
        ("of", 1, 9, CROPS[2:4]),
        ("rgb", 1, 12, CROPS[4:5]),
    ],
)
def test_interpreted_images_are_those_of_render(
    tmp_path: Path, interpreter: None, modality: str, stack: int, size: int, crops: list[Crop]
) -> None:
    check_sources(tmp_path / "0.h5", modality, stack, size, crops, CPU, 1e-4)


@in_interpreter
def test_interpreted_images_of_fields_of_several_sizes(tmp_path: Path, interpreter: None) -> None:
    check_sizes(tmp_path / "0.h5", CPU, 1e-4)


@in_interpreter
def test_interpreted_images_of_several_modalities(tmp_path: Path, interpreter: None) -> None:
    check_joint(tmp_path, CPU, 1e-4)


@in_interpreter
def test_interpreted_images_are_normalised(tmp_path: Path, interpreter: None) -> None:
    check_normalised(tmp_path, CPU, 2**-7)  # the interpreter does not round to bfloat16, but cuts off


@in_interpreter
def test_interpreted_training_and_scoring_take_normalised_images(tmp_path: Path, interpreter: None) -> None:
    """In bfloat16, the network sees images that have gone through its normalisation."""
    options = {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 16, "batch_videos": 2}
    run = make_run("rgb/baseline/fold1/seed0", ("a", "b"), **options, precision="bfloat16", partial_bn=False)
    fields, clips = write(tmp_path / "0.h5", "rgb"), [Clip(name, "", name) for name in LENGTHS]
    compute = Compute(CPU, "always")
    training = Training(plan_of(run), compute)
    backbone, seen = training.network.backbone, list[Tensor]()
    assert isinstance(backbone, Backbone)
    backbone.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    list(training.steps(ResidentFields(fields, list(LENGTHS), CPU), clips))
    scorer = Scorer(training.network, run.options, plan_of(run).sampler)
    score(scorer, "", fields, list(LENGTHS), Views(1, 1), compute)
    assert len(seen) > 1
    for images in seen:
        assert images.dtype == torch.bfloat16
        assert images.abs().max() <= 2  # (0 - 128) / 64


@in_interpreter
def test_interpreted_fields_beyond_2_gib(interpreter: None) -> None:
    check_far_bytes(torch.empty(5 << 30, dtype=torch.uint8), 1e-4)  # the system gives memory only to what is touched


# -------------------------------------------------------------------------------------------------------- on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize(("modality", "stack"), [("of", 5), ("rgb", 1), ("rgb", 3)])
@pytest.mark.parametrize("size", [9, 20, 33, 112])
def test_gpu_images_are_those_of_render(tmp_path: Path, modality: str, stack: int, size: int) -> None:
    check_sources(tmp_path / "0.h5", modality, stack, size, CROPS, torch.device("cuda", 0), 1e-3)


@pytest.mark.gpu
def test_gpu_images_of_fields_of_several_sizes(tmp_path: Path) -> None:
    check_sizes(tmp_path / "0.h5", torch.device("cuda", 0), 1e-3)


@pytest.mark.gpu
def test_gpu_images_of_several_modalities(tmp_path: Path) -> None:
    check_joint(tmp_path, torch.device("cuda", 0), 1e-3)


@pytest.mark.gpu
def test_gpu_images_are_normalised(tmp_path: Path) -> None:
    check_normalised(tmp_path, torch.device("cuda", 0), 2**-8)  # half a step of bfloat16


@pytest.mark.gpu
def test_gpu_images_are_rounded_as_torch_rounds(tmp_path: Path) -> None:
    """Where rounding after the normalisation is all that differs, the bits are those of a cast."""
    device = torch.device("cuda", 0)
    fields, (samples, *_) = write(tmp_path / "0.h5", "of"), batches_of(CROPS, 2, 5)
    source = ResidentFields(fields, list(LENGTHS), device)
    normalisation = Normalisation(torch.full((1,), 128.0, device=device), torch.ones(1, device=device), False)
    (plain_images,), (images,) = source.images([samples], 20), source.images([samples], 20, normalisation)
    assert torch.equal(images, (plain_images - 128).bfloat16())


@pytest.mark.gpu
def test_gpu_fields_beyond_2_gib() -> None:
    check_far_bytes(torch.empty(5 << 30, dtype=torch.uint8, device="cuda"), 1e-3)
