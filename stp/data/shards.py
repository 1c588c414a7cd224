"""HDF5 storage: one file per shard and modality, one contiguous uint8 data set per clip, complete or absent.

    /clips/CLIP_ID          (T, C, H, W) uint8: RGB frames (C = 3) or quantised flow fields (C = 2: x, y);
                            or (n, ...) numbers: features of a clip (`stp.features`), n may be 0
    /EXTRA/CLIP_ID          further arrays of a stage: person boxes beside frames, homographies beside warped flow
    attributes              modality, parameters of the stage and versions, as JSON; crc32 of these texts

Every array has its digest in an attribute (`stp.data.hdf5`). A clip's is verified when a process first reads the clip.

Contiguous data sets have the same bytes in the file as in memory, so readers map them instead of copying them.
Processes that train on the same clips share one copy in the page cache.

Collections of clips that are too large for that are stored as JPEG (`stp.data.jpeg`), and the parameters have the key
"storage":

    /clips/CLIP_ID          (bytes,) uint8: the images of all fields, one after another; attribute shape: (T, C, H, W)
    /ends/CLIP_ID           (images,) int64: where each image ends
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from stp.config import StorageFormat
from stp.data.hdf5 import (
    DIGEST,
    SHARD,
    DigestError,
    HDF5Writer,
    arrays_below,
    digest,
    offset,
    read_array,
    read_hdf5,
    stored_digest,
    verify,
    write_hdf5,
)
from stp.data.modalities import MODALITIES
from stp.errors import UserError
from stp.system.files import paths_of
from stp.system.versions import versions

RAW = StorageFormat()
FIX = "remove it and run again"


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
    """Writes the clips of one shard as bytes; the fields of a clip come in order, and clips may come in turns.

    Methods raise an OSError when the disk is full.
    """

    def __init__(self, output: HDF5Writer, modality: str, parameters: dict[str, Any]) -> None:
        self._output = output
        self._shapes: dict[str, tuple[int, ...]] = {}  # of the clips that are not complete yet
        self._done: dict[str, int] = {}  # fields that are written of each of them
        self._open: dict[str, h5py.Dataset] = {}  # HDF5 writes at once only into an array that stays open
        self._digests: dict[str, int] = {}
        texts = {"modality": modality, "parameters": json.dumps(parameters, sort_keys=True), "versions": _versions()}
        output.file.attrs.update(texts)
        output.file.attrs[DIGEST] = np.uint32(_text_digest(texts))
        output.file.create_group("clips")

    def write(self, clip: str, fields: np.ndarray, **extras: np.ndarray) -> None:
        """Store a clip's (T, C, H, W) uint8 fields, T >= 1, and further arrays under their keywords."""
        self.create(clip, fields.shape)
        self.fill(clip, 0, fields)
        self.add(clip, **extras)

    def create(self, clip: str, shape: tuple[int, ...]) -> None:
        """Make room for a clip's (T, C, H, W) uint8 fields, T >= 1; `fill` writes them in pieces."""
        if len(shape) != 4 or 0 in shape:
            raise ValueError(f"{clip}: fields must be uint8 (T, C, H, W) with T >= 1, not {shape}")
        self._shapes[clip], self._done[clip] = shape, 0
        self._begin(clip, shape)

    def fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        """Write the next (n, C, H, W) uint8 fields of a clip, of which the first has number `first`."""
        if fields.dtype != np.uint8:
            raise ValueError(f"{clip}: fields must be uint8, not {fields.dtype}")
        shape, done = self._shapes[clip], self._done[clip]
        if first != done or fields.shape[1:] != shape[1:] or done + len(fields) > shape[0]:
            raise ValueError(f"{clip}: field {done} of {shape} is next, not {first} of {fields.shape}")
        self._fill(clip, first, fields)
        self._done[clip] += len(fields)
        if self._done[clip] == shape[0]:
            self._end(clip, shape)
            del self._shapes[clip], self._done[clip]
        self._output.check()

    def _begin(self, clip: str, shape: tuple[int, ...]) -> None:
        self._open[clip], self._digests[clip] = self._output.create(f"clips/{clip}", shape, np.uint8), 0

    def _fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        self._open[clip][first : first + len(fields)] = fields
        self._digests[clip] = digest(fields, self._digests[clip])

    def _end(self, clip: str, shape: tuple[int, ...]) -> None:
        self._open.pop(clip).attrs[DIGEST] = np.uint32(self._digests.pop(clip))

    def store(self, clip: str, features: np.ndarray) -> None:
        """Store a clip's features, an array (n, ...) of any number type, in place of fields."""
        self._output.add(f"clips/{clip}", features)

    def add(self, clip: str, **extras: np.ndarray) -> None:
        """Store further arrays of a clip under their keywords."""
        for name, array in extras.items():
            self._output.add(f"{name}/{clip}", array)

    def copy(self, earlier: h5py.File, clip: str) -> None:
        """Copy a complete clip with all its arrays, byte for byte, from a shard of the same parameters."""
        for group in earlier:
            if clip in earlier[group]:
                earlier.copy(f"{group}/{clip}", self._output.file, f"{group}/{clip}")
        self._output.check()

    def close(self) -> None:
        """Raise a ValueError if fields of a clip are missing."""
        for clip, shape in self._shapes.items():
            raise ValueError(f"{clip}: fewer fields were written than the {shape[0]} announced")


