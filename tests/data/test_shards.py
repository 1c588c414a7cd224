"""Shards: complete or absent, contiguous, mapped without a copy."""

import os
import resource
from pathlib import Path
from unittest.mock import Mock

import cv2
import h5py
import numpy as np
import pytest

from stp.config import StorageFormat
from stp.data import jpeg
from stp.data.index import Clip
from stp.data.shards import RAW, ClipFields, read_extra, write_shard
from stp.errors import UserError
from stp.extraction.pairs import FlowSettings
from stp.extraction.stages import extract_flow, extract_frames
from stp.video.decoding import decode
from tests.data.test_index import write_video


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
    assert np.array_equal(clips["a/1 é"][:], fields(0))
    assert np.array_equal(clips["b"][:], fields(1, 1))
    assert isinstance(clips["a/2"], np.ndarray)
    assert not clips["a/2"].flags.owndata
    assert not clips["a/2"].flags.writeable
    with pytest.raises(UserError, match="clip 'c' is not in the of shards"):
        clips["c"]


def test_shards_hold_more_clips_than_a_process_may_have_open_files(tmp_path: Path) -> None:
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    write(tmp_path / "0.h5", {f"clip{number}": fields(number % 7) for number in range(300)})
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 50, most))
    try:
        clips = ClipFields([tmp_path / "0.h5"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    assert all(np.array_equal(clips[f"clip{number}"][:], fields(number % 7)) for number in range(300))


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "0.h5", {"a": fields(0)})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("stp.data.shards.h5py.File", refuse)
    with pytest.raises(UserError, match=r"0.h5: cannot be read \(\[Errno 13\] Permission denied\)"):
        ClipFields([tmp_path / "0.h5"])


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
    with pytest.raises(UserError, match="must have one modality and the same parameters"):
        ClipFields([tmp_path / "0.h5", tmp_path / "1.h5"])


def test_wrong_fields_are_refused(tmp_path: Path) -> None:
    for wrong in (np.zeros((0, 2, 4, 4), np.uint8), np.zeros((3, 2, 4, 4)), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="fields must be uint8"), write_shard(tmp_path / "0.h5", "of", {}) as shard:
            shard.write("a", wrong)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.h5").write_text("nothing")
    with pytest.raises(UserError, match="not a shard of clips"):
        ClipFields([tmp_path / "0.h5"])


JPEG = StorageFormat("jpeg", 95)


def smooth(length: int, channels: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Fields (T, C, H, W) without edges, which JPEG keeps well."""
    rng = np.random.default_rng(channels)
    coarse = rng.integers(60, 200, (length * channels, height // 8, width // 8)).astype(np.uint8)
    planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    return np.stack(planes).reshape(length, channels, height, width)


@pytest.mark.parametrize(("modality", "channels", "error"), [("rgb", 3, 8), ("of", 2, 2)])
def test_jpeg_reads_like_a_memory_map(tmp_path: Path, modality: str, channels: int, error: float) -> None:
    data = smooth(7, channels)
    with write_shard(tmp_path / "0.h5", modality, {"bound": 4}, JPEG) as shard:
        shard.create("a/b", data.shape)
        shard.fill("a/b", 0, data[:3])  # piece by piece, and clips in turns
        shard.write("c", data[:1], inliers=np.arange(3))
        shard.fill("a/b", 3, data[3:])
    clips = ClipFields([tmp_path / "0.h5"])
    assert not clips.mapped
    assert sorted(clips.clips()) == ["a/b", "c"]
    assert clips.parameters == {"bound": 4, "storage": {"format": "jpeg", "quality": 95}}
    assert clips["c"].shape == (1, channels, 40, 56)
    read = clips["a/b"]
    assert (len(read), read.shape) == (7, data.shape)
    whole = read[:]
    assert whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - data).mean() < error
    assert np.array_equal(np.stack(list(read)), whole)
    for key in (2, -1, slice(1, 5), [0, 0], (np.array([1, 6, 2]), slice(None), slice(3, 9), slice(5, 50)), (0, 1)):
        assert np.array_equal(read[key], whole[key]), key
    with pytest.raises(IndexError):
        read[7]


def test_only_the_fields_asked_for_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write_shard(tmp_path / "0.h5", "of", {}, JPEG) as shard:
        shard.write("a", smooth(9, 2))
    clip = ClipFields([tmp_path / "0.h5"])["a"]
    decode = Mock(wraps=jpeg.decode_jpeg)
    monkeypatch.setattr(jpeg, "decode_jpeg", decode)
    clip[np.array([3, 8]), :, :5]
    assert decode.call_count == 2 * 2


def test_jpeg_shards_hold_extras_and_do_not_mix_with_raw_ones(tmp_path: Path) -> None:
    with write_shard(tmp_path / "0.h5", "of", {"bound": 20}, JPEG) as shard:
        shard.write("a", smooth(3, 2), inliers=np.arange(3))
    assert read_extra(tmp_path / "0.h5", "inliers")["a"].tolist() == [0, 1, 2]
    write(tmp_path / "1.h5", {"b": fields(1)})
    with pytest.raises(UserError, match="must have one modality and the same parameters"):
        ClipFields([tmp_path / "0.h5", tmp_path / "1.h5"])


def write_pieces(path: Path, *pieces: slice) -> None:
    data = smooth(4, 2)
    with write_shard(path, "of", {}, JPEG) as shard:
        shard.create("a", data.shape)
        for piece in pieces:
            shard.fill("a", piece.start, data[piece])


def test_jpeg_refuses_gaps_and_unfinished_clips(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="field 1 of"):
        write_pieces(tmp_path / "0.h5", slice(0, 1), slice(2, 4))
    with pytest.raises(ValueError, match="a: fewer fields were written than the 4 announced"):
        write_pieces(tmp_path / "0.h5", slice(0, 1), slice(1, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["zeros", "cut", "other"])
def test_a_damaged_jpeg_is_one_line_with_file_clip_and_field(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "0.h5"
    with write_shard(path, "of", {}, JPEG) as shard:
        shard.write("a/1", smooth(4, 2))
    with h5py.File(path, "r+") as file:
        del file["clips/a/1"].attrs["crc32"]  # as in files of version 0.1
        begin, end = file["ends/a/1"][4:6]
        if damage == "zeros":
            file["clips/a/1"][begin:end] = 0
        elif damage == "cut":
            file["clips/a/1"][end - 20 : end] = 0
        else:
            small = jpeg.encode_fields(smooth(1, 2)[:, :, :16, :16], 10)[0]
            file["clips/a/1"][begin : begin + len(small)] = small
    field = ClipFields([path])["a/1"]
    assert field[[0, 1, 3]].shape[0] == 3
    with pytest.raises(UserError, match=rf"^{path}: clip 'a/1', field 2: a damaged JPEG image \(.*remove the file"):
        field[:]


def test_raw_files_say_nothing_of_storage(tmp_path: Path) -> None:
    with write_shard(tmp_path / "0.h5", "of", {"bound": 20}, StorageFormat("raw", 50)) as shard:
        shard.write("a", fields(0))
    clips = ClipFields([tmp_path / "0.h5"])
    assert clips.mapped
    assert clips.parameters == {"bound": 20}
    with h5py.File(tmp_path / "0.h5") as file:
        assert list(file) == ["clips"]


def test_a_clip_without_features_is_stored_but_one_without_fields_is_not(tmp_path: Path) -> None:
    with write_shard(tmp_path / "idt.h5", "idt", {}) as shard:
        shard.store("still", np.zeros((0, 430), np.float16))
        shard.store("moving", np.ones((2, 430), np.float16))
    features = ClipFields([tmp_path / "idt.h5"])
    assert features["still"].shape == (0, 430)
    assert (features["moving"][:] == 1).all()
    with write_shard(tmp_path / "of.h5", "of", {}) as shard:
        shard.store("still", np.zeros((0, 2, 4, 4), np.uint8))
    with pytest.raises(UserError, match="its shape is"):
        ClipFields([tmp_path / "of.h5"])


def test_stages_store_jpeg(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", frames=4, width=64, height=48)
    shards = {name: tmp_path / f"{name}.h5" for name in ("raw", "rgb", "of", "wof")}
    clips = (Clip("a", str(video), "x", frames=4), Clip("b", str(write_video(tmp_path / "b.mp4", 1)), "x", frames=1))
    extract_frames(clips, shards["raw"], 64, 48)
    extract_frames(clips, shards["rgb"], 64, 48, JPEG)
    raw, rgb = ClipFields([shards["raw"]])["a"], ClipFields([shards["rgb"]])["a"]
    assert raw.shape == rgb.shape
    assert np.abs(raw[:].astype(int) - rgb[:]).mean() < 10
    extract_flow(shards["rgb"], shards["of"], shards["wof"], FlowSettings(detector="orb"), 4.0, 1, JPEG)
    for name in ("of", "wof"):
        flow = ClipFields([shards[name]])
        assert {clip: flow[clip].shape for clip in flow.clips()} == {"a": (3, 2, 48, 64), "b": (1, 2, 48, 64)}
        assert (flow["b"][:] == 128).all()  # still, also after coding
    assert read_extra(shards["wof"], "homographies")["a"].shape == (3, 3, 3)


def test_real_frames_take_a_fraction_as_jpeg(tmp_path: Path, real_data: Path) -> None:
    path = sorted((real_data / "testvideos").glob("*wave*.avi"))[0]
    frames = np.stack([frame.transpose(2, 0, 1) for frame in decode(str(path), 340, 256)])
    for name, storage in (("raw", RAW), ("jpeg", JPEG)):
        with write_shard(tmp_path / f"{name}.h5", "rgb", {}, storage) as shard:
            shard.write("a", frames)
    error = ClipFields([tmp_path / "jpeg.h5"])["a"][:].astype(int) - frames
    assert np.sqrt((error.astype(float) ** 2).mean()) < 3
    assert (tmp_path / "jpeg.h5").stat().st_size < (tmp_path / "raw.h5").stat().st_size / 5
