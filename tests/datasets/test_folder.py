"""Videos in folders: nested ones, official splits, and what is left out."""

import csv
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip, Index
from stp.data.splits import make_folds
from stp.datasets import find_clips, left_out
from stp.errors import UserError
from stp.setup.survey import survey_folder, survey_text
from tests.data.test_index import write_video


def touch(folder: Path, *names: str) -> Path:
    """Empty files: importers open no video."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def facts(clips: list[Clip]) -> list[tuple[str, str, str, str]]:
    return [(clip.clip, clip.label, clip.group, clip.split) for clip in clips]


def test_videos_below_a_class_are_its_clips_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, "wave/w1.mp4", "wave/subject1/x.mp4", "wave/subject1/day2/y.mp4", "nod/n1.mp4", "nod/.old/z.mp4")
    assert facts(find_clips("folder", tmp_path)) == [
        ("nod/n1", "nod", "", ""),
        ("wave/subject1/day2/y", "wave", "", ""),
        ("wave/subject1/x", "wave", "", ""),
        ("wave/w1", "wave", "", ""),
    ]


def test_folders_below_a_class_are_groups_where_the_option_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "wave/ann/x.mp4", "wave/bob/day1/x.mp4", "nod/ann/x.mp4")
    clips = find_clips("folder", tmp_path, options={"groups": "true"})
    assert [(clip.clip, clip.group) for clip in clips] == [
        ("nod/ann/x", "ann"),
        ("wave/ann/x", "ann"),
        ("wave/bob/day1/x", "bob"),
    ]
    touch(tmp_path, "nod/stray.mp4")
    with pytest.raises(UserError, match=r"dataset.options.groups: '.*nod/stray.mp4' lies in no folder below its class"):
        find_clips("folder", tmp_path, options={"groups": "true"})


def test_boxes_belong_to_the_video_beside_them(tmp_path: Path) -> None:
    touch(tmp_path, "wave/a/x.mp4", "wave/a/x.boxes.csv", "wave/x.mp4")
    assert {clip.clip: clip.boxes for clip in find_clips("folder", tmp_path)} == {
        "wave/a/x": str(tmp_path / "wave/a/x.boxes.csv"),
        "wave/x": "",
    }
    touch(tmp_path, "wave/b/x.boxes.csv")
    with pytest.raises(UserError, match=r"wave/b/x.boxes.csv' has no video beside it"):
        find_clips("folder", tmp_path)


@pytest.mark.parametrize("tested", ["val", "test", "Validation", "valid", "testing"])
def test_folders_of_an_official_split_train_and_test(
    tested: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "train/wave/x.mp4", "train/nod/x.mp4", f"{tested}/wave/x.mp4", f"{tested}/nod/x.mp4")
    with caplog.at_level(logging.INFO):
        clips = find_clips("folder", tmp_path)
    assert set(facts(clips)) == {
        ("train/wave/x", "wave", "", "train"),
        ("train/nod/x", "nod", "", "train"),
        (f"{tested}/wave/x", "wave", "", "test"),
        (f"{tested}/nod/x", "nod", "", "test"),
    }
    assert Index(tuple(clips)).classes == ("nod", "wave")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "folders of an official split, for splits.scheme: official and splits.folds: 1" in line
    assert "train/ trains" in line
    assert f"{tested}/ tests" in line
    words = make_folds(Index(tuple(clips)), "official", 1, 0)
    assert words == [[clip.split for clip in clips]]


def test_the_validation_part_is_not_used_where_a_test_part_has_classes(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{label}/1.mp4" for part in ("train", "val", "test") for label in ("nod", "wave")))
    words = {clip.clip.split("/")[0]: clip.split for clip in find_clips("folder", tmp_path)}
    assert words == {"train": "train", "val": "unused", "test": "test"}


def test_a_test_part_without_classes_is_left_out_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/nod/1.mp4", "train/wave/1.mp4", "val/nod/1.mp4", "val/wave/1.mp4", "test/0001.mp4")
    clips = find_clips("folder", tmp_path)
    assert {clip.clip.split("/")[0]: clip.split for clip in clips} == {"train": "train", "val": "test"}
    assert left_out(tmp_path, clips).videos == (tmp_path / "test/0001.mp4",)


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.mp4", "test/1.mp4"),  # two classes of these names
        ("train/ann/1.mp4", "car/ann/1.mp4"),
        ("val/nod/1.mp4", "test/nod/1.mp4"),
        ("test/nod/1.mp4", "testing/nod/1.mp4", "train/nod/1.mp4"),
    ],
)
def test_other_folders_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    clips = find_clips("folder", touch(tmp_path, *names))
    assert sorted(clip.label for clip in clips) == sorted(name.split("/")[0] for name in names)
    assert {clip.split for clip in clips} == {""}


def test_what_is_left_out_is_counted_and_named_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "wave/1.mp4", "wave/1.boxes.csv", "stray.mp4", "wave/.hidden.mp4", ".git/x.mp4", "wave/notes.txt")
    touch(tmp_path, *(f"data{number}.bin" for number in range(7)))
    clips = [clip for clip in find_clips("folder", tmp_path) if clip.label == "wave"]
    line = str(left_out(tmp_path, clips))
    assert line.startswith(
        f"videos that are no clips (1): '{tmp_path}/stray.mp4'; files that are no videos by their names (8): '"
    )
    assert line.endswith(f"'{tmp_path}/data4.bin' and 3 more")
    assert str(left_out(tmp_path / "wave", clips)) == (
        f"files that are no videos by their names (1): '{tmp_path}/wave/notes.txt'"
    )


def test_folders_that_hold_themselves_by_a_link_end(tmp_path: Path) -> None:
    touch(tmp_path, "wave/1.mp4")
    (tmp_path / "wave/loop").symlink_to(tmp_path)
    assert [clip.clip for clip in find_clips("folder", tmp_path)] == ["wave/1"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "wave/1.mp4", "wave/lost/2.mp4")
    listed = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path.name == "lost":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"folder '.*wave/lost' cannot be read \(Permission denied\); let it be read"):
        find_clips("folder", tmp_path)


def test_index_and_init_take_and_leave_out_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    videos = tmp_path / "videos"
    for name in ("wave/subject1/x", "wave/w1", "nod/n1", "nod/n2", "stray"):
        write_video(videos / f"{name}.mp4")
    touch(videos, "wave/cam.xyz")
    words = ["index", str(videos), "-o", str(tmp_path / "index.csv"), "--skipped", str(tmp_path / "skipped.csv")]
    with caplog.at_level(logging.INFO):
        assert CliRunner().invoke(app, words).exit_code == 0
    rows = list(csv.DictReader((tmp_path / "index.csv").open()))
    assert [row["clip"] for row in rows] == ["nod/n1", "nod/n2", "wave/subject1/x", "wave/w1"]
    survey = survey_folder(videos, 1)
    assert [video.clip.clip for video in survey.videos] == [row["clip"] for row in rows]
    text = survey_text(survey)
    for path in ("stray.mp4", "wave/cam.xyz"):
        assert f"'{videos / path}'" in caplog.text
        assert f"\n  {videos / path}" in text
    assert sum("left out" in record.getMessage() for record in caplog.records) == 1


@pytest.fixture
def acted(tmp_path: Path) -> Path:
    """Four clips whose names tell who acts."""
    for name in ("nod/ann_1", "nod/bob_1", "wave/ann_2", "wave/bob_2"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"videos/{name}.mp4").touch()
    return tmp_path / "videos"


@pytest.mark.parametrize("expression", ["ann|bob", "/([a-z]+)_", "[a-z]+(?=_)"])
def test_a_regular_expression_finds_the_groups_in_the_names(expression: str, acted: Path) -> None:
    clips = find_clips("folder", acted, options={"group": expression})
    assert [clip.group for clip in clips] == ["ann", "bob", "ann", "bob"]


def test_a_file_gives_the_groups(acted: Path) -> None:
    table = acted.parent / "groups.csv"
    rows = ("nod/ann_1,1", "nod/bob_1,2", "wave/ann_2,1", "wave/bob_2,2", "wave/other,3")
    table.write_text("\n".join(("clip,group", *rows, "")))
    assert [clip.group for clip in find_clips("folder", acted, table)] == ["1", "2", "1", "2"]
    table.write_text("\n".join(("clip,group", *rows[:3], "")))
    with pytest.raises(UserError, match=r"groups.csv: gives no group to 1 of 4 clips, such as 'wave/bob_2'"):
        find_clips("folder", acted, table)
    table.write_text("path,group\n")
    with pytest.raises(UserError, match=r"line 1 names the columns path, group; a file of groups has clip"):
        find_clips("folder", acted, table)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"group": "bob"}, "dataset.options.group: 'bob' finds nothing in 2 of 4 clips, such as 'nod/ann_1'"),
        ({"group": "(bob"}, r"dataset.options.group: '\(bob' is no regular expression \(missing \)"),
        ({"group": "bob", "groups": "true"}, "dataset.options: groups and group each say what the groups are"),
    ],
)
def test_groups_that_cannot_be_found_are_one_line(options: dict[str, str], words: str, acted: Path) -> None:
    with pytest.raises(UserError, match=words):
        find_clips("folder", acted, options=options)
