"""Shards that are damaged or not what they claim are refused by name; those of version 0.1 are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stp.config import StorageFormat
from stp.data.shards import RAW, ClipFields, read_extra, shard_modality, write_shard
from stp.errors import UserError

JPEG = StorageFormat("jpeg", 95)
SIZE = {"width": 24, "height": 16}
FIELDS = np.random.default_rng(0).integers(0, 256, (5, 2, 16, 24), dtype=np.uint8)
INLIERS = np.arange(100, 105)


def shard(path: Path, storage: StorageFormat = RAW) -> Path:
    with write_shard(path, "of", {"frames": SIZE}, storage) as output:
        output.create("a/1", FIELDS.shape)
        output.fill("a/1", 0, FIELDS[:2])
        output.fill("a/1", 2, FIELDS[2:])
        output.write("b", FIELDS[:1], inliers=INLIERS)
    return path


def is_one_line(error: UserError, path: Path) -> bool:
    return str(error).startswith(f"{path}: ") and "\n" not in str(error)


def read_all(path: Path) -> dict[str, np.ndarray]:
    """All that the pipeline reads of a shard."""
    assert shard_modality(path) == "of"
    clips = ClipFields([path])
    found = {clip: np.array(clips[clip][:]) for clip in clips.clips()}
    return found | {f"inliers of {clip}": array for clip, array in read_extra(path, "inliers").items()}


@pytest.mark.parametrize("storage", [RAW, JPEG])
def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(tmp_path: Path, storage: StorageFormat) -> None:
    path = shard(tmp_path / "0.h5", storage)
    whole, expected = path.read_bytes(), read_all(path)
    rng = np.random.default_rng(0)
    refused = read = 0
    places = {*rng.integers(0, len(whole), 400).tolist(), *range(0, len(whole), 41)}
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            found = read_all(path)
        except UserError as error:
            refused += is_one_line(error, path)
            continue
        read += 1
        assert found.keys() == expected.keys(), place
        assert all(np.array_equal(found[name], expected[name]) for name in expected), place
    assert refused + read == len(places)
    assert refused > len(places) / 3


def test_damage_of_a_clip_is_one_line_with_file_and_clip_when_it_is_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "0.h5")
    with h5py.File(path, "r+") as file:
        place = file["clips/a/1"].id.get_offset()
    damaged = bytearray(path.read_bytes())
    damaged[place + 7] ^= 16
    path.write_bytes(damaged)
    clips = ClipFields([path])
    assert clips.shape("a/1") == (5, 2, 16, 24)
    assert np.array_equal(clips["b"][:], FIELDS[:1])
    with pytest.raises(
        UserError, match=rf"^{path}: clip 'a/1': it differs from its digest: .*; remove the file and run"
    ):
        clips["a/1"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_shard_cut_short_is_refused_when_it_is_opened(tmp_path: Path, share: float) -> None:
    path = shard(tmp_path / "0.h5")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"^{path}: not a shard of clips, or damaged \(.*\); remove it and run again"):
        ClipFields([path])


def old_shard(path: Path, **changes: Any) -> Path:
    """A shard as version 0.1 wrote it."""
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs.update(modality="of", parameters='{"frames": {"width": 24, "height": 16}}', versions="{}")
        file.attrs.update(changes)
        file.create_dataset("clips/a/1", data=FIELDS)
        file.create_dataset("inliers/a/1", data=INLIERS)
    return path


def test_shards_without_digests_are_read(tmp_path: Path) -> None:
    found = read_all(old_shard(tmp_path / "0.h5"))
    assert list(found) == ["a/1", "inliers of a/1"]
    assert np.array_equal(found["a/1"], FIELDS)


def replace(name: str, make: Callable[[h5py.File, str], object]) -> Callable[[h5py.File, Path], object]:
    def change(file: h5py.File, other: Path) -> object:
        del file[name]
        return make(file, name)

    return change


def link_to(target: str) -> Callable[[h5py.File, Path], object]:
    def change(file: h5py.File, other: Path) -> None:
        del file[target]
        file[target] = h5py.ExternalLink(str(other), target)

    return change


def virtual(file: h5py.File, other: Path) -> None:
    del file["clips/a/1"]
    layout = h5py.VirtualLayout(FIELDS.shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "clips/a/1", FIELDS.shape)
    file.create_virtual_dataset("clips/a/1", layout)


def external(file: h5py.File, other: Path) -> None:
    del file["clips/a/1"]
    (other.parent / "raw").write_bytes(FIELDS.tobytes())
    file.create_dataset("clips/a/1", FIELDS.shape, np.uint8, external=[(str(other.parent / "raw"), 0, FIELDS.nbytes)])


def soft(file: h5py.File, other: Path) -> None:
    file["clips/c"] = h5py.SoftLink("/clips/a/1")


FOREIGN = {
    "float32": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS.astype(np.float32))), "float32"),
    "int8": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS.view(np.int8))), "int8"),
    "3 channels": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS[:, [0, 1, 1]])), "uint8"),
    "8x8": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS[..., :8, :8])), "parameters say"),
    "no time": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS[0])), "uint8"),
    "no fields": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS[:0])), "its shape is"),
    "never filled": (
        replace("clips/a/1", lambda f, n: f.create_dataset(n, FIELDS.shape, np.uint8)),
        "not stored as plain bytes",
    ),
    "chunks": (
        replace("clips/a/1", lambda f, n: f.create_dataset(n, data=FIELDS, compression="gzip")),
        "not stored as plain bytes",
    ),
    "text": (replace("clips/a/1", lambda f, n: f.create_dataset(n, data="hello")), "clip 'a/1'"),
    "a type": (replace("clips/a/1", lambda f, n: f.__setitem__(n, np.dtype("f4"))), "neither an array nor a group"),
    "virtual": (virtual, "not stored as plain bytes"),
    "external bytes": (external, "not stored as plain bytes"),
    "external clip": (link_to("clips/a/1"), "link to elsewhere"),
    "external group": (link_to("clips/a"), "link to elsewhere"),
    "external clips": (link_to("clips"), "link to elsewhere"),
    "soft link": (soft, "link to elsewhere"),
    "no modality": (lambda file, other: file.attrs.__delitem__("modality"), "modality"),
    "no parameters": (lambda file, other: file.attrs.__setitem__("parameters", "[]"), "parameters"),
    "parameters cut": (lambda file, other: file.attrs.__setitem__("parameters", "{"), "Expecting property"),
    "no clips": (lambda file, other: file.__delitem__("clips"), "there is no 'clips'"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_shard_that_is_not_what_it_claims_is_refused(tmp_path: Path, name: str) -> None:
    change, reason = FOREIGN[name]
    path, other = old_shard(tmp_path / "0.h5"), old_shard(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        change(file, other)
    with pytest.raises(
        UserError, match=rf"^{path}: not a shard of clips, or damaged \(.*{reason}.*\); remove it and run again"
    ):
        ClipFields([path])


def test_extras_from_elsewhere_are_refused(tmp_path: Path) -> None:
    path, other = old_shard(tmp_path / "0.h5"), old_shard(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        link_to("inliers/a/1")(file, other)
    with pytest.raises(UserError, match=r"0.h5: not a shard of clips, or damaged \(.*link to elsewhere"):
        read_extra(path, "inliers")


def test_features_are_numbers_of_any_shape(tmp_path: Path) -> None:
    with write_shard(tmp_path / "0.h5", "c3d-rgb", {"fields": SIZE}) as output:
        output.store("a", np.ones((3, 7), np.float32))
    assert ClipFields([tmp_path / "0.h5"])["a"][:].dtype == np.float32
    with h5py.File(tmp_path / "0.h5", "r+") as file:
        del file["clips/a"]
        file.create_dataset("clips/a", data=np.zeros((2, 3), bool))
    with pytest.raises(UserError, match="features are numbers"):
        ClipFields([tmp_path / "0.h5"])


def jpeg_with(path: Path, change: Callable[[h5py.File], object]) -> Path:
    shard(path, JPEG)
    with h5py.File(path, "r+") as file:
        for name in ("clips/a/1", "ends/a/1"):
            del file[name].attrs["crc32"]
        change(file)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file["clips/a/1"].attrs.__setitem__("shape", (5, 2, 8, 8)),
        lambda file: file["clips/a/1"].attrs.__setitem__("shape", (6, 2, 16, 24)),
        lambda file: file["clips/a/1"].attrs.__delitem__("shape"),
        lambda file: file["ends/a/1"].__setitem__(3, 1),
        lambda file: file["ends/a/1"].__setitem__(-1, 10**9),
        lambda file: file.__delitem__("ends/a/1"),
    ],
)
def test_jpeg_whose_tables_do_not_fit_is_refused(tmp_path: Path, change: Callable[[h5py.File], object]) -> None:
    with pytest.raises(UserError, match=r"0.h5: not a shard of clips, or damaged \(.*clip 'a/1'"):
        ClipFields([jpeg_with(tmp_path / "0.h5", change)])
