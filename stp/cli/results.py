"""Tables, figures and submissions, all made from scores."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stp.cli.app import app
from stp.cli.options import (
    COMBINED,
    WEIGHTS,
    Combined,
    ExistingFiles,
    Learned,
    MethodWeights,
    Output,
    Reported,
    Resamples,
    ResampleSeed,
    Space,
    Stem,
    Text,
    Weights,
    parse_fusion,
    parse_named_weights,
    read_all_scores,
)
from stp.config import Fusion, Statistics
from stp.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from stp.data.run_name import RunName
    from stp.evaluation.fused import Predictions
    from stp.evaluation.run_facts import RunFacts
    from stp.evaluation.scores import Scores

log = logging.getLogger("stp")


def predict_all(
    paths: list[Path], weights: str, space: Space, learned: bool = False, method_weights: Sequence[str] | None = None
) -> "list[Predictions]":
    """Predictions of every input and variant that the scores files allow."""
    from stp.evaluation.fused import predict

    fusion = parse_fusion(weights, space, learned, method_weights or ())
    return predict(read_all_scores(paths, fusion), fusion)


def write_table(output: Path, table: "pd.DataFrame", text: Path, words: str) -> None:
    """Write a table as csv, and as Markdown for reading."""
    from stp.system.files import complete_file

    with complete_file(text) as temporary:
        temporary.write_text(words, encoding="utf-8")
    with complete_file(output) as temporary:
        table.to_csv(temporary, index=False)
    log.info("%s", words)


@app.command()
def table1(
    scores: ExistingFiles,
    output: Output,
    long: Annotated[Path, typer.Option(help="csv file to write: the figures of every fold.")],
    text: Text,
    skipped: Annotated[Path | None, typer.Option(help="csv of clips that were skipped, for the notes.")] = None,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
    reported: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="csv of the figures that others report of these data."),
    ] = None,
) -> None:
    """Fuse streams and write the paper's Table 1 from the scores of all runs."""
    from stp.data.index import read_skipped
    from stp.evaluation import table1 as tables
    from stp.evaluation.comparison import read_reported
    from stp.evaluation.fused import predict
    from stp.evaluation.markdown import table1_notes
    from stp.evaluation.metrics import summarise
    from stp.evaluation.significance import below_chance, below_chance_notes
    from stp.system.files import complete_file

    fusion = parse_fusion(weights, space, learned)
    runs = read_all_scores(scores, fusion)
    predictions = predict(runs, fusion)
    folds = tables.fold_accuracies(predictions)
    summary = summarise(folds)
    rows = read_skipped(skipped) if skipped else []
    warnings = below_chance_notes(below_chance(predictions))
    for words in warnings:
        log.warning(words)
    notes = [*warnings, *table1_notes(runs, fusion, [f"{row['clip']} ({row['reason']})" for row in rows])]
    with complete_file(long) as temporary:
        tables.long_table(folds).to_csv(temporary, index=False)
    printed = read_reported(reported) if reported else None
    write_table(output, tables.table1(summary), text, tables.table1_text(summary, notes, printed))


@app.command()
def comparison(
    output: Output,
    reported: Reported,
    text: Text,
    scores: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False)] = None,
    data: Annotated[str, typer.Option(help="Name of the data that were scored.")] = "",
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    method_weights: MethodWeights = None,
) -> None:
    """Write figures reported by others beside those measured here, as in the paper's Tables 2 and 3.

    The pre-training of a run is read from the model.pt beside its scores, where there is one.
    """
    from stp.evaluation.comparison import Measured, compare, comparison_text, read_reported
    from stp.evaluation.facts import method_facts
    from stp.evaluation.fused import predict
    from stp.evaluation.markdown import version_note
    from stp.evaluation.metrics import fold_metrics, summarise

    measured = None
    if scores:
        fusion = parse_fusion(weights, space, method_weights=method_weights or ())
        runs = read_all_scores(scores, fusion)
        facts = method_facts(runs, run_facts(scores, runs), {})
        pretraining = {key: found.pretraining for key, found in facts.items()}
        measured = Measured(summarise(fold_metrics(predict(runs, fusion))), data, pretraining)
    table = compare(read_reported(reported), measured)
    write_table(output, table, text, comparison_text(reported.stem, table, [version_note()]))


