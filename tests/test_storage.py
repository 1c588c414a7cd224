"""Shards: complete or absent, contiguous, mapped without a copy."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from stp.errors import UserError
from stp.storage import ClipFields, write_shard


def write(path: Path, clips: dict[str, np.ndarray], modality: str = "of", bound: int = 20) -> None:
    with write_shard(path, modality, {"bound": bound}) as shard:
        for name, fields in clips.items():
            shard.write(name, fields, inliers=np.arange(len(fields)))


def fields(seed: int, length: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (length, 2, 5, 7), dtype=np.uint8)


def test_clips_of_several_shards_are_mapped(tmp_path: Path) -> None:
    write(tmp_path / "0.h5", {"a/1 é": fields(0), "b": fields(1, 1)})
    write(tmp_path / "1.h5", {"a/2": fields(2)})
    clips = ClipFields([tmp_path / "0.h5", tmp_path / "1.h5"])
    assert clips.modality == "of"
    assert clips.parameters == {"bound": 20}
    assert sorted(clips.clips()) == ["a/1 é", "a/2", "b"]
    assert np.array_equal(clips["a/1 é"], fields(0))
    assert np.array_equal(clips["b"], fields(1, 1))
    assert isinstance(clips["a/2"], np.memmap)
    assert not clips["a/2"].flags.writeable
    with pytest.raises(UserError, match="clip 'c' is not in the of shards"):
        clips["c"]


def test_shard_holds_extras_parameters_and_versions(tmp_path: Path) -> None:
    write(tmp_path / "0.h5", {"a": fields(0)})
    with h5py.File(tmp_path / "0.h5") as file:
        assert file["inliers/a"][:].tolist() == [0, 1, 2]
        assert file["clips/a"].chunks is None  # contiguous
        assert '"numpy"' in file.attrs["versions"]


def test_failed_shard_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fields must be"), write_shard(tmp_path / "0.h5", "of", {}) as shard:
        shard.write("a", fields(0)[:0])
    assert list(tmp_path.iterdir()) == []


def test_failed_shard_keeps_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "0.h5", {"a": fields(0)})
    with pytest.raises(RuntimeError), write_shard(tmp_path / "0.h5", "of", {}):
        raise RuntimeError
    assert ClipFields([tmp_path / "0.h5"]).clips() == ["a"]


def test_shards_made_differently_do_not_mix(tmp_path: Path) -> None:
    write(tmp_path / "0.h5", {"a": fields(0)})
    write(tmp_path / "1.h5", {"b": fields(1)}, bound=5)
    with pytest.raises(UserError, match="must be of one modality, made alike"):
        ClipFields([tmp_path / "0.h5", tmp_path / "1.h5"])


def test_wrong_fields_are_refused(tmp_path: Path) -> None:
    for wrong in (np.zeros((0, 2, 4, 4), np.uint8), np.zeros((3, 2, 4, 4)), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="fields must be uint8"), write_shard(tmp_path / "0.h5", "of", {}) as shard:
            shard.write("a", wrong)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.h5").write_text("nothing")
    with pytest.raises(UserError, match="not a shard of clips"):
        ClipFields([tmp_path / "0.h5"])
