"""The importers of published data sets: counts on the real lists, every mistake on disk named, subsets trained."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import pytest

from stp.data.index import Clip, Index
from stp.data.splits import make_folds
from stp.datasets import find_clips, left_out, pev
from stp.datasets.lists import read_list
from stp.errors import UserError
from stp.evaluation.scores import read_scores
from tests.data.test_index import write_video
from tests.workflow.test_workflow import TINY, snakemake

ODD_NAMES = ("a;b & c", "#1 'x' (y)!", "[é]~@+$HOME", 'q"u,o')


def touch(folder: Path, names: Iterable[str]) -> Path:
    """Empty files, because importers open no video."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write_list(path: Path, words: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name} {word}\r\n" for name, word in words.items()), encoding="utf-8")


def write_pev_lists(folder: Path, labels: dict[str, int]) -> Path:
    """Li et al.'s lists: clip i is tested in fold i % 3."""
    for fold in (1, 2, 3):
        tested = {name: label for i, (name, label) in enumerate(labels.items()) if i % 3 == fold - 1}
        write_list(folder / f"testlist{fold}.txt", {f"{name}_f": label for name, label in tested.items()})
        others = {f"{name}_f": label for name, label in labels.items() if name not in tested}
        write_list(folder / f"trainlist{fold}.txt", others)
    return folder


def write_hmdb51(folder: Path, names: Iterable[str] = ("1", "2")) -> tuple[Path, Path]:
    """Two classes: in each split the first clip trains, the second tests, the others are unused."""
    for label in ("run", "wave"):
        files = [f"{name}_{label}.avi" for name in names]
        touch(folder / "videos" / label, files)
        for split in (1, 2, 3):
            words = {name: 1 if i == 0 else 2 if i == 1 else 0 for i, name in enumerate(files)}
            write_list(folder / f"lists/{label}_test_split{split}.txt", words)
    return folder / "videos", folder / "lists"


def write_ma52(folder: Path) -> tuple[Path, Path]:
    """One train and one val clip of each class, three of test."""
    for part, subject in (("train", 3), ("val", 7)):
        labels = {f"{subject:04d}_01_{label:04d}.mp4": label for label in reversed(range(52))}
        write_list(folder / f"lists/{part}_list_videos.txt", labels)
        touch(folder / "videos" / part, labels)
    hidden = {f"test{i:04d}.mp4": 0 for i in range(3)}
    write_list(folder / "lists/test_list_videos.txt", hidden)
    touch(folder / "videos/test", hidden)
    (folder / "lists/label_name.txt").write_text("\r\n".join(f"{label}\taction {label}" for label in range(52)))
    return folder / "videos", folder / "lists"


def splits(clips: list[Clip], fold: int = 0) -> Counter[str]:
    return Counter(clip.split.split(";")[fold] for clip in clips)


@pytest.fixture(scope="module")
def whole_pev(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of PEV's names in folders spelled in every way, both views, and persons by blocks of ids."""
    folder = tmp_path_factory.mktemp("pev")
    labels = read_list(real_data / "pev_lists/trainlist1.txt") | read_list(real_data / "pev_lists/testlist1.txt")
    names = ("Pointing", "ATTENTION", "passing", "3_receiving", "Positive response", "negative_x", "Gesture", "None")
    for name, label in labels.items():
        touch(folder / names[int(label)], (f"{name[:5]}_f.mp4", f"{name[:5]}_s.mp4"))
    (folder / "pid.txt").write_text("".join(f"{min(5, i // 200)}\n" for i in range(1226)))
    return folder


def test_pev_has_the_papers_911_clips(whole_pev: Path, real_data: Path) -> None:
    clips = find_clips("pev", whole_pev)
    assert list(Counter(clip.label for clip in clips).items()) == list(pev.COUNTS.items())[:7]
    assert sum(pev.COUNTS.values()) == 1226
    assert all(clip.clip.endswith("_s") for clip in clips)
    assert {clip.group for clip in clips} == {"pair01", "pair23", "pair45"}
    assert len(find_clips("pev", whole_pev, options={"view": "first", "with_none": "true"})) == 1226
    listed = find_clips("pev", whole_pev, real_data / "pev_lists")
    assert [splits(listed, fold)["test"] for fold in range(3)] == [303, 218, 390]
    for scheme in ("random", "official", "leave_one_group_out"):
        assert len(make_folds(Index(tuple(listed)), scheme, 3, 0)) == 3


def test_pev_pairs_the_second_persons_clips_with_the_first_persons(tmp_path: Path) -> None:
    touch(tmp_path, ("Pointing/00003_s.mp4", "Pointing/00003_F.MP4", "Gesture/00001_s.mp4", "Gesture/00002_f.mp4"))
    options = {"complete": "false"}
    clips = find_clips("pev", tmp_path, options=options)
    assert {clip.clip: clip.first_person for clip in clips} == {
        "00003_s": f"{tmp_path}/Pointing/00003_F.MP4",
        "00001_s": "",
    }
    assert left_out(tmp_path, clips).videos == (tmp_path / "Gesture/00002_f.mp4",)
    firsts = find_clips("pev", tmp_path, options=options | {"view": "first"})
    assert [(clip.clip, clip.first_person) for clip in firsts] == [("00003_f", ""), ("00002_f", "")]


def test_two_first_persons_videos_of_one_pev_clip_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, ("Pointing/00003_s.mp4", "Gesture/00003_f.mp4", "Pointing/00003_F.MP4", "Pointing/00004_f.mp4"))
    words = r"clip id '00003_f' stands for two videos, '.*Gesture/00003_f.mp4' and '.*Pointing/00003_F.MP4': rename one"
    with pytest.raises(UserError, match=words):
        find_clips("pev", tmp_path, options={"complete": "false"})


