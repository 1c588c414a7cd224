"""HDF5 files: written so that no error of the disk is lost, read without file locks, with a digest of every array.

Files get their names when they are complete and never change afterwards. So readers need no locks, which some network
file systems do not grant.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from stp.errors import UserError
from stp.system.files import NO_LOCKS, DiskFile, complete_file, is_system_error, kind_of_file
from stp.system.versions import another_version

SHARD, SCORES = "a shard of clips", "a scores file"  # what the HDF5 files of the package are, in words
DIGEST = "crc32"  # attribute of an array, uint32; files of version 0.1 have none


class DigestError(ValueError):
    """Content that differs from its digest."""


def digest(data: np.ndarray | bytes, before: int = 0) -> int:
    """The CRC-32 of an array's bytes in C order; `before` is that of the bytes before them."""
    return zlib.crc32(data if isinstance(data, bytes) else np.ascontiguousarray(data).data, before)


def verify(data: np.ndarray | bytes, expected: int | None) -> None:
    """Raise a DigestError if the data has another digest than expected; None expects nothing."""
    if expected is not None and digest(data) != expected:
        raise DigestError("it differs from its digest: it was written wrongly, or is damaged since")


class HDF5Writer:
    """A new HDF5 file. Its methods raise an OSError when the disk is full; `file` itself never does."""

    def __init__(self, file: h5py.File, disk: DiskFile) -> None:
        self.file, self._disk = file, disk

    def create(self, name: str, shape: tuple[int, ...], dtype: type) -> h5py.Dataset:
        """A contiguous array to be filled; whoever fills it calls `check` and sets the attribute DIGEST."""
        return self.file.create_dataset(name, shape, dtype)

    def add(self, name: str, array: np.ndarray) -> h5py.Dataset:
        """Store an array with its digest."""
        data = self.file.create_dataset(name, data=array)
        data.attrs[DIGEST] = np.uint32(digest(array))
        self.check()
        return data

    def check(self) -> None:
        """Raise an OSError if something could not be written so far."""
        self._disk.check()


@contextmanager
def write_hdf5(path: Path) -> Iterator[HDF5Writer]:
    """A new HDF5 file; it appears under its name only when the block has ended well and all of it is written."""
    with complete_file(path) as temporary, DiskFile(temporary) as disk, h5py.File(disk, "w", libver="latest") as file:
        yield HDF5Writer(file, disk)


@contextmanager
def read_hdf5(path: Path, content: str, fix: str) -> Iterator[h5py.File]:
    """An HDF5 file to read; errors in the block are those of its content.

    Args:
        path: the file.
        content: what the file should be, for errors: SHARD or SCORES.
        fix: how to get the right file.

    Raises:
        UserError: the system does not let it be read, or it is damaged, another kind of file or another version's.
    """
    version = ""
    try:
        with h5py.File(path, "r", locking=False) as file:
            if (kind := _kind(file)) not in ("", content):
                raise UserError(f"{path}: not {content}, but {kind}; give {content}")
            version = _version(file)
            yield file
    except UserError:
        raise
    except Exception as error:  # h5py raises many kinds for damaged and foreign files
        raise unreadable(path, error, content, version + fix) from error


def _kind(file: h5py.File) -> str:
    """SHARD or SCORES; empty if it is another program's, or too damaged to show it."""
    names = set(file)
    if "clips" not in names:
        return ""
    return SCORES if names & {"scores", "labels"} else SHARD


def _version(file: h5py.File) -> str:
    """Words on the version that wrote a file (`another_version`); empty where the file does not say it."""
    try:
        return another_version(json.loads(file.attrs["versions"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def unreadable(path: Path, error: Exception, content: str, fix: str) -> UserError:
    """The error for a file that cannot be read; the user is told to make it again only if its content is wrong."""
    reason = " ".join(str(error).split())
    if not is_system_error(error):
        if (kind := kind_of_file(path)) not in ("", "an HDF5 file"):
            return UserError(f"{path}: not {content}, but {kind}; give {content}, or {fix}")
        return UserError(f"{path}: not {content}, or damaged ({reason}); {fix}")
    assert isinstance(error, OSError)
    if error.errno in NO_LOCKS:  # HDF5's own variable overrides `locking`
        return UserError(f"{path}: its file system grants no locks ({reason}); set HDF5_USE_FILE_LOCKING=FALSE")
    return UserError(f"{path}: cannot be read ({reason})")


def arrays_below(file: h5py.File, name: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """The arrays in a group at any depth, in the order of their names, by their paths below it.

    Raises:
        KeyError: there is no such group.
        ValueError: something in it is a link to another place, or not a plain array.
    """
    if name not in file:
        raise KeyError(f"there is no '{name}'")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"'{name}' is a link to elsewhere")
    item = file[name]
    if isinstance(item, h5py.Dataset):
        yield "", item
    elif isinstance(item, h5py.Group):
        for key in item:
            for below, data in arrays_below(item, key):
                yield f"{key}/{below}" if below else key, data
    else:
        raise ValueError(f"'{name}' is neither an array nor a group")


def offset(data: h5py.Dataset, size: int) -> int:
    """The byte at which an array begins in its file of `size` bytes.

    Raises:
        ValueError: its bytes do not lie in the file one after another, as they are in memory.
    """
    plist, first = data.id.get_create_plist(), data.id.get_offset()
    if plist.get_layout() != h5py.h5d.CONTIGUOUS or plist.get_external_count() or first is None:
        raise ValueError(f"'{data.name}' is not stored as plain bytes in the file")
    if first + data.nbytes > size:
        raise ValueError(f"'{data.name}' ends {first + data.nbytes - size} bytes after the end of the file")
    return first


def read_array(data: h5py.Dataset, size: int) -> np.ndarray:
    """An array of numbers, verified if it has a digest.

    Raises:
        ValueError: it holds no numbers, does not lie in the file of `size` bytes, or differs from its digest.
    """
    if data.dtype.kind not in "biuf":
        raise ValueError(f"'{data.name}' holds {data.dtype}, no numbers")
    if data.size:  # an empty one has no place
        offset(data, size)
    array: np.ndarray = data[...]
    verify(array, stored_digest(data))
    return array


def stored_digest(data: h5py.Dataset) -> int | None:
    """The digest stored with an array; None in files of version 0.1."""
    return int(data.attrs[DIGEST]) if DIGEST in data.attrs else None
