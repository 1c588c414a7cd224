"""Samples give the same images wherever the fields live: resident, streamed, from memory maps or JPEG."""

import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stp.config import StorageFormat, Views
from stp.data.index import Clip
from stp.data.joint import InputFields, JointFields
from stp.data.shards import RAW, ClipFields, write_shard
from stp.errors import UserError
from stp.methods import pyramid
from stp.sampling import loading as device_fields
from stp.sampling.crops import Crop, training_crop
from stp.sampling.loading import (
    DeviceFields,
    JointDeviceFields,
    MappedFields,
    ResidentFields,
    StreamedFields,
    open_fields,
)
from stp.sampling.samples import Sample, TrainingBatch, draw_batch, draw_epoch, scored_segments
from stp.sampling.segments import subsegment_fields, training_starts
from stp.system.devices import Compute
from stp.training import scoring as score
from stp.training.batches import training_images
from stp.training.loop import Plan
from tests.plain import cut
from tests.runs import make_run, plan_of, pyramid_network, untrained

CPU = torch.device("cpu")
LENGTHS = (1, 4, 20, 31, 60)
CLIPS = [Clip(f"{'ab'[i % 2]}/{i}", "", "ab"[i % 2]) for i in range(len(LENGTHS))]
NAMES = [clip.clip for clip in CLIPS]
SIZE = 32


def write(
    path: Path,
    modality: str = "of",
    storage: StorageFormat = RAW,
    sizes: Sequence[tuple[int, int]] = ((36, 48),),
    lengths: Sequence[int] = LENGTHS,
) -> ClipFields:
    """Clips of all lengths of random fields; their frame sizes are taken in turn."""
    rng = np.random.default_rng(0)
    with write_shard(path, modality, {}, storage) as shard:
        for i, (name, length) in enumerate(zip(NAMES, lengths, strict=True)):
            shape = (length, 3 if modality == "rgb" else 2, *sizes[i % len(sizes)])
            shard.write(name, rng.integers(0, 256, shape, dtype=np.uint8))
    return ClipFields([path])


def plan(modality: str = "of", name: str = "3-level") -> Plan:
    options = {"backbone": "convnet", "weights": "none", "width": 0.5, "input_size": SIZE, "batch_videos": 2}
    return plan_of(make_run(f"{modality}/{name}/fold1/seed0", ("a", "b"), **options, partial_bn=False))


def epoch(plan: Plan, fields: InputFields, rng: np.random.Generator) -> list[TrainingBatch]:
    return list(draw_epoch(plan.drawing(), fields, CLIPS, plan.run.classes, rng))


def epochs(plan: Plan, fields: InputFields) -> list[TrainingBatch]:
    """Batches of four epochs."""
    return [batch for seed in range(4) for batch in epoch(plan, fields, np.random.default_rng(seed))]


def batch_of(plan: Plan, fields: ClipFields, clips: Sequence[Clip] = CLIPS) -> list[Sample]:
    return draw_batch(plan.drawing(), fields, clips, np.random.default_rng(0))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


def test_draws_come_in_this_order_and_never_change(tmp_path: Path) -> None:
    """A permutation an epoch, then of each clip its starts and its crop, all from one generator."""
    fields, rng = write(tmp_path / "0.h5"), np.random.default_rng(5)
    drawn = [epoch(plan(), fields, rng) for _ in range(2)]
    again = np.random.default_rng(5)
    for batches in drawn:
        order = again.permutation(len(CLIPS))
        samples = [sample for batch in batches for sample in batch.samples]
        assert [sample.clip for sample in samples] == [NAMES[i] for i in order]
        assert [len(batch.samples) for batch in batches] == [2, 2, 1]
        assert np.concatenate([batch.labels for batch in batches]).tolist() == [i % 2 for i in order]
        for sample, i in zip(samples, order, strict=True):
            starts = training_starts(LENGTHS[i], 3, 20, again)
            first = (starts[:, None] + np.array([0, 5, 10, 15])).reshape(-1)
            indices = subsegment_fields(first, 5, LENGTHS[i])
            assert np.array_equal(sample.indices, indices)
            assert sample.crop == training_crop(36, 48, (1, 0.875, 0.75), again)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["baseline", "4-level"])
