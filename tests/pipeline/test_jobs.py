"""Jobs, and the time that is left by the times of those that have been measured."""

from pathlib import Path

import pytest

from stp.pipeline.jobs import LIGHT_SECONDS, Job, Times, kinds, measured_times, time_words

MEASURED = {
    "train/of/3-level/fold1/seed0": 40.0,
    "train/of/3-level/fold2/seed0": 60.0,
    "train/of/baseline/fold1/seed0": 10.0,
    "table1": 7.0,
}


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("train/of/3-level/fold1/seed0", 40.0),  # its own last time
        ("train/of/3-level/fold3/seed0", 50.0),  # its other folds
        ("train/rgb/3-level/fold1/seed0", 110 / 3),  # all trainings
        ("score/of/3-level/fold1/seed0", None),
        ("claims", None),
    ],
)
def test_a_job_takes_as_long_as_those_nearest_to_it(name: str, seconds: float | None) -> None:
    assert Times(MEASURED).expected(Job(name)) == seconds


def test_a_light_job_has_a_time_before_one_of_its_kind_is_measured() -> None:
    assert Times(MEASURED).expected(Job("claims", light=True)) == LIGHT_SECONDS
    assert Times(MEASURED).expected(Job("table1", light=True)) == 7


def test_time_left_is_that_of_all_jobs_over_those_at_once_and_at_least_that_of_the_longest() -> None:
    jobs = [Job("train/of/3-level/fold1/seed0"), Job("train/of/3-level/fold2/seed0")]
    assert Times(MEASURED).left(jobs, {}, 1) == (100, True)
    assert Times(MEASURED).left(jobs, {jobs[0]: 30.0}, 1) == (70, True)
    assert Times(MEASURED).left(jobs, {jobs[0]: 50.0}, 4) == (60, True)
    assert Times(MEASURED).left([*jobs, Job("score/of/3-level/fold1/seed0")], {}, 2) == (60, False)


def test_times_are_read_from_the_tables_that_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    (folder / "0.tsv").write_text("s\th:m:s\n1.5\t0:00:01\n")
    (tmp_path / "table1.tsv").write_text("h:m:s\ts\n0:00:01\t2\n0:00:03\t4\n")
    for name, text in (("empty", ""), ("other", "x\n1\n"), ("words", "s\nmany\n"), ("header", "s\n")):
        (tmp_path / f"{name}.tsv").write_text(text)
    assert measured_times(tmp_path) == {"frames/0": 1.5, "table1": 3.0}
    assert measured_times(tmp_path / "absent") == {}


def test_durations_are_in_the_words_of_people() -> None:
    assert [time_words(seconds) for seconds in (0.2, 59, 60, 1000, 7199, 9000)] == [
        *("1 s", "59 s", "1 min", "17 min", "120 min", "2.5 h")
    ]


def test_jobs_are_counted_by_their_kinds() -> None:
    assert kinds([Job("train/a"), Job("index"), Job("train/b")]) == {"train": 2, "index": 1}
