import csv
import hashlib
import json
import os
import re
import shlex
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version, validate

min_version("9.0")

try:
    validate(config, "../schemas/config.schema.yaml")
except WorkflowError as error:
    problem = error.__context__
    if problem is None or not hasattr(problem, "json_path"):
        raise
    known = ", ".join(problem.schema.get("properties", ()))
    raise WorkflowError(
        f"config: {problem.json_path.replace('$', '').lstrip('.') or 'top level'}: {problem.message}"
        + (
            f"; allowed keys are {known}"
            if problem.validator == "additionalProperties"
            else ""
        )
    ) from None

RESULTS = config["results"].rstrip("/")
DATASET = config["dataset"]
# The demo's folder is an output, which Snakemake deletes before the demo is drawn, so it must not be one of the user's.
if (
    "demo" in config
    and Path(RESULTS).resolve() not in Path(DATASET["path"]).resolve().parents
):
    raise WorkflowError(
        f"config: dataset.path: '{DATASET['path']}' lies outside of the results folder '{RESULTS}', but section demo draws "
        "videos there; remove section demo to use videos of your own"
    )
if "demo" not in config and Path(DATASET["path"]).resolve() in (
    Path(RESULTS).resolve(),
    *Path(RESULTS).resolve().parents,
):
    raise WorkflowError(
        f"config: results: '{RESULTS}' lies in dataset.path '{DATASET['path']}', so that results would be taken for "
        "videos; name another folder for one of them"
    )
if (
    config["training"]["partial_bn"] is False
    and config["compute"]["micro_batch_videos"]
):
    raise WorkflowError(
        "config: compute.micro_batch_videos: only one batch norm may learn from the batch, or results would change; set "
        "training.partial_bn: true, or compute.micro_batch_videos: 0"
    )
if config["compute"]["compile"] == "always" and config["compute"]["micro_batch_videos"]:
    raise WorkflowError(
        "config: compute.compile: always, beside compute.micro_batch_videos; use never, or 0 micro-batch videos"
    )
SUBMISSION = config["submission"]
if SUBMISSION != "none" and config["splits"]["folds"] != 1:
    raise WorkflowError(
        f"config: submission: '{SUBMISSION}' with splits.folds {config['splits']['folds']}; hidden clips are scored by "
        "the one fold of an official split: set splits.folds: 1, or submission: none"
    )

if SUBMISSION not in ("none", *config["variants"]):
    raise WorkflowError(
        f"config: submission: '{SUBMISSION}' is not trained; allowed are none, {', '.join(config['variants'])}"
    )

DATA = f"{DATASET['importer']} ({RESULTS})"

# Published results, a file for each comparison; found from this file, because the workflow may be a module.
REPORTED = Path(str(workflow.current_basedir)).parents[1] / "config/reported"
COMPARISONS = config["comparison"]
KNOWN_COMPARISONS = sorted(path.stem for path in REPORTED.glob("*.csv"))
for name in COMPARISONS:
    if name not in KNOWN_COMPARISONS:
        raise WorkflowError(
            f"config: comparison: '{name}' is none of {', '.join(KNOWN_COMPARISONS)}, the files of {REPORTED}"
        )

TABLES = ["table1", *COMPARISONS, "statistics", "metrics"]
SHARDS = range(config["shards"])
FOLDS = range(1, config["splits"]["folds"] + 1)
SEEDS = config["training"]["seeds"]
MODALITIES = config["modalities"]
VARIANTS = config["variants"]
# The path of a run below RESULTS/runs, and of its logs, state and curves below their folders.
RUN = "{modality}/{variant}/fold{fold}/seed{seed}"
# The fused rows of Table 1 (section 4.1).
FUSIONS = [
    "+".join(streams)
    for streams in (["rgb", "of"], ["of", "wof"], ["rgb", "of", "wof"])
    if set(streams) <= set(MODALITIES)
]


# Everything that a training's result depends on, as one argument: a changed value repeats only the runs that use it.
def settings(wildcards):
    other = "flow" if wildcards.modality == "rgb" else "rgb"
    training = {
        key: value
        for key, value in config["training"].items()
        if key not in ("seeds", "checkpoint_minutes", "tensorboard", other)
    }
    unused = (
        ("segment_length", "subsegments") if wildcards.variant == "baseline" else ()
    )
    pyramid = {
        key: value for key, value in config["pyramid"].items() if key not in unused
    }
    return json.dumps(pyramid | config["model"] | training, sort_keys=True)