def test_pev_falls_back_to_the_lists_labels(whole_pev: Path, real_data: Path, tmp_path: Path) -> None:
    flat = touch(tmp_path / "flat", (path.name for path in whole_pev.rglob("*.mp4")))
    by_list = [(clip.clip, clip.label) for clip in find_clips("pev", flat, real_data / "pev_lists")]
    assert by_list == [(clip.clip, clip.label) for clip in find_clips("pev", whole_pev)]
    with pytest.raises(UserError, match=r"lies in no folder that names one of pointing, .* or name in dataset.lists"):
        find_clips("pev", flat)


def test_pev_that_is_not_whole_is_reported_by_class(tmp_path: Path) -> None:
    touch(tmp_path, ("Pointing/00003_s.mp4", "Gesture/00001_s.mp4", "None/00002_s.mp4", "Gesture/00001_f.mp4"))
    with pytest.raises(UserError) as caught:
        find_clips("pev", tmp_path)
    assert "PEV has 911 clips, here are 2: pointing 1 of 182, attention 0 of 97" in str(caught.value)
    assert "no file of 00000, 00004, 00005, 00006, 00007 and 1218 more" in str(caught.value)
    clips = find_clips("pev", tmp_path, options={"complete": "false"})
    assert [(clip.clip, clip.label, clip.group) for clip in clips] == [
        ("00003_s", "pointing", ""),
        ("00001_s", "gesture", ""),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "00001 0 1\n00003 2\n",
        "PEV/Gesture/00001_s.mp4,1\nPEV/Pointing/00003_s.mp4,3\n00001_f.mp4,0\n",
        "0\n3\n",
        "0 1\n3 2\n",
        "".join(f"{2 * (i == 3)}\n" for i in range(1226)),
    ],
)
def test_pid_file_gives_the_pairs_in_either_form(text: str, tmp_path: Path) -> None:
    touch(tmp_path, ("Pointing/00003_s.mp4", "Gesture/00001_s.mp4"))
    (tmp_path / "pid.txt").write_text(text)
    clips = find_clips("pev", tmp_path, options={"complete": "false"})
    assert {clip.clip: clip.group for clip in clips} == {"00003_s": "pair23", "00001_s": "pair01"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0\n1\n2\n", r"3 lines for 2 clips; a line is 'NNNNN PERSON'"),
        ("00001 0\n00003 6\n", "line 2, '00003 6', cannot be read; a line is 'NNNNN PERSON'"),
        ("00001 0\n00003\n", "line 2, '00003', cannot be read"),
        ("clip person\n00003 2\n", "line 1, 'person', cannot be read"),
        ("00001 1 2\n00003 2\n", "line 1: persons 1 and 2 did not talk to each other"),
        ("00001 0\n", "has no line for clip 00003, one of 1"),
        ("00001 0\n00003 2\n00003 4\n", "clip 00003 has people of two pairs"),
    ],
)
def test_wrong_pid_file_is_named_with_what_is_taken(text: str, words: str, tmp_path: Path) -> None:
    touch(tmp_path, ("Pointing/00003_s.mp4", "Gesture/00001_s.mp4"))
    (tmp_path / "pid.txt").write_text(text)
    with pytest.raises(UserError, match=f"pid.txt: .*{words}"):
        find_clips("pev", tmp_path, options={"complete": "false"})


