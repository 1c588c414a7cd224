"""HDF5 storage: one file per shard and modality, one contiguous uint8 data set per clip, complete or absent.

    /clips/CLIP_ID          (T, C, H, W) uint8: RGB frames (C = 3) or quantised flow fields (C = 2: x, y);
                            or (n, ...) float32: features of a clip (`stp.features`)
    /EXTRA/CLIP_ID          further arrays of a stage: person boxes beside frames, homographies beside warped flow
    attributes              modality, parameters of the stage and versions, as JSON

Contiguous data sets have the same bytes in the file as in memory, so readers map them instead of copying them.
Processes that train on the same clips share one copy in the page cache.

Collections of clips that are too large for that are stored as JPEG (`stp.data.jpeg`), and the parameters have the key
"storage":

    /clips/CLIP_ID          (bytes,) uint8: the images of all fields, one after another; attribute shape: (T, C, H, W)
    /ends/CLIP_ID           (images,) int64: where each image ends
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from stp.config import StorageFormat
from stp.errors import UserError
from stp.system.files import complete_file
from stp.system.versions import versions

RAW = StorageFormat()


class StoredFields(Protocol):
    """A clip's fields (T, C, H, W) uint8, read-only: a mapped array, or an object that decodes when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> np.ndarray: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


@cache  # looking up seven packages takes as long as writing a clip
def _versions() -> str:
    return json.dumps(versions(), sort_keys=True)


class ShardWriter:
    """Writes the clips of one shard into an open HDF5 file."""

    def __init__(self, file: h5py.File, modality: str, parameters: dict[str, Any]) -> None:
        self._file = file
        file.attrs["modality"] = modality
        file.attrs["parameters"] = json.dumps(parameters, sort_keys=True)
        file.attrs["versions"] = _versions()
        file.create_group("clips")

    def write(self, clip: str, fields: np.ndarray, **extras: np.ndarray) -> None:
        """Store a clip's (T, C, H, W) uint8 fields, T >= 1, and further arrays under their keywords."""
        self.create(clip, fields.shape)
        self.fill(clip, 0, fields)
        self.add(clip, **extras)

    def create(self, clip: str, shape: tuple[int, ...]) -> None:
        """Make room for a clip's (T, C, H, W) uint8 fields, T >= 1; `fill` writes them in pieces."""
        check_shape(clip, shape)
        self._file.create_dataset(f"clips/{clip}", shape, np.uint8)

    def fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        """Write (n, C, H, W) uint8 fields of a clip, of which the first has number `first`."""
        if fields.dtype != np.uint8:
            raise ValueError(f"{clip}: fields must be uint8, not {fields.dtype}")
        self._fill(clip, first, fields)

    def _fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        self._file[f"clips/{clip}"][first : first + len(fields)] = fields

    def store(self, clip: str, features: np.ndarray) -> None:
        """Store a clip's features, an array (n, ...) of any number type, in place of fields."""
        self._file.create_dataset(f"clips/{clip}", data=features)

    def add(self, clip: str, **extras: np.ndarray) -> None:
        """Store further arrays of a clip under their keywords."""
        for name, array in extras.items():
            self._file.create_dataset(f"{name}/{clip}", data=array)

    def close(self) -> None:
        """Does nothing: all fields are written."""


class JpegShardWriter(ShardWriter):
    """Writes the clips of a shard as JPEG; a clip's fields must come in order, and the last one writes them all."""

    def __init__(self, file: h5py.File, modality: str, parameters: dict[str, Any], storage: StorageFormat) -> None:
        super().__init__(file, modality, parameters | {"storage": asdict(storage)})
        self._quality = storage.quality
        self._shapes: dict[str, tuple[int, ...]] = {}  # of the clips that are not complete yet
        self._images: dict[str, list[np.ndarray]] = {}

    def create(self, clip: str, shape: tuple[int, ...]) -> None:
        check_shape(clip, shape)
        self._shapes[clip], self._images[clip] = shape, []

    def _fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        from stp.data.jpeg import encode_fields, images_of_field

        shape, images = self._shapes[clip], self._images[clip]
        each = images_of_field(shape[1])
        if first * each != len(images) or fields.shape[1:] != shape[1:]:
            raise ValueError(f"{clip}: field {len(images) // each} of {shape} is next, not {first} of {fields.shape}")
        images += encode_fields(fields, self._quality)
        if len(images) == shape[0] * each:
            data = self._file.create_dataset(f"clips/{clip}", data=np.concatenate(images))
            data.attrs["shape"] = shape
            self._file.create_dataset(f"ends/{clip}", data=np.cumsum([len(image) for image in images]))
            del self._shapes[clip], self._images[clip]

    def close(self) -> None:
        """Raise a ValueError if fields of a clip are missing."""
        for clip, shape in self._shapes.items():
            raise ValueError(f"{clip}: fewer fields were written than the {shape[0]} announced")