class JpegShardWriter(ShardWriter):
    """Writes the clips of a shard as JPEG; the last field of a clip writes them all."""

    def __init__(self, output: HDF5Writer, modality: str, parameters: dict[str, Any], storage: StorageFormat) -> None:
        super().__init__(output, modality, parameters | {"storage": asdict(storage)})
        self._quality = storage.quality
        self._images: dict[str, list[np.ndarray]] = {}

    def _begin(self, clip: str, shape: tuple[int, ...]) -> None:
        self._images[clip] = []

    def _fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        from stp.data.jpeg import encode_fields

        self._images[clip] += encode_fields(fields, self._quality)

    def _end(self, clip: str, shape: tuple[int, ...]) -> None:
        images = self._images.pop(clip)
        self._output.add(f"clips/{clip}", np.concatenate(images)).attrs["shape"] = shape
        self._output.add(f"ends/{clip}", np.cumsum([len(image) for image in images]))


def _text_digest(texts: Mapping[str, str]) -> int:
    """The digest of the texts that a shard has as attributes."""
    return digest(json.dumps([texts[name] for name in ("modality", "parameters", "versions")]).encode())


@contextmanager
def write_shard(
    path: Path, modality: str, parameters: dict[str, Any], storage: StorageFormat = RAW
) -> Iterator[ShardWriter]:
    """Open a shard for writing; the file appears under its name only if the block ends without an error.

    Raises:
        OSError: the disk is full, or fails.
        ValueError: fields of a clip are missing when the block ends.
    """
    with write_hdf5(path) as output:
        if storage.format == "jpeg":
            writer: ShardWriter = JpegShardWriter(output, modality, parameters, storage)
        else:
            writer = ShardWriter(output, modality, parameters)
        yield writer
        writer.close()


def least_bytes(shape: tuple[int, ...], storage: StorageFormat = RAW) -> int:
    """The fewest bytes that a clip's fields (T, C, H, W) can take: as JPEG, those of images of one grey."""
    if storage.format == "raw":
        return math.prod(shape)
    from stp.data.jpeg import encode_fields

    return shape[0] * sum(len(image) for image in encode_fields(np.zeros((1, *shape[1:]), np.uint8), storage.quality))


@dataclass(frozen=True)
class _StoredClip:
    """A clip in a mapped shard: its fields, and its bytes in the file with their digest."""

    fields: StoredFields
    data: np.ndarray
    digest: int | None
    path: Path