def test_mistakes_in_pevs_folders_and_lists_are_named(tmp_path: Path) -> None:
    subset = {"complete": "false"}
    videos = touch(tmp_path / "videos", ("Pointing/00003_s.mp4", "Gesture/00001_s.mp4"))
    lists = write_pev_lists(tmp_path / "lists", {"00001": 6, "00003": 1})
    with pytest.raises(UserError, match=r"'pointing', but dataset.lists has it as 'attention'"):
        find_clips("pev", videos, lists, subset)
    write_pev_lists(lists, {"00001": 6})
    with pytest.raises(UserError, match=r"00003_s.mp4' is in no list"):
        find_clips("pev", videos, lists, subset)
    write_list(lists / "testlist2.txt", {"00001_f": 6})
    with pytest.raises(UserError, match=r"testlist2.txt: '00001_f' is not once in each fold's two lists"):
        find_clips("pev", videos, lists, subset)
    (lists / "testlist2.txt").unlink()
    with pytest.raises(UserError, match=r"testlist2.txt' is missing"):
        find_clips("pev", videos, lists, subset)
    with pytest.raises(UserError, match=r"no NNNNN_f.mp4 of PEV below"):
        find_clips("pev", videos, None, {"view": "first"})


def test_hmdb51_has_the_published_counts(real_data: Path, tmp_path: Path) -> None:
    lists = real_data / "hmdb51_splits"
    for path in lists.glob("*_test_split1.txt"):
        touch(tmp_path / path.name.removesuffix("_test_split1.txt"), read_list(path))
    clips = find_clips("hmdb51", tmp_path, lists)
    assert len(clips) == 6766
    for fold in range(3):
        assert splits(clips, fold) == {"train": 3570, "test": 1530, "unused": 1666}
        by_class = Counter((clip.label, clip.split.split(";")[fold]) for clip in clips)
        assert {by_class[label, "train"] for label, _ in by_class} == {70}
        assert {by_class[label, "test"] for label, _ in by_class} == {30}
    absent = next((tmp_path / "wave").iterdir())
    absent.unlink()
    with pytest.raises(UserError, match=rf"1 of 6766 listed clips .*'wave/{re.escape(absent.name)}' \(1 of wave\)"):
        find_clips("hmdb51", tmp_path, lists)
    for path in (tmp_path / "wave").iterdir():
        path.unlink()
    (tmp_path / "wave").rmdir()
    with pytest.raises(UserError, match=r"listed clips are not there, .* \(104 of wave\)"):
        find_clips("hmdb51", tmp_path, lists)
    with pytest.raises(UserError, match="has 6662 clips of 50 classes, HMDB51 6766 of 51"):
        find_clips("hmdb51", tmp_path)
    assert len(find_clips("hmdb51", tmp_path, lists, {"complete": "false"})) == 6662


def test_mistakes_in_hmdb51s_folders_and_lists_are_named(tmp_path: Path) -> None:
    subset = {"complete": "false"}
    videos, lists = write_hmdb51(tmp_path)
    assert [clip.split for clip in find_clips("hmdb51", videos, lists, subset)] == [
        "train;train;train",
        "test;test;test",
    ] * 2
    touch(videos, ["wave/3_wave.avi"])
    with pytest.raises(UserError, match=r"videos that no official list has: 1, as 'wave/3_wave.avi'; remove them"):
        find_clips("hmdb51", videos, lists, subset)
    write_list(lists / "wave_test_split2.txt", {"1_wave.avi": 1, "2_wave.avi": 3})
    with pytest.raises(UserError, match=r"wave_test_split2.txt: '3' is none of 0, 1 and 2"):
        find_clips("hmdb51", videos, lists, subset)
    write_list(lists / "wave_test_split2.txt", {"1_wave.avi": 1})
    with pytest.raises(UserError, match=r"'wave/2_wave.avi' is not in all of its class's lists"):
        find_clips("hmdb51", videos, lists, subset)
    with pytest.raises(UserError, match=r"run_test_split1.txt: 1 train clips, HMDB51 has 70"):
        find_clips("hmdb51", videos, lists)
    (lists / "wave_test_split2.txt").write_text("1_wave.avi\n")
    with pytest.raises(UserError, match=r"wave_test_split2.txt: line 1, '1_wave.avi', is not of the form NAME WORD"):
        find_clips("hmdb51", videos, lists, subset)
    (lists / "wave_test_split2.txt").unlink()
    with pytest.raises(UserError, match=r"wave_test_split2.txt' is missing"):
        find_clips("hmdb51", videos, lists, subset)


