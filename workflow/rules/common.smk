import csv
import hashlib
import json
import os
import re
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

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
# The demo's folder is an output, which Snakemake clears before it draws: never one of the user's.
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

# What others report, a file a comparison; the folder is found from this file, because the workflow may be a module.
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
# Table 1's fused rows (section 4.1).
FUSIONS = [
    "+".join(streams)
    for streams in (["rgb", "of"], ["of", "wof"], ["rgb", "of", "wof"])
    if set(streams) <= set(MODALITIES)
]


# What defines a training, as one argument: a changed value reruns exactly the runs that it concerns.
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


# What else rule weights looks at before anything is computed; a function of `resources`, because Snakemake does not compare
# what such functions give: other values make no weights anew.
def checking(wildcards, resources):
    options = ["--settings", json.dumps(config["pyramid"])]
    for variant in VARIANTS:
        options += ["--variant", variant]
    return shlex.join(options)


# Where a training keeps its state and its curves: no outputs, because Snakemake deletes those before it tries again.
# A function of `resources` for the same reason: other values train nothing anew.
def keeping(wildcards, resources):
    run = f"{wildcards.modality}/{wildcards.variant}/fold{wildcards.fold}/seed{wildcards.seed}"
    training = config["training"]
    options = ["--state", f"{RESULTS}/state/{run}"]
    options += ["--checkpoint-minutes", str(training["checkpoint_minutes"])]
    if training["tensorboard"]:
        options += ["--tensorboard", f"{RESULTS}/tensorboard/{run}"]
    return shlex.join(options)


# How a training's network runs; a function of `resources` for the same reason.
def computing(wildcards, resources):
    compute = config["compute"]
    options = ["--micro-batch-videos", str(compute["micro_batch_videos"])]
    return shlex.join([*options, "--compile", compute["compile"]])


# Where a run's data lie while it computes; a function of `resources` for the same reason.
def placing(wildcards, resources):
    compute = config["compute"]
    options = ["--resident", compute["resident"]]
    options += ["--memory-share", str(compute["memory_share"] / compute["gpu_share"])]
    options += ["--gpu-share", str(compute["gpu_share"])]
    return shlex.join(options)


# Memory, or minutes, of a job that begins anew when it is tried again: twice, then three times as much.
def growing(amount):
    return lambda wildcards, attempt: amount * attempt


# A link to a folder that holds it would be walked without end.
def leads_up(here, name):
    above = {folder.resolve() for folder in (Path(here), *Path(here).parents)}
    return Path(here, name).resolve() in above


# Names, sizes and times of the user's files, also behind links, so that a changed folder is indexed anew; what is hidden
# does not count.
def fingerprint(folder):
    listing = []
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not leads_up(here, name)
        )
        for name in sorted(name for name in names if not name.startswith(".")):
            path = os.path.join(here, name)
            if os.path.isfile(path):
                status = os.stat(path)
                listing.append((path, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]


# How the importer reads the data set; true and false as the config has them.
def importing(wildcards):
    options = ["--importer", DATASET["importer"]]
    if DATASET["lists"]:
        options += ["--lists", DATASET["lists"]]
    for name, value in DATASET["options"].items():
        word = str(value).lower() if isinstance(value, bool) else value
        options += ["--option", f"{name}={word}"]
    return shlex.join(options)


# When the user's weights were written, so that other weights under the same name train anew.
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
        f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/{name}.h5",
        modality=streams,
        variant=variants,
        fold=FOLDS,
        seed=SEEDS,
    )


# table2 is Table 2.
def table_title(name):
    return re.sub(r"^table(?=\d)", "table ", name).capitalize()


# The scores of all methods of a comparison that are trained here.
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
