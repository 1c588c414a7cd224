"""Folds: every clip is tested once, classes are even, groups stay whole."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stp.cli.app import app
from stp.data.index import Clip, Index, write_index
from stp.data.splits import Scheme, group_shares, make_folds, read_fold, write_fold
from stp.datasets.demo import CLASSES
from stp.errors import UserError
from tests.damage import flipped, outcome


def make_index(counts: dict[str, int], groups: int = 0) -> Index:
    clips = [
        Clip(f"{label}/{i}", "", label, f"g{i % groups}" if groups else "")
        for label, n in counts.items()
        for i in range(n)
    ]
    return Index(tuple(clips))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(3, 40), min_size=2, max_size=7), st.integers(2, 3), st.integers(0, 100))
def test_random_folds_test_every_clip_once_and_evenly(counts: list[int], folds: int, seed: int) -> None:
    index = make_index({f"c{i}": n for i, n in enumerate(counts)})
    words = make_folds(index, "random", folds, seed)
    for i in range(len(index.clips)):
        assert sorted(fold[i] for fold in words) == ["test"] + ["train"] * (folds - 1)
    for label, count in zip(index.classes, counts, strict=True):
        tested = [
            sum(c.label == label and word == "test" for c, word in zip(index.clips, fold, strict=True))
            for fold in words
        ]
        assert sum(tested) == count
        assert max(tested) - min(tested) <= 1


@settings(deadline=None, max_examples=30)
@given(st.integers(3, 12), st.integers(0, 100))
def test_grouped_folds_keep_groups_on_one_side(groups: int, seed: int) -> None:
    index = make_index({"a": 2 * groups, "b": 2 * groups}, groups)
    folds = make_folds(index, "grouped", 3, seed)
    assert all(sorted(words) == ["test", "train", "train"] for words in zip(*folds, strict=True))
    for fold in folds:
        sides: dict[str, set[str]] = {}
        for clip, word in zip(index.clips, fold, strict=True):
            sides.setdefault(clip.group, set()).add(word)
        assert all(len(words) == 1 for words in sides.values())


def counts_of_tests(index: Index, folds: list[list[str]], key: Callable[[Clip], object]) -> dict[object, list[int]]:
    """Number of test clips of every fold, for each value of `key`."""
    counts: dict[object, list[int]] = {key(clip): [0] * len(folds) for clip in index.clips}
    for fold, words in enumerate(folds):
        for clip, word in zip(index.clips, words, strict=True):
            counts[key(clip)][fold] += word == "test"
    return counts


KEYS: list[Callable[[Clip], object]] = [
    lambda clip: (clip.group, clip.label),
    lambda clip: clip.group,
    lambda clip: clip.label,
    lambda clip: "all",
]


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(2, 5), st.integers(0, 100))
def test_balanced_folds_are_even_in_every_group_and_class_and_both_together(
    data: st.DataObject, folds: int, seed: int
) -> None:
    classes, groups = data.draw(st.integers(2, 5)), data.draw(st.integers(1, 6))
    sizes = st.lists(st.integers(0, 7), min_size=groups, max_size=groups)
    table = [data.draw(sizes) for _ in range(classes)]
    clips = [
        Clip(f"{label}-{group}-{i}", "", f"c{label}", f"g{group}")
        for label, row in enumerate(table)
        for group, number in enumerate(row)
        for i in range(number + (folds if group == 0 else 0))  # no class has fewer clips than there are folds
    ]
    index = Index(tuple(clips))
    words = make_folds(index, "balanced", folds, seed)
    for i in range(len(clips)):
        assert sorted(fold[i] for fold in words) == ["test"] + ["train"] * (folds - 1)
    for key in KEYS:
        for name, tested in counts_of_tests(index, words, key).items():
            assert max(tested) - min(tested) <= 1, name
    shuffled = data.draw(st.permutations(range(len(clips))))
    again = make_folds(Index(tuple(clips[i] for i in shuffled)), "balanced", folds, seed)
    assert again == [[fold[i] for i in shuffled] for fold in words]  # whatever the order of the index


def demo_index() -> Index:
    """The demo's clips, by the names of its files: every actor plays every class equally often."""
    clips = [Clip(f"{label}_{n}", "", label, f"a{n % 6:02d}") for label in CLASSES for n in range(36)]
    return Index(tuple(clips))


def test_every_actor_of_the_demo_plays_every_class_twice_in_each_balanced_fold() -> None:
    index = demo_index()
    for seed in range(5):
        counts = counts_of_tests(index, make_folds(index, "balanced", 3, seed), KEYS[0])
        assert len(counts) == 6 * 7
        assert set(map(tuple, counts.values())) == {(2, 2, 2)}
    assert make_folds(index, "balanced", 3, 0) == make_folds(index, "balanced", 3, 0)
    assert make_folds(index, "balanced", 3, 0) != make_folds(index, "balanced", 3, 1)