def _check_kind(modality: str, parameters: Mapping[str, Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless arrays of this type and shape are what the modality stores with the parameters."""
    fields = modality in MODALITIES
    if 0 in (shape if fields else shape[1:]) or not shape:  # a clip may have no trajectory
        raise ValueError(f"its shape is {shape}")
    if not fields:
        if dtype.kind not in "iuf":
            raise ValueError(f"it holds {dtype}, but features are numbers")
        return
    channels = MODALITIES[modality].channels
    if dtype != np.uint8 or len(shape) != 4 or shape[1] != channels:
        raise ValueError(f"it is {dtype} {shape}, but {modality} is uint8 (T, {channels}, H, W)")
    frames = parameters.get("frames", parameters)
    size = frames.get("height", shape[2]), frames.get("width", shape[3])
    if shape[2:] != size:
        raise ValueError(f"its fields have height and width {shape[2:]}, but the file's parameters say {size}")


def _open_clip(
    file: h5py.File, clip: str, data: h5py.Dataset, mapped: np.ndarray, kind: tuple[str, dict[str, Any]]
) -> tuple[StoredFields, np.ndarray]:
    """A clip's fields and its bytes, both in the map; ValueError if they are not what the shard says."""
    first = offset(data, len(mapped)) if data.size else 0  # an empty array has no place
    stored = mapped[first : first + data.nbytes]
    if "storage" not in kind[1]:
        _check_kind(*kind, data.dtype, data.shape)
        return stored.view(data.dtype).reshape(data.shape), stored
    from stp.data.jpeg import JpegFields, images_of_field

    shape = tuple(map(int, data.attrs["shape"]))
    _check_kind(*kind, data.dtype, shape)
    ((_, table),) = arrays_below(file["ends"], clip)
    ends = read_array(table, len(mapped))
    if ends.shape != (shape[0] * images_of_field(shape[1]),) or (np.diff(ends, prepend=0) <= 0).any():
        raise ValueError(f"it has {shape} fields, but not the ends of as many images")
    if data.shape != (ends[-1],):
        raise ValueError(f"its images end at byte {ends[-1]} of {data.shape}")
    return JpegFields(stored, ends, shape, f"{file.filename}: clip '{clip}'"), stored


def _open_clips(path: Path) -> tuple[str, dict[str, Any], dict[str, _StoredClip]]:
    """Modality, parameters and fields of all clips of a shard."""
    clips: dict[str, _StoredClip] = {}
    with read_hdf5(path, SHARD, FIX) as file:
        modality, parameters = _kind(file)
        # One map per shard, because each map holds a file open and a process may not open a file for every clip.
        mapped = np.memmap(path, np.uint8, "r").view(np.ndarray)
        for clip, data in arrays_below(file, "clips"):
            try:
                fields, stored = _open_clip(file, clip, data, mapped, (modality, parameters))
            except (ValueError, KeyError) as error:
                raise ValueError(f"clip '{clip}': {' '.join(map(str, error.args))}") from error
            clips[clip] = _StoredClip(fields, stored, stored_digest(data), path)
    return modality, parameters, clips


def _kind(file: h5py.File) -> tuple[str, dict[str, Any]]:
    """Modality and parameters of an open shard; KeyError or ValueError if it is not one."""
    texts = {name: str(file.attrs[name]) for name in ("modality", "parameters", "versions")}
    if DIGEST in file.attrs and _text_digest(texts) != file.attrs[DIGEST]:
        raise DigestError("its attributes differ from their digest")
    parameters = json.loads(texts["parameters"])
    if not isinstance(parameters, dict):
        raise ValueError(f"its parameters are {texts['parameters']}")
    return texts["modality"], parameters


def shard_modality(path: Path) -> str:
    """The modality of a shard's fields; its clips are not read."""
    with read_hdf5(path, SHARD, FIX) as file:
        return _kind(file)[0]


def _shards_at(path: Path) -> list[Path]:
    """A shard, or those in a folder; UserError if it has none."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.h5"))
    if not found:
        raise UserError(f"{path}: the folder holds no shards, *.h5; give RESULTS/clips/MODALITY, or shards by name")
    return found


class ClipFields:
    """The stored fields of one modality, of all clips of some shards: a folder of them, one, or several.

    `fields[clip_id]` is a memory-mapped array. With JPEG storage it is a `stp.data.jpeg.JpegFields`, which decodes only
    the fields that its first index chooses. A clip's bytes are compared with their digest when it is first asked for;
    `shape` reads nothing.

    Raises:
        UserError: a shard cannot be read or is not what it should be, or shards differ in modality or parameters; on
            indexing, an unknown clip, or one that is damaged.
    """

    def __init__(self, shards: str | Path | Iterable[str | Path]) -> None:
        self._clips: dict[str, _StoredClip] = {}
        self._paths = [path for given in paths_of(shards) for path in _shards_at(given)]
        kinds = []
        for path in self._paths:
            modality, parameters, clips = _open_clips(path)
            if (modality, parameters) not in kinds:
                kinds.append((modality, parameters))
            self._clips |= clips
        if len(kinds) != 1:
            names = ", ".join(f"{modality} {parameters}" for modality, parameters in kinds)
            raise UserError(f"the shards must have one modality and the same parameters; they have {names or 'none'}")
        self.modality, self.parameters = kinds[0]
        self._verified: set[str] = set()

    def __reduce__(self) -> tuple[type["ClipFields"], tuple[list[Path]]]:
        """Another process opens the shards again, instead of getting a copy of all clips."""
        return ClipFields, (self._paths,)

    @property
    def mapped(self) -> bool:
        """True if fields are memory maps, which need no decoding."""
        return "storage" not in self.parameters

    def __getitem__(self, clip: str) -> StoredFields:
        stored = self._find(clip)
        if clip not in self._verified:
            try:
                verify(stored.data, stored.digest)
            except DigestError as error:
                raise UserError(f"{stored.path}: clip '{clip}': {error}; remove the file and run again") from None
            self._verified.add(clip)
        return stored.fields

    def shape(self, clip: str) -> tuple[int, ...]:
        """The shape of a clip's fields."""
        return self._find(clip).fields.shape

    def _find(self, clip: str) -> _StoredClip:
        try:
            return self._clips[clip]
        except KeyError:
            raise UserError(f"clip '{clip}' is not in the {self.modality} shards given") from None

    def clips(self) -> list[str]:
        return list(self._clips)


def read_extra(path: Path, name: str) -> dict[str, np.ndarray]:
    """The further arrays of this name in a shard, by clip; clips without one are left out.

    Raises:
        UserError: the file cannot be read, or is not a shard or damaged.
    """
    with read_hdf5(path, SHARD, FIX) as file:
        if name not in file:
            return {}
        return {clip: read_array(data, path.stat().st_size) for clip, data in arrays_below(file, name)}