def test_ma52_has_the_published_counts(real_data: Path, tmp_path: Path) -> None:
    lists = real_data / "ma52"
    for part in ("train", "val", "test"):
        touch(tmp_path / part, read_list(lists / f"{part}_list_videos.txt"))
    clips = find_clips("ma52", tmp_path, lists)
    assert splits(clips) == {"train": 11250, "test": 5586, "hidden": 5586}
    index = Index(tuple(clips))
    names = [line.split("\t")[1] for line in (lists / "label_name.txt").read_text().splitlines()]
    assert list(index.classes) == names
    assert Counter(index.coarse) == {
        "body": 5,
        "head": 6,
        "upper limb": 13,
        "lower limb": 8,
        "body-hand": 6,
        "head-hand": 10,
        "leg-hand": 4,
    }
    assert len({clip.group for clip in clips if clip.label}) == 186
    assert all(not clip.label for clip in clips[-5586:])
    (words,) = make_folds(index, "official", 1, 0)
    assert Counter(words) == splits(clips)
    (tmp_path / "val/0003_01_0005.mp4").unlink()
    with pytest.raises(UserError, match=r"1 of 5586 listed clips .* '0003_01_0005.mp4' \(1 of turning head\)"):
        find_clips("ma52", tmp_path, lists)


def test_mistakes_in_ma52s_folders_and_lists_are_named(tmp_path: Path) -> None:
    subset = {"complete": "false"}
    videos, lists = write_ma52(tmp_path)
    assert len(find_clips("ma52", videos, lists, subset)) == 107
    with pytest.raises(UserError, match=r"train_list_videos.txt: 52 clips, MA-52 has 11250 in train"):
        find_clips("ma52", videos, lists)
    with pytest.raises(UserError, match=r"dataset.lists: MA-52 needs its lists"):
        find_clips("ma52", videos)
    touch(videos, ["val/0009_01_0001.mp4"])
    with pytest.raises(UserError, match=r"no official list has: 1, as '0009_01_0001.mp4'"):
        find_clips("ma52", videos, lists, subset)
    (videos / "val/0009_01_0001.mp4").unlink()
    for part, subject in (("train", 3), ("val", 7)):
        (videos / part / f"{subject:04d}_01_0011.mp4").unlink()
    with pytest.raises(UserError, match="has no clip of 'action 11'; MA-52 needs all 52 classes"):
        find_clips("ma52", videos, lists, subset)
    write_list(lists / "val_list_videos.txt", {"0007_01_0000.mp4": 52})
    with pytest.raises(UserError, match=r"val_list_videos.txt: '0007_01_0000.mp4' has the label '52'"):
        find_clips("ma52", videos, lists, subset)
    (lists / "label_name.txt").write_text("0 shaking body\n")
    with pytest.raises(UserError, match=r"label_name.txt: lines are not LABEL NAME"):
        find_clips("ma52", videos, lists, subset)


def test_options_and_lists_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="importer 'pev' has no option 'views'; allowed: view, with_none, complete"):
        find_clips("pev", tmp_path, None, {"views": "first"})
    with pytest.raises(UserError, match=r"dataset.options.view: 'third' is none of second, first"):
        find_clips("pev", tmp_path, None, {"view": "third"})
    with pytest.raises(UserError, match="importer 'demo' has no official lists"):
        find_clips("demo", tmp_path, tmp_path)
    with pytest.raises(
        UserError, match=r"dataset.lists: there is no file '.*'; name the csv file of the clips' groups"
    ):
        find_clips("folder", tmp_path, tmp_path)
    with pytest.raises(UserError, match="importer 'folder' has no option 'complete'; allowed: groups"):
        find_clips("folder", tmp_path, None, {"complete": "true"})
    with pytest.raises(UserError, match="importer 'demo' has no option 'complete'; allowed: none"):
        find_clips("demo", tmp_path, None, {"complete": "true"})
    with pytest.raises(UserError, match=r"dataset.lists: folder '.*absent' does not exist"):
        find_clips("hmdb51", tmp_path, tmp_path / "absent")
    with pytest.raises(UserError, match=r"dataset.importer: 'hmdb' is unknown; allowed are demo, folder"):
        find_clips("hmdb", tmp_path)


TABLE1 = "o u t/table1.csv"


def draw(folder: Path) -> None:
    """Turn the empty files below `folder` into short videos."""
    for path in folder.rglob("*.*"):
        if path.suffix in (".avi", ".mp4"):
            write_video(path, frames=6, width=40, height=30)