@app.command()
def fusion(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    space: Space = Fusion.space,
) -> None:
    """Write the weights of learned fusions, fitted for each fold on the test scores of all other folds."""
    from stp.evaluation.fusion_table import fusion_table, fusion_text

    table = fusion_table(read_all_scores(scores, Fusion(space)), space)
    write_table(output, table, text, fusion_text(table))


@app.command()
def metrics(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
) -> None:
    """Fuse streams and write accuracy, top-5 accuracy and F1 scores of every input and variant."""
    from stp.evaluation.metrics import fold_metrics, metrics_table, metrics_text

    table = metrics_table(fold_metrics(predict_all(scores, weights, space, learned)))
    write_table(output, table, text, metrics_text(table))


@app.command()
def predictions(
    scores: ExistingFiles,
    output: Output,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
    method_weights: MethodWeights = None,
    combined: Combined = None,
) -> None:
    """Fuse streams and write every prediction: a row for each test clip, fold, seed, input and variant.

    A row has the clip's class, the class predicted, whether that is right, and the probability of each class.
    """
    from stp.evaluation.fused import predict
    from stp.evaluation.late_fusion import combine
    from stp.evaluation.prediction_table import write_predictions
    from stp.system.files import complete_file

    fusion = parse_fusion(weights, space, learned, method_weights or ())
    single = predict(read_all_scores(scores, fusion), fusion)
    joined = combine(single, parse_named_weights(combined or (), "--combined", COMBINED))
    rows = [*((item, space) for item in single), *((item, "scores") for item in joined)]
    with complete_file(output) as temporary:
        write_predictions(temporary, rows)


@app.command()
def statistics(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    resamples: Resamples = Statistics.resamples,
    seed: ResampleSeed = Statistics.seed,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
) -> None:
    """Fuse streams and write spreads, bootstrap intervals and McNemar's tests against the baseline."""
    from stp.evaluation.significance import statistics_notes, statistics_table, statistics_text

    predictions = predict_all(scores, weights, space, learned)
    table = statistics_table(predictions, resamples, seed)
    notes = statistics_notes(table, min(item.seed for item in predictions), resamples, seed)
    write_table(output, table, text, statistics_text(table, notes))


@app.command()
def differences(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
) -> None:
    """Fuse streams and test the best against the rest, inputs against inputs, and levels against levels."""
    from stp.evaluation.differences import differences_notes, differences_table, differences_text

    predictions = predict_all(scores, weights, space, learned)
    table = differences_table(predictions)
    notes = differences_notes(table, min(item.seed for item in predictions))
    write_table(output, table, text, differences_text(table, notes))


@app.command()
def claims(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    reported: Annotated[
        list[Path],
        typer.Option(
            exists=True, dir_okay=False, help="csv of what the paper prints: table1.csv, table2.csv and table3.csv."
        ),
    ],
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    learned: Learned = False,
) -> None:
    """Fuse streams and test each claim of the paper whose runs are given."""
    from stp.evaluation.claims import TABLES, claims_table
    from stp.evaluation.claims_text import claims_notes, claims_text
    from stp.evaluation.comparison import read_reported

    paths = {path.stem: path for path in reported}
    if missing := [name for name in TABLES if name not in paths]:
        raise UserError(f"--reported: {missing[0]}.csv is missing; give {', '.join(f'{name}.csv' for name in TABLES)}")
    printed = {name: read_reported(paths[name]) for name in TABLES}
    predictions = predict_all(scores, weights, space, learned)
    table = claims_table(predictions, printed)
    write_table(output, table, text, claims_text(table, claims_notes(table, predictions, printed)))