@pytest.mark.parametrize("modality", ["rgb", "of"])
def test_images_are_those_of_cut_wherever_fields_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: str, name: str, threads: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    fields, chosen = write(tmp_path / "0.h5", modality), plan(modality, name)
    batches = epochs(chosen, fields)
    sources = [MappedFields(fields), StreamedFields(fields, CPU), ResidentFields(fields, NAMES, CPU)]
    for source in sources:
        made = list(training_images(chosen.sampler, SIZE, source, batches))
        assert len(made) == len(batches)
        for batch, (images, labels) in zip(batches, made, strict=True):
            plain = [cut(fields[s.clip], s.indices, s.crop, SIZE, modality == "of") for s in batch.samples]
            assert images.shape[:3] == (len(batch.samples), 3, 8 if name == "4-level" else 1)
            assert torch.equal(images.flatten(0, 2), torch.cat(plain))
            assert labels.tolist() == batch.labels.tolist()


@pytest.mark.parametrize("storage", [RAW, StorageFormat("jpeg")])
@pytest.mark.parametrize("modality", ["rgb", "of"])
def test_resident_and_streamed_fields_give_the_same_bits(
    tmp_path: Path, modality: str, storage: StorageFormat, device: torch.device
) -> None:
    fields, chosen = write(tmp_path / "0.h5", modality, storage), plan(modality)
    batches = epochs(chosen, fields)
    sources = [StreamedFields(fields, device), ResidentFields(fields, NAMES, device)]
    made = [list(training_images(chosen.sampler, SIZE, source, batches)) for source in sources]
    for (streamed, _), (resident, labels) in zip(*made, strict=True):
        assert streamed.device.type == resident.device.type == labels.device.type == device.type
        assert torch.equal(streamed, resident)


@pytest.mark.parametrize("storage", [RAW, StorageFormat("jpeg")])
def test_joint_inputs_that_stream_from_two_shards_give_the_images_of_memory_maps(
    tmp_path: Path, storage: StorageFormat, device: torch.device
) -> None:
    rgb = write(tmp_path / "rgb.h5", "rgb", storage, lengths=[length + 1 for length in LENGTHS])
    fields = JointFields((rgb, write(tmp_path / "of.h5", "of", storage)))
    options = {"backbone": "convnet", "weights": "none", "input_size": SIZE, "batch_videos": 2, "postures": 3}
    run = make_run("rgb+of/tan/fold1/seed0", ("a", "b"), **options)
    chosen = plan_of(run)
    columns, batches = chosen.sampler.columns, epochs(chosen, fields)
    opened = open_fields(fields, NAMES, device, "never", columns=columns)
    assert isinstance(opened, JointDeviceFields)
    in_place = device.type == "cpu" and storage is RAW  # memory maps, which need no streaming
    assert [type(part) for part in opened._parts] == 2 * [MappedFields if in_place else StreamedFields]
    streamed = JointDeviceFields(fields, [StreamedFields(part, device) for part in fields.parts], columns)
    made = [list(training_images(chosen.sampler, SIZE, source, batches)) for source in (streamed, opened)]
    assert len(batches) == len(made[0]) == len(made[1]) == 12
    for batch, (one, labels), (other, _) in zip(batches, *made, strict=True):
        mapped: list[torch.Tensor] = []
        for part, fields_of_image in zip(fields.parts, (slice(1), slice(1, 6)), strict=True):
            samples = [replace(sample, indices=sample.indices[:, fields_of_image]) for sample in batch.samples]
            mapped += MappedFields(part).images([samples], SIZE)
        assert one.device.type == labels.device.type == device.type
        assert torch.equal(one, other)
        tolerance = 0 if device.type == "cpu" else 1e-3
        torch.testing.assert_close(one.flatten(0, 2).cpu(), torch.cat(mapped, 1), rtol=0, atol=tolerance)


