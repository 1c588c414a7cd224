"""The page that answers: index.html of a results folder."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stp.cli.app import app
from stp.cli.options import (
    WEIGHTS,
    Learned,
    MethodWeights,
    Resamples,
    ResampleSeed,
    Space,
    Weights,
    parse_fusion,
    parse_json,
    read_all_scores,
)
from stp.config import Fusion, Overview, Statistics
from stp.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from stp.data.run_name import RunName
    from stp.evaluation.scores import Scores

log = logging.getLogger("stp")


@app.command()
def overview(
    results: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The config's results folder.")],
    scores: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, show_default="all below RESULTS/runs")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write.", show_default="RESULTS/index.html")
    ] = None,
    title: Annotated[str, typer.Option(help="What the data are called.", show_default="name of RESULTS")] = "",
    config: Annotated[str, typer.Option(help="The config that made the results, as JSON, to show.")] = "",
    proposed: Annotated[str, typer.Option(help="Variant that is compared with the baseline.")] = "3-level",
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
    method_weights: MethodWeights = None,
    resamples: Resamples = Statistics.resamples,
    seed: ResampleSeed = Statistics.seed,
    previews: Annotated[
        int, typer.Option(min=0, help="Clips whose small videos are in the page, where no other can be played.")
    ] = Overview.previews,
    megabytes: Annotated[float, typer.Option(min=0, help="That they take at most.")] = Overview.megabytes,
) -> None:
    """Write one page of all results that opens offline: what is best, how sure that is, and which clips are wrong.

    It shows what is there: of runs under way, those folds and seeds that all others have, and what is missing.
    """
    from stp.data.index import read_index
    from stp.overview import complete, files, page
    from stp.overview.cards import best_cells
    from stp.overview.clips import clip_videos, hardest_first
    from stp.system.files import complete_file

    output = output or results / "index.html"
    fusion = parse_fusion(weights, space, learned, method_weights or ())
    values = parse_json(config, "--config") if config else None
    paths = scores or sorted(results.glob("runs/*/*/fold*/seed*/scores.h5"))
    if not paths:
        raise UserError(f"RESULTS: no run in '{results}' has been scored; run the pipeline, or give another folder")
    runs, left_out = complete.complete_runs(read_all_scores(paths, fusion))
    notices = complete.missing_notices(left_out, under_way(results))
    if fusion.learned and len({item.run.fold for item in runs}) == 1:
        fusion = replace(fusion, learned=False)
        notices.append(complete.ONE_FOLD)
    logs = run_logs(paths, runs)
    numbers = page.collect_numbers(runs, fusion, Statistics(resamples, seed), logs)
    index = results / "index.csv"
    clips = read_index(index).clips if index.is_file() else ()
    addresses = clip_videos(
        hardest_first(numbers.tests, best_cells(numbers.statistics)[0]),
        clips,
        sorted(results.glob("clips/rgb/*.h5")),
        output.parent,
        Overview(previews, megabytes),
    )
    around = page.Surroundings(
        notices,
        files.table_files(results),
        list(files.pictures(results, output.parent)),
        files.linked_files(results, output.parent),
        files.rule_times(results),
        addresses,
        values,
    )
    text = page.overview_page(title or results.resolve().name, runs, numbers, logs, proposed, around)
    with complete_file(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.info("%s: %s runs, %.1f MB", output, len(runs), len(text) / 1e6)


def run_logs(paths: "list[Path]", runs: "list[Scores]") -> "dict[RunName, pd.DataFrame]":
    """The log of the training of each run, where there is one beside its scores."""
    from stp.data.run_name import RunName
    from stp.training.log import read_log

    names = {run.run for run in runs}
    logs = {RunName.parse("/".join(path.parts[-5:-1])): path.with_name("log.csv") for path in paths}
    return {name: read_log(path) for name, path in logs.items() if name in names and path.is_file()}


def under_way(results: Path) -> "dict[RunName, str]":
    """The status of the runs below a results folder that are not done."""
    from stp.data.run_name import RunName
    from stp.training.status import run_statuses

    found = run_statuses(results)
    return {RunName.parse(run.name): run.status for run in found if run.status not in ("done", "none")}
