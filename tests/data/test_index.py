"""Index, importers and the check of videos."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from stp.data.index import (
    Clip,
    Index,
    check_first_person,
    check_ids,
    first_person_clips,
    read_index,
    write_index,
)
from stp.datasets import folder, ut_interaction
from stp.errors import UserError
from stp.video.checking import BadVideo, check_video, check_videos
from stp.video.decoding import decode


def write_video(path: Path, frames: int = 12, width: int = 64, height: int = 48) -> Path:
    """A small video whose frames differ."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for t in range(frames):
        writer.write(np.full((height, width, 3), 10 * t % 250, np.uint8))
    writer.release()
    return path


def test_index_survives_writing_and_odd_names(tmp_path: Path) -> None:
    clips = [Clip('a/one, "two"', "x/é ü;.avi", "a", "g1", "train;test", 7, "x/é.csv"), Clip("b/2", "y.avi", "b")]
    write_index(tmp_path / "index.csv", clips)
    assert read_index(tmp_path / "index.csv") == Index(tuple(clips))


def test_classes_are_numbered_by_first_appearance() -> None:
    index = Index(tuple(Clip(str(i), "", label) for i, label in enumerate("zazb")))
    assert index.classes == ("z", "a", "b")
    assert index.labels == [0, 1, 0, 2]


def test_hidden_labels_are_no_class() -> None:
    index = Index((Clip("1", "", ""), Clip("2", "", "nod", coarse="head"), Clip("3", "", "wave", coarse="arm")))
    assert index.classes == ("nod", "wave")
    assert index.labels == [-1, 0, 1]
    assert index.coarse == ("head", "arm")
    assert Index((Clip("2", "", "nod"),)).coarse == ()


@pytest.mark.parametrize("second", [Clip("2", "", "nod", coarse="arm"), Clip("2", "", "nod"), Clip("2", "", "wave")])
def test_every_class_has_one_coarser_class_or_none_has_any(second: Clip, tmp_path: Path) -> None:
    write_index(tmp_path / "index.csv", [Clip("1", "", "nod", coarse="head"), second])
    with pytest.raises(UserError, match="column coarse must give every class one coarser class, or be empty"):
        read_index(tmp_path / "index.csv")


def test_shards_hold_every_clip_once() -> None:
    index = Index(tuple(Clip(str(i), "", "a") for i in range(10)))
    shards = [index.shard(number, 4) for number in range(4)]
    assert sorted(clip.clip for shard in shards for clip in shard) == sorted(str(i) for i in range(10))
    assert {len(shard) for shard in shards} == {2, 3}


@pytest.mark.parametrize("ids", [("a", "a"), ("a", "a/b"), ("a//b",), ("../a",), ("",)])
def test_unusable_ids_are_refused(ids: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="clip id"):
        check_ids([Clip(name, "", "a") for name in ids])


def test_two_videos_of_one_id_are_both_named() -> None:
    clips = [Clip("odd/a", "odd/a.avi", "odd"), Clip("odd/a", "odd/a.mp4", "odd")]
    with pytest.raises(UserError, match=r"'odd/a' stands for two videos, 'odd/a.avi' and 'odd/a.mp4': rename one"):
        check_ids(clips)


def test_a_row_that_was_changed_is_named_unless_the_change_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    write_index(path, [Clip("a", "a.avi", "nod"), Clip("b", "b.avi", "wave", "g1", frames=12)])
    text = path.read_text()
    path.write_text(text.replace("wave,g1", "wave,g3"))
    with pytest.raises(UserError, match=r"index.csv: line 3 \('b'\) was changed after it was written; make the index"):
        read_index(path)
    lines = text.replace("wave,g1", "wave,g3").splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].rpartition(",")[0] + ",\n"]))
    assert read_index(path).clips[1] == Clip("b", "b.avi", "wave", "g3", frames=12)
    columns = [line.rpartition(",")[0] for line in lines]  # as if written before there was a check
    path.write_text("\n".join(columns))
    assert read_index(path).clips[1].group == "g3"


OLD_INDEX = """\
clip,path,label,group,split,frames,boxes,coarse,digest,slot,check
pointing/pointing_a00_000,results/videos/pointing/pointing_a00_000.mp4,pointing,a00,,24,,,1da54eddcba5128cbdf5,0,77a00791
"""


