"""Where the fields of a run live, and how images are made of them on the device that computes.

    ResidentFields      in the device's memory as bytes, loaded once
    StreamedFields      in their files; threads gather the regions that the next batches need and send them ahead
    MappedFields        in memory maps, on a CPU: regions are read when their turn comes
    JointDeviceFields   several modalities, each in one of these ways

Wherever they come from, regions become images on the device, by the same code: the images are the same. On a GPU that
runs triton's kernels one launch makes all of a batch, elsewhere `render` makes them sample by sample.
"""

import itertools
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from stp.config import Compute, Residence
from stp.data.joint import InputFields, JointFields
from stp.data.modalities import MODALITIES
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.sampling.batch_rendering import ImageTable, Normalisation, Region, render_batch
from stp.sampling.crops import render
from stp.sampling.samples import Sample
from stp.system.gpu_slots import one_at_a_time
from stp.system.machine import process_memory
from stp.system.prefetch import prefetch
from stp.system.triton_support import keep_kernels, runs_kernels

log = logging.getLogger(__name__)

# Estimates of what computing takes of a GPU's memory: of a training step for each image of 224 pixels, counted over the
# maps of BN-Inception, and of libraries and work space for all of it.
STEP_BYTES = 24 << 20
SPARE_BYTES = 3 << 29
BATCHES_AHEAD = 3
BATCHES_AT_ONCE = 2  # so that threads without work in the last samples of a batch begin with the next one


@dataclass(frozen=True)
class Regions:
    """The cropped fields of a batch, on the device: each sample's distinct fields, uint8 (n, C, h, w).

    `fields` gives the samples in order, some of them made on demand; they are valid until the next batch is asked for.
    `places` (M * stack,) int64 has for each sample the numbers of the n fields that its images are stacked from.
    """

    samples: Sequence[Sample]
    fields: Iterable[Tensor]
    places: Sequence[Tensor]


@dataclass(frozen=True, eq=False)
class StoredRegions:
    """The bytes, on the device, that hold the cropped fields of a batch, and the table of its images."""

    data: Tensor  # uint8
    table: ImageTable


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; a copy to a GPU goes on in the background."""
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


class DeviceFields(ABC):
    """The fields of an input, from which images are made on `device`."""

    def __init__(self, fields: InputFields, device: torch.device) -> None:
        self.fields = fields
        self.device = device

    @abstractmethod
    def images(
        self, batches: Iterable[Sequence[Sample]], size: int, normalisation: Normalisation | None = None
    ) -> Iterator[Tensor]:
        """All images of every batch, one sample after another: float32 (images, channels, size, size) of 0..255.

        The channels of an image are those of its fields, in their order. With a `normalisation`, fields of one modality
        may give bfloat16 instead, which has gone through it: where one launch makes all images of a batch.
        """


class ModalityFields(DeviceFields):
    """The fields of one modality."""

    def __init__(self, fields: ClipFields, device: torch.device) -> None:
        super().__init__(fields, device)
        self._stored, self._modality = fields, MODALITIES[fields.modality]
        self._at_once = runs_kernels(device)  # whether one launch makes all images of a batch
        if self._at_once:
            keep_kernels()

    @abstractmethod
    def regions(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Regions | StoredRegions]:
        """The regions of every batch, in order; batches may be taken ahead of their use."""

    def images(
        self, batches: Iterable[Sequence[Sample]], size: int, normalisation: Normalisation | None = None
    ) -> Iterator[Tensor]:
        for regions in self.regions(batches):
            if isinstance(regions, StoredRegions):
                yield render_batch(regions.data, regions.table, self._modality, size, normalisation)
            else:
                yield self._render(regions, size)

    def _render(self, regions: Regions, size: int) -> Tensor:
        channels, lengths = self._modality.channels, [len(places) for places in regions.places]
        planes = torch.empty((sum(lengths), channels, size, size), device=self.device)
        targets = planes.split(lengths)
        for sample, fields, places, target in zip(
            regions.samples, regions.fields, regions.places, targets, strict=True
        ):
            images = render(fields, sample.crop.flip, size, self._modality.is_flow)
            torch.index_select(images, 0, places, out=target)
        return planes.view(-1, regions.samples[0].indices.shape[1] * channels, size, size)


class MappedFields(ModalityFields):
    """Fields in memory maps, read by a CPU."""

    def __init__(self, fields: ClipFields) -> None:
        super().__init__(fields, torch.device("cpu"))

    def regions(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Regions]:
        for samples in batches:
            chosen = [sample.distinct() for sample in samples]
            fields = (
                torch.from_numpy(np.asarray(self._stored[sample.clip][distinct, :, *sample.crop.slices]))
                for sample, (distinct, _) in zip(samples, chosen, strict=True)
            )
            yield Regions(samples, fields, [torch.from_numpy(place) for _, place in chosen])


class ResidentFields(ModalityFields):
    """Fields of clips of one frame size in the device's memory, as one tensor uint8 (all fields, C, H, W)."""

    def __init__(self, fields: ClipFields, clips: Sequence[str], device: torch.device) -> None:
        super().__init__(fields, device)
        lengths = [fields.shape(clip)[0] for clip in clips]
        self._data = torch.empty((sum(lengths), *fields.shape(clips[0])[1:]), dtype=torch.uint8, device=device)
        # A view for each clip: torch selects from tensors over 2 GiB by slower code.
        self._clips = dict(zip(clips, self._data.split(lengths), strict=True))
        self._starts = dict(zip(clips, itertools.accumulate(lengths, initial=0), strict=False))

        @torch.inference_mode()  # threads do not inherit it, and without it may not write what was made in it
        def load(clip: str, target: Tensor) -> None:
            target.copy_(torch.from_numpy(np.array(fields[clip][:])))

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for job in [pool.submit(load, *pair) for pair in zip(clips, self._data.split(lengths), strict=True)]:
                job.result()

    def regions(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Regions | StoredRegions]:
        for samples in batches:
            if self._at_once:
                table = ImageTable.of(list(map(self._region, samples)), [sample.indices for sample in samples])
                yield StoredRegions(self._data, replace(table, numbers=upload(table.numbers, self.device)))
                continue
            numbers, places = [], []
            for sample in samples:
                distinct, place = sample.distinct()
                numbers.append(distinct)
                places.append(place)
            index = upload(torch.from_numpy(np.concatenate(numbers + places)), self.device)
            parts = index.split([len(part) for part in numbers + places])
            fields = (
                self._clips[sample.clip][:, :, *sample.crop.slices].index_select(0, chosen)
                for sample, chosen in zip(samples, parts, strict=False)
            )
            yield Regions(samples, fields, parts[len(samples) :])

    def _region(self, sample: Sample) -> Region:
        crop, (_, channels, height, width) = sample.crop, self._data.shape
        channel = height * width
        first = self._starts[sample.clip] * channels * channel + crop.top * width + crop.left
        return Region(first, channels * channel, channel, width, crop.height, crop.width, crop.flip)