@app.command()
def confusion(
    scores: ExistingFiles,
    output: Stem,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    method_weights: MethodWeights = None,
) -> None:
    """Fuse the streams of one variant and write confusion matrices, of each fold and of all folds together.

    The files are STEM.csv, .png and .pdf for all folds, and STEM_foldN.csv, .png and .pdf for each.
    """
    import numpy as np
    import pandas as pd

    from stp.evaluation.fused import STREAMS, input_name
    from stp.evaluation.table1 import fold_confusions
    from stp.figures.plots import save_confusion
    from stp.system.files import complete_file

    fusion = parse_fusion(weights, space, method_weights=method_weights or ())
    runs = read_all_scores(scores, fusion)
    variants = {item.run.method for item in runs}
    if len(variants) != 1:
        raise UserError(f"confusion: give scores of one variant, not of {', '.join(sorted(variants))}")
    matrices = fold_confusions(runs, fusion)
    inputs = {item.run.input for item in runs}
    streams = input_name("+".join(sorted(inputs, key=lambda name: (*STREAMS, name).index(name))))
    title, seeds = f"{streams}, {variants.pop()}", len({item.run.seed for item in runs})
    all_of = f"all folds and {seeds} seeds" if seeds > 1 else "all folds"
    of_seeds = f", {seeds} seeds pooled" if seeds > 1 else ""
    plates = {"": (np.sum(list(matrices.values()), axis=0), f"{title}, {all_of} pooled")}
    plates |= {f"_fold{fold}": (matrix, f"{title}, fold {fold}{of_seeds}") for fold, matrix in matrices.items()}
    classes = runs[0].classes
    for suffix, (counts, words) in plates.items():
        stem = output.with_name(f"{output.name}{suffix}")
        with complete_file(stem.with_name(f"{stem.name}.csv")) as temporary:
            pd.DataFrame(counts, index=pd.Index(classes, name="true"), columns=list(classes)).to_csv(temporary)
        save_confusion(stem, counts, classes, words)


@app.command()
def classes(
    scores: ExistingFiles,
    output: Stem,
    reported: Reported,
    resamples: Resamples = Statistics.resamples,
    seed: ResampleSeed = Statistics.seed,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    method_weights: MethodWeights = None,
) -> None:
    """Write the accuracy of each class, with its interval, for the comparison's measured methods.

    The files are STEM.csv, .png and .pdf.
    """
    from stp.evaluation.comparison import class_accuracies, measured_methods, read_reported

    named = measured_methods(read_reported(reported))
    predictions = predict_all(scores, weights, space, method_weights=method_weights)
    write_classes(output, class_accuracies(named, predictions, resamples, seed))


def write_classes(stem: Path, table: "pd.DataFrame") -> None:
    """Write the accuracy of each class as STEM.csv, .png and .pdf."""
    from stp.figures.plots import save_class_accuracies
    from stp.system.files import complete_file

    with complete_file(stem.with_name(f"{stem.name}.csv")) as temporary:
        table.to_csv(temporary, index=False)
    figures = ["accuracy", "low", "high"]
    shares = {str(method): rows[figures].to_numpy() for method, rows in table.groupby("method", sort=False)}
    first = table[table["method"] == table["method"].iloc[0]]
    save_class_accuracies(stem, shares, list(first["class"]), first["clips"].to_numpy())


def run_facts(paths: list[Path], runs: "list[Scores]") -> "dict[RunName, RunFacts]":
    """Facts about the first run of each method and input, by the trained run beside its scores, where there is one."""
    from stp import methods

    found, seen = {}, set()
    for path, run in zip(paths, runs, strict=True):
        name, model = run.run, path.with_name("model.pt")
        if (name.input, name.method) not in seen and model.is_file():
            seen.add((name.input, name.method))
            recogniser, file = methods.load(model)
            found[name] = recogniser.facts(file.trained_on)
    return found