def test_a_tests_class_is_rarer_among_its_groups_training_clips_in_random_folds_but_not_in_balanced_ones() -> None:
    index = demo_index()
    trained, whole = group_shares(index, make_folds(index, "random", 3, 0)) or (0, 0)
    assert whole == pytest.approx(100 / 7)
    assert trained < 13
    assert group_shares(index, make_folds(index, "balanced", 3, 0)) == pytest.approx((100 / 7, 100 / 7))


def test_shares_within_groups_by_hand() -> None:
    clips = [Clip(str(i), "", name[0], name[1]) for i, name in enumerate(["ag", "bg", "ag", "bg", "ah"])]
    index = Index(tuple(clips))
    # Group g has a b a b: the first fold tests its first a and trains b a b, the second tests its first b and trains a.
    folds = [["test", "train", "train", "train", "train"], ["unused", "test", "train", "unused", "test"]]
    assert group_shares(index, folds) == pytest.approx((100 * (1 / 3 + 0) / 2, 50))  # group h has no training clip
    assert group_shares(make_index({"a": 4, "b": 4}), [["test", "train"] * 4]) is None  # groups are not known
    assert group_shares(demo_index(), make_folds(demo_index(), "grouped", 3, 0)) is None  # no group is on both sides


@pytest.mark.parametrize(
    ("scheme", "groups", "words"),
    [
        ("random", 4, r"a test clip's class has .* pushed below chance; splits.scheme balanced avoids it"),
        (
            "balanced",
            4,
            r"a test clip's class has 50.0 % of its group's training clips and 50.0 % of all its group's clips$",
        ),
        ("grouped", 4, ""),
        ("random", 0, ""),
    ],
)
def test_what_a_groups_training_clips_say_of_its_tests_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scheme: str, groups: int, words: str
) -> None:
    write_index(tmp_path / "index.csv", make_index({"a": 12, "b": 12}, groups).clips)
    outputs = [str(tmp_path / f"fold{fold}.csv") for fold in (1, 2, 3)]
    with caplog.at_level("INFO", "stp"):
        app(["splits", str(tmp_path / "index.csv"), *outputs, "--scheme", scheme], standalone_mode=False)
    found = [record.getMessage() for record in caplog.records if "test clip" in record.getMessage()]
    assert len(found) == bool(words)
    assert all(re.search(words, line) for line in found)


def test_splits_depend_on_the_seed_alone() -> None:
    index = make_index({"a": 20, "b": 20})
    assert make_folds(index, "random", 3, 1) == make_folds(index, "random", 3, 1)
    assert make_folds(index, "random", 3, 1) != make_folds(index, "random", 3, 2)


def test_official_folds_are_the_indexs() -> None:
    split = ("train;test", "test;unused", "unused;train")
    clips = [(label, words) for label in "ab" for words in split]
    index = Index(tuple(Clip(str(i), "", label, "", words) for i, (label, words) in enumerate(clips, start=1)))
    assert make_folds(index, "official", 2, 0) == [["train", "test", "unused"] * 2, ["test", "unused", "train"] * 2]
    with pytest.raises(UserError, match=r"'official' with splits.folds 3, but clip '1'"):
        make_folds(index, "official", 3, 0)


@pytest.mark.parametrize("scheme", ["random", "balanced", "grouped", "leave_one_group_out", "official"])
def test_clips_whose_label_is_hidden_take_no_part(scheme: Scheme) -> None:
    known = [Clip(f"{group}{label}", "", label, group, "train;test") for group in "xyz" for label in "ab"]
    known = [replace(clip, split="test;train") if clip.group == "x" else clip for clip in known]
    hidden = [Clip("h1", "", "", split="hidden;hidden"), Clip("h2", "", "")]
    folds = 3 if scheme == "leave_one_group_out" else 2
    words = make_folds(Index((hidden[0], *known, hidden[1])), scheme, folds, 0)
    alone = make_folds(Index(tuple(known)), scheme, folds, 0)
    assert words == [["hidden", *fold, "hidden"] for fold in alone]
    with pytest.raises(UserError, match="no clip of the index has a label"):
        make_folds(Index(tuple(hidden)), scheme, folds, 0)


def test_rare_class_is_named() -> None:
    with pytest.raises(UserError, match=r"'b' has 2: lower splits.folds"):
        make_folds(make_index({"a": 9, "b": 2}), "random", 3, 0)


def test_balanced_needs_groups() -> None:
    with pytest.raises(UserError, match="'balanced' needs a group for every clip of the index; use 'random'"):
        make_folds(make_index({"a": 9, "b": 9}), "balanced", 3, 0)
    with pytest.raises(UserError, match=r"'b' has 2: lower splits.folds"):
        make_folds(make_index({"a": 9, "b": 2}, groups=2), "balanced", 3, 0)