@dataclass(frozen=True, eq=False)
class Cargo:
    """The fields of a batch that are to be gathered, and the flat `buffer` for them."""

    samples: Sequence[Sample]
    fields: list[np.ndarray]  # (n,) int64 each
    places: list[np.ndarray]  # as in Regions
    shapes: list[tuple[int, int, int, int]]  # (n, C, h, w)
    buffer: Tensor  # uint8

    def table(self) -> ImageTable:
        """The table of the batch's images, whose regions lie in the buffer one after another."""
        starts = itertools.accumulate(map(math.prod, self.shapes), initial=0)
        regions = [
            Region(first, channels * height * width, height * width, width, height, width, sample.crop.flip)
            for first, (_, channels, height, width), sample in zip(starts, self.shapes, self.samples, strict=False)
        ]
        fields = [place.reshape(sample.indices.shape) for place, sample in zip(self.places, self.samples, strict=True)]
        return ImageTable.of(regions, fields)


@dataclass(frozen=True)
class Shipment:
    """Regions on their way to the GPU; they lie in `tensors`."""

    regions: Regions | StoredRegions
    tensors: tuple[Tensor, ...]
    event: torch.cuda.Event | None  # recorded after the copy; None on a CPU


class StreamedFields(ModalityFields):
    """Fields in their files; threads gather those that the next batches need."""

    def __init__(self, fields: ClipFields, device: torch.device) -> None:
        super().__init__(fields, device)
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def regions(self, batches: Iterable[Sequence[Sample]]) -> Iterator[Regions | StoredRegions]:
        with ThreadPoolExecutor(torch.get_num_threads()) as gatherers:

            def ship(cargo: Cargo) -> Shipment:
                return self._ship(cargo, gatherers)

            # Prefetching takes its sources in this thread, and memory must be allocated here: the allocator gives a
            # large buffer of another thread back to the system, and fresh pages cost more than all the rest.
            cargoes = map(self._make_room, batches)
            with closing(prefetch(ship, cargoes, BATCHES_AHEAD, BATCHES_AT_ONCE)) as shipments:
                for shipment in shipments:
                    yield self._receive(shipment)

    def _make_room(self, samples: Sequence[Sample]) -> Cargo:
        """The fields that a batch needs, and memory for them."""
        chosen = [sample.distinct() for sample in samples]
        fields, places = [distinct for distinct, _ in chosen], [place for _, place in chosen]
        shapes = [
            (len(distinct), self._stored.shape(sample.clip)[1], sample.crop.height, sample.crop.width)
            for sample, distinct in zip(samples, fields, strict=True)
        ]
        # Pinned memory is cached by torch, which waits for copies under way before it hands it out again.
        buffer = torch.empty(sum(map(math.prod, shapes)), dtype=torch.uint8, pin_memory=self._stream is not None)
        return Cargo(samples, fields, places, shapes, buffer)

    def _ship(self, cargo: Cargo, gatherers: ThreadPoolExecutor) -> Shipment:
        """Gather a batch, and send it on its way; waits for the gatherers."""
        targets = unpack(cargo.buffer, cargo.shapes)
        jobs = [
            gatherers.submit(self._gather, sample, distinct, target)
            for sample, distinct, target in zip(cargo.samples, cargo.fields, targets, strict=True)
        ]
        for job in jobs:
            job.result()
        buffer, event = cargo.buffer, None
        table = cargo.table() if self._at_once else None
        index = table.numbers if table else torch.from_numpy(np.concatenate(cargo.places))
        if self._stream is not None:
            with torch.cuda.stream(self._stream):  # copies beside the computation
                buffer, index = buffer.to(self.device, non_blocking=True), upload(index, self.device)
                event = self._stream.record_event()
        if table:
            return Shipment(StoredRegions(buffer, replace(table, numbers=index)), (buffer, index), event)
        parts = index.split([len(place) for place in cargo.places])
        return Shipment(Regions(cargo.samples, unpack(buffer, cargo.shapes), parts), (buffer, index), event)

    def _gather(self, sample: Sample, distinct: np.ndarray, target: Tensor) -> None:
        target.numpy()[...] = self._stored[sample.clip][distinct, :, *sample.crop.slices]

    def _receive(self, shipment: Shipment) -> Regions | StoredRegions:
        """The regions, which the current stream may use from now on."""
        if shipment.event is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(shipment.event)
            for tensor in shipment.tensors:
                tensor.record_stream(current)
        return shipment.regions


