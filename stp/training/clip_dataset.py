"""Clips as a torch Dataset, for training loops other than the package's own."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stp.data.index import Clip, read_index
from stp.data.shards import ClipFields, StoredFields
from stp.data.splits import read_fold
from stp.datasets.folder import find_clips
from stp.errors import UserError
from stp.sampling.samples import Sampler
from stp.video.decoding import UndecodableError, decode, stored_size

Transform = Callable[[Tensor], Any]


class ClipDataset(Dataset[tuple[Any, int]]):
    """Clips with the numbers of their classes: `dataset[i]` is (fields, label), for torch's DataLoader.

    Without a sampler, fields are all of a clip, uint8 (T, C, H, W): RGB frames (C = 3) or flow as bytes (C = 2: x, y).
    With one (`stp.sampling.samples.Sampler`) they are those of its images, uint8 (N, K, stack C, H, W), N segments of K
    sub-segments, as a `stp.models.segment_network.SegmentNetwork` takes them: drawn at random at every call, by torch's
    generator, or, if `segments` is not 0, that many, spread evenly over the clip. `transform` is called with this
    tensor and gives what takes its place.

    `clips` are the clips in order, `classes` the names of the labels; the label of a clip whose class is hidden is -1.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        read: Callable[[Clip], StoredFields | np.ndarray],
        transform: Transform | None = None,
        sampler: Sampler | None = None,
        segments: int = 0,
        classes: Sequence[str] = (),
    ) -> None:
        """`read` gives the fields of a clip; `classes` are by default those of the clips, in the order of the clips."""
        self.clips, self._read, self._transform = tuple(clips), read, transform
        self._sampler, self._segments = sampler, segments
        self.classes = tuple(classes) or tuple(dict.fromkeys(clip.label for clip in clips if clip.label))

    @classmethod
    def from_shards(
        cls,
        index: str | Path,
        shards: str | Path | Sequence[str | Path],
        fold: str | Path | None = None,
        part: str = "train",
        transform: Transform | None = None,
        sampler: Sampler | None = None,
        segments: int = 0,
    ) -> "ClipDataset":
        """Clips of the pipeline, read from its shards as they are needed.

        Args:
            index: RESULTS/index.csv.
            shards: RESULTS/clips/MODALITY, or shards by name.
            fold: RESULTS/splits/foldN.csv; all clips without one.
            part: the clips that the fold uses for this: train or test, also unused or hidden.
            transform: as of the class, as are `sampler` and `segments`.

        Raises:
            UserError: a file is missing or is not what it should be, there is no such part, or a clip has no fields.
        """
        table, fields = read_index(Path(index)), ClipFields(shards)
        chosen = list(table.clips)
        if fold is not None:
            words = read_fold(Path(fold), table)
            chosen = [clip for clip, word in zip(chosen, words, strict=True) if word == part]
            if not chosen:
                raise UserError(f"{fold}: has no {part} clip; its words are {', '.join(sorted(set(words)))}")
        for clip in chosen:
            fields.shape(clip.clip)  # or a clip without fields would be noticed in the middle of an epoch
        return cls(chosen, _Stored(fields), transform, sampler, segments, table.classes)

    @classmethod
    def from_videos(
        cls,
        videos: str | Path | Sequence[Clip],
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        sampler: Sampler | None = None,
        segments: int = 0,
    ) -> "ClipDataset":
        """RGB frames of videos, decoded at every call; of a damaged video, which `stp index` would name, those that do.

        Args:
            videos: a folder with one folder a class, VIDEOS/CLASS/clip.mp4, or clips (`stp.data.index.Clip`) with their
                paths and labels.
            size: width and height of the frames in pixels; by default each video's own, which a DataLoader stacks only
                if all are alike.
            transform: as of the class, as are `sampler` and `segments`.

        Raises:
            UserError: the folder holds no class folders, or one of them no video; on indexing, a video of which nothing
                decodes.
        """
        clips = find_clips(Path(videos)) if isinstance(videos, str | Path) else videos
        return cls(clips, _Decoded(size), transform, sampler, segments)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        clip = self.clips[number]
        fields = self._sampled(self._read(clip))
        label = self.classes.index(clip.label) if clip.label else -1
        return self._transform(fields) if self._transform else fields, label

    def _sampled(self, fields: StoredFields | np.ndarray) -> Tensor:
        """The clip's fields, or those of its images."""
        if self._sampler is None:
            return torch.from_numpy(np.array(fields[:]))
        length, (height, width) = len(fields), fields.shape[2:]
        if self._segments:
            chosen = self._sampler.spread(length, self._segments)  # (N, K, stack)
        else:
            # A DataLoader gives each of its processes another state of torch's generator, and not of NumPy's.
            rng = np.random.default_rng(int(torch.randint(2**31, ()).item()))
            chosen = self._sampler.draw(length, rng).reshape(-1, self._sampler.subsegments, self._sampler.stack)
        distinct, places = np.unique(chosen, return_inverse=True)
        images = np.asarray(fields[distinct])[places.reshape(chosen.shape)]  # (N, K, stack, C, H, W)
        return torch.from_numpy(images.reshape(*chosen.shape[:2], -1, height, width))


class _Stored:
    """Reads clips from shards."""

    def __init__(self, fields: ClipFields) -> None:
        self._fields = fields

    def __call__(self, clip: Clip) -> StoredFields:
        return self._fields[clip.clip]


class _Decoded:
    """Decodes videos."""

    def __init__(self, size: tuple[int, int] | None) -> None:
        self._size = size

    def __call__(self, clip: Clip) -> np.ndarray:
        try:
            width, height = self._size or stored_size(clip.path)
            return np.stack([frame.transpose(2, 0, 1) for frame in decode(clip.path, width, height, clip.part)])
        except UndecodableError as error:
            raise UserError(f"{clip.path}: {error}") from None