def test_grouped_needs_groups() -> None:
    with pytest.raises(UserError, match="needs a group for every clip"):
        make_folds(make_index({"a": 9}), "grouped", 3, 0)
    with pytest.raises(UserError, match="there are 2 groups"):
        make_folds(make_index({"a": 9}, groups=2), "grouped", 3, 0)


def test_each_group_is_left_out_once_in_the_order_of_names() -> None:
    clips = [Clip(f"{group}{label}", "", label, group) for group in ("s2", "s1", "s3") for label in "ab"]
    index = Index(tuple(clip for clip in clips if clip.clip != "s3b"))  # the last group lacks a class
    words = make_folds(index, "leave_one_group_out", 3, 0)
    tested = [{clip.group for clip, word in zip(index.clips, fold, strict=True) if word == "test"} for fold in words]
    assert tested == [{"s1"}, {"s2"}, {"s3"}]
    assert all(fold.count("test") + fold.count("train") == 5 for fold in words)


def test_leave_one_group_out_says_the_number_of_groups() -> None:
    with pytest.raises(UserError, match=r"splits.folds: 3 .* there are 5: set splits.folds to 5"):
        make_folds(make_index({"a": 10}, groups=5), "leave_one_group_out", 3, 0)
    with pytest.raises(UserError, match="'leave_one_group_out' needs a group for every clip"):
        make_folds(make_index({"a": 9}), "leave_one_group_out", 3, 0)


def test_class_of_one_group_cannot_be_left_out() -> None:
    clips = [Clip("a1", "", "a", "g1"), Clip("a2", "", "a", "g2"), Clip("b1", "", "b", "g1")]
    with pytest.raises(UserError, match="fold 1 has no train clip of 'b': add clips of it to another group"):
        make_folds(Index(tuple(clips)), "leave_one_group_out", 2, 0)


def test_fold_without_a_class_is_named() -> None:
    clips = [Clip(f"a{i}", "", "a", f"g{i}") for i in range(6)] + [Clip(f"b{i}", "", "b", "g0") for i in range(3)]
    with pytest.raises(UserError, match=r"has no test clip of 'b'"):
        make_folds(Index(tuple(clips)), "grouped", 3, 0)


def test_a_single_class_is_refused() -> None:
    with pytest.raises(UserError, match="splits: 'nod' is the only class; training needs two or more"):
        make_folds(Index((Clip("a", "a.mp4", "nod"), Clip("b", "b.mp4", "nod"))), "random", 2, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,set\na,train\n", "not a fold: it lacks a column clip or set"),
        ("clip,set\na,Train\n", "line 2, clip 'a': set 'Train' is none of train, test, unused, hidden"),
        ("clip,set\na\n", "line 2 has 1 cells, but line 1 names 2 columns"),
        ("clip,label,set\na,wave,train\n", "line 2, clip 'a': label or group are not those of the index"),
        ("clip,set\na,train\na,train\n", "the clips are not those of the index"),
    ],
)
def test_a_file_that_is_no_fold_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "fold1.csv").write_text(text)
    with pytest.raises(UserError, match=f"fold1.csv: {reason}"):
        read_fold(tmp_path / "fold1.csv", Index((Clip("a", "a.mp4", "nod"),)))


def test_a_fold_that_uses_a_clip_without_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fold1.csv").write_text("clip,set\na,train\n")
    with pytest.raises(UserError, match="clip 'a': set 'train', but the index has no label for it"):
        read_fold(tmp_path / "fold1.csv", Index((Clip("a", "a.mp4", ""),)))
    (tmp_path / "fold1.csv").write_text("clip,set\na,hidden\n")
    assert read_fold(tmp_path / "fold1.csv", Index((Clip("a", "a.mp4", ""),))) == ["hidden"]


def test_every_flipped_bit_of_a_fold_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    index, path = make_index({"a": 2, "b": 2}), tmp_path / "fold1.csv"
    words = make_folds(index, "random", 2, 0)[0]
    write_fold(path, index, words)
    content = path.read_bytes()
    used = 0
    for bit in range(8 * len(content)):
        path.write_bytes(flipped(content, bit))
        found = outcome(read_fold, path, index)
        assert found == words or "fold1.csv" in str(found)
        used += found == words
    assert used < 150  # of the header's optional names alone


def test_fold_file_of_another_index_is_refused(tmp_path: Path) -> None:
    index = make_index({"a": 3, "b": 3})
    words = make_folds(index, "random", 3, 0)[0]
    write_fold(tmp_path / "fold1.csv", index, words)
    assert read_fold(tmp_path / "fold1.csv", index) == words
    with pytest.raises(UserError, match="not those of the index"):
        read_fold(tmp_path / "fold1.csv", make_index({"a": 3, "b": 4}))
