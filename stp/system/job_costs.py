"""What jobs took, from the tables that Snakemake's benchmarks leave: a file for each job, its rows below a header."""

import math
from pathlib import Path


def read_costs(path: Path) -> list[dict[str, float]]:
    """The numbers of each row of a job's table by column, such as `s`, `cpu_time` and `max_rss`.

    What is no finite number is left out: of short jobs much is not measured (`-`, `NA`). There are no rows where the
    file cannot be read or is empty: it tells what a job took, and no more.
    """
    try:
        header, *rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return []
    return [
        {name: number for name, word in zip(header, row, strict=False) if math.isfinite(number := _number(word))}
        for row in rows
    ]


def _number(word: str) -> float:
    """The number that a word is; nan for any other word."""
    try:
        return float(word)
    except ValueError:
        return math.nan
