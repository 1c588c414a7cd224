"""HDF5 storage: one file a shard and modality, one contiguous uint8 data set a clip, complete or absent.

    /clips/CLIP_ID          (T, C, H, W) uint8: RGB frames (C = 3) or quantised flow fields (C = 2: x, y)
    /EXTRA/CLIP_ID          further arrays of a stage: person boxes beside frames, homographies beside warped flow
    attributes              modality, parameters of the stage and versions, as JSON

Contiguous data sets lie in the file as they lie in memory, so readers map them instead of copying them: processes
that train on the same clips share one copy in the page cache.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from stp.errors import UserError
from stp.files import complete_file
from stp.versions import versions


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
        """Store a clip's (T, C, H, W) uint8 fields, T >= 1, and further arrays under the names given."""
        self.create(clip, fields.shape)
        self.fill(clip, 0, fields)
        self.add(clip, **extras)

    def create(self, clip: str, shape: tuple[int, ...]) -> None:
        """Make room for a clip's (T, C, H, W) uint8 fields, T >= 1, which `fill` then writes piece by piece."""
        if len(shape) != 4 or 0 in shape:
            raise ValueError(f"{clip}: fields must be uint8 (T, C, H, W) with T >= 1, not {shape}")
        self._file.create_dataset(f"clips/{clip}", shape, np.uint8)

    def fill(self, clip: str, first: int, fields: np.ndarray) -> None:
        """Write uint8 fields `first` and following of a clip."""
        if fields.dtype != np.uint8:
            raise ValueError(f"{clip}: fields must be uint8, not {fields.dtype}")
        self._file[f"clips/{clip}"][first : first + len(fields)] = fields

    def add(self, clip: str, **extras: np.ndarray) -> None:
        """Store further arrays of a clip under the names given."""
        for name, array in extras.items():
            self._file.create_dataset(f"{name}/{clip}", data=array)


@contextmanager
def write_shard(path: Path, modality: str, parameters: dict[str, Any]) -> Iterator[ShardWriter]:
    """Open a shard for writing; the file appears under its name only when the block ends well."""
    with complete_file(path) as temporary, h5py.File(temporary, "w", libver="latest") as file:
        yield ShardWriter(file, modality, parameters)


def _map_clips(path: Path) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """Modality, parameters and memory maps (read-only) of all clips of a shard."""
    maps: dict[str, np.ndarray] = {}
    try:
        with h5py.File(path, "r") as file:
            modality = str(file.attrs["modality"])
            parameters = json.loads(file.attrs["parameters"])

            def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
                if isinstance(item, h5py.Dataset):
                    maps[name] = np.memmap(path, np.uint8, "r", item.id.get_offset(), item.shape)

            file["clips"].visititems(visit)
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not a shard of clips ({error}); remove it and run again") from error
    return modality, parameters, maps


class ClipFields:
    """The stored fields of one modality: `fields[clip_id]` is a read-only (T, C, H, W) uint8 memory map."""

    def __init__(self, shards: Iterable[Path]) -> None:
        self._maps: dict[str, np.ndarray] = {}
        kinds = []
        for path in shards:
            modality, parameters, maps = _map_clips(path)
            if (modality, parameters) not in kinds:
                kinds.append((modality, parameters))
            self._maps |= maps
        if len(kinds) != 1:
            names = ", ".join(f"{modality} {parameters}" for modality, parameters in kinds)
            raise UserError(f"the shards must be of one modality, made alike; they are of {names or 'none'}")
        self.modality, self.parameters = kinds[0]

    def __getitem__(self, clip: str) -> np.ndarray:
        try:
            return self._maps[clip]
        except KeyError:
            raise UserError(f"clip '{clip}' is not in the {self.modality} shards given") from None

    def clips(self) -> list[str]:
        return list(self._maps)


def read_extra(path: Path, name: str) -> dict[str, np.ndarray]:
    """The further arrays of that name in a shard, by clip; clips without one are left out."""
    arrays: dict[str, np.ndarray] = {}
    with h5py.File(path, "r") as file:

        def visit(clip: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[clip] = item[:]

        if name in file:
            file[name].visititems(visit)
    return arrays
