"""Clips as a torch Dataset: from shards and from videos, whole and in segments."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import stp
from stp.data.index import Clip, write_index
from stp.data.shards import write_shard
from stp.data.splits import write_fold
from stp.sampling.segments import SegmentSampler
from stp.training.clip_dataset import ClipDataset
from tests.video.clips import number_of, write

SAMPLER = SegmentSampler(segments=2, segment_length=8, subsegments=4, subsegment_length=2, stack=2)
CLIPS = [Clip(f"{label}/{i}", "", label) for label in ("up", "down") for i in range(3)]


def fields_of(number: int) -> np.ndarray:
    """Flow fields uint8 (10, 2, 6, 8) that show their clip's number in x and their own in y."""
    fields = np.empty((10, 2, 6, 8), np.uint8)
    fields[:, 0], fields[:, 1] = number, np.arange(10)[:, None, None]
    return fields


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An index, two shards of its clips, and a fold that trains on the first two clips of each class."""
    write_index(tmp_path / "index.csv", CLIPS)
    (tmp_path / "of").mkdir()
    for shard in range(2):
        with write_shard(tmp_path / f"of/{shard}.h5", "of", {"bound": 3}) as writer:
            for number in range(shard, 6, 2):
                writer.write(CLIPS[number].clip, fields_of(number))
    words = ["train", "train", "test"] * 2
    write_fold(tmp_path / "fold1.csv", stp.read_index(tmp_path / "index.csv"), words)
    return tmp_path


def test_the_training_clips_of_a_fold_are_read_from_shards_by_paths_as_text(results: Path) -> None:
    dataset = ClipDataset.from_shards(f"{results}/index.csv", f"{results}/of", f"{results}/fold1.csv")
    assert [clip.clip for clip in dataset.clips] == ["up/0", "up/1", "down/0", "down/1"]
    assert (len(dataset), dataset.classes) == (4, ("up", "down"))
    fields, label = dataset[2]
    assert torch.equal(fields, torch.from_numpy(fields_of(3)))
    assert label == 1
    assert len(ClipDataset.from_shards(results / "index.csv", results / "of", results / "fold1.csv", "test")) == 2
    assert len(ClipDataset.from_shards(results / "index.csv", [results / "of/0.h5", f"{results}/of/1.h5"])) == 6
    assert [label for _, label in dataset] == [0, 0, 1, 1]  # type: ignore[attr-defined]


def test_a_transform_gives_what_takes_the_place_of_the_fields(results: Path) -> None:
    def mean(fields: Tensor) -> float:
        return float(fields[:, 1].float().mean())

    dataset = ClipDataset.from_shards(results / "index.csv", results / "of", transform=mean)
    assert dataset[0] == (4.5, 0)


def test_segments_are_drawn_anew_at_every_call_and_repeat_from_torchs_seed(results: Path) -> None:
    dataset = ClipDataset.from_shards(results / "index.csv", results / "of", sampler=SAMPLER)
    torch.manual_seed(0)
    drawn = [dataset[1][0] for _ in range(8)]
    assert drawn[0].shape == (2, 4, 2 * 2, 6, 8)
    numbers = torch.stack([images[..., 1::2, 0, 0] for images in drawn])  # y of each image's two fields
    assert torch.equal(numbers[..., 1], numbers[..., 0] + 1)
    assert (numbers[..., 0].int().diff(dim=-1) == 2).all()  # sub-segments begin 2 fields apart
    assert len({tuple(images.flatten().tolist()) for images in drawn}) > 1
    torch.manual_seed(0)
    assert torch.equal(dataset[1][0], drawn[0])


def test_a_number_of_segments_is_spread_evenly_over_the_clip(results: Path) -> None:
    dataset = ClipDataset.from_shards(results / "index.csv", results / "of", sampler=SAMPLER, segments=3)
    images, _ = dataset[1]
    assert images[:, 0, 1, 0, 0].tolist() == SAMPLER.spread(10, 3)[:, 0, 0].tolist()
    assert torch.equal(dataset[1][0], images)


def test_a_loader_stacks_segments_from_several_processes_which_draw_differently(results: Path) -> None:
    one = ClipDataset([CLIPS[0]] * 4, lambda clip: fields_of(0), sampler=SAMPLER)
    batch, labels = next(iter(DataLoader(one, 4)))
    assert (batch.shape, labels.tolist()) == ((4, 2, 4, 4, 6, 8), [0, 0, 0, 0])
    torch.manual_seed(0)
    drawn = [images[0, :, 0, 1, 0, 0] for images, _ in DataLoader(one, 1, num_workers=2)]
    assert len({tuple(starts.tolist()) for starts in drawn}) > 1


def test_another_process_opens_the_shards_again_instead_of_getting_their_fields(results: Path) -> None:
    dataset = ClipDataset.from_shards(results / "index.csv", results / "of")
    copy = pickle.dumps(dataset)
    assert fields_of(0).tobytes() not in copy
    assert torch.equal(pickle.loads(copy)[4][0], dataset[4][0])


def test_videos_are_decoded_in_their_own_size_or_another(tmp_path: Path) -> None:
    for name in ("nod", "wave"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.mkv", "ffv1", frames=7)
    dataset = ClipDataset.from_videos(str(tmp_path))
    frames, label = dataset[1]
    assert (frames.shape, frames.dtype, label) == ((7, 3, 72, 96), torch.uint8, 1)
    assert [number_of(frame.permute(1, 2, 0).numpy()) for frame in frames] == list(range(7))
    sampler = SegmentSampler(subsegments=2, segment_length=6, subsegment_length=3)
    small = ClipDataset.from_videos(dataset.clips, (48, 36), sampler=sampler)
    assert small[0][0].shape == (3, 2, 3, 36, 48)
    part = Clip("part", dataset.clips[0].path, "nod", start=0.08, end=0.2)  # at 25 frames/s
    frames, _ = ClipDataset.from_videos([part])[0]
    assert [number_of(frame.permute(1, 2, 0).numpy()) for frame in frames] == [2, 3, 4]


def test_what_is_missing_is_one_line_with_the_cure(results: Path) -> None:
    with pytest.raises(stp.UserError, match=r"fold1.csv: has no valid clip; its words are test, train$"):
        ClipDataset.from_shards(results / "index.csv", results / "of", results / "fold1.csv", "valid")
    with pytest.raises(stp.UserError, match=r"clip 'up/1' is not in the of shards given"):
        ClipDataset.from_shards(results / "index.csv", results / "of/0.h5")
    with pytest.raises(stp.UserError, match=r"the folder holds no shards, \*.h5; give RESULTS/clips/MODALITY"):
        ClipDataset.from_shards(results / "index.csv", results)
    (results / "nod").mkdir()
    (results / "nod/a.mp4").write_bytes(b"no video")
    with pytest.raises(stp.UserError, match=r"nod/a.mp4: cannot be opened as a video"):
        ClipDataset.from_videos([Clip("a", str(results / "nod/a.mp4"), "nod")])[0]


@pytest.mark.parametrize("size", [None, (48, 36)])
def test_a_video_of_which_nothing_decodes_is_an_error_and_no_end_of_the_data(
    size: tuple[int, int] | None, tmp_path: Path
) -> None:
    whole, empty = write(tmp_path / "whole.mp4"), tmp_path / "empty.mp4"
    content = whole.read_bytes()
    pictures = content.index(b"mdat") + 4
    length = int.from_bytes(content[pictures - 8 : pictures - 4])
    empty.write_bytes(content[:pictures] + bytes(length - 8) + content[pictures - 8 + length :])
    clips = [Clip(path.stem, str(path), "nod") for path in (empty, whole)]
    dataset = ClipDataset.from_videos(clips, size)
    with pytest.raises(stp.UserError, match=r"empty\.mp4: frame 1 is damaged"):
        list(map(dataset.__getitem__, range(2)))