# Version 0.1 recorded the value of compute.device with its results. Snakemake runs a job again when a recorded value is
# gone, so the default stays recorded. The device that a job computes on is one of its resources.
RECORDED_DEVICE = "auto"

# The share of the free memory that one run may take. Snakemake rounds numbers in resources, so this is text.
MEMORY_SHARE = str(config["compute"]["memory_share"] / config["compute"]["gpu_share"])


# The folder of a run in RESULTS/KIND, from the path of its model.pt. State and curves are not outputs, because
# Snakemake deletes outputs before it tries a job again.
def folder_of_run(kind, model):
    run = Path(model).parent
    results = run.parents[RUN.count("/") + 1]
    return str(results / kind / run.relative_to(results / "runs"))


# An option, once for each value.
def repeated(option, values):
    return shlex.join([word for value in values for word in (option, str(value))])


# Memory or minutes of a job that starts from the beginning when it is tried again: twice, then three times the amount.
def growing(amount):
    return lambda wildcards, attempt: amount * attempt


# Path, size and time of every file below a folder, in the order of names, those of subfolders last. Hidden files and
# folders do not count. Links are followed, except to a folder that holds them, which would be listed without end.
# `real` is the folder's path without links, `above` holds the real paths of the folders that it was reached through.
def files_below(folder, real, above):
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError:
        return
    subfolders = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        linked = entry.is_symlink()
        if os.path.isdir(entry.path) if linked else entry.is_dir():
            subfolders.append((entry, linked))
        elif os.path.isfile(entry.path) if linked else entry.is_file():
            status = entry.stat()
            yield entry.path, status.st_size, status.st_mtime_ns
    for entry, linked in subfolders:
        below = (
            os.path.realpath(entry.path) if linked else os.path.join(real, entry.name)
        )
        if below not in above:
            yield from files_below(entry.path, below, above | {below})


# A hash of the names, sizes and times of the user's files, so that a changed folder is indexed again. Only a process
# that has rule index among its jobs computes it: the one that the user started, and a cluster's index job. It is cached,
# because Snakemake asks for it before the job and again when it records the job: files that arrived in between are not
# in the index and must not be in the record.
@cache
def fingerprint(folder):
    above = frozenset(map(os.path.realpath, (Path(folder), *Path(folder).parents)))
    listing = list(files_below(folder, os.path.realpath(folder), above))
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]


# The options of the importer; true and false are written as in the config.
def importing(wildcards):
    options = ["--importer", DATASET["importer"]]
    if DATASET["lists"]:
        options += ["--lists", DATASET["lists"]]
    for name, value in DATASET["options"].items():
        word = str(value).lower() if isinstance(value, bool) else value
        options += ["--option", f"{name}={word}"]
    return shlex.join(options)


# The time at which the user's weights were written, so that other weights under the same name are trained from.
def written(weights):
    path = Path(weights)
    return path.stat().st_mtime_ns if path.is_file() else 0


def fusion_options(wildcards):
    weights = ",".join(
        f"{name}={weight}" for name, weight in config["fusion"]["weights"].items()
    )
    return f"--weights {weights} --space {config['fusion']['space']}"


def scores_of(streams, variants, name="scores"):
    return expand(
        f"{RESULTS}/runs/{RUN}/{name}.h5",
        modality=streams,
        variant=variants,
        fold=FOLDS,
        seed=SEEDS,
    )


# table2 becomes Table 2.
def table_title(name):
    return re.sub(r"^table(?=\d)", "table ", name).capitalize()


# The scores of those methods of a comparison that this config trains.
def measured_scores(table):
    with open(REPORTED / f"{table}.csv", encoding="utf-8", newline="") as file:
        methods = {(row["streams"], row["variant"]) for row in csv.DictReader(file)}
    trained = [
        scores_of(streams.split("+"), variant)
        for streams, variant in sorted(methods)
        if variant in VARIANTS and set(streams.split("+")) <= set(MODALITIES)
    ]
    return list(dict.fromkeys(path for paths in trained for path in paths))


wildcard_constraints:
    modality="rgb|of|wof",
    variant="baseline|[1-9]-level",
    fold=r"\d+",
    seed=r"\d+",
    shard=r"\d+",
    table="|".join(KNOWN_COMPARISONS),
    streams=r"(rgb|of|wof)(\+(rgb|of|wof))*",
