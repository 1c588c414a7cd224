"""The cost of the stages of a run."""

from pathlib import Path

import stages


def test_jobs_without_figures_add_nothing_to_their_stage(tmp_path: Path) -> None:
    folder = tmp_path / "benchmarks/train/of"
    folder.mkdir(parents=True)
    header = "s\th:m:s\tmax_rss\tcpu_time\n"
    (folder / "fold1.tsv").write_text(f"{header}10.4\t0:00:10\t200.0\t8.1\n", encoding="utf-8")
    (folder / "fold2.tsv").write_text(f"{header}20.4\t0:00:20\t-\t9.1\n", encoding="utf-8")
    (folder / "fold3.tsv").write_text("", encoding="utf-8")  # left by a job that was killed
    table = stages.stages(tmp_path)
    assert table.to_numpy().tolist() == [["train", 2, 31, 17, 200]]


def test_stages_without_benchmarks_are_left_out(tmp_path: Path) -> None:
    assert stages.stages(tmp_path).empty