def training_minutes(paths: list[Path], runs: "list[Scores]") -> "dict[RunName, float]":
    """Minutes that the training of each run took, by the log beside its scores, where there is one."""
    from stp.training.log import read_log

    logs = [(run.run, path.with_name("log.csv")) for path, run in zip(paths, runs, strict=True)]
    return {name: float(read_log(path)["seconds"].sum()) / 60 for name, path in logs if path.is_file()}


@app.command()
def methods(
    scores: ExistingFiles,
    output: Output,
    text: Text,
    classes_stem: Annotated[
        Path, typer.Option("--classes", help="Stem of the files to write: accuracy of each class.")
    ],
    proposed: Annotated[str, typer.Option(help="Method that the others are tested against.")] = "3-level",
    resamples: Resamples = Statistics.resamples,
    seed: ResampleSeed = Statistics.seed,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
    method_weights: MethodWeights = None,
    combined: Combined = None,
) -> None:
    """Fuse streams and write the table of all methods and their accuracies of each class.

    Facts about a run are read from the model.pt and the log.csv beside its scores, where there are some.
    """
    from stp.evaluation.comparison import class_accuracies
    from stp.evaluation.facts import method_facts
    from stp.evaluation.fused import predict
    from stp.evaluation.late_fusion import combine, combined_facts
    from stp.evaluation.method_table import method_table, method_text, shown_inputs

    fusion = parse_fusion(weights, space, method_weights=method_weights or ())
    runs = read_all_scores(scores, fusion)
    fusions = parse_named_weights(combined or (), "--combined", COMBINED)
    single = predict(runs, fusion)
    predictions = [*single, *combine(single, fusions)]
    facts = method_facts(runs, run_facts(scores, runs), training_minutes(scores, runs))
    facts |= combined_facts(single, fusions, facts)
    table = method_table(predictions, proposed, facts)
    write_classes(classes_stem, class_accuracies(shown_inputs(predictions), predictions, resamples, seed))
    write_table(output, table, text, method_text(table, proposed))


@app.command()
def curves(
    logs: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="log.csv of each fold and seed.")],
    output: Stem,
    title: Annotated[str, typer.Option(help="What was trained.")] = "",
) -> None:
    """Draw loss and training accuracies over epochs, as STEM.png and STEM.pdf."""
    from stp.figures.plots import save_curves
    from stp.training.log import read_log

    save_curves(output, [read_log(path) for path in logs], title)


@app.command()
def paper(
    output: Output,
    files: Annotated[
        list[Path] | None, typer.Argument(exists=True, dir_okay=False, help="Tables (md) and figures (png).")
    ] = None,
    title: Annotated[str, typer.Option()] = "Tables and figures",
    config: Annotated[str, typer.Option(help="The config that made them, as JSON, for the end of the page.")] = "",
) -> None:
    """Put tables and figures, in the order given, on one page that opens offline."""
    from stp.figures.page import paper_page
    from stp.system.files import complete_file

    try:
        values = json.loads(config) if config else None
    except json.JSONDecodeError as error:
        raise UserError(f"--config: not JSON ({error})") from None
    page = paper_page(files or [], title, values)
    with complete_file(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


@app.command()
def submission(
    scores: ExistingFiles,
    output: Output,
    weights: Weights = WEIGHTS,
    space: Space = Fusion.space,
) -> None:
    """Fuse the streams' scores of hidden clips (score --set hidden) and write the five likeliest actions of each.

    The csv has one row per clip with the numbers of actions and of their coarser classes (body parts), likeliest action
    first. Numbers follow the order of the index.
    """
    from stp.evaluation.submission import submission_table
    from stp.system.files import complete_file

    fusion = parse_fusion(weights, space)
    table = submission_table(read_all_scores(scores, fusion, hidden=True), fusion)
    with complete_file(output) as temporary:
        table.to_csv(temporary, index=False)