def test_an_index_of_an_earlier_version_reads_and_has_no_first_person_videos(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(OLD_INDEX)
    (clip,) = read_index(tmp_path / "index.csv").clips
    assert (clip.digest, clip.slot, clip.first_person) == ("1da54eddcba5128cbdf5", 0, "")
    with pytest.raises(
        UserError, match=r"methods.mpov needs first-person video, which 1 of 1 clips lack, .*make it again"
    ):
        check_first_person([clip], "methods.mpov")


def test_a_changed_name_of_a_first_person_video_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    write_index(path, [Clip("a", "a_s.avi", "nod", first_person="a_f.avi")])
    check_first_person(read_index(path).clips, "methods.mpov")
    path.write_text(path.read_text().replace("a_f.avi", "b_f.avi"))
    with pytest.raises(UserError, match=r"index.csv: line 2 \('a'\) was changed after it was written"):
        read_index(path)


def test_first_person_clips_keep_names_labels_and_shards(tmp_path: Path) -> None:
    second = Clip("b", "b_s.avi", "nod", "g1", "train", 9, "b.csv", "head", "12", slot=7, first_person="b_f.avi")
    index = Index((Clip("a", "a_s.avi", "wave", first_person="a_f.avi"), second))
    firsts = first_person_clips(index)
    assert firsts == [
        Clip("a", "a_f.avi", "wave", slot=0),
        Clip("b", "b_f.avi", "nod", "g1", "train", coarse="head", slot=7),
    ]
    assert [clip.path for clip in first_person_clips(index, tmp_path)] == [f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4"]


def test_a_cut_index_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    write_index(path, [Clip("a", "a.avi", "nod"), Clip("b", "b.avi", "wave", frames=12)])
    content = path.read_bytes()
    second = content.rindex(b"\n", 0, -1) + 1  # a cut between two rows is noticed by the folds
    for size in set(range(len(content))) - {second}:
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"index.csv: "):
            read_index(path)


def test_an_index_in_another_encoding_asks_for_utf8(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("clip,path,label\na,é.avi,nod\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"index.csv: line 2 is not UTF-8 text; save the file with the encoding UTF-8"):
        read_index(tmp_path / "index.csv")


def test_index_without_label_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("clip,path\na,b\n")
    with pytest.raises(UserError, match="column label is missing"):
        read_index(tmp_path / "index.csv")


def test_index_of_a_spreadsheet_reads(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("clip,path,label,frames\na,a.mp4,nod,3\n", encoding="utf-8-sig")
    assert read_index(tmp_path / "index.csv").clips == (Clip("a", "a.mp4", "nod", frames=3),)
    (tmp_path / "index.csv").write_text("clip,path,label,frames\na,a.mp4,nod,3.0\n")
    with pytest.raises(UserError, match=r"clip 'a' has '3.0' frames; give a whole number"):
        read_index(tmp_path / "index.csv")


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    with pytest.raises(UserError, match=r"caf\\udce9.mp4': the name is not UTF-8: rename the video or its folder"):
        check_ids([Clip(name, f"videos/{name}", "nod")])


def test_folder_importer_sorts_and_ignores_other_files(tmp_path: Path) -> None:
    for name in ("wave/b.avi", "wave/a.MP4", "nod/x.mkv", "nod/notes.txt", "nod/.hidden.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [clip.clip for clip in folder.find_clips(tmp_path)] == ["nod/x", "wave/a", "wave/b"]


def test_index_without_the_optional_columns_reads(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text("clip,path,label\na,b.avi,c\n")
    assert read_index(tmp_path / "index.csv").clips == (Clip("a", "b.avi", "c", "", "", 0, ""),)


def test_folder_importer_takes_boxes_beside_their_video(tmp_path: Path) -> None:
    for name in ("wave/b.avi", "wave/a.avi", "wave/a.boxes.csv", "nod/a.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    boxes = {clip.clip: clip.boxes for clip in folder.find_clips(tmp_path)}
    assert boxes == {"nod/a": "", "wave/a": str(tmp_path / "wave" / "a.boxes.csv"), "wave/b": ""}
    (tmp_path / "nod" / "c.boxes.csv").touch()
    with pytest.raises(UserError, match=r"c\.boxes\.csv' has no video beside it"):
        folder.find_clips(tmp_path)


def test_folder_importer_names_missing_folder_and_empty_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.path: folder '.*absent' does not exist"):
        folder.find_clips(tmp_path / "absent")
    (tmp_path / "wave").mkdir()
    with pytest.raises(UserError, match=r"class folder '.*wave' has no video"):
        folder.find_clips(tmp_path)


def test_ut_interaction_has_120_clips_of_20_recordings(real_data: Path) -> None:
    clips = ut_interaction.find_clips(real_data / "ut_interaction")
    assert len(clips) == 120
    assert len({clip.group for clip in clips}) == 20
    assert [sum(clip.label == name for clip in clips) for name in ut_interaction.CLASSES] == [20] * 6


def test_ut_interaction_decodes_to_13603_frames(real_data: Path) -> None:
    good, bad = check_videos(ut_interaction.find_clips(real_data / "ut_interaction"), threads=2)
    assert not bad
    assert sum(clip.frames for clip in good) == 13_603


def test_decoded_frames_have_the_size_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4")
    frames = list(decode(str(path), 34, 26))
    assert len(frames) == 12
    assert all(frame.shape == (26, 34, 3) and frame.dtype == np.uint8 for frame in frames)
    assert abs(int(frames[10].mean()) - 100) < 5


def test_bad_videos_are_named_with_their_reason(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.avi", frames=60, width=320, height=240)
    text = tmp_path / "text.avi"
    text.write_text("no video")
    content = whole.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(content[: len(content) // 2])
    good, bad = check_videos([Clip(p.stem, str(p), "a") for p in (whole, text, cut, tmp_path / "absent.avi")])
    assert [(clip.clip, clip.frames) for clip in good] == [("whole", 60)]
    assert [video.clip.clip for video in bad] == ["text", "cut", "absent"]
    assert bad[0].reason.startswith("cannot be opened as a video")
    assert bad[1].reason.startswith("frame 28 is damaged (")
    assert bad[2].reason == "no such file"


def test_check_video_counts_frames(tmp_path: Path) -> None:
    checked = check_video(Clip("a", str(write_video(tmp_path / "a.mp4", frames=9)), "a"))
    assert not isinstance(checked, BadVideo)
    assert checked.frames == 9