@pytest.mark.gpu
def test_a_gpu_makes_the_images_of_the_cpu_up_to_rounding(tmp_path: Path) -> None:
    fields, chosen = write(tmp_path / "0.h5"), plan()
    batches = epoch(chosen, fields, np.random.default_rng(0))
    sources = [StreamedFields(fields, place) for place in (CPU, torch.device("cuda"))]
    made = [training_images(chosen.sampler, SIZE, source, batches) for source in sources]
    for (ours, _), (theirs, _) in zip(*made, strict=True):
        torch.testing.assert_close(theirs.cpu(), ours, rtol=0, atol=1e-3)


def test_clips_of_several_sizes_are_not_resident(tmp_path: Path) -> None:
    fields = write(tmp_path / "0.h5", sizes=((36, 48), (40, 30)))
    samples = batch_of(plan(), fields)
    plain = torch.cat([cut(fields[s.clip], s.indices, s.crop, SIZE, True) for s in samples])
    for source in (open_fields(fields, NAMES, CPU), StreamedFields(fields, CPU)):
        (images,) = source.images([samples], SIZE)
        assert torch.equal(images, plain)
    with pytest.raises(UserError, match="always, but their frames differ in size"):
        open_fields(fields, NAMES, CPU, "always")


def test_batches_are_taken_ahead_but_not_all_at_once(tmp_path: Path) -> None:
    fields = write(tmp_path / "0.h5")
    taken: list[int] = []
    samples = batch_of(plan(), fields, CLIPS[:1])

    def endless() -> Iterator[list[Sample]]:
        while True:
            taken.append(len(taken))
            yield samples

    images = StreamedFields(fields, CPU).images(endless(), SIZE)
    for used in range(1, 6):
        next(images)
        assert len(taken) == used + device_fields.BATCHES_AHEAD
    before = threading.active_count()
    assert isinstance(images, Generator)
    images.close()
    assert threading.active_count() < before


def test_what_fails_in_a_thread_reaches_the_caller_in_its_turn(tmp_path: Path) -> None:
    fields = write(tmp_path / "0.h5")
    good = batch_of(plan(), fields)
    bad = replace(good[-1], indices=good[-1].indices + 1000)
    images = StreamedFields(fields, CPU).images([good, [*good, bad], good], SIZE)
    next(images)
    with pytest.raises(IndexError):
        next(images)
    unknown = Sample("elsewhere", good[0].indices, good[0].crop)
    with pytest.raises(UserError, match="clip 'elsewhere' is not in the of shards"):
        list(StreamedFields(fields, CPU).images([[unknown]], SIZE))


@pytest.mark.parametrize("storage", [RAW, StorageFormat("jpeg")])
def test_residence_is_chosen_by_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: StorageFormat) -> None:
    fields = write(tmp_path / "0.h5", storage=storage)
    needed = sum(LENGTHS) * 2 * 36 * 48

    def kind(resident: device_fields.Residence, free: int) -> type[DeviceFields]:
        monkeypatch.setattr(device_fields, "free_memory", lambda device: free)
        return type(open_fields(fields, NAMES, CPU, resident, memory_share=0.5))

    # On a CPU the page cache holds memory maps; JPEG is better decoded once.
    assert kind("auto", 2 * needed) is (MappedFields if storage is RAW else ResidentFields)
    assert kind("auto", 2 * needed - 2) is (MappedFields if storage is RAW else StreamedFields)
    assert kind("never", 10 * needed) is (MappedFields if storage is RAW else StreamedFields)
    assert kind("always", 2 * needed) is ResidentFields
    with pytest.raises(UserError, match=r"compute.resident: always, but they do not fit \(5 clips of of, 0.00 GiB"):
        kind("always", 2 * needed - 2)


