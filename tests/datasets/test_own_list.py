"""A list of one's own: what it says becomes the index, and every mistake is one line with file and line."""

import csv
from pathlib import Path

import cv2
import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from stp.cli.app import app
from stp.data.index import Clip, Index, read_index
from stp.data.shards import ClipFields
from stp.data.splits import make_folds
from stp.datasets import IMPORTERS, find_clips, left_out
from stp.errors import UserError
from tests.data.test_index import write_video
from tests.video.clips import HEIGHT, WIDTH, number_of, write

SCHEMA = yaml.safe_load((Path(__file__).resolve().parents[2] / "workflow/schemas/config.schema.yaml").read_text())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for name in ("a.mp4", "day 1/b.mp4", "day 1/ü.avi", "c.mp4", "b.boxes.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "else.mkv").touch()
    return folder


def listed(videos: Path, text: str | bytes) -> list[Clip]:
    """The clips of a list with this text."""
    table = videos.parent / "list.csv"
    table.write_bytes(text.encode() if isinstance(text, str) else text)
    return find_clips("list", videos, table)


def test_a_list_names_every_column_of_the_index(videos: Path) -> None:
    elsewhere = videos.parent / "else.mkv"
    clips = listed(
        videos,
        "path,label,clip,split,group,boxes,coarse\n"
        "a.mp4,wave,,train;test,ann,,arm\n"
        f"{elsewhere},nod,other/1,test;train,bob,b.boxes.csv,head\n"
        '"day 1/ü.avi","nod, twice",,train;train,bob,,head\n'
        "c.mp4,,,hidden;hidden,,,\n",
    )
    assert clips == [
        Clip("a", str(videos / "a.mp4"), "wave", "ann", "train;test", 0, "", "arm"),
        Clip("other/1", str(elsewhere), "nod", "bob", "test;train", 0, str(videos / "b.boxes.csv"), "head"),
        Clip("day 1/ü", str(videos / "day 1/ü.avi"), "nod, twice", "bob", "train;train", 0, "", "head"),
        Clip("c", str(videos / "c.mp4"), "", "", "hidden;hidden"),
    ]
    assert left_out(videos, clips, videos.parent / "list.csv").videos == (videos / "day 1/b.mp4",)


def test_a_list_that_cannot_be_read_names_no_files(videos: Path) -> None:
    for name, content in (("a", b"path,label\na.mp4\n"), ("b", b"\xff\xfe"), ("c", b""), ("d", b"label\nwave\n")):
        table = videos.parent / f"{name}.csv"
        table.write_bytes(content)
        assert IMPORTERS["list"].named_files(videos, table) == []
    assert IMPORTERS["list"].named_files(videos, videos / "absent.csv") == []


def test_a_list_may_name_first_person_videos(videos: Path) -> None:
    clips = listed(videos, "path,label,first_person\na.mp4,wave,day 1/b.mp4\nc.mp4,nod,\n")
    assert [clip.first_person for clip in clips] == [str(videos / "day 1/b.mp4"), ""]
    assert left_out(videos, clips).videos == (videos / "day 1/ü.avi",)
    with pytest.raises(UserError, match=r"line 2: first_person 'absent.mp4': there is no such file below"):
        listed(videos, "path,label,first_person\na.mp4,wave,absent.mp4\n")
    with pytest.raises(UserError, match=r"line 2: first_person 'b.boxes.csv' is no video by its name"):
        listed(videos, "path,label,first_person\na.mp4,wave,b.boxes.csv\n")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_path_and_label_are_enough_in_any_order_from_any_program(mark: str, newline: str, videos: Path) -> None:
    clips = listed(videos, f"{mark}label,path{newline}wave,a.mp4{newline}{newline}nod,day 1/b.mp4{newline}")
    assert [(clip.clip, clip.label) for clip in clips] == [("a", "wave"), ("day 1/b", "nod")]


def test_grouped_and_official_folds_work_on_a_list(videos: Path) -> None:
    rows = ["a.mp4,wave,ann,train", "day 1/b.mp4,wave,bob,test", "day 1/ü.avi,nod,ann,train", "c.mp4,nod,bob,test"]
    index = Index(tuple(listed(videos, "path,label,group,split\n" + "\n".join(rows))))
    assert make_folds(index, "official", 1, 0) == [["train", "test", "train", "test"]]
    for words in make_folds(index, "grouped", 2, 0):
        assert words in (["train", "test", "train", "test"], ["test", "train", "test", "train"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,labels\n", "list.csv: line 1: column 'labels' is unknown; columns are path, label, clip"),
        ("path;label\n", "list.csv: line 1: column 'path;label' is unknown; .* separated by commas"),
        ("path\n", "list.csv: line 1: column label is missing"),
        ("", "list.csv: line 1: column path and label is missing"),
        ("path,label,path\n", "list.csv: line 1 names a column twice: path,label,path"),
        ("path,label\n", "list.csv: has no clips"),
        ("path,label\n\na.mp4,nod\nz.mp4,nod\n", "list.csv: line 4: path 'z.mp4': there is no such file below"),
        ("path,label\n,nod\n", "list.csv: line 2: path '': there is no such file"),
        ("path,label\nb.boxes.csv,nod\n", "list.csv: line 2: path 'b.boxes.csv' is no video by its name; allowed"),
        ("path,label\na.mp4,\n", "list.csv: line 2: label is empty; name the class"),
        ("path,label\na.mp4,nod,1\n", "list.csv: line 2 has 3 cells, but line 1 names 2 columns"),
        ("path,label,split\na.mp4,nod,val\n", "list.csv: line 2: split 'val': 'val' is none of train, test, unused"),
        ("path,label,boxes\na.mp4,nod,a.csv\n", "list.csv: line 2: boxes 'a.csv': there is no such file"),
        ("path,label\na.mp4,nod\n./a.mp4,nod\n", "line 3: clip id 'a' is that of line 2, too"),
        (
            "path,label,coarse\na.mp4,nod,head\nc.mp4,nod,arm\n",
            "line 3: coarse 'arm', but the class 'nod' has 'head' ab",
        ),
        ("path,label,clip\na.mp4,nod,../a\n", "list.csv: line 2: clip id '../a' has an empty or dotted part"),
        ('path,label\n"a.mp4,nod\n', "list.csv: line [23] cannot be read as csv"),
        (
            "path,label\na.mp4,nod\nc.mp4,größe\n".encode("latin-1"),
            "list.csv: line 3 is not UTF-8 text; save the file with",
        ),
    ],
)
def test_every_mistake_in_a_list_is_one_line_with_file_and_line(text: str | bytes, words: str, videos: Path) -> None:
    with pytest.raises(UserError, match=words) as caught:
        listed(videos, text)
    assert "\n" not in str(caught.value)


def test_a_list_that_is_not_there_is_named(videos: Path) -> None:
    with pytest.raises(
        UserError, match=r"dataset.lists: importer 'list' needs a csv file with the columns path, label"
    ):
        find_clips("list", videos)
    with pytest.raises(UserError, match=r"dataset.lists: file '.*absent.csv' does not exist"):
        find_clips("list", videos, videos / "absent.csv")
    with pytest.raises(UserError, match=r"dataset.path: folder '.*absent' does not exist"):
        find_clips("list", videos / "absent", videos)


def test_init_drafts_a_config_for_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{name}.mp4,{'nod' if name in 'abc' else 'wave'},{name in 'abde'}" for name in "abcdef"]
    for name in "abcdef":
        write_video(tmp_path / f"clips/{name}.mp4")
    (tmp_path / "l.csv").write_text(
        "path,label,group\n" + "\n".join(rows).replace("True", "ann").replace("False", "bo")
    )
    result = CliRunner().invoke(app, ["init", "clips", "--list", "l.csv"])
    assert result.exit_code == 0, result.output
    config = yaml.safe_load((tmp_path / "clips.yaml").read_text())
    jsonschema.validate(config, SCHEMA)
    assert config["dataset"] == {"importer": "list", "path": "clips", "lists": "l.csv"}
    assert (config["splits"]["scheme"], config["splits"]["folds"]) == ("grouped", 2)
    table = (tmp_path / "l.csv").read_text().replace("group", "split").replace("ann", "train").replace("bo", "test")
    (tmp_path / "l.csv").write_text(table)
    assert CliRunner().invoke(app, ["init", "clips", "--list", "l.csv", "-o", "2.yaml"]).exit_code == 0
    config = yaml.safe_load((tmp_path / "2.yaml").read_text())
    assert (config["splits"]["scheme"], config["splits"]["folds"]) == ("official", 1)
    with (tmp_path / "l.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6


def test_a_list_may_cut_clips_out_of_long_videos(videos: Path) -> None:
    clips = listed(videos, "path,label,start,end\na.mp4,wave,,2.5\na.mp4,nod,2.5,10\na.mp4,wave,10,\nc.mp4,nod,,\n")
    assert [(clip.clip, clip.part) for clip in clips] == [
        ("a_0-2.5", (0, 2.5)),
        ("a_2.5-10", (2.5, 10)),
        ("a_10-end", (10, float("inf"))),
        ("c", None),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a.mp4,wave,-1,2", "line 2: start '-1' is no number of seconds from 0 on, such as 12.5"),
        ("a.mp4,wave,0:10,", "line 2: start '0:10' is no number of seconds from 0 on"),
        ("a.mp4,wave,,nan", "line 2: end 'nan' is no number of seconds from 0 on"),
        ("a.mp4,wave,4,4", "line 2: end 4 is not behind the start 4; give seconds"),
        ("a.mp4,wave,,0", "line 2: end 0 is not behind the start 0; give seconds"),
    ],
)
def test_times_that_cut_nothing_out_are_one_line(row: str, words: str, videos: Path) -> None:
    with pytest.raises(UserError, match=words):
        listed(videos, f"path,label,start,end\n{row}\n")


def test_clips_of_a_long_video_are_indexed_and_stored_by_their_times(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write(tmp_path / "videos/long.mp4", "libx264", 50, options={"g": "10"})
    (tmp_path / "clips.csv").write_text("path,label,start,end\nlong.mp4,wave,0.4,1.2\nlong.mp4,nod,1.2,\n")
    index, frames = tmp_path / "index.csv", tmp_path / "frames.h5"
    words = ["index", str(tmp_path / "videos"), "--importer", "list", "--lists", str(tmp_path / "clips.csv")]
    made = CliRunner().invoke(app, [*words, "-o", str(index), "--skipped", str(tmp_path / "skipped.csv")])
    assert made.exit_code == 0, made.output
    assert [(clip.frames, clip.start, clip.end) for clip in read_index(index).clips] == [
        (20, 0.4, 1.2),
        (20, 1.2, None),
    ]
    for fps, wanted in (("native", list(range(10, 30))), ("5", [10, 15, 20, 25])):
        made = CliRunner().invoke(app, ["frames", str(index), "-o", str(frames), "--fps", fps, "--width", str(WIDTH)])
        assert made.exit_code == 0, made.output
        stored = ClipFields([frames])["long_0.4-1.2"]
        assert [number_of(cv2.resize(image.transpose(1, 2, 0), (WIDTH, HEIGHT))) for image in stored[:]] == wanted
        frames.unlink()