def run(folder: Path, importer: str, videos: Path, lists: Path, *targets: str, **changes: Any) -> list[dict[str, str]]:
    """Run the DAG on a subset, the whole of it without targets: the rows of its table."""
    config = {key: value for key, value in TINY.items() if key != "demo"}
    dataset = {"importer": importer, "path": str(videos), "lists": str(lists), "options": {"complete": False}}
    small = {
        "dataset": dataset,
        "frames": {"width": 40, "height": 30},
        "shards": 1,
        "variants": ["baseline"],
        "storage": {},
    }
    result = snakemake(folder, config | small | changes, *targets)
    assert result.returncode == 0, result.stdout
    return list(csv.DictReader((folder / "o u t/table1.csv").open()))


def test_subset_of_pev_runs_to_the_table(tmp_path: Path) -> None:
    labels = {f"{i:05d}": i % 8 for i in range(24)}
    videos = touch(tmp_path / "P E V", (f"clips/{name}_s.mp4" for name in labels))
    draw(videos)
    (videos / "pid.txt").write_text("".join(f"{name} {i // 8 * 2}\n" for i, name in enumerate(labels)))
    lists = write_pev_lists(tmp_path / "lists", labels)
    splits = {"scheme": "leave_one_group_out", "folds": 3}
    rows = run(tmp_path, "pev", videos, lists, TABLE1, splits=splits, modalities=["wof"])
    assert [row["Input Modality"] for row in rows] == ["WOF"]
    tested = list(csv.DictReader((tmp_path / "o u t/splits/fold2.csv").open()))
    assert {row["clip"] for row in tested if row["set"] == "test"} == {f"{i:05d}_s" for i in range(8, 15)}


def test_subset_of_hmdb51_with_odd_names_runs_to_the_table(tmp_path: Path) -> None:
    videos, lists = write_hmdb51(tmp_path, ODD_NAMES)
    draw(videos)
    rows = run(tmp_path, "hmdb51", videos, lists, TABLE1, splits={"scheme": "official", "folds": 3}, modalities=["of"])
    assert [row["Input Modality"] for row in rows] == ["OF"]
    ids = {f"{label}/{name}_{label}" for label in ("run", "wave") for name in ODD_NAMES}
    with h5py.File(tmp_path / "o u t/clips/of/0.h5") as file:
        assert {f"{label}/{name}" for label, clips in file["clips"].items() for name in clips} == ids
    assert {row["clip"] for row in csv.DictReader((tmp_path / "o u t/splits/fold3.csv").open())} == ids
    with h5py.File(tmp_path / "o u t/runs/of/baseline/fold3/seed0/scores.h5") as file:
        assert set(file["clips"].asstr()[:]) == {name for name in ids if name.split("/")[1].startswith(ODD_NAMES[1])}


def test_subset_of_ma52_runs_to_the_table_and_a_submission(tmp_path: Path) -> None:
    videos, lists = write_ma52(tmp_path)
    draw(videos)
    changes = {"splits": {"scheme": "official", "folds": 1}, "modalities": ["of"], "submission": "baseline"}
    rows = run(tmp_path, "ma52", videos, lists, **changes)
    assert [row["Input Modality"] for row in rows] == ["OF"]
    with h5py.File(tmp_path / "o u t/runs/of/baseline/fold1/seed0/hidden.h5") as file:
        assert file["labels"][:].tolist() == [-1] * 3
        assert file["scores"].shape == (3, 2, 52)
    tested = read_scores(tmp_path / "o u t/runs/of/baseline/fold1/seed0/scores.h5")
    assert tested.labels.tolist() == list(range(52))
    assert [tested.coarse[label] for label in (0, 10, 24, 51)] == ["body", "head", "lower limb", "leg-hand"]
    with (tmp_path / "o u t/submission.csv").open() as file:
        header, *lines = csv.reader(file)
    ranks = [f"{level}_pred_{rank}" for level in ("action", "body") for rank in range(1, 6)]
    assert header == ["vid", *ranks]
    assert [line[0] for line in lines] == ["test0000.mp4", "test0001.mp4", "test0002.mp4"]
    for line in lines:
        actions, parts = (list(map(int, words)) for words in (line[1:6], line[6:]))
        assert len(set(actions)) == 5
        assert all(0 <= action < 52 for action in actions)
        # By the official rule, the body part of each action; these are the last actions of all parts but one.
        assert parts == [sum(action > last for last in (4, 10, 23, 31, 37, 47)) for action in actions]


def test_a_list_in_another_encoding_asks_for_utf8(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.avi 1\né.avi 2\n", encoding="latin-1")
    with pytest.raises(UserError, match=r"list.txt: line 2 is not UTF-8 text; save the file with the encoding UTF-8"):
        read_list(tmp_path / "list.txt")