class JointDeviceFields(DeviceFields):
    """The fields of several modalities; an image has those of the first, then those of the next.

    `columns` are the numbers of fields of each modality in an image.
    """

    def __init__(self, fields: JointFields, parts: Sequence[DeviceFields], columns: Sequence[int]) -> None:
        super().__init__(fields, parts[0].device)
        self._parts, self._columns = parts, columns

    def images(
        self, batches: Iterable[Sequence[Sample]], size: int, normalisation: Normalisation | None = None
    ) -> Iterator[Tensor]:
        ends = list(itertools.accumulate(self._columns))
        slices = [slice(end - width, end) for end, width in zip(ends, self._columns, strict=True)]

        def part_of(batches: Iterable[Sequence[Sample]], columns: slice) -> Iterator[list[Sample]]:
            for samples in batches:
                yield [replace(sample, indices=sample.indices[:, columns]) for sample in samples]

        copies = itertools.tee(batches, len(slices))
        parts = [
            part.images(part_of(copy, columns), size)
            for part, copy, columns in zip(self._parts, copies, slices, strict=True)
        ]
        for images in zip(*parts, strict=True):
            yield torch.cat(images, 1)


def unpack(buffer: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Views of these shapes, one after another in a flat buffer."""
    parts = buffer.split([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def free_memory(device: torch.device) -> int:
    """Bytes of free memory on the device; on a CPU those that this process may still take."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return process_memory().free


def step_bytes(pictures: int, size: int) -> int:
    """Bytes of a GPU's memory that a training step is expected to take, on pictures `size` pixels high and wide."""
    return round(pictures * STEP_BYTES * (size / 224) ** 2)


def room_for_fields(free: int, share: float, computing: int) -> float:
    """Bytes that fields may take of the `free` ones: their share, but nothing that computing on a GPU needs itself."""
    return max(0.0, min(share * free, free - computing))


def open_fields(
    fields: InputFields,
    clips: Sequence[str],
    device: torch.device,
    resident: Residence = Compute.resident,
    memory_share: float = Compute.memory_share,
    columns: Sequence[int] = (),
    computing: int = 0,
) -> DeviceFields:
    """The fields of these clips for a device; for several modalities, `columns` are those of the sampler.

    `computing` bytes of a GPU's memory are left for what is computed with them (`step_bytes`).

    `resident`: "auto" loads them where they take at most `memory_share` of the free memory, unless the device is a CPU
    and they need no decoding: memory maps then do as well, for all processes together.

    Raises:
        UserError: "always" was asked for, but they do not fit or differ in frame size.
    """
    if isinstance(fields, JointFields):
        parts = [open_fields(part, clips, device, resident, memory_share, computing=computing) for part in fields.parts]
        return JointDeviceFields(fields, parts, columns)
    shapes = [fields.shape(clip) for clip in clips]
    needed = sum(map(math.prod, shapes))
    alike = len({shape[1:] for shape in shapes}) == 1
    words = f"{len(clips)} clips of {fields.modality}, {needed / 2**30:.2f} GiB"
    if device.type == "cpu" and fields.mapped and resident != "always":
        log.info("read through memory maps: %s", words)
        return MappedFields(fields)
    if resident != "never":
        with one_at_a_time("memory"):  # or jobs that start together would all count on the same memory
            needed_besides = computing + SPARE_BYTES if device.type == "cuda" else 0
            room = room_for_fields(free_memory(device), memory_share, needed_besides)
            words += f"; {room / 2**30:.2f} GiB may be used"
            if alike and needed <= room:
                log.info("resident on %s: %s", device, words)
                return ResidentFields(fields, clips, device)
    if resident == "always":
        reason = "they do not fit" if alike else "their frames differ in size"
        raise UserError(f"compute.resident: always, but {reason} ({words}); use auto, or raise compute.memory_share")
    log.info("streamed from disk: %s", words)
    return StreamedFields(fields, device)
