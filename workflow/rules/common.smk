import hashlib
import json
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
    return json.dumps(config["pyramid"] | config["model"] | training, sort_keys=True)


# Where a training keeps its state and its curves: no outputs, because Snakemake deletes those before it tries again.
# A function of `resources`, because Snakemake does not compare what such functions give: other values train nothing anew.
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
    options += ["--memory-share", str(compute["memory_share"])]
    options += ["--gpu-share", str(compute["gpu_share"])]
    return shlex.join(options)


# Memory, or minutes, of a job that begins anew when it is tried again: twice, then three times as much.
def growing(amount):
    return lambda wildcards, attempt: amount * attempt


# Names, sizes and times of the user's videos, so that a changed folder is indexed anew.
def fingerprint(folder):
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    listing = [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files
    ]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:16]


# When the user's weights were written, so that other weights under the same name train anew.
def written(weights):
    path = Path(weights)
    return path.stat().st_mtime_ns if path.is_file() else 0


def fusion_options(wildcards):
    weights = ",".join(
        f"{name}={weight}" for name, weight in config["fusion"]["weights"].items()
    )
    return f"--weights {weights} --space {config['fusion']['space']}"


def scores_of(streams, variants):
    return expand(
        f"{RESULTS}/runs/{{modality}}/{{variant}}/fold{{fold}}/seed{{seed}}/scores.h5",
        modality=streams,
        variant=variants,
        fold=FOLDS,
        seed=SEEDS,
    )


wildcard_constraints:
    modality="rgb|of|wof",
    variant="baseline|[1-9]-level",
    fold=r"\d+",
    seed=r"\d+",
    shard=r"\d+",
    streams=r"(rgb|of|wof)(\+(rgb|of|wof))*",