def test_free_memory_is_some(device: torch.device) -> None:
    assert 1 << 20 < device_fields.free_memory(device) < 1 << 50


def views(lengths: Sequence[int]) -> list[Sample]:
    return [Sample(str(n), np.arange(5 * n).reshape(n, 5), Crop(0, 0, 1, 1)) for n in lengths]


@pytest.mark.parametrize("lengths", [(3,), (8, 8), (5, 1, 20, 2), (4, 4, 4)])
def test_scoring_passes_every_image_once_and_in_order(lengths: tuple[int, ...]) -> None:
    plain = [row.tolist() for view in views(lengths) for row in view.indices]
    divided, packed = list(score.divide(views(lengths), 8)), list(score.pack(views(lengths), 8))
    for batches in (divided, packed):
        assert [row.tolist() for batch in batches for view in batch for row in view.indices] == plain
    assert all(len(batch) == 1 and len(batch[0].indices) <= 8 for batch in divided)
    assert all(sum(len(view.indices) for view in batch) == 8 for batch in packed[:-1])
    features = [torch.tensor([row for view in batch for row in view.indices.tolist()]) for batch in packed]
    for view, rows in zip(views(lengths), score.regroup(features, lengths), strict=True):
        assert rows.tolist() == view.indices.tolist()


@pytest.mark.parametrize("name", ["baseline", "1-level", "3-level", "4-level"])
def test_maps_of_subsegments_are_the_pyramid(name: str) -> None:
    torch.manual_seed(0)
    chosen = plan(name=name)
    network = pyramid.build(chosen.run).eval().double()
    torch.nn.init.normal_(network.classifier.weight)
    torch.nn.init.normal_(network.classifier.bias)
    features = torch.randn(2, 9, network.num_features, dtype=torch.float64)
    places = torch.randint(9, (5, chosen.sampler.subsegments))
    with torch.inference_mode():
        mapped = network.segment_scores(features, places)
        torch.testing.assert_close(mapped, network.scores(features[:, places]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("storage", [RAW, StorageFormat("jpeg")])
def test_scores_do_not_depend_on_where_fields_live(tmp_path: Path, storage: StorageFormat) -> None:
    fields = write(tmp_path / "0.h5", storage=storage)
    torch.manual_seed(0)
    scorer, places = untrained(plan().run).scorer, (Compute(CPU, "never"), Compute(CPU, "always"))
    made = [score.score(scorer, "", fields, NAMES, Views(4, 2), place) for place in places]
    assert np.array_equal(made[0], made[1])


def test_packed_batches_score_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = write(tmp_path / "0.h5")
    torch.manual_seed(0)
    recogniser = untrained(plan().run)
    scorer = recogniser.scorer
    torch.nn.init.normal_(pyramid_network(recogniser).classifier.weight)
    plain = score.score(scorer, "", fields, NAMES, Views(4, 10), Compute(CPU))
    monkeypatch.setattr(score, "divide", score.pack)
    packed = score.score(scorer, "", fields, NAMES, Views(4, 10), Compute(CPU))
    np.testing.assert_allclose(packed, plain, rtol=1e-4, atol=1e-5)


def test_scored_segments_list_every_subsegment_once(tmp_path: Path) -> None:
    fields, chosen = write(tmp_path / "0.h5"), plan().sampler
    for name, length in zip(NAMES, LENGTHS, strict=True):
        segments = scored_segments(fields, name, chosen, Views(25, 10))
        assert len(segments.views) == 10
        starts = segments.views[0].indices[:, 0]
        assert len(set(starts)) == len(starts) <= length
        assert segments.places.shape == (25, 4)
        assert set(segments.places.ravel()) == set(range(len(starts)))
