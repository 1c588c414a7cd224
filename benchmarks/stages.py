"""Accuracy and cost of a finished run of the workflow, stage by stage.

    python benchmarks/stages.py results/ut_interaction

Prints Table 1 of the results folder and, from Snakemake's benchmark files, each stage's jobs, their wall and processor
seconds added up, and the largest job's memory; keeps both in benchmarks/RESULTS.md.
"""

from pathlib import Path

import pandas as pd
from record import benchmark_parser, record

from stp.system.job_costs import read_costs

STAGES = [
    *("demo", "index", "frames", "flow", "splits", "weights", "train", "score", "table1", "comparison", "metrics"),
    *("statistics", "confusion", "classes", "curves", "explain", "examples", "table_page", "overview"),
]


def stages(folder: Path) -> pd.DataFrame:
    """Jobs, seconds and memory of each stage that was run, one row a stage."""
    rows = []
    for stage in STAGES:
        files = sorted((folder / "benchmarks").glob(f"{stage}.tsv")) or sorted(
            (folder / "benchmarks" / stage).rglob("*.tsv")
        )
        if not files:
            continue
        jobs = pd.DataFrame([row for file in files for row in read_costs(file)], columns=["s", "cpu_time", "max_rss"])
        rows.append((stage, len(jobs), jobs["s"].sum(), jobs["cpu_time"].sum(), jobs["max_rss"].max()))
    table = pd.DataFrame(rows, columns=["stage", "jobs", "wall s, all jobs", "CPU s", "peak MiB of a job"])
    return table.round(0).astype(dict.fromkeys(table.columns[1:], "Int64"))


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument(
        "--title",
        help="heading in RESULTS.md; its part before a comma is the kind, whose former section moves to History",
    )
    parser.add_argument("--remarks", default="", help="a sentence on how it was run")
    arguments = parser.parse_args()
    folder = arguments.results
    table = (folder / "table1.md").read_text(encoding="utf-8").splitlines()[2:]
    rows = [*table, "", stages(folder).to_markdown(index=False)]
    record(arguments.title or f"Table 1 of {folder.name}", rows, arguments.remarks, arguments.keep)


if __name__ == "__main__":
    main()