def check_shape(clip: str, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless `shape` is a (T, C, H, W) without zeros."""
    if len(shape) != 4 or 0 in shape:
        raise ValueError(f"{clip}: fields must be uint8 (T, C, H, W) with T >= 1, not {shape}")


@contextmanager
def write_shard(
    path: Path, modality: str, parameters: dict[str, Any], storage: StorageFormat = RAW
) -> Iterator[ShardWriter]:
    """Open a shard for writing; the file appears under its name only if the block ends without an error."""
    with complete_file(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        if storage.format == "jpeg":
            writer: ShardWriter = JpegShardWriter(file, modality, parameters, storage)
        else:
            writer = ShardWriter(file, modality, parameters)
        yield writer
        writer.close()


def _open_clip(mapped: np.ndarray, data: h5py.Dataset, ends: h5py.Dataset | None, name: str) -> StoredFields:
    """A clip's fields in a mapped shard: a part of the map (read-only), or a reader of JPEG images over one."""
    first = data.id.get_offset()
    fields = mapped[first : first + data.nbytes].view(data.dtype).reshape(data.shape)
    if ends is None:
        return fields
    from stp.data.jpeg import JpegFields

    return JpegFields(fields, ends[:], tuple(map(int, data.attrs["shape"])), name)


def _open_clips(path: Path) -> tuple[str, dict[str, Any], dict[str, StoredFields]]:
    """Modality, parameters and fields of all clips of a shard."""
    clips: dict[str, StoredFields] = {}
    try:
        with h5py.File(path, "r") as file:
            modality = str(file.attrs["modality"])
            parameters = json.loads(file.attrs["parameters"])
            is_jpeg = "storage" in parameters
            # One map per shard, because each map holds a file open and a process may not open a file for every clip.
            mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)

            def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if isinstance(item, h5py.Dataset):
                    ends = file[f"ends/{name}"] if is_jpeg else None
                    clips[name] = _open_clip(mapped, item, ends, f"{path}: clip '{name}'")

            file["clips"].visititems(visit)
    except (OSError, KeyError) as error:
        raise _unreadable(path, error) from error
    return modality, parameters, clips


def _unreadable(path: Path, error: OSError | KeyError) -> UserError:
    """The error for a file that should be a shard; errors of HDF5, unlike those of the system, have no errno."""
    if isinstance(error, OSError) and error.errno is not None:
        return UserError(f"{path}: cannot be read ({error})")
    return UserError(f"{path}: not a shard of clips ({error}); remove it and run again")


def shard_modality(path: Path) -> str:
    """The modality of a shard's fields; its clips are not read."""
    try:
        with h5py.File(path, "r") as file:
            return str(file.attrs["modality"])
    except (OSError, KeyError) as error:
        raise _unreadable(path, error) from error


class ClipFields:
    """The stored fields of one modality, of all clips of some shards.

    `fields[clip_id]` is a memory-mapped array. With JPEG storage it is a `stp.data.jpeg.JpegFields`, which decodes only
    the fields that its first index chooses. Its shape is known without reading.

    Raises:
        UserError: a shard cannot be read, or shards differ in modality or parameters; on indexing, an unknown clip.
    """

    def __init__(self, shards: Iterable[Path]) -> None:
        self._clips: dict[str, StoredFields] = {}
        kinds = []
        for path in shards:
            modality, parameters, clips = _open_clips(path)
            if (modality, parameters) not in kinds:
                kinds.append((modality, parameters))
            self._clips |= clips
        if len(kinds) != 1:
            names = ", ".join(f"{modality} {parameters}" for modality, parameters in kinds)
            raise UserError(f"the shards must have one modality and the same parameters; they have {names or 'none'}")
        self.modality, self.parameters = kinds[0]

    @property
    def mapped(self) -> bool:
        """True if fields are memory maps, which need no decoding."""
        return "storage" not in self.parameters

    def __getitem__(self, clip: str) -> StoredFields:
        try:
            return self._clips[clip]
        except KeyError:
            raise UserError(f"clip '{clip}' is not in the {self.modality} shards given") from None

    def clips(self) -> list[str]:
        return list(self._clips)


def read_extra(path: Path, name: str) -> dict[str, np.ndarray]:
    """The further arrays of this name in a shard, by clip; clips without one are left out."""
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:

        def visit(clip: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[clip] = item[:]

        if name in file:
            file[name].visititems(visit)
    return arrays
